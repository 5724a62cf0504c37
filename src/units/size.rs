//! A count of bytes.
//!
//! Does not parse text (see `quantity`). Invariant: arithmetic either is exact or fails.

use std::fmt;

/// Bytes in one logical sector of every medium this crate makes.
pub const SECTOR: u64 = 512;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A size that does not fit 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {left} and {right} do not fit 64 bits together")]
pub struct SizeOverflow {
    /// The operation that was tried.
    pub what: &'static str,
    /// First operand.
    pub left: u64,
    /// Second operand.
    pub right: u64,
}

impl ByteSize {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// `count` bytes.
    #[must_use]
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// `count` binary megabytes. Panics at compile time or at once if that overflows: for constants.
    #[must_use]
    pub const fn mib(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether this is a whole number of `unit`s.
    #[must_use]
    pub const fn is_multiple_of(self, unit: u64) -> bool {
        self.0.is_multiple_of(unit)
    }

    /// The smallest multiple of `unit` that is not below this size.
    pub fn round_up(self, unit: u64) -> Result<Self, SizeOverflow> {
        self.0.checked_next_multiple_of(unit).map(Self).ok_or(SizeOverflow {
            what: "rounding up",
            left: self.0,
            right: unit,
        })
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Result<Self, SizeOverflow> {
        self.0.checked_add(other.0).map(Self).ok_or(SizeOverflow {
            what: "adding",
            left: self.0,
            right: other.0,
        })
    }

    /// ceil(self × (1 + `millionths` / 1,000,000)): a size with an overhead on top.
    pub fn with_overhead(self, millionths: u32) -> Result<Self, SizeOverflow> {
        let exact = u128::from(self.0) * (1_000_000 + u128::from(millionths));
        u64::try_from(exact.div_ceil(1_000_000)).map(Self).map_err(|_| SizeOverflow {
            what: "adding an overhead in millionths",
            left: self.0,
            right: u64::from(millionths),
        })
    }
}

impl fmt::Display for ByteSize {
    /// The shortest exact form: the largest binary suffix that divides the size, else plain bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SUFFIXES: [(u32, &str); 6] =
            [(60, "Ei"), (50, "Pi"), (40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
        let whole = |shift: u32| self.0 != 0 && self.0.trailing_zeros() >= shift;
        match SUFFIXES.iter().find(|(shift, _)| whole(*shift)) {
            Some((shift, suffix)) => write!(f, "{}{suffix}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_exact_and_short() {
        for (bytes, text) in [
            (0, "0"),
            (512, "512"),
            (1024, "1Ki"),
            (1536, "1536"),
            (3 << 20, "3Mi"),
            (1 << 60, "1Ei"),
        ] {
            assert_eq!(ByteSize::bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn overhead_is_rounded_up_and_exact() {
        // Observed with CDI 1.66: a 64 MiB disk at overhead 0.06 asks for 71135396 bytes.
        let size = ByteSize::mib(64).with_overhead(60_000);
        assert_eq!(size, Ok(ByteSize::bytes(71_135_396)));
        assert!(ByteSize::bytes(u64::MAX).with_overhead(1).is_err());
    }

    #[test]
    fn nothing_wraps() {
        let max = ByteSize::bytes(u64::MAX);
        assert!(max.plus(ByteSize::bytes(1)).is_err());
        assert!(max.round_up(512).is_err());
        assert_eq!(ByteSize::bytes(1).round_up(512), Ok(ByteSize::bytes(512)));
    }
}
