//! Headers as they lie in files: those of newc archives.
//!
//! Knows no tree. Invariant: a structure is as long as its specification says.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header of a newc member; each field is 8 hexadecimal digits (Linux:
/// Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Newc {
    /// `MAGIC`.
    pub(super) magic: [u8; 6],
    pub(super) inode: [u8; 8],
    pub(super) mode: [u8; 8],
    pub(super) uid: [u8; 8],
    pub(super) gid: [u8; 8],
    /// How many names the file has.
    pub(super) names: [u8; 8],
    /// Seconds since 1970.
    pub(super) modified: [u8; 8],
    /// Bytes of the body.
    pub(super) size: [u8; 8],
    /// Major and minor number of the device that the file lies on.
    pub(super) device: [[u8; 8]; 2],
    /// Major and minor number of the device that the file is.
    pub(super) special: [[u8; 8]; 2],
    /// Bytes of the name with its zero.
    pub(super) name_size: [u8; 8],
    /// Zero: only the form 070702 has sums.
    pub(super) sum: [u8; 8],
}

const _: () = assert!(size_of::<Newc>() == 110);

/// What every member begins with.
pub(super) const MAGIC: [u8; 6] = *b"070701";

/// The name of the member that ends an archive.
pub(super) const TRAILER: &[u8] = b"TRAILER!!!";

/// Headers and bodies begin at multiples of this.
pub(super) const ALIGN: u64 = 4;

/// What GNU cpio fills an archive up to: its block.
pub(super) const BLOCK: u64 = 512;

/// PATH_MAX: Linux passes over members whose name is longer, its zero counted (init/initramfs.c).
pub(super) const MAX_NAME: usize = 4096;

/// The longest text of a link that Linux makes: PATH_MAX without the zero.
pub(super) const MAX_TARGET: usize = 4095;

/// Kinds of files in `mode` (POSIX, sys/stat.h as Linux has it).
pub(super) mod kind {
    pub(crate) const DIRECTORY: u32 = 0o040_000;
    pub(crate) const FILE: u32 = 0o100_000;
    pub(crate) const SYMLINK: u32 = 0o120_000;
    pub(crate) const CHAR: u32 = 0o020_000;
    pub(crate) const BLOCK: u32 = 0o060_000;
    pub(crate) const FIFO: u32 = 0o010_000;
    pub(crate) const SOCKET: u32 = 0o140_000;
}

/// The largest numbers of a device: 12 and 20 bits (linux/kdev_t.h).
pub(super) const MAX_MAJOR: u32 = 0xfff;
/// See `MAX_MAJOR`.
pub(super) const MAX_MINOR: u32 = 0xf_ffff;

/// A field.
pub(super) fn hex(number: u32) -> [u8; 8] {
    let digit = |shift: u32| match (number >> shift) & 0xf {
        digit @ 0..=9 => b'0' + digit as u8,
        // OK to cast: 10 to 15. GNU cpio writes capitals, too.
        digit => b'A' + (digit - 10) as u8,
    };
    [28, 24, 20, 16, 12, 8, 4, 0].map(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_eight_digits() {
        for (number, text) in
            [(0, b"00000000"), (0x81a4, b"000081A4"), (u32::MAX, b"FFFFFFFF"), (10, b"0000000A")]
        {
            assert_eq!(&hex(number), text);
        }
    }
}
