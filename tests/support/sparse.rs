//! Files with holes, on both sides: as contents of a tree, and as images on the host.
//!
//! Knows no filesystem. Invariant: an image is written by its extents alone, so that what lies outside
//! of them must be zero.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::tree::Kind;
use vmimage::engine::base::{Composed, Content, Extent, Origin, Region, SectorSource, is_zero};

/// So many bytes that repeat nowhere near (xorshift64).
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A file of `len` bytes with holes: `pieces` are offsets with what lies there.
pub(crate) fn sparse(len: u64, pieces: &[(u64, &[u8])]) -> Kind {
    let region = |(at, bytes): &(u64, &[u8])| Region {
        extent: Extent::new(*at, at + bytes.len() as u64).unwrap(),
        content: Content::Bytes((*bytes).into()),
        origin: Origin::new("sparse"),
    };
    let regions = pieces.iter().map(region).collect();
    Kind::File(Content::Sectors(Arc::new(Composed::new(len, regions))))
}

/// Writes a volume as a sparse file, `step` bytes at a time.
pub(crate) fn write(path: &Path, source: &dyn SectorSource, step: u64) {
    let file = fs_err::File::create(path).unwrap().into_file();
    file.set_len(source.len()).unwrap();
    let mut buffer = vec![0; step as usize];
    for extent in source.extents() {
        for at in (extent.start()..extent.end()).step_by(step as usize) {
            let part = &mut buffer[..step.min(extent.end() - at) as usize];
            source.read_at(at, part).unwrap();
            if !is_zero(part) {
                file.write_all_at(part, at).unwrap();
            }
        }
    }
}
