//! The rules of filesystems and their options.
//!
//! Invariant: as of `rules`.

use serde_json::{Value, json};

use super::super::types::FilesystemKind;
use super::{message, size_in};

/// The powers of two from 2^`from` to 2^`to`.
fn powers(from: u32, to: u32) -> Vec<String> {
    (from..=to).map(|bits| (1u64 << bits).to_string()).collect()
}

fn list(sizes: &[u64]) -> Vec<String> {
    sizes.iter().map(u64::to_string).collect()
}

/// The rules of a filesystem.
pub(in super::super) fn filesystem() -> Value {
    const GUID: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";
    let mut members: Vec<&str> = FilesystemKind::ALL.iter().map(|kind| kind.options()).collect();
    members.dedup();
    let own = |member: &&str| {
        let types = FilesystemKind::ALL.iter().filter(|kind| kind.options() == *member);
        let types: Vec<_> = types.map(|kind| kind.as_str()).collect();
        format!("(!has(self.{member}) || self.type in ['{}'])", types.join("', '"))
    };
    let own: Vec<String> = members.iter().map(own).collect();
    let labels = FilesystemKind::ALL.map(|kind| format!("'{}': {}", kind.as_str(), kind.label()));
    json!([
        {"rule": own.join(" && "), "message": message::FS_OPTIONS},
        {
            "rule": format!("!has(self.label) || size(bytes(self.label)) <= {{{}}}[self.type]", labels.join(", ")),
            "message": message::FS_LABEL,
        },
        {
            "rule": format!("!has(self.uuid) || (self.type == 'vfat' ? self.uuid.matches('^[0-9A-Fa-f]{{4}}-[0-9A-Fa-f]{{4}}$') : self.type == 'ffs' ? self.uuid.matches('^[0-9A-Fa-f]{{16}}$') : self.type != 'squashfs' && self.uuid.matches('{GUID}'))"),
            "message": message::FS_UUID,
        },
        {
            "rule": "!(self.type in ['squashfs', 'erofs']) || !has(self.headroom) || !(has(self.headroom.size) || has(self.headroom.percent))",
            "message": message::FS_HEADROOM,
        },
        {
            "rule": "self.type != 'ext2' || !has(self.ext) || !has(self.ext.journalSize)",
            "message": message::EXT2_JOURNAL,
        },
    ])
}

/// The rules of ext options.
pub(in super::super) fn ext() -> Value {
    json!([
        {"rule": size_in("blockSize", &powers(10, 12)), "message": message::EXT_BLOCK},
        {"rule": "!has(self.inodeSize) || self.inodeSize in [128, 256]", "message": message::EXT_INODE},
        {"rule": "!(has(self.inodes) && has(self.bytesPerInode))", "message": message::EXT_INODES},
    ])
}

/// The rules of FAT options.
pub(in super::super) fn vfat() -> Value {
    json!([
        {"rule": "!has(self.bits) || self.bits in [12, 16, 32]", "message": message::FAT_BITS},
        {"rule": size_in("clusterSize", &powers(9, 16)), "message": message::FAT_CLUSTER},
        {
            "rule": "!has(self.rootEntries) || (self.rootEntries % 16 == 0 && !(has(self.bits) && self.bits == 32))",
            "message": message::FAT_ROOT,
        },
        {
            "rule": "!has(self.floppy) || !(has(self.bits) || has(self.clusterSize) || has(self.rootEntries))",
            "message": message::FAT_FLOPPY,
        },
    ])
}

/// The rules of btrfs options.
pub(in super::super) fn btrfs() -> Value {
    json!([{"rule": size_in("nodeSize", &powers(12, 16)), "message": message::BTRFS_NODE}])
}

/// The rules of FFS options.
pub(in super::super) fn ffs() -> Value {
    let block = "quantity(has(self.blockSize) ? string(self.blockSize) : '8Ki')";
    let fragment = "quantity(string(self.fragmentSize))";
    json!([
        {"rule": size_in("blockSize", &powers(12, 16)), "message": message::FFS_BLOCK},
        {
            "rule": format!("({}) && (!has(self.fragmentSize) || !{fragment}.isInteger() || !{block}.isInteger() || ({fragment}.asInteger() <= {block}.asInteger() && {fragment}.asInteger() * 8 >= {block}.asInteger()))", size_in("fragmentSize", &powers(9, 16))),
            "message": message::FFS_FRAGMENT,
        },
    ])
}

/// The rules of squashfs options.
pub(in super::super) fn squashfs() -> Value {
    json!([
        {"rule": size_in("blockSize", &powers(12, 20)), "message": message::SQUASHFS_BLOCK},
        {
            "rule": "!has(self.level) || (!has(self.compression) || self.compression == 'gzip' ? self.level <= 9 : self.compression == 'zstd')",
            "message": message::SQUASHFS_LEVEL,
        },
    ])
}

/// The rules of swap options.
pub(in super::super) fn swap() -> Value {
    let pages = list(&[4 << 10, 16 << 10, 64 << 10]);
    json!([{"rule": size_in("pageSize", &pages), "message": message::SWAP_PAGE}])
}
