//! Ranges of IP addresses, as operators write them: `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`.
//!
//! Knows no policy. Invariant: a range never holds bits behind its length, so that each has one
//! spelling.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The addresses that share the first bits of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: IpAddr,
    bits: u8,
}

impl Range {
    /// Whether the range holds `address`.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                masked(u128::from(address.to_bits()), 32, self.bits) == u128::from(first.to_bits())
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                masked(address.to_bits(), 128, self.bits) == first.to_bits()
            }
            _ => false,
        }
    }
}

/// `address` with all but its first `bits` of `width` cleared.
const fn masked(address: u128, width: u32, bits: u8) -> u128 {
    let rest = width.saturating_sub(bits as u32);
    match address.checked_shr(rest) {
        Some(kept) => match kept.checked_shl(rest) {
            Some(kept) => kept,
            None => 0,
        },
        None => 0,
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no range of addresses such as 10.0.0.0/8 or fd00::/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        let (value, width) = match first {
            IpAddr::V4(first) => (u128::from(first.to_bits()), 32_u8),
            IpAddr::V6(first) => (first.to_bits(), 128),
        };
        let plain = |bits: &&str| !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
        let bits = match bits {
            Some(bits) => {
                Some(bits).filter(plain).and_then(|b| b.parse().ok()).ok_or_else(wrong)?
            }
            None => width,
        };
        if bits > width {
            return Err(format!("{text:?} has a length of {bits} bits, {width} are allowed"));
        }
        if masked(value, u32::from(width), bits) != value {
            return Err(format!("{text:?} has bits set behind its first {bits}"));
        }
        Ok(Self { first, bits })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_alone() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("::/0", "ffff::1", "1.2.3.4"),
            ("fd00::/8", "fdff::1", "fc00::1"),
            ("2001:db8::/127", "2001:db8::1", "2001:db8::2"),
        ] {
            let range: Range = range.parse().unwrap();
            assert!(range.holds(inside.parse().unwrap()), "{range} {inside}");
            assert!(!range.holds(outside.parse().unwrap()), "{range} {outside}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/+8", "a/8", "::/129"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
