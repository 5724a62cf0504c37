//! Tells a file's format by its magic.
//!
//! Opens nothing and follows nothing. Invariant: what is not recognised is raw, and a known format
//! that cannot be read is an error, never raw. A raw disk can hold the magic of another format:
//! whoever knows the format says so instead of asking here.

use super::FormatName;
use crate::engine::base::{Error, Kind, SectorSource};

/// Magics of formats that are known but not read: name, offset, bytes.
const OTHERS: [(&str, u64, &[u8]); 5] = [
    ("vhdx", 0, b"vhdxfile"),
    ("vhd", 0, b"conectix"),
    // 0xbeda107f, little-endian, behind 64 bytes of text.
    ("vdi", 64, &[0x7f, 0x10, 0xda, 0xbe]),
    ("qed", 0, b"QED\0"),
    ("qcow version 1", 0, b"QFI\xfb\0\0\0\x01"),
];

/// Magics of VMDK: a sparse extent, one of ESXi's, and a descriptor whose extents are other files.
const VMDK: [&[u8]; 3] = [b"KDMV", b"COWD", b"# Disk DescriptorFile"];

/// A fixed VHD is the raw disk with a footer of this length behind it.
const VHD_FOOTER: u64 = 512;

/// The format of `source`.
pub fn detect(source: &dyn SectorSource) -> Result<FormatName, Error> {
    for (name, offset, magic) in OTHERS {
        if has(source, offset, magic)? {
            return Err(unsupported(name));
        }
    }
    if has(source, 0, b"QFI\xfb")? {
        return Ok(FormatName::Qcow2);
    }
    for magic in VMDK {
        if has(source, 0, magic)? {
            return Ok(FormatName::Vmdk);
        }
    }
    match source.len().checked_sub(VHD_FOOTER) {
        Some(footer) if has(source, footer, b"conectix")? => Err(unsupported("vhd")),
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
    let message = format!("the file looks like {name}, which is not supported yet");
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
        for magic in VMDK {
            assert_eq!(of(magic), Ok(FormatName::Vmdk));
        }
    }

    #[test]
    fn other_formats_are_named() {
        for (name, offset, magic) in OTHERS {
            let mut bytes = vec![0; 1024];
            bytes[offset as usize..][..magic.len()].copy_from_slice(magic);
            let says = format!("the file looks like {name}, which is not supported yet");
            assert_eq!(of(&bytes), Err(says));
        }
        let mut fixed = vec![0; 1024];
        fixed[512..520].copy_from_slice(b"conectix");
        assert!(of(&fixed).unwrap_err().contains("vhd"));
    }
}
