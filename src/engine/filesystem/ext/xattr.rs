//! Extended attributes: which lie in the inode and which in a block, and their bytes both ways.
//!
//! Interprets nothing but POSIX ACLs, whose form on disk is not that of the attribute. Invariant:
//! what was read is what was written.

use std::collections::BTreeMap;

use zerocopy::IntoBytes as _;

use super::bytes::{put, take};
use super::hash::crc;
use super::ondisk::{XATTR_ENTRY, XATTR_HEADER, XATTR_MAGIC, XattrEntry, XattrHeader};
use crate::engine::base::tree::Attributes;
use crate::engine::base::{Error, Kind};

/// Names by number (kernel documentation, attributes.rst); a whole name has nothing behind it.
const NAMES: &[(u8, &[u8])] = &[
    (1, b"user."),
    (2, ACL_ACCESS),
    (3, ACL_DEFAULT),
    (4, b"trusted."),
    (6, b"security."),
    (8, b"system.richacl"),
    (7, b"system."),
];

const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// Version of an ACL as an attribute, and on disk.
const ACL_WIRE: u32 = 2;
const ACL_DISK: u32 = 1;
/// Tags of entries that name a user or a group.
const ACL_NAMED: [u16; 2] = [2, 8];

/// One attribute as it lies on disk.
struct Item<'a> {
    index: u8,
    name: &'a [u8],
    value: Vec<u8>,
}

/// Where attributes lie.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Behind the inode's fields; empty if there are none.
    pub(super) body: Vec<u8>,
    /// The block without its checksum.
    pub(super) block: Option<Vec<u8>>,
}

impl Item<'_> {
    fn entry_len(&self) -> usize {
        (XATTR_ENTRY + self.name.len()).next_multiple_of(4)
    }

    fn value_len(&self) -> usize {
        self.value.len().next_multiple_of(4)
    }

    fn len(&self) -> usize {
        self.entry_len() + self.value_len()
    }

    /// The hash of name and value (attributes.rst, `e_hash`).
    fn hash(&self) -> u32 {
        let hash =
            self.name.iter().fold(0, |hash: u32, byte| hash.rotate_left(5) ^ u32::from(*byte));
        self.value.chunks(4).fold(hash, |hash, four| {
            let mut word = [0; 4];
            put(&mut word, 0, four);
            hash.rotate_left(16) ^ u32::from_le_bytes(word)
        })
    }
}

/// Splits attributes into `room` bytes of the inode and a block, if they fit at all.
pub(super) fn split(
    attributes: &Attributes,
    room: usize,
    block_size: usize,
) -> Result<Split, Error> {
    let mut items =
        attributes.iter().map(|(name, value)| item(name, value)).collect::<Result<Vec<_>, _>>()?;
    // Security labels are asked for most: they come into the inode first.
    items.sort_by_key(|item| (item.index != 6, item.index, item.name.len(), item.name));
    // A magic number before, a zero behind the entries.
    let mut left = room.saturating_sub(8);
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for item in items {
        if item.len() <= left {
            left -= item.len();
            inside.push(item);
        } else {
            outside.push(item);
        }
    }
    let wanted = XATTR_HEADER + 4 + outside.iter().map(Item::len).sum::<usize>();
    if wanted > block_size {
        let message = format!(
            "its extended attributes need a block of {wanted} bytes, blocks have {block_size}"
        );
        return Err(Error::new(Kind::Input, message));
    }
    let body = if inside.is_empty() {
        Vec::new()
    } else {
        let mut body = vec![0; room];
        put(&mut body, 0, &XATTR_MAGIC.to_le_bytes());
        fill(&mut body, 4, 4, &inside);
        body
    };
    outside.sort_by_key(|item| (item.index, item.name.len(), item.name));
    let block = (!outside.is_empty()).then(|| block(&outside, block_size));
    Ok(Split { body, block })
}

