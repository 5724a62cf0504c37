//! An untrusted squashfs: its superblock, metadata blocks, tables and data blocks.
//!
//! Knows no tree. Invariants: every place is checked against the bytes that the superblock says are
//! used; a table is read within its own bounds; a few blocks are kept, however many there are.

use std::sync::{Arc, Mutex, PoisonError};

use zerocopy::{FromBytes, IntoBytes};

use super::codec::{Codec, unpack};
use super::ondisk::{Fragment, MAGIC, META, META_STORED, STORED, Superblock};
use crate::engine::base::{Error, Kind, SectorSource};

/// Metadata blocks that are kept: half a MiB.
const META_KEPT: usize = 64;

/// Bytes of data blocks that are kept, though two blocks at least.
const DATA_KEPT: usize = 4 << 20;

pub(super) fn damaged(message: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, format!("squashfs: {}", message.into()))
}

/// The image.
#[derive(Debug)]
pub(super) struct Image {
    medium: Arc<dyn SectorSource>,
    pub(super) head: Superblock,
    codec: Codec,
    metadata: Mutex<Kept>,
    data: Mutex<Kept>,
}

/// Blocks that were unpacked, the newest last.
#[derive(Debug)]
struct Kept {
    most: usize,
    blocks: Vec<(u64, Block)>,
}

/// An unpacked block, and where the next one begins.
#[derive(Clone, Debug)]
struct Block {
    bytes: Arc<[u8]>,
    next: u64,
}

impl Kept {
    const fn new(most: usize) -> Self {
        Self { most, blocks: Vec::new() }
    }
}

fn kept(of: &Mutex<Kept>, at: u64) -> Option<Block> {
    let mut kept = of.lock().unwrap_or_else(PoisonError::into_inner);
    let found = kept.blocks.iter().rposition(|(place, _)| *place == at)?;
    let block = kept.blocks.remove(found);
    kept.blocks.push(block.clone());
    Some(block.1)
}

fn keep(of: &Mutex<Kept>, at: u64, block: &Block) {
    let mut kept = of.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.blocks.len() >= kept.most {
        kept.blocks.remove(0);
    }
    kept.blocks.push((at, block.clone()));
}

/// The superblock; none if there is none.
pub(super) fn superblock(medium: &dyn SectorSource) -> Result<Option<Superblock>, Error> {
    let mut bytes = [0; size_of::<Superblock>()];
    if medium.len() < bytes.len() as u64 {
        return Ok(None);
    }
    medium.read_at(0, &mut bytes)?;
    let Ok(head) = Superblock::read_from_bytes(&bytes) else { return Ok(None) };
    if head.magic.get() != MAGIC {
        return Ok(None);
    }
    let (major, minor) = (head.major.get(), head.minor.get());
    if (major, minor) != (4, 0) {
        let message = format!("squashfs {major}.{minor}: 4.0 is read");
        return Err(Error::new(Kind::Unsupported, message));
    }
    let (size, log) = (head.block_size.get(), head.block_log.get());
    if !size.is_power_of_two()
        || !(4096..=1 << 20).contains(&size)
        || size.trailing_zeros() != u32::from(log)
    {
        let message = format!(
            "the block size is {size}, its logarithm {log}: 4096 to 1048576 and 12 to 20 are allowed"
        );
        return Err(damaged(message));
    }
    let used = head.bytes_used.get();
    if used > medium.len() || used < bytes.len() as u64 {
        let len = medium.len();
        return Err(damaged(format!("{used} bytes are used, the medium has {len}")));
    }
    Ok(Some(head))
}

impl Image {
    pub(super) fn open(medium: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let head = superblock(medium.as_ref())?.ok_or_else(|| damaged("there is no superblock"))?;
        let codec = Codec::of(head.compressor.get())?;
        let blocks = (DATA_KEPT / head.block_size.get() as usize).clamp(2, 64);
        let image = Self {
            medium,
            head,
            codec,
            metadata: Mutex::new(Kept::new(META_KEPT)),
            data: Mutex::new(Kept::new(blocks)),
        };
        let order = [
            ("the inode table", head.inode_table.get()),
            ("the directory table", head.directory_table.get()),
            ("the end", head.bytes_used.get()),
        ];
        for [(one, a), (other, b)] in order.array_windows() {
            if a >= b {
                return Err(damaged(format!("{one} begins at {a}, {other} is at {b}")));
            }
        }
        Ok(image)
    }

    pub(super) fn block_size(&self) -> u64 {
        self.head.block_size.get().into()
    }

    /// Reads bytes that must lie in what is used.
    fn bytes(&self, at: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let (used, len) = (self.head.bytes_used.get(), buffer.len());
        let end = at.checked_add(len as u64).filter(|end| *end <= used);
        if end.is_none() {
            return Err(damaged(format!("{len} bytes at {at} lie behind the end at {used}")));
        }
        self.medium.read_at(at, buffer)
    }

