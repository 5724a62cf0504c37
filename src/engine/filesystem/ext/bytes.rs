//! Bytes into a block and out of one, without a way to panic.
//!
//! Knows no structure. Invariant: what does not lie in the block is neither written nor read.

use zerocopy::FromBytes;

/// Puts `bytes` at `at`.
pub(super) fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    let end = at.saturating_add(bytes.len());
    if let Some(place) = block.get_mut(at..end) {
        place.copy_from_slice(bytes);
    } else {
        debug_assert!(false, "{} bytes at {at} of {}", bytes.len(), block.len());
    }
}

/// The structure at `at`.
pub(super) fn take<T: FromBytes>(block: &[u8], at: usize) -> Option<T> {
    T::read_from_prefix(block.get(at..)?).ok().map(|(found, _)| found)
}
