//! A file of an untrusted erofs, read when it is wanted.
//!
//! Invariant: what is stored is read from its place; of what is packed, one extent is unpacked at a
//! time.

use std::fmt;
use std::sync::Arc;

use super::image::{Image, Inode, damaged};
use super::index::{Found, Index};
use super::ondisk::{
    BLOCK, BLOCK_LEN, CHUNK_BITS, CHUNK_INDEXES, CHUNKS, FLAT, HOLE, INLINE, LZ4_PADDING,
    PACKED_COMPACT, PACKED_FULL,
};
use crate::engine::base::{Error, Extent, Kind, SectorSource, within};

pub(super) struct FileOf {
    image: Arc<Image>,
    size: u64,
    form: Form,
}

/// Where the bytes are.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// From `at` on, and the last ones, from `tail` on, elsewhere.
    Flat {
        at: u64,
        tail: u64,
        tail_at: u64,
    },
    /// A list of chunks, with entries of so many bytes.
    Chunks {
        list: u64,
        entry: u64,
        size: u64,
    },
    Packed(Index),
}

impl fmt::Debug for FileOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileOf(erofs, {} bytes, {:?})", self.size, self.form)
    }
}

impl FileOf {
    pub(super) fn new(image: &Arc<Image>, inode: &Inode) -> Result<Self, Error> {
        let size = inode.size;
        let at = u64::from(inode.place) * BLOCK;
        let form = match inode.layout {
            FLAT => Form::Flat { at, tail: size, tail_at: 0 },
            INLINE => {
                let (tail, tail_at) = (size - size % BLOCK, inode.behind());
                if tail_at % BLOCK + size % BLOCK > BLOCK {
                    let message =
                        format!("the last {} bytes of a file go beyond their block", size % BLOCK);
                    return Err(damaged(message));
                }
                Form::Flat { at, tail, tail_at }
            }
            CHUNKS => {
                let entry = if inode.place & CHUNK_INDEXES == 0 { 4 } else { 8 };
                let size = BLOCK << (inode.place & CHUNK_BITS);
                Form::Chunks { list: inode.behind().next_multiple_of(entry), entry, size }
            }
            PACKED_FULL | PACKED_COMPACT => Form::Packed(Index::open(image, inode)?),
            other => return Err(damaged(format!("an inode has layout {other}: 0 to 4 are known"))),
        };
        let file = Self { image: Arc::clone(image), size, form };
        file.check()?;
        Ok(file)
    }

    /// What must be there is within the medium.
    fn check(&self) -> Result<(), Error> {
        let all = self.image.medium.len();
        let end = match self.form {
            // Without blocks of its own, any block may be named.
            Form::Flat { tail: 0, .. } => 0,
            Form::Flat { at, tail, .. } => at.saturating_add(tail),
            Form::Chunks { list, entry, size } => {
                list.saturating_add(self.size.div_ceil(size).saturating_mul(entry))
            }
            Form::Packed(_) => 0,
        };
        if end > all {
            return Err(damaged(format!("a file goes on to {end}, behind the end at {all}")));
        }
        Ok(())
    }

    /// The chunk at `offset`: where it lies, or none if it is all zero; and where it ends.
    fn chunk(
        &self,
        offset: u64,
        (list, entry, size): (u64, u64, u64),
    ) -> Result<(Option<u64>, u64), Error> {
        let number = offset / size;
        let block: [u8; 4] = if entry == 4 {
            self.image.item(list + number * 4)?
        } else {
            // Two bytes of flags, two with the device's number, then the block.
            let device: [u8; 4] = self.image.item(list + number * 8)?;
            if device.get(2..) != Some(&[0, 0]) {
                let message = "erofs: chunks on another device are not read";
                return Err(Error::new(Kind::Unsupported, message));
            }
            self.image.item(list + number * 8 + 4)?
        };
        let block = u32::from_le_bytes(block);
        let at = (block != HOLE).then(|| u64::from(block) * BLOCK + offset % size);
        Ok((at, ((number + 1) * size).min(self.size)))
    }

