//! Extended attributes of all nodes as items: those with the same hash share one.
//!
//! Reads no disk. Invariant: items are in the order of rows, then of hashes, and each fits a leaf.

use zerocopy::IntoBytes;

use super::constants::{ENTRY_XATTR, name_hash};
use super::ondisk::DirItem;
use crate::engine::base::tree::Attributes;
use crate::engine::base::{Error, Kind};

/// The items.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<(u32, u32, Box<[u8]>)>);

impl Table {
    /// Adds those of the next row.
    pub(super) fn add(&mut self, row: u32, list: &Attributes, room: usize) -> Result<(), Error> {
        let mut hashed: Vec<_> = list.iter().map(|(name, v)| (name_hash(name), name, v)).collect();
        hashed.sort_by_key(|(hash, ..)| *hash);
        for same in hashed.chunk_by(|a, b| a.0 == b.0) {
            let mut bytes = Vec::new();
            for (_, name, value) in same {
                let total = size_of::<DirItem>() + name.len() + value.len();
                let lens = (u16::try_from(name.len()), u16::try_from(value.len()));
                let (Ok(name_len), Ok(data_len), true) = (
                    lens.0,
                    lens.1,
                    (1..=255).contains(&name.len()) && bytes.len() + total <= room,
                ) else {
                    let message = format!(
                        "the extended attribute \"{}\" of {} bytes has no room: names have 1 to 255 \
                         bytes, and {} bytes are left for name and value",
                        name.escape_ascii(),
                        value.len(),
                        room.saturating_sub(bytes.len() + size_of::<DirItem>())
                    );
                    return Err(Error::new(Kind::Document, message));
                };
                let head = DirItem {
                    data_len: data_len.into(),
                    name_len: name_len.into(),
                    kind: ENTRY_XATTR,
                    ..DirItem::default()
                };
                bytes.extend_from_slice(head.as_bytes());
                bytes.extend_from_slice(name);
                bytes.extend_from_slice(value);
            }
            let hash = same.first().map_or(0, |(hash, ..)| *hash);
            self.0.push((row, hash, bytes.into()));
        }
        Ok(())
    }

    /// The items of a row: hash and data.
    pub(super) fn of(&self, row: u32) -> impl ExactSizeIterator<Item = (u32, &[u8])> {
        let first = self.0.partition_point(|(at, ..)| *at < row);
        let end = self.0.partition_point(|(at, ..)| *at <= row);
        self.0.get(first..end).unwrap_or_default().iter().map(|(_, hash, data)| (*hash, &**data))
    }
}
