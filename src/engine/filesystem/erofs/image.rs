//! An untrusted erofs: its superblock, inodes and packed clusters.
//!
//! Knows no tree. Invariants: every place is checked against the medium; a few unpacked clusters are
//! kept, however many there are.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;
use zerocopy::{FromBytes, IntoBytes};

use super::ondisk::{
    BIG_CLUSTERS, BLOCK, BLOCK_DEVICE, BLOCK_LEN, CHAR_DEVICE, CHECKSUM, CHUNKED, Compact,
    Extended, INCOMPATIBLE, LZ4_PADDING, MAGIC, MODES, SLOT, SUPERBLOCK_AT, Superblock,
};
use crate::engine::base::tree::{Device, Meta, Time};
use crate::engine::base::{Error, Kind, SectorSource};
use crate::engine::filesystem::Facts;

/// Unpacked extents that are kept.
const KEPT: usize = 8;

pub(super) fn damaged(message: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, format!("erofs: {}", message.into()))
}

fn unsupported(message: String) -> Error {
    Error::new(Kind::Unsupported, format!("erofs: {message}"))
}

/// The image.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) medium: Arc<dyn SectorSource>,
    pub(super) head: Superblock,
    kept: Mutex<Vec<(u64, Arc<[u8]>)>>,
}

/// What an inode says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inode {
    pub(super) layout: u16,
    /// What it is, as a directory's entry says it.
    pub(super) kind: u8,
    pub(super) meta: Meta,
    pub(super) size: u64,
    pub(super) place: u32,
    /// Where its attributes lie, and how many bytes they take.
    pub(super) attributes: (u64, u64),
}

impl Inode {
    /// Where what is behind it begins.
    pub(super) const fn behind(&self) -> u64 {
        self.attributes.0 + self.attributes.1
    }

    pub(super) const fn device(&self) -> Option<Device> {
        match self.kind {
            CHAR_DEVICE | BLOCK_DEVICE => Some(Device {
                major: self.place >> 8 & 0xfff,
                minor: self.place & 0xff | self.place >> 12 & !0xff,
            }),
            _ => None,
        }
    }
}

/// The superblock; none if there is none.
fn superblock(medium: &dyn SectorSource) -> Result<Option<Superblock>, Error> {
    let mut block = vec![0; BLOCK_LEN];
    if medium.len() < BLOCK {
        return Ok(None);
    }
    medium.read_at(0, &mut block)?;
    let block = block.get(SUPERBLOCK_AT as usize..).unwrap_or_default();
    let Ok((head, _)) = Superblock::read_from_prefix(block) else { return Ok(None) };
    if head.magic.get() != MAGIC {
        return Ok(None);
    }
    if u64::from(head.block_bits) != u64::from(BLOCK.trailing_zeros()) {
        let message = format!("blocks of 2^{} bytes: 2^12 are read", head.block_bits);
        return Err(unsupported(message));
    }
    if head.compatible.get() & CHECKSUM != 0 {
        let mut block = block.to_vec();
        block.get_mut(4..8).into_iter().for_each(|checksum| checksum.fill(0));
        let (found, right) = (head.checksum.get(), !crc32c::crc32c(&block));
        if found != right {
            let message =
                format!("the superblock's checksum is {found:#010x} instead of {right:#010x}");
            return Err(damaged(message));
        }
    }
    let size = u64::from(head.blocks.get()) * BLOCK;
    if size > medium.len() {
        let len = medium.len();
        return Err(damaged(format!("it has {size} bytes, the medium has {len}")));
    }
    Ok(Some(head))
}

/// Names of the incompatible features that are set, those that are read first.
fn features(head: &Superblock) -> Vec<String> {
    let set = head.incompatible.get();
    let known = INCOMPATIBLE.iter().filter(|(bit, _)| set & bit != 0);
    let mut names: Vec<_> = known.map(|(_, name)| (*name).to_owned()).collect();
    let rest = INCOMPATIBLE.iter().fold(set, |rest, (bit, _)| rest & !bit);
    names.extend((rest != 0).then(|| format!("{rest:#x}")));
    names
}

