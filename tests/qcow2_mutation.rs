//! Every byte of a file's header and tables is broken, and the file is cut: reader and check answer
//! or refuse, and never panic or take more memory than they say.
//!
//! One test alone in its program, since it looks at the memory of the whole process.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[expect(dead_code, reason = "the samples are for the oracle tests")]
#[path = "support/media.rs"]
mod media;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use media::{Noise, Patched};
use vmimage::engine::base::{ByteSource, Error, MemorySink, SectorSource as _, Silent, Work};
use vmimage::engine::format::Image as _;
use vmimage::engine::format::qcow2::{self, Compat, Compression, Image, Params, Preallocation};

/// The reader promises an L1 table of 32 MiB and a few clusters of at most 2 MiB.
const MOST_BYTES: u64 = 64 << 20;

const WORK: Work<'static> = Work { threads: 1, progress: &Silent };

/// Two clusters that differ, in a disk of 300 KiB.
fn image(params: &Params) -> Vec<u8> {
    let mut noise = Noise(3);
    let patches = vec![(0, noise.words(65_536)), (200_000, noise.words(9_000))];
    let medium = Patched { name: "mutated", len: 300 << 10, patches };
    let sink = MemorySink::default();
    qcow2::write(&medium, &sink, params, &WORK).unwrap();
    sink.into_bytes()
}

/// Opens the file and reads what its virtual disk has in places that matter.
fn use_all(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let image = Image::open(Arc::new(ByteSource::new(bytes)))?;
    let len = image.len();
    let mut seen = Vec::new();
    let mut buffer = vec![0; 4096];
    for at in [0, 65_536, 196_608, 204_800, len.saturating_sub(4096)] {
        if at.checked_add(4096).is_some_and(|end| end <= len) {
            image.read_at(at, &mut buffer)?;
            seen.extend(&buffer);
        }
    }
    let extents = image.extents().take(16).count();
    assert!(extents <= 16);
    image.census()?;
    image.check(&WORK)?;
    Ok(seen)
}

/// The most address space that the process ever had.
fn peak() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn broken_files_are_refused_or_read_in_bounded_memory() {
    every_truncation_is_refused_or_read();
    let mut differ = 0;
    let zlib = Params::compressed(Compression::Zlib);
    for params in [
        Params::default(),
        zlib.clone(),
        Params::compressed(Compression::Zstd),
        Params { compat: Compat::V2, ..zlib.clone() },
        Params { cluster_size: 4096, ..zlib },
        Params { preallocation: Preallocation::Metadata, ..Params::default() },
    ] {
        let good = image(&params);
        let whole = use_all(good.clone()).unwrap();
        let before = peak();
        let mut refused = 0;
        for at in places(&good) {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                match catch_unwind(AssertUnwindSafe(|| use_all(bad))) {
                    Err(_) => panic!("{params:?}: byte {at} ^ {flip:#x} panics"),
                    Ok(Err(_)) => refused += 1,
                    Ok(Ok(seen)) => differ += usize::from(seen != whole),
                }
            }
        }
        assert!(refused > 150, "{params:?}: {refused} refused");
        let grown = peak() - before;
        assert!(grown < MOST_BYTES, "{params:?}: {grown} bytes more");
    }
    assert!(differ > 0, "all changes were noticed: the test looks at the wrong places");
}

/// The header with its extensions, and the first entries of the L1 table, the L2 table, the
/// refcount table and its block.
fn places(good: &[u8]) -> impl Iterator<Item = usize> {
    let number = |at: usize| u64::from_be_bytes(good[at..][..8].try_into().unwrap()) as usize;
    let (l1, refcounts) = (number(40), number(48));
    let l2 = number(l1) & 0x00ff_ffff_ffff_fe00;
    let tables = [l1, l2, refcounts, number(refcounts)];
    (0..512).chain(tables.into_iter().flat_map(|at| at..at + 48))
}

fn every_truncation_is_refused_or_read() {
    let good = image(&Params::compressed(Compression::Zlib));
    let cuts = (0..520).chain((0..good.len()).step_by(4096));
    for cut in cuts {
        let result = catch_unwind(AssertUnwindSafe(|| use_all(good[..cut].to_vec())));
        assert!(result.is_ok(), "cut at {cut} panics");
    }
}
