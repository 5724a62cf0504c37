//! Extended attributes on their way to the disk: equal sets are stored once.
//!
//! Invariant: an attribute whose name squashfs has no prefix for is refused, never dropped.

use std::collections::HashMap;

use super::codec::Packer;
use super::meta::MetaWriter;
use super::ondisk::{AttributeName, AttributeSet, AttributeTable, NONE32, PREFIXES};
use crate::engine::base::tree::{self, Node};
use crate::engine::base::{Error, Kind};

/// Bytes of a value: Linux' XATTR_SIZE_MAX.
const MAX_VALUE: usize = 64 << 10;

/// All sets so far.
#[derive(Debug)]
pub(super) struct Sets<'a> {
    pairs: MetaWriter,
    sets: Vec<AttributeSet>,
    known: HashMap<&'a tree::Attributes, u32>,
}

impl<'a> Sets<'a> {
    pub(super) fn new(packer: Packer) -> Self {
        Self { pairs: MetaWriter::new(packer), sets: Vec::new(), known: HashMap::new() }
    }

    /// The number of the node's set; `NONE32` if it has no attributes.
    pub(super) fn number(&mut self, node: &'a Node) -> Result<u32, Error> {
        let Some(attributes) = node.attributes.as_deref().filter(|a| !a.is_empty()) else {
            return Ok(NONE32);
        };
        if let Some(number) = self.known.get(attributes) {
            return Ok(*number);
        }
        let number = self.sets.len() as u32;
        let place = self.pairs.reference()?;
        let mut size = 0;
        for (name, value) in attributes {
            size += self.pair(name, value)?;
        }
        let set = AttributeSet {
            place: place.into(),
            count: (attributes.len() as u32).into(),
            size: size.into(),
        };
        self.sets.push(set);
        self.known.insert(attributes, number);
        Ok(number)
    }

    fn pair(&mut self, name: &[u8], value: &[u8]) -> Result<u32, Error> {
        let refused = |why: &str| {
            let message = format!(
                "the extended attribute \"{}\" cannot be stored in a squashfs: {why}",
                name.escape_ascii()
            );
            Error::new(Kind::Document, message)
        };
        let find = |(kind, prefix): (usize, &&'static [u8])| {
            name.strip_prefix(*prefix).map(|rest| (kind as u16, rest))
        };
        let (kind, rest) = PREFIXES
            .iter()
            .enumerate()
            .find_map(find)
            .ok_or_else(|| refused("its names begin with user., trusted. or security."))?;
        if rest.is_empty() || name.len() > 255 {
            return Err(refused("a name has 1 to 255 bytes, with what it begins with"));
        }
        if value.len() > MAX_VALUE {
            return Err(refused(&format!(
                "its value has {} bytes, 65536 are allowed",
                value.len()
            )));
        }
        // OK to cast: bounded right above.
        self.pairs.put(&AttributeName { kind: kind.into(), size: (rest.len() as u16).into() })?;
        self.pairs.put(rest)?;
        self.pairs.put(&(value.len() as u32).to_le_bytes())?;
        self.pairs.put(value)?;
        Ok((rest.len() + value.len() + 8) as u32)
    }

    /// The tables for a place, and where they are found; none without attributes.
    pub(super) fn finish(self, at: u64, packer: Packer) -> Result<Option<(Vec<u8>, u64)>, Error> {
        if self.sets.is_empty() {
            return Ok(None);
        }
        let (mut bytes, _) = self.pairs.finish()?;
        let mut ids = MetaWriter::new(packer);
        ids.put(self.sets.as_slice())?;
        let (table, blocks) = ids.finish()?;
        let first = at + bytes.len() as u64;
        bytes.extend_from_slice(&table);
        let found = at + bytes.len() as u64;
        let head = AttributeTable {
            start: at.into(),
            sets: (self.sets.len() as u32).into(),
            unused: 0.into(),
        };
        bytes.extend_from_slice(zerocopy::IntoBytes::as_bytes(&head));
        blocks.iter().for_each(|block| bytes.extend_from_slice(&(first + block).to_le_bytes()));
        Ok(Some((bytes, found)))
    }
}