pub(super) fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    let Some(head) = superblock(medium)? else { return Ok(None) };
    let label = head.label.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(Facts {
        kind: "erofs",
        label: (!label.is_empty()).then(|| String::from_utf8_lossy(label).into_owned()),
        uuid: Some(Uuid::from_bytes(head.uuid).to_string()),
        block_size: BLOCK,
        size: u64::from(head.blocks.get()) * BLOCK,
        free: None,
        features: features(&head),
    }))
}

impl Image {
    pub(super) fn open(medium: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let head = superblock(medium.as_ref())?.ok_or_else(|| damaged("there is no superblock"))?;
        let unknown = head.incompatible.get() & !(LZ4_PADDING | BIG_CLUSTERS | CHUNKED);
        if unknown != 0 {
            let message = format!(
                "its features are {}: 0padding, big_pcluster and chunked_file are read",
                features(&head).join(", ")
            );
            return Err(unsupported(message));
        }
        Ok(Self { medium, head, kept: Mutex::new(Vec::new()) })
    }

    pub(super) fn bytes(&self, at: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let (all, len) = (self.medium.len(), buffer.len());
        let end = at.checked_add(len as u64).filter(|end| *end <= all);
        if end.is_none() {
            return Err(damaged(format!("{len} bytes at {at} lie behind the end at {all}")));
        }
        self.medium.read_at(at, buffer)
    }

    pub(super) fn item<T: FromBytes + IntoBytes>(&self, at: u64) -> Result<T, Error> {
        let mut item = T::new_zeroed();
        self.bytes(at, item.as_mut_bytes())?;
        Ok(item)
    }

    pub(super) fn inode(&self, slot: u64) -> Result<Inode, Error> {
        let start = u64::from(self.head.metadata.get()) * BLOCK;
        let at = slot.checked_mul(SLOT).and_then(|at| at.checked_add(start));
        let at = at.ok_or_else(|| damaged(format!("inode {slot} lies behind the end")))?;
        let short: Compact = self.item(at)?;
        let format = short.format.get();
        let units = u64::from(short.attributes.get());
        let attributes = if units == 0 { 0 } else { 12 + (units - 1) * 4 };
        let mode = short.mode.get();
        let kind = MODES.iter().find(|(bits, _)| *bits == mode & 0o170_000).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| damaged(format!("inode {slot} has mode {mode:o}")))?;
        let mode = mode & 0o7777;
        let long = format & 1 == 1;
        let (meta, size, len) = if long {
            let long: Extended = self.item(at)?;
            let nanos = long.modified_nanos.get();
            if nanos > 999_999_999 {
                return Err(damaged(format!("inode {slot} has a time of {nanos} nanoseconds")));
            }
            let modified = Time { seconds: long.modified.get().cast_signed(), nanos };
            let meta = Meta { mode, uid: long.uid.get(), gid: long.gid.get(), modified };
            (meta, long.size.get(), size_of::<Extended>())
        } else {
            let nanos = self.head.made_nanos.get().min(999_999_999);
            let modified = Time { seconds: self.head.made.get().cast_signed(), nanos };
            let (uid, gid) = (short.uid.get().into(), short.gid.get().into());
            (Meta { mode, uid, gid, modified }, short.size.get().into(), size_of::<Compact>())
        };
        let (layout, place) = (format >> 1, short.place.get());
        let attributes = (at + len as u64, attributes);
        Ok(Inode { layout, kind, meta, size, place, attributes })
    }

    /// What was unpacked from `block`.
    pub(super) fn kept(&self, block: u64) -> Option<Arc<[u8]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().rposition(|(at, _)| *at == block)?;
        let entry = kept.remove(found);
        let bytes = Arc::clone(&entry.1);
        kept.push(entry);
        Some(bytes)
    }

    pub(super) fn keep(&self, block: u64, bytes: &Arc<[u8]>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((block, Arc::clone(bytes)));
    }
}
