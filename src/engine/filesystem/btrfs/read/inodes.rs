//! The inodes of one subvolume, collected from its tree.
//!
//! Invariant: at most as many nodes and bytes as the limits allow are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use zerocopy::FromBytes;

use super::super::constants::{DIR_INDEX, EXTENT_DATA, INODE_ITEM, Key, XATTR_ITEM};
use super::super::ondisk::{DirItem, InodeItem};
use super::damaged;
use super::file::Piece;
use super::volume::{Pointer, Volume};
use crate::engine::base::tree::{Attributes, Limits, Meta, Name, Time};
use crate::engine::base::{Error, Kind};

/// An inode.
#[derive(Debug)]
pub(super) struct Inode {
    /// Type and permissions.
    pub(super) mode: u32,
    pub(super) meta: Meta,
    pub(super) size: u64,
    pub(super) rdev: u64,
    pub(super) attributes: Attributes,
    pub(super) entries: Vec<(Name, Key)>,
    pub(super) pieces: Vec<Piece>,
}

/// The inodes by their numbers.
pub(super) type Inodes = BTreeMap<u64, Inode>;

/// All inodes of the tree at `root`.
pub(super) fn collect(
    volume: &Arc<Volume>,
    root: Pointer,
    limits: &Limits,
) -> Result<Inodes, Error> {
    let mut inodes = Inodes::new();
    let (mut entries, mut attributes) = (0, (0, 0));
    volume.walk(root, &mut |key, data| {
        let number = key.objectid;
        let wrong = |e: Error| Error::new(e.kind(), format!("inode {number}: {e}"));
        if key.kind == INODE_ITEM {
            inodes.insert(number, inode(data).map_err(wrong)?);
            return at_most(inodes.len(), limits.nodes, "inodes");
        }
        // Items without an inode are of subvolumes that are being made.
        let Some(inode) = inodes.get_mut(&number) else { return Ok(()) };
        match key.kind {
            XATTR_ITEM => {
                if attributes.0 != number {
                    attributes = (number, 0);
                }
                attributes.1 += data.len();
                at_most(attributes.1, limits.attributes, "bytes of extended attributes")
                    .map_err(wrong)?;
                for (_, name, value) in dir_items(data).map_err(wrong)? {
                    inode.attributes.insert(name.into(), value.into());
                }
            }
            DIR_INDEX => {
                entries += 1;
                at_most(entries, limits.nodes, "entries of directories")?;
                for (location, name, _) in dir_items(data).map_err(wrong)? {
                    inode.entries.push((Name::new(name).map_err(wrong)?, location));
                }
            }
            EXTENT_DATA => {
                inode.pieces.extend(Piece::parse(key.offset, data, volume).map_err(wrong)?);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(inodes)
}

fn at_most(found: usize, most: usize, what: &str) -> Result<(), Error> {
    if found <= most {
        return Ok(());
    }
    Err(Error::new(Kind::Input, format!("more than {most} {what}, which is the limit")))
}

fn inode(data: &[u8]) -> Result<Inode, Error> {
    let Ok((item, _)) = InodeItem::read_from_prefix(data) else {
        return Err(damaged(format!("the inode has {} bytes, not 160", data.len())));
    };
    let nanos = item.mtime.nanos.get();
    if nanos > 999_999_999 {
        return Err(damaged(format!("a time has {nanos} nanoseconds")));
    }
    let modified = Time { seconds: item.mtime.seconds.get().cast_signed(), nanos };
    let mode = item.mode.get();
    // OK to cast: 12 bits are left.
    let permissions = (mode & 0o7777) as u16;
    Ok(Inode {
        mode,
        meta: Meta { mode: permissions, uid: item.uid.get(), gid: item.gid.get(), modified },
        size: item.size.get(),
        rdev: item.rdev.get(),
        attributes: Attributes::new(),
        entries: Vec::new(),
        pieces: Vec::new(),
    })
}

/// The entries or attributes in one item: place, name and value.
#[expect(clippy::type_complexity, reason = "used twice, here")]
pub(super) fn dir_items(data: &[u8]) -> Result<Vec<(Key, &[u8], &[u8])>, Error> {
    let (mut rest, mut found) = (data, Vec::new());
    while !rest.is_empty() {
        let cut = || damaged("a directory entry or attribute is cut off".to_owned());
        let (item, behind) = DirItem::read_from_prefix(rest).map_err(|_| cut())?;
        let (name, behind) = behind.split_at_checked(item.name_len.get().into()).ok_or_else(cut)?;
        let (value, behind) =
            behind.split_at_checked(item.data_len.get().into()).ok_or_else(cut)?;
        found.push((item.location.into(), name, value));
        rest = behind;
    }
    Ok(found)
}
