//! The index into a packed file of an untrusted erofs, full or compact.
//!
//! Source: Linux, Documentation/filesystems/erofs.rst, section "Compression", and what mkfs.erofs 1.5
//! writes. Invariants: a search goes back and on by at most `FAR` entries; an extent has at most
//! `MAX_EXTENT` bytes.

use super::image::{Image, Inode, damaged};
use super::ondisk::{
    ADVISE_BIG, ADVISE_SHORT, BLOCK, BLOCKS, Cluster, HEAD, INDEX_GAP, INSIDE, MapHead,
    PACKED_COMPACT, STORED,
};
use crate::engine::base::{Error, Kind};

/// Bytes of a file that one packed cluster may hold: 16 MiB.
pub(super) const MAX_EXTENT: u64 = 16 << 20;

/// The same in entries.
const FAR: u64 = MAX_EXTENT / BLOCK;

/// An index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index {
    /// Where its entries begin.
    at: u64,
    count: u64,
    compact: bool,
    advise: u16,
}

/// An entry, in whatever form.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// An extent begins at this offset, packed into or stored in the blocks from `block` on.
    Begin { offset: u64, block: u64, stored: bool },
    /// The begin is so many entries back, if that is known; how many blocks it has, if it says so.
    Inside { back: u64, blocks: Option<u64> },
}

/// A part of a file that is packed or stored together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Its bytes in the file.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) block: u64,
    pub(super) blocks: u64,
    pub(super) stored: bool,
}

impl Index {
    pub(super) fn open(image: &Image, inode: &Inode) -> Result<Self, Error> {
        let at = inode.behind().next_multiple_of(8);
        let head: MapHead = image.item(at)?;
        let (algorithm, bits) = (head.algorithms & 0xf, head.cluster_bits);
        if algorithm != 0 || bits != 0 {
            let message = format!(
                "erofs: a file packed by algorithm {algorithm} in clusters of form {bits:#x}: lz4 \
                 (0) in those of 4 KiB (0) is read"
            );
            return Err(Error::new(Kind::Unsupported, message));
        }
        let compact = inode.layout == PACKED_COMPACT;
        let gap = if compact { 0 } else { INDEX_GAP };
        let at = at + size_of::<MapHead>() as u64 + gap;
        let count = inode.size.div_ceil(BLOCK);
        Ok(Self { at, count, compact, advise: head.advise.get() })
    }

    /// The part of the file that `offset`, inside of the file, lies in.
    pub(super) fn find(&self, image: &Image, offset: u64, size: u64) -> Result<Found, Error> {
        let (mut at, inside) = (offset / BLOCK, offset % BLOCK);
        let mut entry = self.entry(image, at)?;
        if let Entry::Begin { offset, .. } = entry
            && offset > inside
        {
            at = at.checked_sub(1).ok_or_else(|| damaged("a file begins within an extent"))?;
            entry = self.entry(image, at)?;
        }
        let asked = at;
        let (from, block, stored) = loop {
            match entry {
                Entry::Begin { offset, block, stored } => break (offset, block, stored),
                Entry::Inside { back, .. } => {
                    let before = at.checked_sub(back.max(1));
                    at = before.filter(|at| asked - at <= FAR).ok_or_else(|| {
                        damaged(format!("entry {at} of an index leads {back} entries back"))
                    })?;
                    entry = self.entry(image, at)?;
                }
            }
        };
        let start = at * BLOCK + from;
        let mut blocks = 1;
        let mut end = size;
        for next in at + 1..self.count {
            if next - at > FAR {
                return Err(damaged(format!("an extent has more than {MAX_EXTENT} bytes")));
            }
            match self.entry(image, next)? {
                Entry::Begin { offset, .. } => {
                    end = next * BLOCK + offset;
                    break;
                }
                Entry::Inside { blocks: Some(said), .. } if next == at + 1 => blocks = said,
                Entry::Inside { .. } => {}
            }
        }
        let end = end.min(size);
        if !(start..end).contains(&offset) || end - start > MAX_EXTENT {
            return Err(damaged(format!("an extent from {start} to {end} should hold {offset}")));
        }
        Ok(Found { start, end, block, blocks, stored })
    }

