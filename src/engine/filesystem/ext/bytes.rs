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

/// The beginning of `buffer`, at most `most` bytes.
pub(super) fn cut(buffer: &mut [u8], most: u64) -> &mut [u8] {
    let len = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
    buffer.get_mut(..len).unwrap_or_default()
}

/// `bytes` from `at` on, then zeros.
pub(super) fn copy(bytes: &[u8], at: u64, part: &mut [u8]) {
    let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let len = rest.len().min(part.len());
    let (front, behind) = part.split_at_mut(len);
    front.copy_from_slice(rest.get(..len).unwrap_or_default());
    behind.fill(0);
}
