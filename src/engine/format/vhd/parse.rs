//! Finds and judges the footer and the header of an untrusted file.
//!
//! Opens nothing that they name. Invariant: what `parse` accepts has a size, and for a dynamic disk
//! a table of at most `MOST_TABLE` bytes that lies inside the file and covers that size.

use zerocopy::FromBytes as _;

use super::geometry::size_of_disk;
use super::ondisk::{
    DynamicHeader, FOOTER_COOKIE, Footer, HEADER_COOKIE, SHORT_FOOTER, TYPE_DIFFERENCING,
    TYPE_DYNAMIC, TYPE_FIXED, VERSION,
};
use super::{MOST, parent};
use crate::engine::base::{Error, Kind, SectorSource};
use crate::units::SECTOR;

/// The longest table that is held: 2040 GiB in blocks of 256 KiB.
const MOST_TABLE: u64 = 32 << 20;

/// The bitmap of a smaller block would not fill a byte; readers disagree about its length then.
const LEAST_BLOCK: u64 = 8 * SECTOR;

/// Bytes of a whole footer.
pub(super) const FOOTER: u64 = size_of::<Footer>() as u64;

/// A judged file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed {
    pub(super) footer: Footer,
    /// Where the data ends at the latest: at the footer, or at the end of the file if it is lost.
    pub(super) data_end: u64,
    /// What is wrong with the footer at the end, if the copy was used instead.
    pub(super) lost: Option<&'static str>,
    /// Bytes of the disk.
    pub(super) size: u64,
    /// Whether the footer tells them exactly.
    pub(super) exact: bool,
    /// None for a fixed disk.
    pub(super) dynamic: Option<Dynamic>,
}

/// Where the blocks of a dynamic disk are found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dynamic {
    pub(super) header_at: u64,
    pub(super) table_at: u64,
    /// Entries that the disk needs.
    pub(super) entries: u64,
    /// Entries that the table has.
    pub(super) max_entries: u32,
    /// Bytes of a block, a power of two.
    pub(super) block: u64,
    /// Bytes of the bitmap before each block.
    pub(super) bitmap: u64,
}

/// A footer as found.
pub(super) enum Found {
    /// No cookie.
    None,
    /// A cookie, but a wrong checksum, which is told.
    Broken(String),
    Good(Box<Footer>),
}

/// Reads and judges `source`.
pub(super) fn parse(source: &dyn SectorSource) -> Result<Parsed, Error> {
    let (footer, data_end, lost) = find(source)?;
    if footer.version.get() >> 16 != VERSION >> 16 {
        return Err(unsupported(format!(
            "footer version {:#010x}, only 1.x is known",
            footer.version.get()
        )));
    }
    let (size, exact) = size_of_disk(&footer);
    let disk_type = footer.disk_type.get();
    let dynamic = match disk_type {
        TYPE_FIXED => None,
        TYPE_DYNAMIC => Some(dynamic(source, &footer, size)?),
        TYPE_DIFFERENCING => {
            let header = header(source, footer.data_offset.get()).ok();
            return Err(parent::refusal(source, header.as_ref()));
        }
        _ => {
            let message = format!("disk type {disk_type}, allowed are 2 (fixed), 3 (dynamic)");
            return Err(damaged(message));
        }
    };
    if dynamic.is_none() && size > data_end {
        let told = if exact { "current size" } else { "geometry" };
        return Err(damaged(format!(
            "a fixed disk of {size} bytes by its {told}, but the file has {data_end} before its \
             footer"
        )));
    }
    Ok(Parsed { footer, data_end, lost, size, exact, dynamic })
}

/// The footer that counts, where the data ends, and what is wrong with the one at the end. The one
/// at the end counts: the first sectors of a fixed disk are its guest's to write.
fn find(source: &dyn SectorSource) -> Result<(Footer, u64, Option<&'static str>), Error> {
    let len = source.len();
    let (at_end, data_end) = match footer_at(source, len.saturating_sub(FOOTER))? {
        Found::None => {
            let short = len.saturating_sub(SHORT_FOOTER);
            (footer_at(source, short)?, short)
        }
        found => (found, len.saturating_sub(FOOTER)),
    };
    let (why, lost) = match at_end {
        Found::Good(footer) => {
            agree(source, &footer)?;
            return Ok((*footer, data_end, None));
        }
        Found::None => (
            "no footer: neither the last 512 bytes, nor the last 511, nor the first 512 \
             begin with \"conectix\""
                .to_owned(),
            "missing",
        ),
        Found::Broken(why) => (why, "broken"),
    };
    match footer_at(source, 0)? {
        Found::Good(copy) if copy.disk_type.get() != TYPE_FIXED => Ok((*copy, len, Some(lost))),
        Found::Broken(why) if lost == "missing" => Err(damaged(why)),
        _ => Err(damaged(why)),
    }
}

