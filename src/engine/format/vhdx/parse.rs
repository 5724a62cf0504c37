//! Judges the headers, the region table and the metadata of an untrusted VHDX file.
//!
//! Reads no block and no BAT. Invariant: what it returns is consistent: both regions lie in the
//! file, outside of the header section, of the log and of each other, the BAT's is long enough for
//! the disk, and block size, sector sizes and disk size are in the format's limits.

use std::sync::Arc;

use uuid::Uuid;
use zerocopy::FromBytes as _;

use super::geometry::Geometry;
use super::log::{self, Replayed};
use super::metadata::{self, Metadata};
use super::ondisk::{
    BAT_REGION, FILE_SIGNATURE, FileIdentifier, HEADER_BYTES, HEADER_OFFSETS, HEADER_SIGNATURE,
    Header, MAX_ENTRIES, METADATA_REGION, MIB, REGION_SIGNATURE, REGION_TABLE_BYTES,
    REGION_TABLE_OFFSETS, RegionTableEntry, RegionTableHeader, checksum,
};
use crate::engine::base::{Error, Extent, Kind, SectorSource};

/// Everything that the headers of a file say.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The file, with the log replayed.
    pub(super) source: Arc<dyn SectorSource>,
    /// Who made the file, by its own words.
    pub(super) creator: String,
    pub(super) header: Header,
    /// How many entries of the log were replayed.
    pub(super) replayed: usize,
    pub(super) geometry: Geometry,
    pub(super) metadata: Metadata,
    pub(super) bat: Extent,
    pub(super) metadata_region: Extent,
    /// The log, the metadata, the BAT and regions that are not known.
    pub(super) taken: Vec<(&'static str, Extent)>,
}

/// A file that is damaged.
pub(super) fn damaged(message: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, format!("the VHDX file is damaged: {}", message.into()))
}

/// A file that is not read.
pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(Kind::Unsupported, format!("the VHDX file is not supported: {}", message.into()))
}

/// A GUID as people write it.
pub(super) fn guid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes_le(bytes)
}

/// Judges everything before the BAT.
pub(super) fn parse(source: Arc<dyn SectorSource>) -> Result<Parsed, Error> {
    if source.len() < MIB {
        let message = format!("{} bytes are shorter than its headers, {MIB}", source.len());
        return Err(damaged(message));
    }
    let creator = creator(&*source)?;
    let header = current_header(&*source)?;
    let log = log_extent(&header, source.len())?;
    let (source, replayed) = match log::replay(&source, &header)? {
        None => (source, 0),
        Some(Replayed { overlay, entries }) => (overlay as Arc<dyn SectorSource>, entries),
    };
    let regions = regions(&*source, log)?;
    let bat = regions.bat;
    let metadata = metadata::parse(&*source, regions.metadata)?;
    let geometry = metadata.geometry()?;
    if geometry.bat_bytes() > bat.len() {
        let message = format!(
            "the region of the BAT has {} bytes, but a disk of {} bytes in blocks of {} needs {}",
            bat.len(),
            geometry.virtual_size(),
            geometry.block(),
            geometry.bat_bytes()
        );
        return Err(damaged(message));
    }
    Ok(Parsed {
        source,
        creator,
        header,
        replayed,
        geometry,
        metadata,
        bat,
        metadata_region: regions.metadata,
        taken: regions.taken,
    })
}

/// Who made the file.
fn creator(source: &dyn SectorSource) -> Result<String, Error> {
    let mut bytes = [0; size_of::<FileIdentifier>()];
    source.read_at(0, &mut bytes)?;
    let identifier = zerocopy::transmute_ref!(&bytes);
    let FileIdentifier { signature, creator } = identifier;
    if *signature != FILE_SIGNATURE {
        let message = format!(
            "it begins with \"{}\", not \"{}\"",
            signature.escape_ascii(),
            FILE_SIGNATURE.escape_ascii()
        );
        return Err(damaged(message));
    }
    let units: Vec<u16> =
        creator.iter().map(|unit| unit.get()).take_while(|unit| *unit != 0).collect();
    Ok(String::from_utf16_lossy(&units))
}

/// The bytes of a header or a region table if signature and checksum are right; else why not.
pub(super) fn sealed(
    source: &dyn SectorSource,
    offset: u64,
    len: usize,
    signature: [u8; 4],
) -> Result<Result<Vec<u8>, String>, Error> {
    let mut bytes = vec![0; len];
    source.read_at(offset, &mut bytes)?;
    let found = bytes.first_chunk::<4>().copied().unwrap_or_default();
    if found != signature {
        return Ok(Err(format!(
            "at {offset}: the signature is \"{}\", not \"{}\"",
            found.escape_ascii(),
            signature.escape_ascii()
        )));
    }
    let stored = bytes.get(4..8).and_then(|field| field.first_chunk::<4>());
    let (stored, actual) = (u32::from_le_bytes(*stored.unwrap_or(&[0; 4])), checksum(&bytes));
    if stored != actual {
        return Ok(Err(format!("at {offset}: the checksum is {stored:#010x}, not {actual:#010x}")));
    }
    Ok(Ok(bytes))
}

