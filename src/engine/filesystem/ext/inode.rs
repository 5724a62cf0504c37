//! Inodes: their bytes, made out of a row and its node.
//!
//! Reads no content. Invariants: all times of a file are when its contents were changed last; a
//! time that does not fit becomes the nearest that does.

use zerocopy::{FromZeros as _, IntoBytes as _};

use super::blockmap::BlockMap;
use super::bytes::put;
use super::extents::{self, high, low};
use super::features::{DIR_NLINK, EXTENTS};
use super::hash::{crc, crc_of_inode};
use super::ondisk::{
    EXTENTS_FL, EXTRA_ISIZE, HUGE_FILE_FL, INDEX_FL, Inode, OLD_INODE, RESIZE_INO, S_IFBLK,
    S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK,
};
use super::plan::Plan;
use super::rows::{FAST_LINK, LOST_FOUND, Row, Who};
use super::runs::Run;
use super::xattr;
use crate::engine::base::tree::{Device, Kind, Meta, NodeId, Time, Tree};

/// Directories in one directory beyond which `dir_nlink` stops counting.
const MAX_LINKS: u32 = 65000;
/// The first second that an inode holds: 1901-12-13; and the last ones without and with two bits
/// more: 2038-01-19 and 2446-05-10 (inodes.rst, "Inode Timestamps").
const FIRST_SECOND: i64 = i32::MIN as i64;
const LAST_SECOND: i64 = i32::MAX as i64;
const LAST_SECOND_EXTRA: i64 = FIRST_SECOND + (1 << 34) - 1;

/// Seconds as an inode of 128 bytes or a superblock holds them.
pub(super) fn time_low(time: Time) -> u32 {
    // OK to cast: it was brought into the range of an i32.
    (time.seconds.clamp(FIRST_SECOND, LAST_SECOND) as i32).cast_unsigned()
}

/// Seconds and what stands beside them: two more bits of seconds, and nanoseconds.
fn time_extra(time: Time) -> (u32, u32) {
    let seconds = time.seconds.clamp(FIRST_SECOND, LAST_SECOND_EXTRA);
    let nanos = if seconds == time.seconds { time.nanos.min(999_999_999) } else { 0 };
    let low = seconds as u32;
    let epoch = (seconds - i64::from(low.cast_signed())) >> 32;
    (low, nanos << 2 | epoch as u32 & 3)
}

impl Plan {
    /// The bytes of an inode.
    pub(super) fn inode(&self, ino: u32, row: &Row) -> Vec<u8> {
        let size = usize::from(self.geometry.shape.inode_size);
        let mut bytes = vec![0; size];
        let node = match row.who {
            Who::Nobody => None,
            Who::Journal | Who::Resize if row.data == 0 => None,
            Who::Node(node) => Some(node),
            Who::LostFound | Who::Journal | Who::Resize => None,
        };
        let unused = match row.who {
            Who::Nobody => true,
            Who::Journal | Who::Resize => row.data == 0,
            Who::Node(_) | Who::LostFound => false,
        };
        if !unused {
            let mut inode = Inode::new_zeroed();
            self.fields(&mut inode, row, node);
            self.map(&mut inode, ino, row, node);
            if size > OLD_INODE {
                put(&mut bytes, 0, inode.as_bytes());
            } else {
                put(&mut bytes, 0, inode.as_bytes().get(..OLD_INODE).unwrap_or_default());
            }
            let attributes = node.and_then(|node| self.tree.node(node).attributes.as_deref());
            if let Some(attributes) = attributes {
                let block = self.rules.style.block_size;
                // Whether they fit was asked when rows were made.
                if let Ok(split) = xattr::split(attributes, self.rules.room(), block)
                    && !split.body.is_empty()
                {
                    put(&mut bytes, OLD_INODE + EXTRA_ISIZE, &split.body);
                }
            }
        }
        // One that was never used is zero all over: that is no wrong checksum.
        if let Some(seed) = self.seed().filter(|_| !unused) {
            let sum = crc(crc_of_inode(seed, ino, 0), &bytes);
            let [a, b, c, d] = sum.to_le_bytes();
            put(&mut bytes, 0x7c, &[a, b]);
            if size > OLD_INODE {
                put(&mut bytes, 0x82, &[c, d]);
            }
        }
        bytes
    }