fn block(items: &[Item<'_>], size: usize) -> Vec<u8> {
    let mut block = vec![0; size];
    let hash = items.iter().fold(0, |hash: u32, item| hash.rotate_left(16) ^ item.hash());
    let header = XattrHeader {
        magic: XATTR_MAGIC.into(),
        refcount: 1.into(),
        blocks: 1.into(),
        hash: hash.into(),
        checksum: 0.into(),
        reserved: [0.into(); 3],
    };
    put(&mut block, 0, header.as_bytes());
    fill(&mut block, XATTR_HEADER, 0, items);
    block
}

/// The checksum of an attributes' block that lies at `block`.
pub(super) fn checksum(bytes: &[u8], seed: u32, block: u64) -> u32 {
    let sum = crc(seed, &block.to_le_bytes());
    let sum = crc(sum, bytes.get(..16).unwrap_or_default());
    let sum = crc(sum, &[0; 4]);
    crc(sum, bytes.get(20..).unwrap_or_default())
}

/// Entries from `at` on, values from the end backwards; offsets count from `zero`.
fn fill(bytes: &mut [u8], mut at: usize, zero: usize, items: &[Item<'_>]) {
    let mut end = bytes.len();
    for item in items {
        end -= item.value_len();
        let entry = XattrEntry {
            // OK to cast: a name has at most 255 bytes, a block 4096.
            name_len: item.name.len() as u8,
            name_index: item.index,
            value_offs: (if item.value.is_empty() { 0 } else { end - zero } as u16).into(),
            value_inum: 0.into(),
            value_size: (item.value.len() as u32).into(),
            hash: item.hash().into(),
        };
        put(bytes, at, entry.as_bytes());
        put(bytes, at + XATTR_ENTRY, item.name);
        put(bytes, end, &item.value);
        at += item.entry_len();
    }
}

fn item<'a>(name: &'a [u8], value: &[u8]) -> Result<Item<'a>, Error> {
    let refused = |why: &str| {
        let message = format!("the extended attribute \"{}\" {why}", name.escape_ascii());
        Error::new(Kind::Input, message)
    };
    let found = NAMES.iter().find_map(|(index, known)| {
        let rest = name.strip_prefix(*known)?;
        (known.ends_with(b".") != rest.is_empty()).then_some((*index, rest))
    });
    let Some((index, rest)) = found else {
        return Err(refused("is none of user., trusted., security. and system."));
    };
    if rest.len() > 255 {
        return Err(refused("has more than 255 bytes behind its first dot"));
    }
    let value = if matches!(index, 2 | 3) {
        acl_to_disk(value).ok_or_else(|| refused("is no POSIX ACL of version 2"))?
    } else {
        value.to_vec()
    };
    Ok(Item { index, name: rest, value })
}

/// An ACL as the attribute has it (version 2: tag, permissions and id of each entry) to the form on
/// disk (version 1: ids only where an entry names somebody).
fn acl_to_disk(wire: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = wire.split_at_checked(4)?;
    let (entries, rest) = entries.as_chunks::<8>();
    if version != ACL_WIRE.to_le_bytes() || !rest.is_empty() {
        return None;
    }
    let mut disk = ACL_DISK.to_le_bytes().to_vec();
    for entry in entries {
        let (head, id) = entry.split_at_checked(4)?;
        disk.extend_from_slice(head);
        if ACL_NAMED.contains(&u16::from_le_bytes(*head.first_chunk()?)) {
            disk.extend_from_slice(id);
        }
    }
    Some(disk)
}

/// The way back.
fn acl_from_disk(disk: &[u8]) -> Option<Vec<u8>> {
    let (version, mut rest) = disk.split_at_checked(4)?;
    if version != ACL_DISK.to_le_bytes() {
        return None;
    }
    let mut wire = ACL_WIRE.to_le_bytes().to_vec();
    while let Some((head, behind)) = rest.split_at_checked(4) {
        wire.extend_from_slice(head);
        rest = behind;
        if ACL_NAMED.contains(&u16::from_le_bytes(*head.first_chunk()?)) {
            let (id, behind) = rest.split_at_checked(4)?;
            wire.extend_from_slice(id);
            rest = behind;
        } else {
            wire.extend_from_slice(&[0xff; 4]);
        }
    }
    rest.is_empty().then_some(wire)
}

