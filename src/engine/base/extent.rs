//! A run of bytes of a medium that may hold something other than zeros.
//!
//! Does not read. Invariant: `start + len` never overflows.

use std::ops::Range;

/// A non-empty byte range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    start: u64,
    end: u64,
}

impl Extent {
    /// The range from `start` to `end`, exclusive; none if it is empty or reversed.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start < end { Some(Self { start, end }) } else { None }
    }

    /// First byte.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// One past the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Never: an extent has at least one byte.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }

    /// The range.
    #[must_use]
    pub const fn range(self) -> Range<u64> {
        self.start..self.end
    }

    /// What both have in common.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}
