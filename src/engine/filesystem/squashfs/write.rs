//! A squashfs as a whole: data and tables in their order, and the superblock over them.
//!
//! Invariant: a table's index lies right behind its blocks, and the next table right behind that:
//! Linux finds out the length of each by where the next one begins.

use std::sync::Arc;

use zerocopy::IntoBytes as _;

use super::codec::{Compression, Packer};
use super::data;
use super::inodes::{Order, Tables, seconds};
use super::meta::MetaWriter;
use super::ondisk::{
    DUPLICATES, EXPORTABLE, Lz4Options, MAGIC, META_STORED, NO_ATTRIBUTES, NO_FRAGMENTS, NONE64,
    OPTIONS, RAW_ATTRIBUTES, RAW_DATA, RAW_FRAGMENTS, RAW_IDS, RAW_INODES, Superblock,
};
use super::{Params, Planned, Request};
use crate::engine::base::tree::Tree;
use crate::engine::base::{
    Error, Kind, Padded, Placement, PositionalSink as _, SectorSource, Spool,
};
use crate::engine::filesystem::Room;

/// What the length is padded to, so that loop devices take it.
const PAD: u64 = 4096;

/// A squashfs in the scratch directory.
#[derive(Debug)]
struct Written {
    spool: Arc<Spool>,
    len: u64,
}

impl Planned for Written {
    fn len(&self) -> u64 {
        self.len
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn render(self: Box<Self>, _: &Placement) -> Result<Arc<dyn SectorSource>, Error> {
        Ok(Arc::new(Padded::new(self.spool, self.len)?))
    }
}

pub(super) fn plan(params: &Params, request: &Request<'_>) -> Result<Box<dyn Planned>, Error> {
    check(params, request)?;
    let spool = request.scratch.spool()?;
    let used = write(params, request, &spool)?;
    let len = room(params, request.room, used)?;
    spool.set_len(used)?;
    Ok(Box::new(Written { spool: Arc::new(spool), len }))
}

fn check(params: &Params, request: &Request<'_>) -> Result<(), Error> {
    let refused = |message: String| Err(Error::new(Kind::Document, message));
    if !params.block_size.is_power_of_two() || !(4096..=1 << 20).contains(&params.block_size) {
        return refused(format!(
            "squashfs blocks of {} bytes: 4096 to 1048576 are allowed, a power of two",
            params.block_size
        ));
    }
    if let Some(label) = &request.identity.label {
        return refused(format!("a squashfs has no label: \"{label}\" cannot be stored"));
    }
    if let Some(uuid) = &request.identity.uuid {
        return refused(format!("a squashfs has no UUID: \"{uuid}\" cannot be stored"));
    }
    Ok(())
}

/// Bytes of the whole, if `used` are taken.
fn room(params: &Params, room: Room, used: u64) -> Result<u64, Error> {
    match room {
        Room::Exactly(len) if len < used => {
            let message = format!("the squashfs needs {used} bytes, its place has {len}");
            Err(Error::new(Kind::Document, message))
        }
        Room::Exactly(len) => Ok(len),
        Room::Fit { percent, bytes } => {
            let more = u128::from(used) * u128::from(percent) / 100 + u128::from(bytes);
            let pad = if params.pad { PAD } else { 1 };
            let len = u64::try_from(u128::from(used) + more).ok();
            let len = len.and_then(|len| len.checked_next_multiple_of(pad));
            len.ok_or_else(|| {
                let message = format!("{used} bytes and {more} more are more than 2^64");
                Error::new(Kind::Document, message)
            })
        }
    }
}

/// Writes tables one behind the other.
struct Tail<'a> {
    spool: &'a Spool,
    at: u64,
}