    /// Fills the begin of `part`; how much.
    fn some(&self, offset: u64, part: &mut [u8]) -> Result<usize, Error> {
        let upto = |end: u64| usize::try_from(end - offset).unwrap_or(usize::MAX).min(part.len());
        match self.form {
            Form::Flat { at, tail, tail_at } => {
                let (from, end) = if offset < tail {
                    (at + offset, tail)
                } else {
                    (tail_at + offset - tail, self.size)
                };
                let len = upto(end);
                self.image.bytes(from, part.get_mut(..len).unwrap_or_default())?;
                Ok(len)
            }
            Form::Chunks { list, entry, size } => {
                let (at, end) = self.chunk(offset, (list, entry, size))?;
                let len = upto(end);
                let now = part.get_mut(..len).unwrap_or_default();
                match at {
                    Some(at) => self.image.bytes(at, now)?,
                    None => now.fill(0),
                }
                Ok(len)
            }
            Form::Packed(index) => {
                let found = index.find(&self.image, offset, self.size)?;
                let len = upto(found.end);
                let bytes = self.extent(found)?;
                let from = (offset - found.start) as usize;
                let bytes = bytes.get(from..).and_then(|bytes| bytes.get(..len));
                let now = part.get_mut(..len).unwrap_or_default();
                now.copy_from_slice(bytes.ok_or_else(|| damaged("an extent is too short"))?);
                Ok(len)
            }
        }
    }

    /// The bytes of an extent.
    fn extent(&self, found: Found) -> Result<Arc<[u8]>, Error> {
        let len = (found.end - found.start) as usize;
        let at = found.block * BLOCK;
        // More may be known than is wanted: the end of a file cuts an extent.
        if let Some(bytes) = self.image.kept(at).filter(|bytes| bytes.len() >= len) {
            return Ok(bytes);
        }
        let bytes = if found.stored {
            if len > BLOCK_LEN {
                return Err(damaged(format!("{len} bytes are stored in a block at {at}")));
            }
            let mut bytes = vec![0; len];
            self.image.bytes(at, &mut bytes)?;
            bytes
        } else {
            let blocks = found.blocks.clamp(1, 256) as usize;
            let mut packed = vec![0; blocks * BLOCK_LEN];
            self.image.bytes(at, &mut packed)?;
            // Zeros stand before the packed bytes, or in old images behind them.
            let before = self.image.head.incompatible.get() & LZ4_PADDING != 0;
            let zeros = packed.iter().take_while(|byte| before && **byte == 0).count();
            let packed = packed.get(zeros..).unwrap_or_default();
            super::lz4::unpack(packed, len)
                .map_err(|why| damaged(format!("the cluster at {at} does not unpack: {why}")))?
        };
        let bytes: Arc<[u8]> = bytes.into();
        self.image.keep(at, &bytes);
        Ok(bytes)
    }

    /// The next chunks that hold something.
    fn next_chunks(&self, offset: u64, form: (u64, u64, u64)) -> Result<Option<Extent>, Error> {
        let mut at = offset;
        let mut from = None;
        while at < self.size {
            let (found, end) = self.chunk(at, form)?;
            match (found, from) {
                (Some(_), None) => from = Some(at),
                (None, Some(_)) => break,
                _ => {}
            }
            at = end;
        }
        Ok(from.and_then(|from| Extent::new(from, at)))
    }
}

impl SectorSource for FileOf {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.size, offset, buffer.len(), Kind::Damaged)?;
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let len = self.some(at, rest)?;
            at += len as u64;
            rest = std::mem::take(&mut rest).get_mut(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// What cannot be known because the list cannot be read is told by `read_at`.
    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let all = Extent::new(offset, self.size)?;
        match self.form {
            Form::Chunks { list, entry, size } => {
                self.next_chunks(offset, (list, entry, size)).unwrap_or(Some(all))
            }
            Form::Flat { at, tail, .. } => {
                // Holes of the medium are holes of the file.
                let stored = offset.max(tail);
                if offset >= tail {
                    return Some(all);
                }
                let next = self.image.medium.next_extent(at + offset);
                let start = next.map_or(tail, |next| (next.start().max(at) - at).min(tail));
                let end = next.map_or(tail, |next| (next.end().max(at) - at).min(tail));
                if start >= tail || end >= tail {
                    return Extent::new(start.min(stored), self.size);
                }
                Extent::new(start, end)
            }
            Form::Packed(_) => Some(all),
        }
    }
}