    fn number(&self, at: u64) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.bytes(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn item<T: FromBytes + IntoBytes>(&self, at: u64) -> Result<T, Error> {
        let mut item = T::new_zeroed();
        self.bytes(at, item.as_mut_bytes())?;
        Ok(item)
    }

    fn metadata(&self, at: u64) -> Result<Block, Error> {
        if let Some(block) = kept(&self.metadata, at) {
            return Ok(block);
        }
        let mut head = [0; 2];
        self.bytes(at, &mut head)?;
        let head = u16::from_le_bytes(head);
        let len = usize::from(head & !META_STORED);
        if len == 0 || len > META {
            let message =
                format!("the metadata block at {at} has {len} bytes: 1 to 8192 are allowed");
            return Err(damaged(message));
        }
        let mut packed = vec![0; len];
        self.bytes(at.saturating_add(2), &mut packed)?;
        if head & META_STORED == 0 {
            packed = unpack(self.codec, &packed, META)
                .map_err(|e| damaged(format!("the metadata block at {at}: {e}")))?;
        }
        if packed.is_empty() {
            return Err(damaged(format!("the metadata block at {at} is empty")));
        }
        let block = Block { bytes: packed.into(), next: at + 2 + len as u64 };
        keep(&self.metadata, at, &block);
        Ok(block)
    }

    /// The data block at `at` whose length field is `len`: at most a block of bytes.
    pub(super) fn data(&self, at: u64, len: u32) -> Result<Arc<[u8]>, Error> {
        if let Some(block) = kept(&self.data, at).filter(|block| block.next == u64::from(len)) {
            return Ok(block.bytes);
        }
        let most = self.head.block_size.get();
        let packed_len = len & !STORED;
        if packed_len > most || packed_len == 0 {
            let message =
                format!("the block at {at} has {packed_len} bytes: 1 to {most} are allowed");
            return Err(damaged(message));
        }
        let mut bytes = vec![0; packed_len as usize];
        self.bytes(at, &mut bytes)?;
        if len & STORED == 0 {
            bytes = unpack(self.codec, &bytes, most as usize)
                .map_err(|e| damaged(format!("the block at {at}: {e}")))?;
        }
        let bytes: Arc<[u8]> = bytes.into();
        keep(&self.data, at, &Block { bytes: Arc::clone(&bytes), next: len.into() });
        Ok(bytes)
    }

    /// A place in a table: `reference` is a block from its begin on << 16 | an offset.
    pub(super) fn cursor(&self, (start, end): (u64, u64), reference: u64) -> Cursor<'_> {
        let block = start.saturating_add(reference >> 16);
        Cursor { image: self, end, block, offset: (reference & 0xffff) as usize }
    }

    pub(super) fn inode(&self, reference: u64) -> Cursor<'_> {
        let table = (self.head.inode_table.get(), self.head.directory_table.get());
        self.cursor(table, reference)
    }

    pub(super) fn listing(&self, block: u32, offset: u16) -> Cursor<'_> {
        let table = (self.head.directory_table.get(), self.head.bytes_used.get());
        self.cursor(table, u64::from(block) << 16 | u64::from(offset))
    }

    /// Item `number` of a table whose blocks are listed at `list`.
    pub(super) fn entry<T>(&self, list: u64, number: u32) -> Result<T, Error>
    where
        T: FromBytes + IntoBytes,
    {
        let at = u64::from(number) * size_of::<T>() as u64;
        let (block, offset) = (at / META as u64, at % META as u64);
        let block = self.number(list.saturating_add(block * 8))?;
        self.cursor((block, self.head.bytes_used.get()), offset).item()
    }

    pub(super) fn fragment(&self, number: u32) -> Result<Fragment, Error> {
        let count = self.head.fragments.get();
        if number >= count {
            return Err(damaged(format!("fragment {number} is named, there are {count}")));
        }
        self.entry(self.head.fragment_table.get(), number)
    }

    /// All owners and groups.
    pub(super) fn ids(&self) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        for number in 0..self.head.ids.get() {
            let id: [u8; 4] = self.entry(self.head.id_table.get(), number.into())?;
            ids.push(u32::from_le_bytes(id));
        }
        Ok(ids)
    }
}

/// A place in a table of metadata blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    image: &'a Image,
    /// Blocks begin before this.
    end: u64,
    block: u64,
    offset: usize,
}

impl Cursor<'_> {
    /// Where it is, for `at`.
    pub(super) const fn place(&self) -> (u64, usize) {
        (self.block, self.offset)
    }

    pub(super) const fn at(mut self, (block, offset): (u64, usize)) -> Self {
        (self.block, self.offset) = (block, offset);
        self
    }

    pub(super) fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), Error> {
        while !buffer.is_empty() {
            if self.block >= self.end {
                let (block, end) = (self.block, self.end);
                return Err(damaged(format!(
                    "a table goes on at {block}, behind its end at {end}"
                )));
            }
            let block = self.image.metadata(self.block)?;
            let rest = block.bytes.get(self.offset..).ok_or_else(|| {
                let (at, len) = (self.block, block.bytes.len());
                damaged(format!("offset {} of the block at {at} with {len} bytes", self.offset))
            })?;
            if rest.is_empty() {
                (self.block, self.offset) = (block.next, 0);
                continue;
            }
            let len = rest.len().min(buffer.len());
            let (now, left) = std::mem::take(&mut buffer).split_at_mut(len);
            now.copy_from_slice(rest.get(..len).unwrap_or_default());
            self.offset += len;
            buffer = left;
        }
        Ok(())
    }

    pub(super) fn item<T: FromBytes + IntoBytes>(&mut self) -> Result<T, Error> {
        let mut item = T::new_zeroed();
        self.fill(item.as_mut_bytes())?;
        Ok(item)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn number(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.item()?))
    }
}