impl Tail<'_> {
    /// Appends bytes; where they begin.
    fn put(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        let at = self.at;
        self.spool.write_at(at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(at)
    }

    /// Appends a table; where it begins.
    fn table(&mut self, table: MetaWriter) -> Result<u64, Error> {
        self.put(&table.finish()?.0)
    }

    /// Appends a table, then where each of its blocks lies; where that list begins.
    fn indexed(&mut self, table: MetaWriter) -> Result<u64, Error> {
        let (bytes, blocks) = table.finish()?;
        let start = self.put(&bytes)?;
        let list: Vec<u8> = blocks.iter().flat_map(|block| (start + block).to_le_bytes()).collect();
        self.put(&list)
    }
}

/// Writes all of it; how many bytes it takes.
fn write(params: &Params, request: &Request<'_>, spool: &Spool) -> Result<u64, Error> {
    let tree: &Tree = &request.tree;
    let packer = || Packer::new(params.compression, params.block_size);
    let options = options(params.compression);
    let start = (size_of::<Superblock>() + options.len()) as u64;
    spool.write_at(size_of::<Superblock>() as u64, &options)?;
    let order = Order::new(tree);
    let data = data::write(params, tree, &order.files, request.work, (spool, start))?;
    let mut tables = Tables::new(params, tree, &order, &data, packer)?;
    tables.fill()?;
    let mut export = MetaWriter::new(packer()?);
    if params.export {
        tables.export(&mut export)?;
    }
    let root = tables.place(Tree::ROOT);
    let Tables { inodes, directories, sets, ids, .. } = tables;
    let mut tail = Tail { spool, at: data.end };
    let inode_table = tail.table(inodes)?;
    let directory_table = tail.table(directories)?;
    let mut fragments = MetaWriter::new(packer()?);
    fragments.put(data.fragments.as_slice())?;
    let fragment_table = tail.indexed(fragments)?;
    let export_table = if params.export { tail.indexed(export)? } else { NONE64 };
    let mut owners = MetaWriter::new(packer()?);
    ids.iter().try_for_each(|id| owners.put(&id.to_le_bytes()))?;
    let id_table = tail.indexed(owners)?;
    let attributes = sets.finish(tail.at, packer()?)?;
    let mut attribute_table = NONE64;
    if let Some((bytes, found)) = attributes {
        tail.put(&bytes)?;
        attribute_table = found;
    }
    let superblock = Superblock {
        magic: MAGIC.into(),
        inodes: (order.nodes.len() as u32).into(),
        made: seconds(request.time).into(),
        block_size: params.block_size.into(),
        fragments: (data.fragments.len() as u32).into(),
        compressor: (params.compression.codec() as u16).into(),
        block_log: (params.block_size.trailing_zeros() as u16).into(),
        flags: flags(params, !options.is_empty()).into(),
        // OK to cast: `Tables` counts them in 16 bits.
        ids: (ids.len() as u16).into(),
        major: 4.into(),
        minor: 0.into(),
        root: root.into(),
        bytes_used: tail.at.into(),
        id_table: id_table.into(),
        attribute_table: attribute_table.into(),
        inode_table: inode_table.into(),
        directory_table: directory_table.into(),
        fragment_table: fragment_table.into(),
        export_table: export_table.into(),
    };
    spool.write_at(0, superblock.as_bytes())?;
    Ok(tail.at)
}

/// The block of options that lz4 must have; the others' options are defaults.
fn options(compression: Compression) -> Vec<u8> {
    if compression != Compression::Lz4 {
        return Vec::new();
    }
    let options = Lz4Options { version: 1.into(), flags: 0.into() };
    let len = size_of::<Lz4Options>() as u16 | META_STORED;
    [&len.to_le_bytes(), options.as_bytes()].concat()
}

fn flags(params: &Params, options: bool) -> u16 {
    let raw = RAW_INODES | RAW_DATA | RAW_FRAGMENTS | RAW_ATTRIBUTES | RAW_IDS;
    [
        (params.compression == Compression::None, raw),
        (!params.fragments, NO_FRAGMENTS),
        (params.duplicates, DUPLICATES),
        (params.export, EXPORTABLE),
        (!params.xattrs, NO_ATTRIBUTES),
        (options, OPTIONS),
    ]
    .iter()
    .filter(|(set, _)| *set)
    .fold(0, |flags, (_, flag)| flags | flag)
}
