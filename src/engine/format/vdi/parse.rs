//! Judges the header of an untrusted file.
//!
//! Opens nothing. Invariant: what `parse` accepts has a block map of at most `MOST_MAP` bytes that
//! lies inside the file, behind the header, and covers the disk.

use uuid::Uuid;
use zerocopy::FromBytes as _;

use super::ondisk::{
    Header, LEAST_HEADER, SIGNATURE, SIZE_FROM, TYPE_DIFF, TYPE_DYNAMIC, TYPE_STATIC, TYPE_UNDO,
    VERSION,
};
use super::{ENTRY, MOST_MAP};
use crate::engine::base::{Error, Kind, SectorSource};
use crate::units::SECTOR;

/// Smaller blocks than a page are nobody's.
const LEAST_BLOCK: u64 = 4096;

/// A judged header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed {
    pub(super) header: Header,
    /// Bytes of the disk: whole sectors.
    pub(super) size: u64,
    /// Bytes of a block, a power of two.
    pub(super) block: u64,
    pub(super) map_at: u64,
    /// Entries that the disk needs.
    pub(super) entries: u64,
    pub(super) data_at: u64,
}

/// Reads and judges the header of `source`.
pub(super) fn parse(source: &dyn SectorSource) -> Result<Parsed, Error> {
    let mut bytes = [0; size_of::<Header>()];
    if source.len() < bytes.len() as u64 {
        return Err(damaged(format!("{} bytes are too few for a header", source.len())));
    }
    source.read_at(0, &mut bytes)?;
    let header = Header::read_from_bytes(&bytes).map_err(|_| damaged("no header"))?;
    let signature = header.signature.get();
    if signature != SIGNATURE {
        return Err(damaged(format!("signature {signature:#010x}, not {SIGNATURE:#010x}")));
    }
    refuse(&header)?;
    let block = u64::from(header.block_size.get());
    let size = header.disk_size.get();
    // A part of a sector at the end counts as a sector, as in qemu.
    let Some(size) = size.checked_next_multiple_of(SECTOR) else {
        return Err(damaged(format!("disk size {size} is beyond all files")));
    };
    let (entries, blocks) = (size.div_ceil(block), header.blocks.get());
    if u64::from(blocks) < entries {
        return Err(damaged(format!(
            "{blocks} blocks of {block} bytes, but a disk of {size} bytes needs {entries}"
        )));
    }
    let map_bytes = entries * ENTRY;
    if map_bytes > MOST_MAP {
        return Err(unsupported(format!(
            "a disk of {size} bytes in blocks of {block} needs a block map of {map_bytes} bytes, \
             at most {MOST_MAP} are read"
        )));
    }
    let (map_at, data_at) = places(&header, map_bytes, source.len())?;
    Ok(Parsed { header, size, block, map_at, entries, data_at })
}

/// Refuses what this reader does not know.
fn refuse(header: &Header) -> Result<(), Error> {
    let version = header.version.get();
    if version >> 16 != VERSION >> 16 || version & 0xffff > VERSION & 0xffff {
        return Err(unsupported(format!(
            "version {}.{}, only 1.0 and 1.1 are known",
            version >> 16,
            version & 0xffff
        )));
    }
    let uuid = |bytes| Uuid::from_bytes_le(bytes);
    match header.image_type.get() {
        TYPE_DYNAMIC | TYPE_STATIC => {}
        kind @ (TYPE_UNDO | TYPE_DIFF) => {
            let name = if kind == TYPE_UNDO { "an undo" } else { "a differencing" };
            return Err(unsupported(format!(
                "image type {kind}: {name} disk, whose contents need the disk with the id {}; \
                 merge them first",
                uuid(header.uuid_link)
            )));
        }
        kind => {
            let message = format!("image type {kind}, allowed are 1 (dynamic), 2 (static)");
            return Err(damaged(message));
        }
    }
    for (name, id) in [("link", header.uuid_link), ("parent", header.uuid_parent)] {
        if id != [0; 16] {
            return Err(unsupported(format!(
                "{name} id {}: the disk builds on another, which is not read",
                uuid(id)
            )));
        }
    }
    let sector = u64::from(header.sector_size.get());
    if sector != SECTOR {
        return Err(unsupported(format!("sector size {sector}, only {SECTOR} is known")));
    }
    let extra = header.block_extra.get();
    if extra != 0 {
        return Err(unsupported(format!("block extra data {extra}, only 0 is known")));
    }
    let block = u64::from(header.block_size.get());
    if !block.is_power_of_two() || block < LEAST_BLOCK {
        return Err(damaged(format!(
            "block size {block}, allowed are powers of two from {LEAST_BLOCK}"
        )));
    }
    Ok(())
}

/// Where the block map and the blocks lie.
fn places(header: &Header, map_bytes: u64, len: u64) -> Result<(u64, u64), Error> {
    let (size, map_at) = (header.header_size.get(), u64::from(header.map_offset.get()));
    let data_at = u64::from(header.data_offset.get());
    if size < LEAST_HEADER || SIZE_FROM + u64::from(size) > map_at {
        return Err(damaged(format!(
            "header size {size}, allowed are {LEAST_HEADER} and more, to the block map at {map_at}"
        )));
    }
    for (name, at) in [("block map", map_at), ("data", data_at)] {
        if !at.is_multiple_of(SECTOR) {
            return Err(damaged(format!("{name} offset {at} is no multiple of {SECTOR}")));
        }
    }
    if map_at + map_bytes > len {
        return Err(damaged(format!(
            "block map offset {map_at}: its {map_bytes} bytes do not lie in the file of {len} bytes"
        )));
    }
    if map_at + map_bytes > data_at {
        return Err(damaged(format!(
            "data offset {data_at} lies in the header or in the block map, which ends at {}",
            map_at + map_bytes
        )));
    }
    Ok((map_at, data_at))
}

pub(super) fn damaged(message: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, message)
}

fn unsupported(message: String) -> Error {
    Error::new(Kind::Unsupported, message)
}
