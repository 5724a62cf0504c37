//! A directory's listing: entries in runs that share a header, and an index into long listings.
//!
//! Invariants: names are sorted by their bytes; a header begins in every metadata block that the
//! listing goes into, and the index names it, so that a name is found without reading all.

use zerocopy::IntoBytes as _;

use super::meta::MetaWriter;
use super::ondisk::{Entry, Header, Index, META};
use crate::engine::base::Error;
use crate::engine::base::tree::Name;

/// Entries that may share a header.
const MAX_RUN: usize = 256;

/// Entries of an index: what an inode can count.
const MAX_INDEX: usize = 65_535;

/// What an entry leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Metadata block << 16 | offset.
    pub(super) reference: u64,
    pub(super) number: u32,
    pub(super) kind: u16,
}

/// Where a listing came to lie.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) block: u32,
    pub(super) offset: u16,
    pub(super) len: u64,
    pub(super) index: Vec<u8>,
    pub(super) indexes: u16,
}

/// A run that is being filled.
#[derive(Default)]
struct Run<'a> {
    entries: Vec<u8>,
    count: usize,
    block: u32,
    number: u32,
    first: Option<&'a Name>,
    /// Bytes of the listing before it.
    at: u64,
}

/// Writes the listing of the entries.
pub(super) fn write<'a>(
    table: &mut MetaWriter,
    entries: impl Iterator<Item = (&'a Name, Target)>,
) -> Result<Listing, Error> {
    let (block, offset) = table.place()?;
    let mut listing = Listing { block, offset, ..Listing::default() };
    // The block that the newest header lies in.
    let mut known = block;
    let mut run = Run::default();
    for (name, target) in entries {
        let place = (target.reference >> 16) as u32;
        let delta = i64::from(target.number) - i64::from(run.number);
        let crossed = {
            let in_block = |at: u64| (u64::from(offset) + at) / META as u64;
            in_block(run.at) != in_block(listing.len)
        };
        let full = run.count == MAX_RUN || run.block != place || crossed;
        let mut delta16 = i16::try_from(delta);
        if run.count > 0 && (full || delta16.is_err()) {
            flush(table, &mut listing, &mut known, &run)?;
            run.count = 0;
        }
        if run.count == 0 {
            run = Run {
                block: place,
                number: target.number,
                first: Some(name),
                at: listing.len,
                ..Run::default()
            };
            listing.len += size_of::<Header>() as u64;
            delta16 = Ok(0);
        }
        let bytes = name.as_bytes();
        let entry = Entry {
            offset: (target.reference as u16).into(),
            delta: delta16.unwrap_or_default().into(),
            kind: target.kind.into(),
            name: (bytes.len() as u16 - 1).into(),
        };
        run.entries.extend_from_slice(entry.as_bytes());
        run.entries.extend_from_slice(bytes);
        run.count += 1;
        listing.len += (size_of::<Entry>() + bytes.len()) as u64;
    }
    if run.count > 0 {
        flush(table, &mut listing, &mut known, &run)?;
    }
    Ok(listing)
}

fn flush(
    table: &mut MetaWriter,
    listing: &mut Listing,
    known: &mut u32,
    run: &Run<'_>,
) -> Result<(), Error> {
    let (block, _) = table.place()?;
    if block != *known
        && usize::from(listing.indexes) < MAX_INDEX
        && let Some(first) = run.first
    {
        *known = block;
        let name = first.as_bytes();
        let index = Index {
            // OK to cast: a listing of more than 4 GiB is refused by its inode.
            position: (run.at as u32).into(),
            block: block.into(),
            name: (name.len() as u32 - 1).into(),
        };
        listing.index.extend_from_slice(index.as_bytes());
        listing.index.extend_from_slice(name);
        listing.indexes += 1;
    }
    let count = run.count as u32 - 1;
    table.put(&Header {
        count: count.into(),
        block: run.block.into(),
        number: run.number.into(),
    })?;
    table.put(run.entries.as_slice())
}
