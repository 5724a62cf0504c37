//! Where things lie: chunks, and addresses inside of them that keep off the superblocks.
//!
//! Logical addresses are those of the medium. Invariant: no address that is given out lies in the
//! stripe of a superblock or outside of its region's chunks.

use super::ondisk::{STRIPE, SUPER_MIRRORS};

/// Where the first chunk begins: what is before it belongs to boot loaders and the superblock.
pub(super) const FIRST_CHUNK: u64 = 1 << 20;
/// Bytes of the chunk that holds the chunk tree.
pub(super) const SYSTEM_LENGTH: u64 = 4 << 20;
/// Bytes of a chunk at most.
const CHUNK: u64 = 1 << 30;
/// Bytes of a file's extent at most (BTRFS_MAX_EXTENT_SIZE).
const EXTENT: u64 = 128 << 20;

/// A run of addresses that begins where a chunk does; chunks follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// Its first address, a multiple of the stripe.
    pub(super) start: u64,
    /// Bytes in all its chunks, superblocks counted.
    pub(super) len: u64,
}

/// A chunk, and the block group of the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkPlace {
    pub(super) start: u64,
    pub(super) len: u64,
    /// Data, metadata or system.
    pub(super) kind: u64,
}

/// The address of the byte `position` of what may be used from `start` on.
pub(super) fn address(start: u64, position: u64) -> u64 {
    let mut at = start + position;
    for mirror in SUPER_MIRRORS {
        if start <= mirror && at >= mirror {
            at += STRIPE;
        }
    }
    at
}

/// The byte of what may be used from `start` on that lies at `address`; none for a superblock's.
pub(super) fn position(start: u64, address: u64) -> Option<u64> {
    let mut at = address.checked_sub(start)?;
    for mirror in SUPER_MIRRORS {
        if start <= mirror && address >= mirror {
            if address < mirror + STRIPE {
                return None;
            }
            at -= STRIPE;
        }
    }
    Some(at)
}

/// Bytes of `wanted` that lie in one piece from `position` on, in one chunk.
pub(super) fn contiguous(start: u64, position: u64, wanted: u64) -> u64 {
    let at = address(start, position);
    let chunk_end = start + ((at - start) / CHUNK + 1) * CHUNK;
    let mirror = SUPER_MIRRORS.into_iter().find(|mirror| *mirror > at).unwrap_or(u64::MAX);
    wanted.min(EXTENT).min(chunk_end - at).min(mirror - at)
}

impl Region {
    /// The region from `start` on in which the first `used` bytes and `spare` more have room.
    pub(super) fn new(start: u64, used: u64, spare: u64) -> Self {
        // The end of what is used, not the beginning of what comes next: that may lie behind a
        // superblock.
        let last = used.checked_sub(1).map_or(start, |last| address(start, last) + 1);
        Self { start, len: (last - start + spare).next_multiple_of(STRIPE) }
    }

    pub(super) const fn end(self) -> u64 {
        self.start + self.len
    }

    /// Its chunks.
    pub(super) fn chunks(self, kind: u64) -> impl Iterator<Item = ChunkPlace> {
        (0..self.len.div_ceil(CHUNK)).map(move |number| {
            let start = self.start + number * CHUNK;
            ChunkPlace { start, len: CHUNK.min(self.end() - start), kind }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 5 << 20;

    #[test]
    fn superblocks_are_stepped_over() {
        let before = (64 << 20) - START;
        assert_eq!(address(START, before - 1), (64 << 20) - 1);
        assert_eq!(address(START, before), (64 << 20) + STRIPE);
        assert_eq!(address(64 << 20, 0), (64 << 20) + STRIPE);
        assert_eq!(position(START, 64 << 20), None);
        for at in [0, 1, before - 1, before, before + 5, 300 << 30] {
            assert_eq!(position(START, address(START, at)), Some(at));
        }
    }

    #[test]
    fn extents_end_at_superblocks_and_chunks() {
        let before = (64 << 20) - START;
        assert_eq!(contiguous(START, 0, 1 << 40), before);
        assert_eq!(contiguous(START, before, 1 << 40), EXTENT);
        assert_eq!(contiguous(START, 0, 4096), 4096);
        let near = (1 << 30) - STRIPE - 8192;
        assert_eq!(contiguous(START, near, 1 << 40), 8192);
    }

    #[test]
    fn a_region_holds_what_it_was_made_for() {
        assert_eq!(Region::new(START, 0, 0).len, 0);
        assert_eq!(Region::new(START, 1, 0).len, STRIPE);
        let before = (64 << 20) - START;
        assert_eq!(Region::new(START, before, 0).len, before);
        assert_eq!(Region::new(START, before + 1, 0).len, before + 2 * STRIPE);
        let chunks: Vec<_> = Region::new(START, 3 << 30, 0).chunks(1).collect();
        assert_eq!(chunks.len(), 4);
        assert_eq!((chunks[0].len, chunks[3].len), (1 << 30, STRIPE));
        assert_eq!(chunks[1].start, START + (1 << 30));
    }
}
