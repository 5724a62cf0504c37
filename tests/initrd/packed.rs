//! Compressed archives against the tools of each form.

use std::process::Command;

use fs_err as fs;
use vmimage::engine::base::{ByteSource, Silent, Work};
use vmimage::engine::initrd::{Compression, pack};

use crate::tool::run;
use crate::trees::noise;

/// Bytes of which a third does not compress, and the rest differently well; more than two blocks of
/// every form.
pub(crate) fn mixed(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = noise(seed, len);
    let third = len / 3;
    bytes[third..2 * third].iter_mut().for_each(|byte| *byte &= 0x0f);
    for (at, byte) in bytes[2 * third..].iter_mut().enumerate() {
        *byte = if at % 7 == 0 { *byte & 1 } else { b'a' + (at % 13) as u8 };
    }
    bytes
}

fn packed(bytes: &[u8], compression: Compression, threads: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let source = ByteSource::new(bytes);
    pack(&source, compression, &mut out, &Work { threads, progress: &Silent }).unwrap();
    out
}

#[test]
fn the_same_bytes_come_out_on_any_number_of_threads() {
    for compression in Compression::ALL {
        // More than two blocks; xz takes seconds, and has blocks of 4 MiB.
        let most = if compression == Compression::Xz { 4_500_003 } else { 20_000_003 };
        for len in [1, most] {
            let bytes = mixed(3, len);
            let one = packed(&bytes, compression, 1);
            for threads in [2, 3, 0] {
                assert!(one == packed(&bytes, compression, threads), "{compression} {threads}");
            }
        }
    }
}

#[test]
fn each_tool_takes_its_form() {
    let directory = tempfile::tempdir().unwrap();
    for len in [1, 8 << 20, 9_000_001] {
        let bytes = mixed(5, len);
        for (compression, suffix, tool) in [
            (Compression::Gzip, "gz", "gzip"),
            (Compression::Xz, "xz", "xz"),
            (Compression::Zstd, "zst", "zstd"),
            (Compression::Lz4, "lz4", "lz4"),
        ] {
            let file = directory.path().join(format!("archive.{suffix}"));
            fs::write(&file, packed(&bytes, compression, 2)).unwrap();
            let back = run(Command::new(tool).args(["-d", "-c"]).arg(&file));
            assert!(back == bytes, "{tool}: {len} bytes");
            run(Command::new(tool).arg("-t").arg(&file));
        }
    }
    let told = |tool: &str, options: &[&str], suffix: &str| {
        let file = directory.path().join(format!("archive.{suffix}"));
        let output = run(Command::new(tool).args(options).arg(file));
        String::from_utf8(output).unwrap()
    };
    // One stream of several blocks with the sum that Linux knows.
    let listed = told("xz", &["-l", "--robot"], "xz");
    let totals: Vec<_> =
        listed.lines().find(|l| l.starts_with("file\t")).unwrap().split('\t').collect();
    assert_eq!((totals[1], totals[6]), ("1", "CRC32"), "{listed}");
    assert!(totals[2].parse::<u32>().unwrap() > 1, "{listed}");
    // One frame, and a window that Linux takes.
    let listed = told("zstd", &["-lv"], "zst");
    let field = |name: &str| listed.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(field("Frames").trim_end().ends_with(" 1"), "{listed}");
    assert!(field("Window Size").contains("(2097152 B)"), "{listed}");
    let file = fs::read(directory.path().join("archive.lz4")).unwrap();
    assert_eq!(file[..4], [0x02, 0x21, 0x4c, 0x18]);
}

#[test]
fn names_are_found_again() {
    for compression in Compression::ALL {
        assert_eq!(Compression::of(compression.as_str()), Some(compression));
    }
    assert_eq!(Compression::of("bzip2"), None);
}
