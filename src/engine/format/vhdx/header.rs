//! The header section, the metadata region and their places in a file that is written.
//!
//! Reads nothing. Invariant: nothing in it depends on anything but its arguments; both copies of
//! a header differ in sequence number and checksum only.

use uuid::Uuid;
use zerocopy::IntoBytes as _;
use zerocopy::little_endian::{U16, U32};

use super::Subformat;
use super::geometry::Geometry;
use super::ondisk::{
    BAT_REGION, CHECKSUM_AT, FILE_PARAMETERS, FILE_SIGNATURE, FileIdentifier, FileParameters,
    HEADER_BYTES, HEADER_OFFSETS, HEADER_SIGNATURE, Header, IS_REQUIRED, IS_VIRTUAL_DISK,
    LEAVE_BLOCKS_ALLOCATED, LOGICAL_SECTOR_SIZE, METADATA_REGION, METADATA_SIGNATURE,
    METADATA_TABLE_BYTES, MIB, MetadataTableEntry, MetadataTableHeader, PHYSICAL_SECTOR_SIZE,
    REGION_SIGNATURE, REGION_TABLE_BYTES, REGION_TABLE_OFFSETS, RegionTableEntry,
    RegionTableHeader, VIRTUAL_DISK_ID, VIRTUAL_DISK_SIZE, checksum,
};
use crate::engine::base::{Error, Kind, PositionalSink};
use crate::units::SECTOR;

/// Where the log lies; it is empty. Hyper-V's order: log, metadata, BAT, blocks.
const LOG_OFFSET: u64 = MIB;
const LOG_LENGTH: u64 = MIB;
const METADATA_OFFSET: u64 = LOG_OFFSET + LOG_LENGTH;
const METADATA_LENGTH: u64 = MIB;
/// Where the BAT lies.
pub(super) const BAT_OFFSET: u64 = METADATA_OFFSET + METADATA_LENGTH;

/// Bytes of a sector of the disk as the guest is told: Hyper-V's default.
const PHYSICAL_SECTOR: u32 = 4096;

/// Where the first block lies.
pub(super) const fn blocks_offset(geometry: Geometry) -> u64 {
    BAT_OFFSET + bat_length(geometry)
}

/// Bytes of the BAT's region.
const fn bat_length(geometry: Geometry) -> u64 {
    match geometry.bat_bytes().next_multiple_of(MIB) {
        0 => MIB,
        length => length,
    }
}

/// Writes everything but the BAT and the blocks; the file identifier last, so that a file that was
/// begun and not finished has none.
pub(super) fn write(
    geometry: Geometry,
    subformat: Subformat,
    id: Uuid,
    sink: &dyn PositionalSink,
) -> Result<(), Error> {
    let (table, items) = metadata(geometry, subformat, id)?;
    sink.write_at(METADATA_OFFSET, &table)?;
    sink.write_at(METADATA_OFFSET + METADATA_TABLE_BYTES as u64, &items)?;
    let regions = region_table(geometry)?;
    for offset in REGION_TABLE_OFFSETS {
        sink.write_at(offset, &regions)?;
    }
    for (offset, sequence) in HEADER_OFFSETS.into_iter().zip(1..) {
        sink.write_at(offset, &header(sequence, id)?)?;
    }
    sink.write_at(0, file_identifier().as_bytes())
}

fn file_identifier() -> FileIdentifier {
    // Without version: the bytes of a file are the same for every version of this program.
    let name = "vmimage".encode_utf16().chain(std::iter::repeat(0));
    let mut creator = [U16::ZERO; 256];
    creator.iter_mut().zip(name).for_each(|(unit, of)| *unit = of.into());
    FileIdentifier { signature: FILE_SIGNATURE, creator }
}

/// A GUID that stays the same for the same `id`.
fn derived(id: Uuid, what: &str) -> [u8; 16] {
    Uuid::new_v5(&id, what.as_bytes()).to_bytes_le()
}

