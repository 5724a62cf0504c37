//! Code in first sectors, told by the texts in it.
//!
//! Runs nothing. Invariant: one sector is read, and what GRUB's record points at.

use super::bytes::{Bytes, holds, text, u64_at};
use super::found::{Code, Record};
use super::grub;
use crate::engine::bootloader::sector;

const SECTOR: usize = 512;

/// Before the disk's id and its table.
const CODE: usize = 440;

/// In GRUB's record for disks: the sector of the core. (Measured, see `boot.img`.)
const GRUB_CORE: usize = 0x5c;

/// The same in its record for ISO images; the core lies behind `cdboot.img`, whose place plus 4
/// sectors of 512 bytes this is.
const GRUB_HYBRID_CORE: usize = 0x1b0;

/// Texts in records of whole disks, those of the more special ones first.
const TEXTS: [(&[u8], Code); 7] = [
    (b"isolinux.bin missing or corrupt", Code::Isohybrid),
    (b"Missing OS\r\n", Code::SyslinuxGptMbr),
    (b"Multiple active partitions.", Code::SyslinuxMbr),
    (b"Operating system load error.", Code::SyslinuxAltMbr),
    (b"Invalid partition table", Code::Dos),
    (b"not a bootable disk", Code::NotBootable),
    (b"Remove disks or other media", Code::Dos),
];

/// What the sector at byte `at` is; none if there is no code.
pub(super) fn look(
    medium: Bytes<'_>,
    at: u64,
    place: &str,
    budget: &grub::Budget,
) -> Option<Record> {
    let bytes = medium.some(at, SECTOR);
    // A filesystem's sector jumps over its parameters; a jump to zeros is no code.
    let from = match *bytes.first_chunk()? {
        [0xeb, over] => 2 + usize::from(over),
        _ => 0,
    };
    let empty = bytes.get(from..CODE)?.iter().all(|byte| *byte == 0);
    if empty || bytes.get(SECTOR - 2..)? != [0x55, 0xaa] {
        return None;
    }
    let mut record = Record {
        place: place.to_owned(),
        code: Code::Unknown,
        message: sector::message(&bytes),
        version: None,
        grub: None,
    };
    record.code = if record.message.is_some() {
        Code::Vmimage
    } else if holds(&bytes, b"GRUB \0") {
        grub_record(medium, &bytes, &mut record, budget)
    } else {
        match bytes.get(3..11)? {
            b"SYSLINUX" => Code::Syslinux,
            b"EXTLINUX" => Code::Extlinux,
            _ => by_text(&bytes),
        }
    };
    Some(record)
}

/// GRUB's record has one of two forms: the one whose core is where it says.
fn grub_record(
    medium: Bytes<'_>,
    bytes: &[u8],
    record: &mut Record,
    budget: &grub::Budget,
) -> Code {
    let core = |at: usize| {
        let sector = u64_at(bytes, at).filter(|sector| *sector != 0)?;
        grub::core(medium, sector.checked_mul(SECTOR as u64)?, budget)
    };
    if let Some(found) = core(GRUB_HYBRID_CORE) {
        record.grub = Some(found);
        return Code::GrubHybrid;
    }
    record.grub = core(GRUB_CORE);
    Code::Grub
}

fn by_text(bytes: &[u8]) -> Code {
    let found = TEXTS.iter().find(|(text, _)| holds(bytes, text)).map(|(_, code)| *code);
    found.unwrap_or(Code::Unknown)
}

/// The version in the banner of `ldlinux.sys` or `isolinux.bin`: "SYSLINUX 6.04 ...".
pub(super) fn banner(bytes: &[u8], name: &[u8]) -> Option<String> {
    let at = super::bytes::find(bytes, name)? + name.len();
    let text = text(bytes.get(at..bytes.len().min(at + 64))?);
    let version = text.split_whitespace().next()?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}
