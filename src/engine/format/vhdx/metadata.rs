//! Judges the metadata region of an untrusted VHDX file.
//!
//! Reads no other region. Invariants: no item is longer than 1 MiB or outside of the region; a
//! required item that is not known, and a parent, is refused by name.

use uuid::Uuid;
use zerocopy::FromBytes;

use super::geometry::Geometry;
use super::ondisk::{
    FILE_PARAMETERS, FileParameters, HAS_PARENT, IS_REQUIRED, IS_USER, IS_VIRTUAL_DISK,
    LEAVE_BLOCKS_ALLOCATED, LOGICAL_SECTOR_SIZE, MAX_ENTRIES, MAX_ITEM, METADATA_SIGNATURE,
    METADATA_TABLE_BYTES, MetadataTableEntry, MetadataTableHeader, PARENT_LOCATOR,
    PHYSICAL_SECTOR_SIZE, ParentLocatorEntry, ParentLocatorHeader, VIRTUAL_DISK_ID,
    VIRTUAL_DISK_SIZE,
};
use super::parse::{damaged, guid, unsupported};
use crate::engine::base::{Error, Extent, SectorSource};
use crate::engine::format::{Findings, Severity};
use crate::units::SECTOR;

/// The most characters of a parent's name that are shown.
const MOST_NAME: usize = 300;

/// The system items that are known, with their names and flags (section 2.6.2).
const KNOWN: [([u8; 16], &str, u32); 6] = [
    (FILE_PARAMETERS, "File Parameters", IS_REQUIRED),
    (VIRTUAL_DISK_SIZE, "Virtual Disk Size", IS_VIRTUAL_DISK | IS_REQUIRED),
    (VIRTUAL_DISK_ID, "Virtual Disk ID", IS_VIRTUAL_DISK | IS_REQUIRED),
    (LOGICAL_SECTOR_SIZE, "Logical Sector Size", IS_VIRTUAL_DISK | IS_REQUIRED),
    (PHYSICAL_SECTOR_SIZE, "Physical Sector Size", IS_VIRTUAL_DISK | IS_REQUIRED),
    (PARENT_LOCATOR, "Parent Locator", IS_REQUIRED),
];

/// What the metadata says about the disk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Metadata {
    pub(super) block_size: u32,
    /// Whether blocks stay allocated: a fixed file.
    pub(super) fixed: bool,
    pub(super) virtual_size: u64,
    pub(super) disk_id: Uuid,
    pub(super) physical_sector: u32,
}

impl Metadata {
    pub(super) fn geometry(&self) -> Result<Geometry, Error> {
        Geometry::new(self.block_size.into(), self.virtual_size).map_err(|e| damaged(e.to_string()))
    }
}

/// The name of a known item.
fn name(id: [u8; 16]) -> &'static str {
    KNOWN.iter().find(|(known, _, _)| *known == id).map_or("", |(_, name, _)| name)
}

/// Judges the metadata table and the known items.
pub(super) fn parse(source: &dyn SectorSource, region: Extent) -> Result<Metadata, Error> {
    let table = Table::read(source, region)?;
    table.refuse_unknown()?;
    let parameters: FileParameters = table.item(FILE_PARAMETERS)?;
    let flags = parameters.flags.get();
    if flags & HAS_PARENT != 0 {
        let name = table.parent()?;
        let message = format!("it is a differencing disk; its parent {name} is not opened");
        return Err(unsupported(message));
    }
    let logical = table.number(LOGICAL_SECTOR_SIZE)?;
    if logical == 4096 {
        let message = "its logical sectors have 4096 bytes: readers disagree about such disks, \
                       only 512 are read";
        return Err(unsupported(message));
    }
    if u64::from(logical) != SECTOR {
        return Err(damaged(format!("Logical Sector Size is {logical}, allowed are 512 and 4096")));
    }
    let physical = table.number(PHYSICAL_SECTOR_SIZE)?;
    if ![512, 4096].contains(&physical) {
        let message = format!("Physical Sector Size is {physical}, allowed are 512 and 4096");
        return Err(damaged(message));
    }
    let size: [u8; 8] = table.item(VIRTUAL_DISK_SIZE)?;
    Ok(Metadata {
        block_size: parameters.block_size.get(),
        fixed: flags & LEAVE_BLOCKS_ALLOCATED != 0,
        virtual_size: u64::from_le_bytes(size),
        disk_id: guid(table.item(VIRTUAL_DISK_ID)?),
        physical_sector: physical,
    })
}

