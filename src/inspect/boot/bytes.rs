//! Bounded reading of untrusted bytes: what is not there is none, never an error.
//!
//! Invariant: nothing longer than what was asked for is held.

use std::sync::Arc;

use crate::engine::base::{ByteSource, Content, SectorSource};

/// Most characters of a text that is shown.
pub(super) const TEXT: usize = 4096;

/// A source with easy reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a dyn SectorSource);

impl Bytes<'_> {
    pub(super) fn len(self) -> u64 {
        self.0.len()
    }

    /// Up to `len` bytes from `offset` on: fewer at the end, none where reading fails.
    pub(super) fn some(self, offset: u64, len: usize) -> Vec<u8> {
        let left = self.len().saturating_sub(offset).min(len as u64);
        let mut bytes = vec![0; left as usize];
        match self.0.read_at(offset, &mut bytes) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    pub(super) fn u16(self, offset: u64) -> Option<u16> {
        u16_at(&self.some(offset, 2), 0)
    }

    pub(super) fn u32(self, offset: u64) -> Option<u32> {
        u32_at(&self.some(offset, 4), 0)
    }

    /// The text at `offset`, up to a zero byte.
    pub(super) fn text(self, offset: u64, most: usize) -> String {
        text(&self.some(offset, most))
    }
}

/// What a file of a tree holds; none for bytes that are not settled.
pub(super) fn of(content: &Content) -> Option<Arc<dyn SectorSource>> {
    match content {
        Content::Bytes(bytes) => Some(Arc::new(ByteSource::new(Arc::clone(bytes)))),
        Content::Sectors(source) => Some(Arc::clone(source)),
        Content::Late(_) => None,
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Where `wanted` begins in `bytes`.
pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len().max(1)).position(|window| window == wanted)
}

pub(super) fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    find(bytes, wanted).is_some()
}

/// The text up to a zero byte, without white space around it.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let bytes = bytes.get(..end.min(TEXT)).unwrap_or_default();
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// The text, if there is one.
pub(super) fn some_text(bytes: &[u8]) -> Option<String> {
    Some(text(bytes)).filter(|text| !text.is_empty())
}

/// What stands between `before` and the next `after`.
pub(super) fn between(bytes: &[u8], before: &[u8], after: u8) -> Option<String> {
    let rest = bytes.get(find(bytes, before)? + before.len()..)?;
    let end = rest.iter().take(TEXT).position(|byte| *byte == after)?;
    some_text(rest.get(..end)?)
}