    fn fields(&self, inode: &mut Inode, row: &Row, node: Option<NodeId>) {
        let own = Meta { mode: 0o600, uid: 0, gid: 0, modified: self.time };
        let (kind, links, meta) = match (node, row.who) {
            (Some(id), _) => {
                let node = self.tree.node(id);
                let (kind, links) = match &node.kind {
                    Kind::Directory(_) => (S_IFDIR, self.links_of_directory(id)),
                    Kind::File(_) => (S_IFREG, node.names()),
                    Kind::Symlink(_) => (S_IFLNK, node.names()),
                    Kind::CharDevice(_) => (S_IFCHR, node.names()),
                    Kind::BlockDevice(_) => (S_IFBLK, node.names()),
                    Kind::Fifo => (S_IFIFO, node.names()),
                    Kind::Socket => (S_IFSOCK, node.names()),
                };
                (kind, links, node.meta)
            }
            (None, Who::LostFound) => (S_IFDIR, 2, Meta { mode: 0o700, ..own }),
            (None, _) => (S_IFREG, 1, own),
        };
        inode.mode = (kind | meta.mode & 0o7777).into();
        inode.uid = (meta.uid as u16).into();
        inode.uid_hi = ((meta.uid >> 16) as u16).into();
        inode.gid = (meta.gid as u16).into();
        inode.gid_hi = ((meta.gid >> 16) as u16).into();
        inode.links_count = (links as u16).into();
        let size = self.size(row, node);
        inode.size_lo = low(size).into();
        inode.size_hi = ((size >> 32) as u32).into();
        if self.geometry.shape.inode_size > 128 {
            let (seconds, extra) = time_extra(meta.modified);
            inode.extra_isize = (EXTRA_ISIZE as u16).into();
            for field in [&mut inode.atime, &mut inode.ctime, &mut inode.mtime, &mut inode.crtime] {
                *field = seconds.into();
            }
            for field in [
                &mut inode.atime_extra,
                &mut inode.ctime_extra,
                &mut inode.mtime_extra,
                &mut inode.crtime_extra,
            ] {
                *field = extra.into();
            }
        } else {
            let seconds = time_low(meta.modified).into();
            (inode.atime, inode.ctime, inode.mtime) = (seconds, seconds, seconds);
        }
    }

    fn size(&self, row: &Row, node: Option<NodeId>) -> u64 {
        let block = self.geometry.shape.bytes();
        match (node, row.who) {
            (Some(id), _) if !self.tree.node(id).kind.is_directory() => self.tree.node(id).len(),
            (None, Who::Resize) => {
                let n = block / 4;
                (n * n + n + 12) * block
            }
            _ => row.data * block,
        }
    }

    fn links_of_directory(&self, id: NodeId) -> u32 {
        let Some(entries) = self.tree.node(id).entries() else { return 2 };
        let below = entries.values().filter(|node| self.tree.node(**node).kind.is_directory());
        let made = u32::from(
            id == Tree::ROOT && !entries.keys().any(|name| name.as_bytes() == LOST_FOUND),
        );
        // OK to cast: a tree has at most 2^24 nodes.
        let links = 2 + below.count() as u32 + made;
        // 1: not counted.
        let counted = links <= MAX_LINKS || !self.geometry.shape.features.has(DIR_NLINK);
        if counted { links } else { 1 }
    }