/// Judges what reading does not look at: what must be zero, and the flags of known items.
pub(super) fn judge(
    source: &dyn SectorSource,
    region: Extent,
    findings: &mut Findings,
) -> Result<(), Error> {
    let table = Table::read(source, region)?;
    let at = region.start();
    if !table.header_is_plain {
        findings.add(Severity::Error, at, "reserved fields of the metadata table are not zero");
    }
    let first = at + size_of::<MetadataTableHeader>() as u64;
    for (entry, index) in table.entries.iter().zip(0..) {
        let at = first + index * size_of::<MetadataTableEntry>() as u64;
        let (id, flags) = (guid(entry.item_id), entry.flags.get());
        let known = KNOWN.iter().find(|(id, _, _)| *id == entry.item_id);
        let mut bad = |what: &str| {
            findings.add(Severity::Error, at, format!("the metadata item {{{id}}}: {what}"));
        };
        if flags & !(IS_USER | IS_VIRTUAL_DISK | IS_REQUIRED) != 0 || entry.reserved2.get() != 0 {
            bad("reserved bits are set");
        } else if let Some((_, _, wanted)) = known
            && flags != *wanted
        {
            bad(&format!("the flags are {flags}, not {wanted}"));
        }
    }
    table.judge_places(findings);
    let parameters: FileParameters = table.item(FILE_PARAMETERS)?;
    if parameters.flags.get() & !(LEAVE_BLOCKS_ALLOCATED | HAS_PARENT) != 0 {
        let message = format!("File Parameters has the flags {:#x}", parameters.flags);
        findings.add(Severity::Error, at, message);
    }
    Ok(())
}

/// The metadata table, with where its items are read from.
struct Table<'a> {
    source: &'a dyn SectorSource,
    region: Extent,
    entries: Vec<MetadataTableEntry>,
    /// Whether the reserved fields before the entries are zero.
    header_is_plain: bool,
}

impl<'a> Table<'a> {
    fn read(source: &'a dyn SectorSource, region: Extent) -> Result<Self, Error> {
        let mut bytes = vec![0; METADATA_TABLE_BYTES];
        source.read_at(region.start(), &mut bytes)?;
        let short = || damaged("the metadata table is too short");
        let (header, rest) = MetadataTableHeader::ref_from_prefix(&bytes).map_err(|_| short())?;
        if header.signature != METADATA_SIGNATURE {
            let message = format!(
                "the metadata table at {} begins with \"{}\", not \"{}\"",
                region.start(),
                header.signature.escape_ascii(),
                METADATA_SIGNATURE.escape_ascii()
            );
            return Err(damaged(message));
        }
        let count = header.entry_count.get();
        if u32::from(count) > MAX_ENTRIES {
            let message =
                format!("the metadata table has {count} entries, at most {MAX_ENTRIES} fit");
            return Err(damaged(message));
        }
        let (entries, _) = <[MetadataTableEntry]>::ref_from_prefix_with_elems(rest, count.into())
            .map_err(|_| short())?;
        let header_is_plain = header.reserved.get() == 0 && header.reserved2 == [0; 20];
        Ok(Self { source, region, entries: entries.to_vec(), header_is_plain })
    }

    /// Judges that no item is there twice, and that they lie in the region and not in each other.
    fn judge_places(&self, findings: &mut Findings) {
        let at = self.region.start();
        let mut ids: Vec<_> =
            self.entries.iter().map(|e| (e.item_id, e.flags.get() & IS_USER)).collect();
        ids.sort_unstable();
        for pair in ids.windows(2).filter(|pair| pair.first() == pair.last()) {
            let id = pair.first().map_or(Uuid::nil(), |(id, _)| guid(*id));
            findings.add(Severity::Error, at, format!("the metadata item {{{id}}} is there twice"));
        }
        let places = self.entries.iter().map(|e| (u64::from(e.offset.get()), e.length.get()));
        let mut places: Vec<_> = places.filter(|place| *place != (0, 0)).collect();
        places.sort_unstable();
        let mut free = METADATA_TABLE_BYTES as u64;
        for (offset, length) in places {
            let end = offset + u64::from(length);
            if offset < free || end > self.region.len() || length > MAX_ITEM {
                let message = format!(
                    "a metadata item has {length} bytes at {offset} of its region: something else \
                     ends at {free}, the region at {}",
                    self.region.len()
                );
                findings.add(Severity::Error, at, message);
            }
            free = free.max(end);
        }
    }