/// Refuses a dynamic disk whose footer and its copy disagree about what the disk is: programs that
/// read one or the other would see different disks.
fn agree(source: &dyn SectorSource, footer: &Footer) -> Result<(), Error> {
    if footer.disk_type.get() == TYPE_FIXED {
        return Ok(());
    }
    let Found::Good(copy) = footer_at(source, 0)? else { return Ok(()) };
    let shape = |footer: &Footer| {
        (footer.disk_type.get(), footer.data_offset.get(), size_of_disk(footer).0)
    };
    if shape(footer) == shape(&copy) {
        return Ok(());
    }
    let tell = |(kind, offset, size)| format!("type {kind}, header at {offset}, {size} bytes");
    Err(damaged(format!(
        "the footer and its copy at offset 0 disagree: {} and {}",
        tell(shape(footer)),
        tell(shape(&copy))
    )))
}

/// The footer at `at`, which lacks its last byte where the file ends before it.
pub(super) fn footer_at(source: &dyn SectorSource, at: u64) -> Result<Found, Error> {
    let mut bytes = [0; size_of::<Footer>()];
    let there = source.len().saturating_sub(at).min(FOOTER);
    if there < SHORT_FOOTER {
        return Ok(Found::None);
    }
    source.read_at(at, bytes.get_mut(..there as usize).unwrap_or_default())?;
    let Ok(footer) = Footer::read_from_bytes(&bytes) else { return Ok(Found::None) };
    if footer.cookie != FOOTER_COOKIE {
        return Ok(Found::None);
    }
    let (found, wanted) = (footer.checksum.get(), footer.sum());
    if found != wanted {
        return Ok(Found::Broken(format!(
            "footer at offset {at}: checksum {found:#010x}, but its bytes give {wanted:#010x}"
        )));
    }
    Ok(Found::Good(Box::new(footer)))
}

/// The header at `at`, with its cookie and checksum judged.
fn header(source: &dyn SectorSource, at: u64) -> Result<DynamicHeader, Error> {
    let len = size_of::<DynamicHeader>() as u64;
    if at.checked_add(len).is_none_or(|end| end > source.len()) {
        return Err(damaged(format!(
            "footer: data offset {at}: the {len} bytes of the dynamic header there do not lie in \
             the file of {} bytes",
            source.len()
        )));
    }
    let mut bytes = [0; size_of::<DynamicHeader>()];
    source.read_at(at, &mut bytes)?;
    let header =
        DynamicHeader::read_from_bytes(&bytes).map_err(|_| damaged("no dynamic header"))?;
    if header.cookie != HEADER_COOKIE {
        let cookie = header.cookie.escape_ascii();
        return Err(damaged(format!(
            "dynamic header at offset {at}: cookie \"{cookie}\", not \"cxsparse\""
        )));
    }
    let (found, wanted) = (header.checksum.get(), header.sum());
    if found != wanted {
        return Err(damaged(format!(
            "dynamic header at offset {at}: checksum {found:#010x}, but its bytes give \
             {wanted:#010x}"
        )));
    }
    Ok(header)
}

/// Judges the header of a dynamic disk of `size` bytes.
fn dynamic(source: &dyn SectorSource, footer: &Footer, size: u64) -> Result<Dynamic, Error> {
    let header_at = footer.data_offset.get();
    let header = header(source, header_at)?;
    if header.header_version.get() >> 16 != VERSION >> 16 {
        let version = header.header_version.get();
        return Err(unsupported(format!("header version {version:#010x}, only 1.x is known")));
    }
    if size > MOST {
        return Err(damaged(format!("a dynamic disk of {size} bytes, at most {MOST} are allowed")));
    }
    let block = u64::from(header.block_size.get());
    if !block.is_power_of_two() || block < LEAST_BLOCK {
        return Err(damaged(format!(
            "dynamic header: block size {block}, allowed are powers of two from {LEAST_BLOCK}"
        )));
    }
    let (entries, max_entries) = (size.div_ceil(block), header.max_table_entries.get());
    if u64::from(max_entries) < entries {
        return Err(damaged(format!(
            "dynamic header: max table entries {max_entries}, but a disk of {size} bytes needs \
             {entries}"
        )));
    }
    let bytes = entries * 4;
    if bytes > MOST_TABLE {
        return Err(unsupported(format!(
            "dynamic header: block size {block} needs a table of {bytes} bytes, at most \
             {MOST_TABLE} are read"
        )));
    }
    let table_at = header.table_offset.get();
    if table_at.checked_add(bytes).is_none_or(|end| end > source.len()) {
        return Err(damaged(format!(
            "dynamic header: table offset {table_at}: the {bytes} bytes of the table do not lie in \
             the file of {} bytes",
            source.len()
        )));
    }
    let bitmap = (block / SECTOR).div_ceil(8).next_multiple_of(SECTOR);
    Ok(Dynamic { header_at, table_at, entries, max_entries, block, bitmap })
}

pub(super) fn damaged(message: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, message)
}

fn unsupported(message: String) -> Error {
    Error::new(Kind::Unsupported, message)
}