    fn entry(&self, image: &Image, number: u64) -> Result<Entry, Error> {
        if self.compact {
            return self.compact_entry(image, number);
        }
        let cluster: Cluster = image.item(self.at.saturating_add(number.saturating_mul(8)))?;
        let (kind, place) = (cluster.kind.get() & 3, cluster.place.get());
        match kind {
            STORED | HEAD => Ok(Entry::Begin {
                offset: u64::from(cluster.offset.get()),
                block: place.into(),
                stored: kind == STORED,
            }),
            INSIDE => Ok(self.inside((place & 0xffff) as u16)),
            _ => Err(damaged(format!("entry {number} of an index is of kind {kind}"))),
        }
    }

    /// An entry inside of an extent, by its distance back.
    fn inside(&self, back: u16) -> Entry {
        if back & BLOCKS != 0 && self.advise & ADVISE_BIG != 0 {
            return Entry::Inside { back: 1, blocks: Some(u64::from(back & !BLOCKS)) };
        }
        Entry::Inside { back: u64::from(back), blocks: None }
    }

    /// An entry out of a pack: 2 entries in 8 bytes or 16 in 32, with one block number behind.
    fn compact_entry(&self, image: &Image, number: u64) -> Result<Entry, Error> {
        let (pack, size, count) = self.pack(number);
        let start = pack.0;
        let mut bytes = [0; 32];
        let bytes = bytes.get_mut(..size).unwrap_or_default();
        image.bytes(start, bytes)?;
        let bits = (size - 4) * 8 / count;
        let decode = |n: usize| {
            let from = n * bits;
            let word = bytes.get(from / 8..).unwrap_or_default().iter().take(4);
            let word = word.rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
            let value = word >> (from % 8);
            ((value & 0xfff) as u16, (value >> 12 & 3) as u16)
        };
        let n = pack.1;
        let (low, kind) = decode(n);
        if kind == INSIDE {
            let entry = self.inside(low);
            if matches!(entry, Entry::Inside { blocks: Some(_), .. }) || n + 1 != count {
                return Ok(entry);
            }
            // The last of a pack says how far on the next is: the one before knows the way back.
            let back = match n.checked_sub(1).map(decode) {
                Some((low, INSIDE)) => match self.inside(low) {
                    Entry::Inside { blocks: Some(_), .. } => 2,
                    _ => u64::from(low) + 1,
                },
                _ => 1,
            };
            return Ok(Entry::Inside { back, blocks: None });
        }
        if kind > INSIDE {
            return Err(damaged(format!("entry {number} of an index is of kind {kind}")));
        }
        let before = self.blocks_before(n, decode)?;
        let base = bytes.last_chunk::<4>().map_or(0, |base| u32::from_le_bytes(*base));
        let block = u64::from(base) + before;
        Ok(Entry::Begin { offset: u64::from(low), block, stored: kind == STORED })
    }

    /// How many blocks the extents that begin before entry `n` of a pack, and it, are on from the
    /// pack's block number.
    fn blocks_before(&self, n: usize, decode: impl Fn(usize) -> (u16, u16)) -> Result<u64, Error> {
        let big = self.advise & ADVISE_BIG != 0;
        let mut blocks = u64::from(!big);
        let mut at = n;
        while at > 0 {
            at -= 1;
            let (low, kind) = decode(at);
            let low_len = usize::from(low);
            if kind != INSIDE {
                blocks += 1;
            } else if !big {
                // Its head is counted, if it is in this pack.
                match at.checked_sub(low_len) {
                    Some(head) => (at, blocks) = (head, blocks + 1),
                    None => break,
                }
            } else if low & BLOCKS != 0 {
                blocks += u64::from(low & !BLOCKS);
                at = at.saturating_sub(1);
            } else {
                if low_len <= 1 {
                    return Err(damaged("a pack of an index goes back to nowhere"));
                }
                at = at.saturating_sub(low_len - 2);
            }
        }
        Ok(blocks)
    }

    /// Where the pack of an entry lies and the entry's number in it; its bytes, and its entries.
    fn pack(&self, number: u64) -> ((u64, usize), usize, usize) {
        // The first entries have 4 bytes each, until a multiple of 32 bytes is reached.
        let first = (32 - self.at % 32) / 4 % 8;
        let short = if self.advise & ADVISE_SHORT != 0 && first < self.count {
            (self.count - first) / 16 * 16
        } else {
            0
        };
        let (at, number, long) = if number < first {
            (self.at, number, true)
        } else if number < first + short {
            (self.at + first * 4, number - first, false)
        } else {
            (self.at + first * 4 + short * 2, number - first - short, true)
        };
        let (size, count) = if long { (8, 2) } else { (32, 16) };
        let pack = at + number / count * size;
        ((pack, (number % count) as usize), size as usize, count as usize)
    }
}
