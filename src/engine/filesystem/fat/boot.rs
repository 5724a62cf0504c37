//! The boot sector: the parameters of the volume, and code around them that others give.
//!
//! Source: FAT 1.03, "Boot Sector and BPB". Invariant: code never replaces a parameter.

use zerocopy::IntoBytes as _;

use super::geometry::Geometry;
use super::ondisk::{
    BACKUP_AT, BOOT_SIGNATURE, BOOT_SIGNATURE_AT, Bpb, Fat32, INFO_AT, INFO_LEAD, INFO_SIGNATURE,
    INFO_TRAIL, Info, NO_LABEL, TAIL_SIGNATURE, Tail,
};
use super::{Bits, Params};
use crate::engine::base::{Error, Kind};

/// What the boot sector tells beside the geometry.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    pub(super) label: Option<[u8; 11]>,
    pub(super) serial: u32,
    pub(super) oem_name: [u8; 8],
    pub(super) media: u8,
    /// Sectors of a track and heads.
    pub(super) track: u16,
    pub(super) heads: u16,
    /// Whether it is a floppy disk.
    pub(super) floppy: bool,
}

impl Marks {
    pub(super) fn new(params: &Params, label: Option<[u8; 11]>, serial: u32) -> Self {
        let shape = params.floppy.map(super::Floppy::shape);
        Self {
            label,
            serial,
            oem_name: params.oem_name,
            media: params.media.or(shape.map(|shape| shape.media)).unwrap_or(0xF8),
            track: shape.map_or(63, |shape| shape.track),
            heads: if shape.is_some() { 2 } else { 255 },
            floppy: shape.is_some(),
        }
    }
}

/// INT 18h (no disk to boot from, try the next), then halt for ever.
const PASS_ON: [u8; 5] = [0xCD, 0x18, 0xF4, 0xEB, 0xFD];

/// The reserved sectors up to the last one that is not zero. `hidden` is the sector at which the
/// volume begins.
pub(super) fn reserved(
    geometry: &Geometry,
    marks: &Marks,
    hidden: u32,
    code: Option<&[u8]>,
    free: (u64, u64),
) -> Result<Vec<u8>, Error> {
    let wide = geometry.bits == Bits::ThirtyTwo;
    let parameters = parameters(geometry, marks, hidden);
    let sector = geometry.sector as usize;
    let mut bytes = match code {
        Some(code) => given(code, geometry)?,
        None => {
            let mut bytes = vec![0; parameters.len()];
            bytes.extend(PASS_ON);
            bytes
        }
    };
    bytes.resize(bytes.len().max(sector).next_multiple_of(sector), 0);
    // Of given code, only its own jump over the parameters is kept.
    let from = if code.is_some_and(|code| matches!(code, [0xEB | 0xE9, ..])) { 3 } else { 0 };
    put(&mut bytes, from, parameters.get(from..).unwrap_or_default());
    put(&mut bytes, BOOT_SIGNATURE_AT, &BOOT_SIGNATURE);
    if wide {
        let boot = bytes.get(..sector).unwrap_or_default().to_vec();
        let info = info(free);
        for at in [0, usize::from(BACKUP_AT)] {
            put(&mut bytes, at * sector, &boot);
            put(&mut bytes, (at + usize::from(INFO_AT)) * sector, info.as_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(sector), 0);
    }
    Ok(bytes)
}

/// The code that somebody gave: no longer than what is reserved, and off the sectors that are ours.
fn given(code: &[u8], geometry: &Geometry) -> Result<Vec<u8>, Error> {
    let wide = geometry.bits == Bits::ThirtyTwo;
    let most = if wide { geometry.reserved * geometry.sector } else { 512 };
    if code.len() as u64 > most {
        let message =
            format!("the boot code has {} bytes, this volume has room for {most}", code.len());
        return Err(Error::new(Kind::Document, message));
    }
    Ok(code.to_vec())
}

fn put(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    if bytes.len() < at + what.len() {
        bytes.resize(at + what.len(), 0);
    }
    if let Some(place) = bytes.get_mut(at..at + what.len()) {
        place.copy_from_slice(what);
    }
}

fn parameters(geometry: &Geometry, marks: &Marks, hidden: u32) -> Vec<u8> {
    let wide = geometry.bits == Bits::ThirtyTwo;
    let low = |number: u64| u16::try_from(number).unwrap_or(0);
    // All of them fit: the geometry was checked.
    let full = |number: u64| u32::try_from(number).unwrap_or(0);
    let small = if wide { 0 } else { low(geometry.total) };
    let bpb = Bpb {
        jump: [0xEB, if wide { 0x58 } else { 0x3C }, 0x90],
        oem_name: marks.oem_name,
        sector: low(geometry.sector).into(),
        cluster: u8::try_from(geometry.cluster).unwrap_or(0),
        reserved: low(geometry.reserved).into(),
        fats: u8::try_from(geometry.fats).unwrap_or(0),
        root_entries: low(geometry.root_entries).into(),
        sectors16: small.into(),
        media: marks.media,
        fat16: if wide { 0 } else { low(geometry.fat) }.into(),
        track: marks.track.into(),
        heads: marks.heads.into(),
        hidden: hidden.into(),
        sectors32: if small == 0 { full(geometry.total) } else { 0 }.into(),
    };
    let tail = Tail {
        drive: if marks.floppy { 0 } else { 0x80 },
        reserved: 0,
        signature: TAIL_SIGNATURE,
        serial: marks.serial.into(),
        label: marks.label.unwrap_or(NO_LABEL),
        name: *match geometry.bits {
            Bits::Twelve => b"FAT12   ",
            Bits::Sixteen => b"FAT16   ",
            Bits::ThirtyTwo => b"FAT32   ",
        },
    };
    let mut bytes = bpb.as_bytes().to_vec();
    if wide {
        let fat32 = Fat32 {
            fat: full(geometry.fat).into(),
            flags: 0.into(),
            version: 0.into(),
            root: 2.into(),
            info: INFO_AT.into(),
            backup: BACKUP_AT.into(),
            reserved: [0; 12],
        };
        bytes.extend(fat32.as_bytes());
    }
    bytes.extend(tail.as_bytes());
    bytes
}

fn info((free, next): (u64, u64)) -> Info {
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Info {
        lead: INFO_LEAD.into(),
        reserved: [0; 480],
        signature: INFO_SIGNATURE.into(),
        free: count(free).into(),
        next: count(next).into(),
        reserved2: [0; 12],
        trail: INFO_TRAIL.into(),
    }
}
