//! Tells a file's format by its magic.
//!
//! Opens nothing and follows nothing. Invariant: what is not recognised is raw, and a known format
//! that cannot be read is an error, never raw. A raw disk can hold the magic of another format:
//! whoever knows the format says so instead of asking here.

use super::FormatName;
use crate::engine::base::{Error, Kind, SectorSource};

/// Magics of formats that are known but not read: name, offset, bytes.
const OTHERS: [(&str, u64, &[u8]); 3] = [
    ("vmdk of ESX (COWD)", 0, b"COWD"),
    ("qed", 0, b"QED\0"),
    ("qcow version 1", 0, b"QFI\xfb\0\0\0\x01"),
];

/// Magics of formats that are read.
const KNOWN: [(FormatName, u64, &[u8]); 6] = [
    (FormatName::Qcow2, 0, b"QFI\xfb"),
    (FormatName::Vmdk, 0, b"KDMV"),
    (FormatName::Vmdk, 0, b"# Disk DescriptorFile"),
    (FormatName::Vhdx, 0, b"vhdxfile"),
    // A dynamic VHD begins with a copy of its footer.
    (FormatName::Vhd, 0, b"conectix"),
    // 0xbeda107f, little-endian, behind 64 bytes of text.
    (FormatName::Vdi, 64, &[0x7f, 0x10, 0xda, 0xbe]),
];

/// A fixed VHD is the raw disk with a footer of this length behind it.
const VHD_FOOTER: u64 = 512;

/// The format of `source`.
pub fn detect(source: &dyn SectorSource) -> Result<FormatName, Error> {
    for (name, offset, magic) in OTHERS {
        if has(source, offset, magic)? {
            return Err(unsupported(name));
        }
    }
    for (format, offset, magic) in KNOWN {
        if has(source, offset, magic)? {
            return Ok(format);
        }
    }
    match source.len().checked_sub(VHD_FOOTER) {
        Some(footer) if has(source, footer, b"conectix")? => Ok(FormatName::Vhd),
        _ => Ok(FormatName::Raw),
    }
}

fn has(source: &dyn SectorSource, offset: u64, magic: &[u8]) -> Result<bool, Error> {
    if source.len() < offset.saturating_add(magic.len() as u64) {
        return Ok(false);
    }
    let mut found = vec![0; magic.len()];
    source.read_at(offset, &mut found)?;
    Ok(found == magic)
}

fn unsupported(name: &str) -> Error {
    let message = format!("the file looks like {name}, which is not read");
    Error::new(Kind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    fn of(bytes: &[u8]) -> Result<FormatName, String> {
        detect(&ByteSource::new(bytes)).map_err(|e| e.to_string())
    }

    #[test]
    fn short_and_unknown_files_are_raw() {
        for bytes in [&b""[..], b"Q", b"QFI", b"KDM", &[0; 512], &[0xeb; 4096]] {
            assert_eq!(of(bytes), Ok(FormatName::Raw));
        }
        assert_eq!(of(b"QFI\xfb"), Ok(FormatName::Qcow2));
        assert_eq!(of(b"QFI\xfb\0\0\0\x03"), Ok(FormatName::Qcow2));
    }

    #[test]
    fn other_formats_are_named() {
        for (name, offset, magic) in OTHERS {
            let mut bytes = vec![0; 1024];
            bytes[offset as usize..][..magic.len()].copy_from_slice(magic);
            let says = format!("the file looks like {name}, which is not read");
            assert_eq!(of(&bytes), Err(says));
        }
        for (format, offset, magic) in KNOWN {
            let mut bytes = vec![0; 1024];
            bytes[offset as usize..][..magic.len()].copy_from_slice(magic);
            assert_eq!(of(&bytes), Ok(format));
        }
        let mut fixed = vec![0; 1024];
        fixed[512..520].copy_from_slice(b"conectix");
        assert_eq!(of(&fixed), Ok(FormatName::Vhd));
    }
}