    /// What says where the contents lie, and how many blocks they take.
    fn map(&self, inode: &mut Inode, ino: u32, row: &Row, node: Option<NodeId>) {
        let geometry = &self.geometry;
        let mut blocks = row.blocks();
        let mut flags = if row.indexed { INDEX_FL } else { 0 };
        let kind = node.map(|id| &self.tree.node(id).kind);
        match kind {
            Some(Kind::Symlink(text)) if text.len() < FAST_LINK => {
                put(&mut inode.block, 0, text);
            }
            Some(Kind::CharDevice(device) | Kind::BlockDevice(device)) => {
                put(&mut inode.block, 0, &device_words(*device));
            }
            Some(Kind::Fifo | Kind::Socket) => {}
            _ if ino == RESIZE_INO => {
                put(&mut inode.block, 13 * 4, &low(geometry.content_at(row.first).0).to_le_bytes());
                let copies = (1..geometry.group_count()).filter(|g| geometry.has_super(*g)).count();
                blocks += geometry.reserved * (1 + copies as u64);
            }
            _ => {
                let mut one = [Run { logical: 0, len: 0, before: 0 }];
                let runs = self.rows.runs(row, &mut one);
                let places = (row.first, row.first_map());
                if geometry.shape.features.has(EXTENTS) {
                    flags |= EXTENTS_FL;
                    let seed = self.seed().map(|seed| crc_of_inode(seed, ino, 0));
                    inode.block = extents::build(geometry, places, runs, seed).root;
                } else {
                    let map = BlockMap::new(runs, geometry.shape.bytes());
                    inode.block = map.root(geometry, places, runs);
                }
            }
        }
        if row.xattr {
            let block = geometry.content_at(row.first_map() + u64::from(row.maps)).0;
            inode.file_acl_lo = low(block).into();
            inode.file_acl_hi = high(block).into();
        }
        let sectors = blocks * (geometry.shape.bytes() / 512);
        let count = if sectors >> 48 == 0 {
            sectors
        } else {
            flags |= HUGE_FILE_FL;
            blocks
        };
        inode.blocks_lo = low(count).into();
        inode.blocks_hi = high(count).into();
        inode.flags = flags.into();
    }
}

/// Device numbers (the kernel's old and new encodings): small ones as ever, else in the second word.
fn device_words(device: Device) -> [u8; 8] {
    let (major, minor) = (device.major, device.minor);
    let (old, new) = if major < 256 && minor < 256 {
        (major << 8 | minor, 0)
    } else {
        (0, minor & 0xff | major << 8 | (minor & !0xff) << 12)
    };
    let mut words = [0; 8];
    put(&mut words, 0, &old.to_le_bytes());
    put(&mut words, 4, &new.to_le_bytes());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the kernel's documentation (inodes.rst, "Inode Timestamps").
    #[test]
    fn times_have_two_more_bits() {
        for (seconds, low, epoch) in [
            (-0x8000_0000i64, 0x8000_0000u32, 0u32),
            (-1, 0xffff_ffff, 0),
            (0, 0, 0),
            (0x7fff_ffff, 0x7fff_ffff, 0),
            (0x8000_0000, 0x8000_0000, 1),
            (0xffff_ffff, 0xffff_ffff, 1),
            (0x1_0000_0000, 0, 1),
            (0x1_8000_0000, 0x8000_0000, 2),
            (0x3_7fff_ffff, 0x7fff_ffff, 3),
        ] {
            assert_eq!(time_extra(Time { seconds, nanos: 5 }), (low, 5 << 2 | epoch), "{seconds}");
        }
        let late = Time { seconds: 1 << 40, nanos: 7 };
        assert_eq!(time_extra(late), (0x7fff_ffff, 3));
        assert_eq!(time_low(late), 0x7fff_ffff);
        assert_eq!(time_low(Time { seconds: i64::MIN, nanos: 0 }), 0x8000_0000);
    }

    #[test]
    fn large_device_numbers_go_into_the_second_word() {
        let words = |major, minor| device_words(Device { major, minor });
        assert_eq!(words(8, 1), [1, 8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(words(259, 0x12345), [0, 0, 0, 0, 0x45, 0x03, 0x31, 0x12]);
    }
}
