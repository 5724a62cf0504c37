//! A file of an untrusted squashfs, read when it is wanted.
//!
//! Keeps no list of all blocks. Invariant: memory is one part of the list of lengths and a place
//! for each part that was passed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::image::{Image, damaged};
use super::ondisk::{NONE32, STORED};
use crate::engine::base::{Error, Extent, Kind, SectorSource, within};

/// Blocks of which the lengths are kept at once.
const PART: u64 = 1024;

/// What an inode says about a file's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    pub(super) start: u64,
    pub(super) size: u64,
    pub(super) fragment: u32,
    pub(super) offset: u32,
    /// Where the list of lengths begins in the inode table.
    pub(super) list: (u64, usize),
}

/// Bytes, and where the wanted ones begin.
type Part = (Arc<[u8]>, usize);

pub(super) struct FileOf {
    image: Arc<Image>,
    bytes: Bytes,
    blocks: u64,
    walked: Mutex<Walked>,
}

/// How far the list was read.
#[derive(Default)]
struct Walked {
    /// Where each part of the list lies, and the bytes it begins with.
    parts: Vec<((u64, usize), u64)>,
    /// The part that is kept: its number, and place and length of its blocks.
    part: Option<(u64, Vec<(u64, u32)>)>,
    /// From where on nothing is stored before the extent that follows.
    known: Option<(u64, Extent)>,
}

impl fmt::Debug for FileOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileOf(squashfs, {:?})", self.bytes)
    }
}

impl FileOf {
    /// A file. What its inode says about a fragment is checked.
    pub(super) fn new(image: &Arc<Image>, bytes: Bytes) -> Result<Self, Error> {
        let block = image.block_size();
        let blocks = if bytes.fragment == NONE32 {
            bytes.size.div_ceil(block)
        } else {
            let (offset, tail) = (u64::from(bytes.offset), bytes.size % block);
            if offset + tail > block || bytes.fragment >= image.head.fragments.get() {
                return Err(damaged(format!(
                    "a file ends in {tail} bytes at {offset} of fragment {}: there are {} of at \
                     most {block} bytes",
                    bytes.fragment,
                    image.head.fragments.get()
                )));
            }
            bytes.size / block
        };
        Ok(Self { image: Arc::clone(image), bytes, blocks, walked: Mutex::default() })
    }

    fn walked(&self) -> MutexGuard<'_, Walked> {
        self.walked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Place and length field of a block. The list is read from the nearest place known.
    fn locate(&self, walked: &mut Walked, block: u64) -> Result<(u64, u32), Error> {
        let wanted = block / PART;
        if walked.part.as_ref().is_none_or(|(part, _)| *part != wanted) {
            if walked.parts.is_empty() {
                walked.parts.push((self.bytes.list, self.bytes.start));
            }
            let mut part = wanted.min(walked.parts.len() as u64 - 1);
            loop {
                let blocks = self.part(walked, part)?;
                if part == wanted {
                    walked.part = Some((part, blocks));
                    break;
                }
                part += 1;
            }
        }
        let kept = walked.part.as_ref().and_then(|(_, blocks)| blocks.get((block % PART) as usize));
        kept.copied().ok_or_else(|| damaged(format!("a file has no block {block}")))
    }

    /// Reads a part of the list; the next one's place is known then.
    fn part(&self, walked: &mut Walked, part: u64) -> Result<Vec<(u64, u32)>, Error> {
        let (place, mut at) = walked.parts.get(part as usize).copied().unwrap_or_default();
        let mut cursor = self.image.inode(0).at(place);
        let count = (self.blocks - part * PART).min(PART);
        let mut blocks = Vec::with_capacity(count as usize);
        for length in cursor.bytes(count as usize * 4)?.as_chunks::<4>().0 {
            let length = u32::from_le_bytes(*length);
            blocks.push((at, length));
            at = at.saturating_add((length & !STORED).into());
        }
        if walked.parts.len() as u64 == part + 1 {
            walked.parts.push((cursor.place(), at));
        }
        Ok(blocks)
    }

    /// The bytes of a block; none if they are all zero.
    fn block(&self, block: u64) -> Result<Option<Part>, Error> {
        if block >= self.blocks {
            let fragment = self.image.fragment(self.bytes.fragment)?;
            let bytes = self.image.data(fragment.start.get(), fragment.size.get())?;
            return Ok(Some((bytes, self.bytes.offset as usize)));
        }
        let (at, length) = self.locate(&mut self.walked(), block)?;
        if length & !STORED == 0 {
            return Ok(None);
        }
        let bytes = self.image.data(at, length)?;
        let size = self.image.block_size();
        let wanted = (self.bytes.size - block * size).min(size);
        if bytes.len() as u64 != wanted {
            let len = bytes.len();
            return Err(damaged(format!("the block at {at} has {len} bytes instead of {wanted}")));
        }
        Ok(Some((bytes, 0)))
    }

    fn stored(&self, walked: &mut Walked, block: u64) -> Result<bool, Error> {
        Ok(block >= self.blocks || self.locate(walked, block)?.1 & !STORED != 0)
    }

    fn extent(&self, offset: u64) -> Result<Option<Extent>, Error> {
        let size = self.image.block_size();
        let walked = &mut self.walked();
        if let Some((from, extent)) = walked.known
            && (from..extent.end()).contains(&offset)
        {
            return Ok(Extent::new(offset.max(extent.start()), extent.end()));
        }
        let all = self.bytes.size.div_ceil(size);
        let mut first = offset / size;
        while first < all && !self.stored(walked, first)? {
            first += 1;
        }
        let mut end = first;
        while end < all && self.stored(walked, end)? {
            end += 1;
        }
        let extent = Extent::new(first * size, (end * size).min(self.bytes.size));
        walked.known = extent.map(|extent| (offset, extent));
        Ok(extent.and_then(|extent| Extent::new(offset.max(extent.start()), extent.end())))
    }
}

impl SectorSource for FileOf {
    fn len(&self) -> u64 {
        self.bytes.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.bytes.size, offset, buffer.len(), Kind::Damaged)?;
        let size = self.image.block_size();
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let inside = (at % size) as usize;
            let len = (size as usize - inside).min(rest.len());
            let (now, left) = std::mem::take(&mut rest).split_at_mut(len);
            match self.block(at / size)? {
                None => now.fill(0),
                Some((bytes, from)) => {
                    let found = bytes.get(from + inside..).and_then(|bytes| bytes.get(..len));
                    now.copy_from_slice(found.ok_or_else(|| {
                        damaged(format!(
                            "a fragment has {} bytes, {} are named",
                            bytes.len(),
                            from + inside + len
                        ))
                    })?);
                }
            }
            at += len as u64;
            rest = left;
        }
        Ok(())
    }

    /// What is not known because the list cannot be read is told by `read_at`.
    fn next_extent(&self, offset: u64) -> Option<Extent> {
        if offset >= self.bytes.size {
            return None;
        }
        self.extent(offset).unwrap_or_else(|_| Extent::new(offset, self.bytes.size))
    }
}
