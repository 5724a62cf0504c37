//! Every byte of the structures of our files is broken: our reader or its check notices, but for
//! the bytes that are listed here with the reason.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use vmimage::engine::base::{ByteSource, Error, Extent, SectorSource};

use crate::media::{Noise, Patched};
use crate::support::{MIB, SILENT, bytes, dynamic, fixed, open_source};

/// A file of which one byte is broken.
#[derive(Debug)]
struct Broken {
    file: ByteSource,
    at: u64,
    flip: u8,
}

impl SectorSource for Broken {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.file.read_at(offset, buffer)?;
        let at = self.at.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
        if let Some(byte) = at.and_then(|at| buffer.get_mut(at)) {
            *byte ^= self.flip;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        self.file.next_extent(offset)
    }
}

/// Two MiB of three hold something.
fn medium() -> Patched {
    let mut noise = Noise(5);
    let patches = vec![(0, noise.bytes(70_000)), ((5 << 19) - 7, noise.bytes(9_000))];
    Patched { name: "mutated", len: 3 * MIB, patches }
}

/// What a use of the file shows: parts of the disk, its length, how it is stored, and whether the
/// check is clean.
fn used(source: Broken) -> Result<(Vec<u8>, String), Error> {
    let image = open_source(Arc::new(source))?;
    let mut seen = Vec::new();
    let mut buffer = vec![0; 4096];
    for at in [0, 65_536, MIB, 5 << 19, image.len().saturating_sub(4096)] {
        if at.checked_add(4096).is_some_and(|end| end <= image.len()) {
            image.read_at(at, &mut buffer)?;
            seen.extend(&buffer);
        }
    }
    assert!(image.extents().take(100).count() < 100);
    let facts = format!("{} {:?} {:?}", image.len(), image.census()?, image.check(&SILENT)?);
    Ok((seen, facts))
}

/// Where broken bytes are not noticed.
fn unnoticed(file: &[u8], places: &[Range<u64>]) -> Vec<u64> {
    let file = ByteSource::new(file);
    let broken = |at, flip| used(Broken { file: file.clone(), at, flip });
    let good = broken(0, 0).unwrap();
    let mut found = Vec::new();
    for at in places.iter().cloned().flatten() {
        for flip in [0x01, 0x80] {
            match catch_unwind(AssertUnwindSafe(|| broken(at, flip))) {
                Err(_) => panic!("byte {at} ^ {flip:#x} panics"),
                Ok(Ok(seen)) if seen == good => found.push(at),
                Ok(_) => {}
            }
        }
    }
    found.dedup();
    found
}

fn just(range: Range<u64>) -> [Range<u64>; 1] {
    [range]
}

#[test]
fn every_byte_counts() {
    const METADATA: u64 = 2 << 20;
    const ITEMS: u64 = METADATA + (64 << 10);
    const BAT: u64 = 3 << 20;
    for params in [dynamic(MIB), fixed(MIB)] {
        let file = bytes(&medium(), &params).unwrap();
        // Both copies of headers and region tables: their fields, and some of the bytes behind
        // that only the checksum covers.
        let copies = [64 << 10, 128 << 10, 192 << 10, 256 << 10];
        let fields = copies.map(|at| at..at + 84);
        let behind = [68_000, 69_631, 135_167, 262_143, 300_000, 327_679].map(|at| at..at + 1);
        assert_eq!(unnoticed(&file, &fields), [0; 0]);
        assert_eq!(unnoticed(&file, &behind), [0; 0]);
        // The id of the disk (third entry) may lie elsewhere: any id is one.
        let id = METADATA + 32 + 2 * 32 + 16;
        let table = METADATA..METADATA + 32 + 5 * 32;
        assert_eq!(unnoticed(&file, &[0..8, table]), [id, id + 1]);
        // A block of zeros has no offset, whatever stands there.
        let zero = BAT + 8;
        let offset: Vec<_> =
            if params == fixed(MIB) { vec![] } else { (zero + 2..zero + 8).collect() };
        assert_eq!(unnoticed(&file, &just(BAT..BAT + 3 * 8)), offset);

        // Who made the file means nothing, and what is behind the headers is free.
        let free: Vec<_> = (8..600).collect();
        assert_eq!(unnoticed(&file, &just(8..600)), free);
        let free = (64 << 10) + 4096;
        assert_eq!(unnoticed(&file, &just(free..free + 1)), [free]);
        // Items have no checksum. Whether blocks stay allocated is a wish for later writes (byte 4
        // of the first item), and any id of the disk is one (bytes 16 to 32).
        let expected: Vec<_> = [4].into_iter().chain(16..32).map(|at| ITEMS + at).collect();
        assert_eq!(unnoticed(&file, &just(ITEMS..ITEMS + 40)), expected);
    }
}
