//! The entries of a directory: blocks one after another, a hash tree's nodes among them, or inline.
//!
//! Follows no entry. Invariants: every block is there and its checksum is right; `.` and `..` lead
//! where they must.

use super::super::bytes::take;
use super::super::features::FILETYPE;
use super::super::hash::crc;
use super::super::ondisk::{
    DIR_ENTRY, DIR_TAIL, DIR_TAIL_TYPE, DX_ENTRY, DX_NODE, DX_ROOT, DirEntry, DirTail, INDEX_FL,
};
use super::map::Map;
use super::volume::{Loaded, Volume, mismatch};
use crate::engine::base::tree::Name;
use crate::engine::base::{Error, Kind};

/// Where entries begin in an inline directory: behind the parent's number.
const INLINE_FROM: usize = 4;
/// Bytes that lie in the inode itself: entries do not cross from there to the attribute.
const INLINE_FIRST: usize = 60;

/// An entry.
pub(super) struct Listed {
    pub(super) name: Name,
    pub(super) ino: u32,
    /// What it says to be, where it says something.
    pub(super) kind: Option<u8>,
}

/// What is gathered.
struct List<'a> {
    own: u32,
    parent: u32,
    types: bool,
    inodes: &'a Loaded,
    dots: [bool; 2],
    found: Vec<Listed>,
}

fn damaged(message: String) -> Error {
    Error::new(Kind::Damaged, message)
}

/// The entries of a directory without `.` and `..`.
pub(super) fn list(
    volume: &Volume,
    inode: &Loaded,
    parent: u32,
    inline: Option<&[u8]>,
) -> Result<Vec<Listed>, Error> {
    let types = volume.features.has(FILETYPE);
    let found = Vec::new();
    let mut list = List { own: inode.ino, parent, types, inodes: inode, dots: [false; 2], found };
    if let Some(bytes) = inline {
        return list.inline(bytes);
    }
    let size = volume.block_size;
    if inode.size() == 0 || !inode.size().is_multiple_of(size) {
        let message = format!("a directory of {} bytes in blocks of {size}", inode.size());
        return Err(damaged(message));
    }
    let map = Map::new(volume, inode);
    for at in 0..inode.size() / size {
        let place = map.find(volume, at)?.physical;
        let place = place.ok_or_else(|| damaged(format!("block {at} is a hole")))?;
        let block = volume.block(place)?;
        let entries = list.summed(volume, &block, at)?;
        list.block(entries, at)?;
    }
    if list.dots != [true; 2] {
        return Err(damaged("without . and ..".to_owned()));
    }
    Ok(list.found)
}

impl List<'_> {
    fn inline(mut self, bytes: &[u8]) -> Result<Vec<Listed>, Error> {
        let parent = take::<[u8; 4]>(bytes, 0).map(u32::from_le_bytes);
        if parent != Some(self.parent) {
            return Err(damaged(format!("inline with the parent {parent:?}")));
        }
        let size = usize::try_from(self.inodes.size()).unwrap_or(usize::MAX).min(bytes.len());
        let first = bytes.get(INLINE_FROM..INLINE_FIRST.min(size)).unwrap_or_default();
        self.block(first, 1)?;
        let rest = bytes.get(INLINE_FIRST..size).unwrap_or_default();
        if !rest.is_empty() {
            self.block(rest, 1)?;
        }
        Ok(self.found)
    }

    /// The part of a block that holds entries, once its checksum was compared.
    fn summed<'b>(&self, volume: &Volume, block: &'b [u8], at: u64) -> Result<&'b [u8], Error> {
        let Some(seed) = volume.seed.map(|seed| self.inodes.seed(seed)) else { return Ok(block) };
        let wrong = || mismatch(&format!("a directory's block {at}"));
        let head: DirEntry = take(block, 0).ok_or_else(wrong)?;
        let spans = usize::from(head.rec_len.get()) == block.len();
        let indexed = self.inodes.fields.flags.get() & INDEX_FL != 0;
        let node = if indexed && at == 0 {
            Some(DX_ROOT)
        } else {
            (indexed && head.inode == 0 && head.name_len == 0 && spans).then_some(DX_NODE)
        };
        if let Some(from) = node {
            let count = |at| take::<[u8; 2]>(block, at).map(u16::from_le_bytes).map(usize::from);
            let (limit, count) =
                (count(from).ok_or_else(wrong)?, count(from + 2).ok_or_else(wrong)?);
            let tail = from + limit * DX_ENTRY + 4;
            let summed = block.get(..from + count * DX_ENTRY).filter(|_| count <= limit);
            let sum = crc(crc(seed, summed.ok_or_else(wrong)?), &[0; 8]);
            return match take::<[u8; 4]>(block, tail).map(u32::from_le_bytes) {
                Some(stored) if stored == sum => Ok(block),
                _ => Err(wrong()),
            };
        }
        let (entries, tail) = block.split_at_checked(block.len() - DIR_TAIL).ok_or_else(wrong)?;
        let stored: DirTail = take(tail, 0).ok_or_else(wrong)?;
        let right = stored.inode == 0
            && usize::from(stored.rec_len.get()) == DIR_TAIL
            && stored.name_len == 0
            && stored.file_type == DIR_TAIL_TYPE
            && stored.checksum.get() == crc(seed, entries);
        if right { Ok(entries) } else { Err(wrong()) }
    }

    fn block(&mut self, block: &[u8], number: u64) -> Result<(), Error> {
        let mut at = 0;
        while at < block.len() {
            let wrong = |why: &str| damaged(format!("the entry at {at} of block {number} {why}"));
            let entry: DirEntry = take(block, at).ok_or_else(|| wrong("is cut off"))?;
            let len = match entry.rec_len.get() {
                // A block of 65536 bytes does not fit into the field.
                0 | u16::MAX if block.len() == 1 << 16 => block.len(),
                len => len.into(),
            };
            let name_len = usize::from(entry.name_len)
                | if self.types { 0 } else { usize::from(entry.file_type) << 8 };
            if len < DIR_ENTRY || !len.is_multiple_of(4) || at + len > block.len() {
                return Err(wrong(&format!("has {len} bytes")));
            }
            if entry.inode != 0 {
                let name = block.get(at + DIR_ENTRY..at + DIR_ENTRY + name_len);
                let name = name.filter(|_| name_len + DIR_ENTRY <= len);
                let name = name.ok_or_else(|| wrong("has a name beyond its end"))?;
                self.entry(name, &entry, number)?;
            }
            at += len;
        }
        Ok(())
    }

    fn entry(&mut self, name: &[u8], entry: &DirEntry, number: u64) -> Result<(), Error> {
        let ino = entry.inode.get();
        let dot = match name {
            b"." => Some((0, self.own)),
            b".." => Some((1, self.parent)),
            _ => None,
        };
        if let Some((at, wanted)) = dot {
            let seen = self.dots.get_mut(at).filter(|seen| !**seen && number == 0);
            let (Some(seen), true) = (seen, ino == wanted) else {
                let name = name.escape_ascii();
                return Err(damaged(format!("\"{name}\" names inode {ino}, not {wanted}")));
            };
            *seen = true;
            return Ok(());
        }
        let kind = (self.types && entry.file_type != 0).then_some(entry.file_type);
        self.found.push(Listed { name: Name::new(name)?, ino, kind });
        Ok(())
    }
}
