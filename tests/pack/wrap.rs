//! Wraps: written by us and read by the tools, written by the tools and read by us.

use std::io::Read;
use std::path::Path;

use proptest::prelude::*;
use vmimage::engine::base::{Error, Kind, MemorySink, Silent, StreamSink as _};
use vmimage::engine::codec::wrap::{Wrap, Wrapper, unpack, unwrap};

use super::media::Noise;
use super::tool::{output, run, text};

/// The tool of a wrap, and its Debian package.
fn tool(wrap: Wrap) -> (&'static str, &'static str) {
    match wrap {
        Wrap::Gzip => ("gzip", "gzip"),
        Wrap::Xz => ("xz", "xz-utils"),
        Wrap::Zstd => ("zstd", "zstd"),
        Wrap::Bzip2 => ("bzip2", "bzip2"),
        Wrap::Lz4 => ("lz4", "lz4"),
    }
}

fn written() -> impl Iterator<Item = Wrap> {
    Wrap::ALL.into_iter().filter(|wrap| wrap.writes())
}

/// Packs `bytes` that come in pieces of `piece` bytes.
fn pack(wrap: Wrap, bytes: &[u8], piece: usize, threads: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut wrapper = Wrapper::new(wrap, &mut packed, threads).unwrap();
    for piece in bytes.chunks(piece.max(1)) {
        wrapper.write(piece).unwrap();
    }
    wrapper.finish().unwrap();
    packed
}

fn open(wrap: Wrap, packed: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
    let sink = MemorySink::default();
    let reader: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(packed.to_vec()));
    let mut unwrapped = unwrap(wrap, reader)?;
    let len = unpack(&mut unwrapped, &sink, limit, &Silent)?;
    let bytes = sink.into_bytes();
    assert_eq!(bytes.len() as u64, len);
    Ok(bytes)
}

/// Chunk borders of every writer, zeros across them, text and noise.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut noise = Noise(11);
    let chunk = 512 << 10;
    let mixed = [
        noise.words(700_000),
        vec![0; 3 * chunk],
        noise.bytes(100_000),
        vec![0; 40],
        noise.words(900_001),
    ];
    vec![
        ("empty", vec![]),
        ("one", vec![7]),
        ("chunk", noise.words(chunk)),
        ("chunk and one", noise.words(chunk + 1)),
        ("zeros", vec![0; 4 * chunk]),
        ("noise", noise.bytes(2 * chunk)),
        ("mixed", mixed.concat()),
    ]
}

fn judge(wrap: Wrap, name: &str, bytes: &[u8], directory: &Path) {
    let path = directory.join(format!("x.{}", wrap.suffix()));
    fs_err::write(&path, pack(wrap, bytes, usize::MAX, 2)).unwrap();
    let (program, package) = tool(wrap);
    run(program, package, &["-t", text(&path)]);
    run("7zz", "7zip", &["t", text(&path)]);
    let unpacked = output(program, package, &["-dc", text(&path)]);
    assert!(unpacked.status.success() && unpacked.stdout == bytes, "{wrap}: {name}");
}

#[test]
fn the_tools_read_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    for wrap in written() {
        for (name, bytes) in samples() {
            judge(wrap, name, &bytes, directory.path());
        }
    }
}

#[test]
fn what_the_tools_write_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    for wrap in Wrap::ALL {
        let (program, package) = tool(wrap);
        for (name, bytes) in samples() {
            fs_err::write(&plain, &bytes).unwrap();
            for level in ["-1", "-9"] {
                let packed = output(program, package, &[level, "-c", text(&plain)]).stdout;
                assert_eq!(Wrap::detect(&packed), Some(wrap));
                assert!(open(wrap, &packed, u64::MAX).unwrap() == bytes, "{wrap} {level}: {name}");
                // Members, streams and frames may follow each other.
                let twice = open(wrap, &packed.repeat(2), u64::MAX).unwrap();
                assert!(twice == bytes.repeat(2), "{wrap} {level}: {name} twice");
            }
        }
    }
}

#[test]
fn same_bytes_on_any_number_of_threads_and_in_any_pieces() {
    let mut noise = Noise(5);
    let bytes = [noise.words(9 << 20), vec![0; 3 << 20], noise.bytes(300_000)].concat();
    for wrap in written() {
        let one = pack(wrap, &bytes, usize::MAX, 1);
        for (threads, piece) in [(2, 64 << 10), (8, usize::MAX), (3, 1_000_003)] {
            assert!(pack(wrap, &bytes, piece, threads) == one, "{wrap} on {threads} threads");
        }
        assert!(open(wrap, &one, u64::MAX).unwrap() == bytes, "{wrap}");
    }
}