/// The attributes in a block, or behind an inode's fields: entries from `at` on, offsets counted
/// from `zero`. At most `most` bytes of names and values.
pub(super) fn parse(
    bytes: &[u8],
    mut at: usize,
    zero: usize,
    most: usize,
    into: &mut BTreeMap<Box<[u8]>, Box<[u8]>>,
) -> Result<(), Error> {
    let damaged =
        |at: usize, why: &str| Error::new(Kind::Damaged, format!("the attribute at {at} {why}"));
    let mut sum: usize = into.iter().map(|(name, value)| name.len() + value.len()).sum();
    while bytes.get(at..at + 4).is_some_and(|head| head != [0; 4]) {
        let Some(entry) = take::<XattrEntry>(bytes, at) else {
            return Err(damaged(at, "goes beyond the end"));
        };
        let from = at + XATTR_ENTRY;
        let rest = bytes.get(from..from + usize::from(entry.name_len));
        let rest = rest.ok_or_else(|| damaged(at, "has a name beyond the end"))?;
        if entry.value_inum.get() != 0 {
            let message = format!(
                "the attribute \"{}\" has its value in inode {}: ea_inode is not supported",
                rest.escape_ascii(),
                entry.value_inum
            );
            return Err(Error::new(Kind::Unsupported, message));
        }
        let size = entry.value_size.get() as usize;
        let start = zero + usize::from(entry.value_offs.get());
        let value = if size == 0 { Some(&[][..]) } else { bytes.get(start..start + size) };
        let value = value.ok_or_else(|| damaged(at, "has a value beyond the end"))?;
        let known = NAMES.iter().find(|(index, _)| *index == entry.name_index);
        let (index, known) = known.ok_or_else(|| damaged(at, "has a name of no known kind"))?;
        if known.ends_with(b".") == rest.is_empty() {
            return Err(damaged(at, "has no name, or one too many"));
        }
        let value = if matches!(index, 2 | 3) {
            acl_from_disk(value).ok_or_else(|| damaged(at, "is no POSIX ACL of version 1"))?
        } else {
            value.to_vec()
        };
        let name = [*known, rest].concat();
        sum += name.len() + value.len();
        if sum > most {
            let message = format!("extended attributes of more than {most} bytes");
            return Err(Error::new(Kind::Damaged, message));
        }
        into.insert(name.into(), value.into());
        at = from + rest.len().next_multiple_of(4);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(list: &[(&str, &[u8])]) -> Attributes {
        list.iter().map(|(name, value)| (name.as_bytes().into(), (*value).into())).collect()
    }

    /// user::rw-, user:1000:r--, group::r--, mask::r--, other::---
    fn acl() -> Vec<u8> {
        let mut wire = vec![2, 0, 0, 0];
        for (tag, perm, id) in [
            (1u16, 6u16, u32::MAX),
            (2, 4, 1000),
            (4, 4, u32::MAX),
            (16, 4, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            wire.extend_from_slice(&tag.to_le_bytes());
            wire.extend_from_slice(&perm.to_le_bytes());
            wire.extend_from_slice(&id.to_le_bytes());
        }
        wire
    }

    #[test]
    fn what_was_split_is_put_together() {
        let acl = acl();
        let all = attributes(&[
            ("user.a", b"1"),
            ("user.empty", b""),
            ("security.selinux", b"system_u:object_r:etc_t:s0\0"),
            ("system.posix_acl_access", &acl),
            ("trusted.overlay.opaque", b"y"),
            ("user.long", &[7; 300]),
        ]);
        for (room, size) in [(96, 1024), (0, 4096), (992, 1024)] {
            let split = split(&all, room, size).unwrap();
            let mut seen = Attributes::new();
            if !split.body.is_empty() {
                assert_eq!(split.body.len(), room);
                parse(&split.body, 4, 4, 10_000, &mut seen).unwrap();
            }
            if let Some(block) = &split.block {
                parse(block, XATTR_HEADER, 0, 10_000, &mut seen).unwrap();
            }
            assert_eq!(seen, all, "{room}");
        }
        let both = split(&all, 96, 1024).unwrap();
        assert!(!both.body.is_empty() && both.block.is_some());
        assert!(parse(&both.block.unwrap(), XATTR_HEADER, 0, 100, &mut Attributes::new()).is_err());
    }

    #[test]
    fn what_has_no_place_is_refused() {
        for (name, value, why) in [
            ("user.big", vec![1; 1000], "need a block of"),
            ("user.", vec![], "none of user."),
            ("os2.x", vec![], "none of user."),
            ("system.posix_acl_access", vec![1, 0, 0, 0], "no POSIX ACL"),
            ("system.posix_acl_default", vec![2, 0, 0, 0, 1], "no POSIX ACL"),
        ] {
            let error = split(&attributes(&[(name, &value)]), 96, 1024).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