/// The valid header with the greater sequence number (section 2.2.2).
fn current_header(source: &dyn SectorSource) -> Result<Header, Error> {
    let [first, second] = HEADER_OFFSETS.map(|offset| header_at(source, offset));
    let header = match (first?, second?) {
        (Err(first), Err(second)) => {
            return Err(damaged(format!("both headers are bad: {first}; {second}")));
        }
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => only,
        (Ok(first), Ok(second)) => {
            let (one, other) = (first.sequence_number.get(), second.sequence_number.get());
            if one == other && first.checksum != second.checksum {
                let message = format!("both headers have SequenceNumber {one}, but they differ");
                return Err(damaged(message));
            }
            if one < other { second } else { first }
        }
    };
    if header.version.get() != 1 {
        let message = format!("the header's Version is {}, known is 1", header.version);
        return Err(unsupported(message));
    }
    if header.log_version.get() != 0 && header.log_guid != [0; 16] {
        let message = format!("the header's LogVersion is {}, known is 0", header.log_version);
        return Err(unsupported(message));
    }
    Ok(header)
}

/// A header, or why it is not valid.
pub(super) fn header_at(
    source: &dyn SectorSource,
    offset: u64,
) -> Result<Result<Header, String>, Error> {
    let bytes = match sealed(source, offset, HEADER_BYTES, HEADER_SIGNATURE)? {
        Ok(bytes) => bytes,
        Err(why) => return Ok(Err(why)),
    };
    let header = Header::read_from_prefix(&bytes).map(|(header, _)| header);
    Ok(header.map_err(|_| format!("at {offset}: it is too short")))
}

/// Where the log lies; None if there is none.
fn log_extent(header: &Header, len: u64) -> Result<Option<Extent>, Error> {
    let (offset, length) = (header.log_offset.get(), u64::from(header.log_length.get()));
    if length == 0 {
        return Ok(None);
    }
    place("the log", offset, length, len).map(Some)
}

/// An extent that must be whole MiB, behind the header section and in the file.
fn place(what: &str, offset: u64, length: u64, len: u64) -> Result<Extent, Error> {
    let whole = offset.is_multiple_of(MIB) && length.is_multiple_of(MIB);
    let end = offset.checked_add(length).filter(|end| *end <= len);
    match end.and_then(|end| Extent::new(offset, end)) {
        Some(extent) if whole && offset >= MIB => Ok(extent),
        _ => Err(damaged(format!(
            "{what} has {length} bytes at {offset}: not whole MiB between the headers and the end \
             of the file at {len}"
        ))),
    }
}

/// Where everything but the blocks lies.
struct Regions {
    bat: Extent,
    metadata: Extent,
    taken: Vec<(&'static str, Extent)>,
}

/// Judges the first region table that is valid.
fn regions(source: &dyn SectorSource, log: Option<Extent>) -> Result<Regions, Error> {
    let [first, second] = REGION_TABLE_OFFSETS
        .map(|offset| sealed(source, offset, REGION_TABLE_BYTES, REGION_SIGNATURE));
    let table = match (first?, second?) {
        (Ok(table), _) | (Err(_), Ok(table)) => table,
        (Err(first), Err(second)) => {
            return Err(damaged(format!("both region tables are bad: {first}; {second}")));
        }
    };
    let mut taken: Vec<(&'static str, Extent)> = Vec::new();
    taken.extend(log.map(|log| ("the log", log)));
    let (mut bat, mut metadata) = (None, None);
    for entry in entries(&table)? {
        let required = entry.required.get() & 1 == 1;
        let (offset, length) = (entry.file_offset.get(), u64::from(entry.length.get()));
        let (what, known) = match entry.guid {
            BAT_REGION => ("the region of the BAT", Some(&mut bat)),
            METADATA_REGION => ("the region of the metadata", Some(&mut metadata)),
            other if required => {
                let message =
                    format!("it requires the region {{{}}}, which is not known", guid(other));
                return Err(unsupported(message));
            }
            _ => ("a region that is not known", None),
        };
        let extent = place(what, offset, length, source.len())?;
        if let Some(known) = known
            && known.replace(extent).is_some()
        {
            return Err(damaged(format!("{what} is there twice")));
        }
        taken.push((what, extent));
    }
    disjoint(&taken)?;
    let missing = |what: &str| damaged(format!("the region table does not name {what}"));
    Ok(Regions {
        bat: bat.ok_or_else(|| missing("the BAT"))?,
        metadata: metadata.ok_or_else(|| missing("the metadata"))?,
        taken,
    })
}

/// The entries of a region table.
fn entries(table: &[u8]) -> Result<Vec<RegionTableEntry>, Error> {
    let short = || damaged("the region table is too short");
    let (header, rest) = RegionTableHeader::ref_from_prefix(table).map_err(|_| short())?;
    let count = header.entry_count.get();
    if count > MAX_ENTRIES {
        let message = format!("the region table has {count} entries, at most {MAX_ENTRIES} fit");
        return Err(damaged(message));
    }
    let (entries, _) = <[RegionTableEntry]>::ref_from_prefix_with_elems(rest, count as usize)
        .map_err(|_| short())?;
    Ok(entries.to_vec())
}

/// Refuses extents that overlap.
fn disjoint(taken: &[(&'static str, Extent)]) -> Result<(), Error> {
    let mut sorted = taken.to_vec();
    sorted.sort_by_key(|(_, extent)| *extent);
    for pair in sorted.windows(2) {
        let [(one, first), (other, second)] = pair else { continue };
        if first.end() > second.start() {
            let message = format!(
                "{one} at {}..{} and {other} at {}..{} overlap",
                first.start(),
                first.end(),
                second.start(),
                second.end()
            );
            return Err(damaged(message));
        }
    }
    Ok(())
}