#[test]
fn gzip_is_one_member_without_name_and_time() {
    let packed = pack(Wrap::Gzip, &Noise(1).words(2 << 20), usize::MAX, 2);
    assert_eq!(packed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    let mut one = flate2_of_one_member(&packed);
    assert_eq!(one.len(), 2 << 20);
    one.clear();
}

/// What is in the first member alone.
fn flate2_of_one_member(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn zeros_become_as_short_as_deflate_can() {
    let packed = pack(Wrap::Gzip, &vec![0; 32 << 20], usize::MAX, 2);
    assert!(packed.len() < (32 << 20) / 900, "{}", packed.len());
}

#[test]
fn a_file_that_is_cut_or_changed_is_refused() {
    let bytes = Noise(3).words(2_000);
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    fs_err::write(&plain, &bytes).unwrap();
    for wrap in Wrap::ALL {
        let (program, package) = tool(wrap);
        let packed = output(program, package, &["-c", text(&plain)]).stdout;
        for cut in 0..packed.len() {
            let error = open(wrap, &packed[..cut], u64::MAX);
            assert!(error.is_err(), "{wrap}: cut at {cut} of {}", packed.len());
        }
        let mut unnoticed = Vec::new();
        for at in 0..packed.len() {
            let mut bad = packed.clone();
            bad[at] ^= 0x41;
            if open(wrap, &bad, 1 << 20).is_ok_and(|seen| seen != bytes) {
                panic!("{wrap}: byte {at} changed, and other bytes come out");
            } else if open(wrap, &bad, 1 << 20).is_ok() {
                unnoticed.push(at);
            }
        }
        // gzip: time, system, extra flags and the name say nothing about the content.
        let name = 10 + "plain".len() + 1;
        let harmless = |at: &usize| wrap == Wrap::Gzip && (4..name).contains(at);
        unnoticed.retain(|at| !harmless(at));
        assert!(unnoticed.is_empty(), "{wrap}: {unnoticed:?} of {}", packed.len());
    }
}

fn refused(wrap: Wrap, packed: &[u8], limit: u64) -> (Kind, String) {
    let error = open(wrap, packed, limit).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn errors_say_what_was_found() {
    let words = Noise(9).words(200_000);
    let packed = pack(Wrap::Gzip, &words, usize::MAX, 1);
    let wanted = "no xz file: it begins with \"1f8b08000000\" instead of \"fd377a585a00\"";
    assert_eq!(refused(Wrap::Xz, &packed, 1), (Kind::Input, wanted.to_owned()));
    let wanted = "no gzip file: it begins with \"\" instead of \"1f8b08\"";
    assert_eq!(refused(Wrap::Gzip, &[], 1), (Kind::Input, wanted.to_owned()));
    let wanted = "gzip unpacks to more than the 199999 bytes that are allowed";
    assert_eq!(refused(Wrap::Gzip, &packed, 199_999), (Kind::Input, wanted.to_owned()));
    assert!(open(Wrap::Gzip, &packed, 200_000).is_ok());
    let (kind, message) = refused(Wrap::Gzip, &packed[..packed.len() - 3], u64::MAX);
    assert_eq!(kind, Kind::Damaged);
    let read = packed.len() - 3;
    let wanted = format!(
        "gzip cannot be unpacked behind 200000 bytes ({read} packed bytes were read): the file ends too early"
    );
    assert_eq!(message, wanted);
    for wrap in [Wrap::Bzip2, Wrap::Lz4] {
        let mut sink = Vec::new();
        let error = Wrapper::new(wrap, &mut sink, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{wrap} is only read; gzip, xz and zstd are written")
        );
    }
}

/// A window or a dictionary is memory that a file asks for.
#[test]
fn what_asks_for_too_much_memory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    fs_err::write(&plain, [0; 100]).unwrap();
    // RFC 8878 3.1.1.1: a descriptor without single segment, and a window of 2 GiB.
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8], &[1, 0, 0][..]].concat();
    let (kind, message) = refused(Wrap::Zstd, &zstd, 1 << 20);
    assert_eq!(kind, Kind::Damaged);
    assert!(message.contains("too much memory"), "{message}");
    let lzma2 = "--lzma2=preset=0,dict=512MiB";
    let xz = output("xz", "xz-utils", &["-c", lzma2, text(&plain)]).stdout;
    let (kind, message) = refused(Wrap::Xz, &xz, 1 << 20);
    assert_eq!(kind, Kind::Damaged);
    assert!(message.contains("memory"), "{message}");
}

#[test]
fn a_bomb_stops_at_the_limit() {
    for wrap in written() {
        let packed = pack(wrap, &vec![0; 24 << 20], usize::MAX, 2);
        let (kind, _) = refused(wrap, &packed, 2 << 20);
        assert_eq!(kind, Kind::Input);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_is_unpacked(
        runs in proptest::collection::vec((any::<u64>(), 0usize..400_000), 0..6),
        piece in 1usize..300_000,
        threads in 1usize..4,
    ) {
        let mut bytes = Vec::new();
        for (seed, len) in runs {
            let mut noise = Noise(seed | 1);
            bytes.extend(match seed % 3 {
                0 => vec![0; len],
                1 => noise.bytes(len),
                _ => noise.words(len),
            });
        }
        for wrap in written() {
            let packed = pack(wrap, &bytes, piece, threads);
            prop_assert!(open(wrap, &packed, u64::MAX).unwrap() == bytes);
        }
    }
}
