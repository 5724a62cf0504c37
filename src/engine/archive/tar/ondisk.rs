//! The header of tar as it lies in the archive, and its numbers.
//!
//! Decides nothing. POSIX.1-2017, pax, "ustar Interchange Format"; the GNU members as the GNU tar
//! manual has them ("Basic Tar Format", struct oldgnu_header). Invariant: a number that is none is
//! told, never taken for another.

use std::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) name: [u8; 100],
    pub(super) mode: [u8; 8],
    pub(super) uid: [u8; 8],
    pub(super) gid: [u8; 8],
    pub(super) size: [u8; 12],
    pub(super) mtime: [u8; 12],
    pub(super) checksum: [u8; 8],
    pub(super) kind: u8,
    pub(super) link: [u8; 100],
    /// "ustar", a zero and the version "00" (POSIX), or "ustar  " and a zero (GNU).
    pub(super) magic: [u8; 8],
    pub(super) user: [u8; 32],
    pub(super) group: [u8; 32],
    pub(super) major: [u8; 8],
    pub(super) minor: [u8; 8],
    pub(super) rest: [u8; 167],
}

const _: () = assert!(size_of::<Header>() == 512);

/// What lies behind the device numbers in a header of GNU tar.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GnuRest {
    pub(super) accessed: [u8; 12],
    pub(super) changed: [u8; 12],
    pub(super) offset: [u8; 12],
    pub(super) long_names: [u8; 4],
    pub(super) unused: u8,
    pub(super) pieces: [SparsePiece; 4],
    /// Not 0: a `SparseBlock` follows.
    pub(super) more: u8,
    pub(super) real_size: [u8; 12],
    pub(super) padding: [u8; 17],
}

const _: () = assert!(size_of::<GnuRest>() == 167);

/// A piece of a sparse file.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SparsePiece {
    pub(super) at: [u8; 12],
    pub(super) len: [u8; 12],
}

/// More pieces.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SparseBlock {
    pub(super) pieces: [SparsePiece; 21],
    /// Not 0: another one follows.
    pub(super) more: u8,
    pub(super) padding: [u8; 7],
}

const _: () = assert!(size_of::<SparseBlock>() == 512);

/// `Header::magic` of POSIX.
pub(super) const POSIX: &[u8; 8] = b"ustar\x0000";

/// Bytes of the part of a path that POSIX puts before the name.
pub(super) const PREFIX: usize = 155;

/// A number: octal digits between spaces and zeros, or in base 256 if the first bit is set. No
/// digits are 0.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // GNU tar manual, "Extensions": two's complement, big endian; bit 6 is the sign.
        let begin: i128 = if first & 0x40 != 0 { -1 } else { 0 };
        let begin = (begin << 6) | i128::from(first & 0x3f);
        let mut rest = field.iter().skip(1);
        let value = rest.try_fold(begin, |n, byte| n.checked_mul(256)?.checked_add((*byte).into()));
        return i64::try_from(value?).ok();
    }
    let text = field.trim_ascii_start();
    let end = text.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(text.len());
    let (digits, behind) = text.split_at_checked(end)?;
    if behind.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0i64, |n, byte| match byte {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// The bytes of a text field: it ends at a zero byte or with the field.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    field.get(..end).unwrap_or_default()
}

impl Header {
    /// Whether the header's sum is right: that of all bytes, those of the sum itself taken as
    /// spaces (POSIX). Old tars took bytes as signed.
    pub(super) fn is_sound(&self) -> bool {
        let Some(said) = number(&self.checksum) else { return false };
        let mut plain = *self;
        plain.checksum = [b' '; 8];
        let unsigned: i64 = plain.as_bytes().iter().map(|byte| i64::from(*byte)).sum();
        let signed: i64 = plain.as_bytes().iter().map(|byte| i64::from(*byte as i8)).sum();
        said == unsigned || said == signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"644\0\0\0\0\0", 0o644),
            (b"77777777777\0", (1 << 33) - 1),
            (b"777777777777", (1 << 36) - 1),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\x02", 258),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", -1),
            (b"\x80\0\0\x02\0\0\0\0\0\0\0\0", -1),
        ] {
            let wanted = (value >= 0 || field[0] == 0xff).then_some(value);
            assert_eq!(number(field), wanted, "{field:?}");
        }
        for bad in [&b"8"[..], b"-1", b"12x", b"1 2", b"1\x002", b"\0 7"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