fn header(sequence: u64, id: Uuid) -> Result<Vec<u8>, Error> {
    let header = Header {
        signature: HEADER_SIGNATURE,
        checksum: U32::ZERO,
        sequence_number: sequence.into(),
        file_write_guid: derived(id, "vhdx file write"),
        data_write_guid: derived(id, "vhdx data write"),
        log_guid: [0; 16],
        log_version: U16::ZERO,
        version: 1.into(),
        log_length: small(LOG_LENGTH)?,
        log_offset: LOG_OFFSET.into(),
    };
    Ok(sealed(header.as_bytes().to_vec(), HEADER_BYTES))
}

fn region_table(geometry: Geometry) -> Result<Vec<u8>, Error> {
    let header = RegionTableHeader {
        signature: REGION_SIGNATURE,
        checksum: U32::ZERO,
        entry_count: 2.into(),
        reserved: U32::ZERO,
    };
    let mut bytes = header.as_bytes().to_vec();
    for (guid, offset, length) in [
        (BAT_REGION, BAT_OFFSET, bat_length(geometry)),
        (METADATA_REGION, METADATA_OFFSET, METADATA_LENGTH),
    ] {
        let entry = RegionTableEntry {
            guid,
            file_offset: offset.into(),
            length: small(length)?,
            required: 1.into(),
        };
        bytes.extend_from_slice(entry.as_bytes());
    }
    Ok(sealed(bytes, REGION_TABLE_BYTES))
}

/// `bytes` made `len` long, with the checksum.
fn sealed(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.resize(len, 0);
    let crc = checksum(&bytes);
    if let Some(field) = bytes.get_mut(CHECKSUM_AT..CHECKSUM_AT + 4) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

/// The metadata table without the unused entries behind, and the items.
fn metadata(
    geometry: Geometry,
    subformat: Subformat,
    id: Uuid,
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let flags = if subformat == Subformat::Fixed { LEAVE_BLOCKS_ALLOCATED } else { 0 };
    let parameters = FileParameters { block_size: small(geometry.block())?, flags: flags.into() };
    let size = geometry.virtual_size().to_le_bytes();
    let disk = derived(id, "vhdx virtual disk");
    let logical = small(SECTOR)?;
    let physical = U32::new(PHYSICAL_SECTOR);
    let disk_flags = IS_REQUIRED | IS_VIRTUAL_DISK;
    let known: [([u8; 16], &[u8], u32); 5] = [
        (FILE_PARAMETERS, parameters.as_bytes(), IS_REQUIRED),
        (VIRTUAL_DISK_SIZE, &size, disk_flags),
        (VIRTUAL_DISK_ID, &disk, disk_flags),
        (LOGICAL_SECTOR_SIZE, logical.as_bytes(), disk_flags),
        (PHYSICAL_SECTOR_SIZE, physical.as_bytes(), disk_flags),
    ];
    let header = MetadataTableHeader {
        signature: METADATA_SIGNATURE,
        reserved: U16::ZERO,
        entry_count: 5.into(),
        reserved2: [0; 20],
    };
    let mut table = header.as_bytes().to_vec();
    let mut items = Vec::new();
    for (item_id, bytes, flags) in known {
        let entry = MetadataTableEntry {
            item_id,
            offset: small((METADATA_TABLE_BYTES + items.len()) as u64)?,
            length: small(bytes.len() as u64)?,
            flags: flags.into(),
            reserved2: U32::ZERO,
        };
        table.extend_from_slice(entry.as_bytes());
        items.extend_from_slice(bytes);
    }
    Ok((table, items))
}

/// Everything that is written here fits 32 bits: the BAT of the largest disk has 513 MiB.
fn small(number: u64) -> Result<U32, Error> {
    let too_large = |_| Error::new(Kind::Document, format!("{number} does not fit 32 bits"));
    u32::try_from(number).map(U32::new).map_err(too_large)
}