    /// Refuses required items that are not known: system items, as we know no user items either.
    fn refuse_unknown(&self) -> Result<(), Error> {
        let unknown = self.entries.iter().find(|entry| {
            let system = entry.flags.get() & IS_USER == 0
                && KNOWN.iter().any(|(id, _, _)| *id == entry.item_id);
            entry.flags.get() & IS_REQUIRED != 0 && !system
        });
        match unknown {
            None => Ok(()),
            Some(entry) => {
                let id = guid(entry.item_id);
                let message = format!("it requires the metadata item {{{id}}}, which is not known");
                Err(unsupported(message))
            }
        }
    }

    /// The bytes of a system item; None if it is not there.
    fn bytes(&self, id: [u8; 16]) -> Result<Option<Vec<u8>>, Error> {
        let name = name(id);
        let mut found =
            self.entries.iter().filter(|e| e.item_id == id && e.flags.get() & IS_USER == 0);
        let Some(entry) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(damaged(format!("the metadata item {name} is there twice")));
        }
        let (offset, length) = (entry.offset.get(), entry.length.get());
        let end = u64::from(offset) + u64::from(length);
        if length > MAX_ITEM || offset < METADATA_TABLE_BYTES as u32 || end > self.region.len() {
            let message = format!(
                "the metadata item {name} has {length} bytes at {offset} of its region: allowed \
                 are {MAX_ITEM} bytes from {METADATA_TABLE_BYTES} to {}",
                self.region.len()
            );
            return Err(damaged(message));
        }
        let mut bytes = vec![0; length as usize];
        self.source.read_at(self.region.start() + u64::from(offset), &mut bytes)?;
        Ok(Some(bytes))
    }

    /// A system item that must be there.
    fn item<T: FromBytes>(&self, id: [u8; 16]) -> Result<T, Error> {
        let name = name(id);
        let missing = || damaged(format!("the metadata item {name} is missing"));
        let bytes = self.bytes(id)?.ok_or_else(missing)?;
        T::read_from_bytes(&bytes).map_err(|_| {
            let (found, wanted) = (bytes.len(), size_of::<T>());
            damaged(format!("the metadata item {name} has {found} bytes, not {wanted}"))
        })
    }

    fn number(&self, id: [u8; 16]) -> Result<u32, Error> {
        self.item::<[u8; 4]>(id).map(u32::from_le_bytes)
    }

    /// The name of the parent, for people: what the first path of its locator says.
    fn parent(&self) -> Result<String, Error> {
        let unnamed = || "(without a path)".to_owned();
        let Some(item) = self.bytes(PARENT_LOCATOR)? else { return Ok(unnamed()) };
        let Ok((header, rest)) = ParentLocatorHeader::ref_from_prefix(&item) else {
            return Ok(unnamed());
        };
        let text = |offset: u32, length: u16| {
            let end = (offset as usize).checked_add(length.into())?;
            let (units, _) = item.get(offset as usize..end)?.as_chunks::<2>();
            let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
            Some(char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect::<String>())
        };
        let entry = |index: usize| {
            let at = index * size_of::<ParentLocatorEntry>();
            ParentLocatorEntry::read_from_prefix(rest.get(at..)?).ok().map(|(entry, _)| entry)
        };
        let paths = (0..usize::from(header.key_value_count.get())).map_while(entry).filter(|e| {
            let key = text(e.key_offset.get(), e.key_length.get());
            key.is_some_and(|key| key.ends_with("_path"))
        });
        let mut values = paths.filter_map(|e| text(e.value_offset.get(), e.value_length.get()));
        let shown = |name: String| {
            let name: String = name.chars().take(MOST_NAME).collect();
            format!("\"{}\"", name.escape_debug())
        };
        Ok(values.next().map_or_else(unnamed, shown))
    }
}
