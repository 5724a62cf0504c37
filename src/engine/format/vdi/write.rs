//! Writes VDI files.
//!
//! One pass over the medium; every byte is read once. Memory is the block map (4 MiB for 1 TiB) and
//! up to five batches of 2 MiB. Invariant: see the module; a file that was begun and not finished has no
//! header.

use uuid::Uuid;
use zerocopy::IntoBytes as _;
use zerocopy::little_endian::{U32, U64};

use super::ondisk::{
    Geometry, Header, SIGNATURE, TYPE_DYNAMIC, TYPE_STATIC, UNALLOCATED, VERSION, WHOLE_HEADER,
};
use super::{BLOCK, ENTRY, Params, Subformat};
use crate::engine::base::{Error, Kind, SectorSource, Work};
use crate::engine::format::Output;
use crate::engine::format::blocks::walk;
use crate::units::SECTOR;

/// Where the block map lies.
const MAP_AT: u64 = SECTOR;

/// Data begins at a whole MiB, so that a host's file system can share its blocks.
const DATA_ALIGN: u64 = 1 << 20;

/// Writes `source` to a sink that reads as zeros where nothing is written. A medium that is not
/// whole sectors, or too large, is refused before anything is written.
pub fn write(
    source: &dyn SectorSource,
    output: &Output<'_>,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    let size = params.virtual_size(source.len())?;
    // OK to cast: see `virtual_size`.
    let blocks = size.div_ceil(BLOCK) as u32;
    let data_at = (MAP_AT + u64::from(blocks) * ENTRY).next_multiple_of(DATA_ALIGN);
    work.progress.begin("writing vdi", source.len());
    let (mut map, mut next) = match params.subformat {
        Subformat::Dynamic => (vec![U32::new(UNALLOCATED); blocks as usize], 0),
        Subformat::Static => ((0..blocks).map(U32::new).collect(), blocks),
    };
    walk(source, BLOCK, 0, work, |piece| {
        let Some(entry) = map.get_mut(piece.block as usize) else {
            let message = format!("block {} is behind the end of the disk", piece.block);
            return Err(Error::new(Kind::Io, message));
        };
        if entry.get() == UNALLOCATED {
            entry.set(next);
            next += 1;
        }
        let at = data_at + u64::from(entry.get()) * BLOCK + piece.within;
        output.sink.write_at(at, piece.bytes)
    })?;
    output.sink.set_len(data_at + u64::from(next) * BLOCK)?;
    if !map.is_empty() {
        output.sink.write_at(MAP_AT, map.as_bytes())?;
    }
    let id = output.label.id;
    let uuid = |what: &[u8]| Uuid::new_v5(&id, what).to_bytes_le();
    let header = Header {
        text: text(),
        signature: U32::new(SIGNATURE),
        version: U32::new(VERSION),
        header_size: U32::new(WHOLE_HEADER),
        image_type: U32::new(match params.subformat {
            Subformat::Dynamic => TYPE_DYNAMIC,
            Subformat::Static => TYPE_STATIC,
        }),
        flags: U32::ZERO,
        description: [0; 256],
        map_offset: U32::new(MAP_AT as u32),
        // OK to cast: a map has at most 64 MiB.
        data_offset: U32::new(data_at as u32),
        legacy_geometry: [U32::ZERO; 3],
        sector_size: U32::new(SECTOR as u32),
        unused: U32::ZERO,
        disk_size: U64::new(size),
        block_size: U32::new(BLOCK as u32),
        block_extra: U32::ZERO,
        blocks: U32::new(blocks),
        blocks_allocated: U32::new(next),
        uuid_image: uuid(b"vdi"),
        uuid_last_snapshot: uuid(b"vdi last snapshot"),
        uuid_link: [0; 16],
        uuid_parent: [0; 16],
    };
    let geometry = Geometry {
        cylinders: U32::ZERO,
        heads: U32::ZERO,
        sectors: U32::ZERO,
        sector_size: U32::new(SECTOR as u32),
    };
    output.sink.write_at(size_of::<Header>() as u64, geometry.as_bytes())?;
    output.sink.write_at(0, header.as_bytes())
}

/// What `file` and people see.
fn text() -> [u8; 64] {
    let mut text = [0; 64];
    for (place, byte) in text.iter_mut().zip(b"<<< vmimage Virtual Disk Image >>>\n") {
        *place = *byte;
    }
    text
}
