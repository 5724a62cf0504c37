//! What stands behind the fields of an untrusted header: its extensions and the backing file's
//! name.
//!
//! Opens nothing. Invariant: nothing is taken from outside of the first cluster.

use zerocopy::FromBytes as _;

use super::names::shown;
use super::ondisk::{
    AUTOCLEAR_BITMAPS, BitmapsExtension, EXTENSION_BACKING_FORMAT, EXTENSION_BITMAPS,
    EXTENSION_DATA_FILE, EXTENSION_END, Extension, HeaderV2, MAX_BACKING_NAME,
};
use super::parse::{Features, damaged};
use crate::engine::base::Error;

/// The files that a header names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) backing: Option<Vec<u8>>,
    pub(super) backing_format: Option<Vec<u8>>,
    /// Whether the data lies in another file, named or not.
    pub(super) has_data_file: bool,
    pub(super) data_file: Option<Vec<u8>>,
}

/// Where the directory of the bitmaps lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bitmaps {
    pub(super) count: u32,
    pub(super) size: u64,
    pub(super) offset: u64,
}

/// Reads extensions and names from `head`, the first cluster.
pub(super) fn extensions(
    head: &[u8],
    header: &HeaderV2,
    features: &Features,
) -> Result<(Names, Option<Bitmaps>), Error> {
    let backing = backing(head, header, features)?;
    let end = match header.backing_file_offset.get() {
        0 => head.len(),
        offset => head.len().min(offset as usize),
    };
    let mut names = Names { backing, has_data_file: features.has_data_file(), ..Names::default() };
    let mut bitmaps = None;
    let mut at = features.header_length as usize;
    while let Some((extension, data)) =
        head.get(at..end).and_then(|b| Extension::read_from_prefix(b).ok())
    {
        let (kind, length) = (extension.kind.get(), extension.length.get() as usize);
        if kind == EXTENSION_END {
            break;
        }
        let Some(data) = data.get(..length) else {
            return Err(damaged(format!(
                "header extension {kind:#010x} at offset {at} has {length} bytes, there is room \
                 for {}",
                data.len()
            )));
        };
        match kind {
            EXTENSION_BACKING_FORMAT => names.backing_format = Some(data.to_vec()),
            EXTENSION_DATA_FILE => names.data_file = Some(data.to_vec()),
            EXTENSION_BITMAPS if features.autoclear & AUTOCLEAR_BITMAPS != 0 => {
                bitmaps = Some(directory(data)?);
            }
            _ => {}
        }
        at += size_of::<Extension>() + length.next_multiple_of(8);
    }
    Ok((names, bitmaps))
}

fn backing(head: &[u8], header: &HeaderV2, features: &Features) -> Result<Option<Vec<u8>>, Error> {
    let (offset, length) = (header.backing_file_offset.get(), header.backing_file_size.get());
    if offset == 0 {
        return Ok(None);
    }
    let end = offset.checked_add(u64::from(length)).and_then(|end| usize::try_from(end).ok());
    let name = end.and_then(|end| head.get(offset as usize..end));
    match name {
        Some(name)
            if (1..=MAX_BACKING_NAME).contains(&length)
                && offset >= u64::from(features.header_length) =>
        {
            Ok(Some(name.to_vec()))
        }
        _ => Err(damaged(format!(
            "a backing file name of {length} bytes at offset {offset}; names have 1 to \
             {MAX_BACKING_NAME} bytes and lie between the header, which ends at {}, and the end \
             of the first cluster at {}",
            features.header_length,
            head.len()
        ))),
    }
}

fn directory(data: &[u8]) -> Result<Bitmaps, Error> {
    let Ok(found) = BitmapsExtension::read_from_bytes(data) else {
        return Err(damaged(format!("a bitmaps extension of {} bytes, not 24", data.len())));
    };
    Ok(Bitmaps {
        count: found.nb_bitmaps.get(),
        size: found.bitmap_directory_size.get(),
        offset: found.bitmap_directory_offset.get(),
    })
}

impl Names {
    /// The names for people.
    pub(super) fn shown(&self) -> (Option<String>, Option<String>) {
        let text = |name: &Option<Vec<u8>>| name.as_deref().map(shown);
        (text(&self.backing), text(&self.data_file))
    }
}
