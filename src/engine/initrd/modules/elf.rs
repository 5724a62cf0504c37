//! The section `.modinfo` of a module, and what machine the module is for.
//!
//! Reads headers, names of sections and that section: nothing else of the file. Invariant: untrusted
//! bytes never cause a panic, nor more than `MOST` bytes of memory at a time.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::engine::base::elf::{
    CLASS_32, CLASS_64, Header32, Header64, Ident, LITTLE_ENDIAN, MAGIC, RELOCATABLE, Section32,
    Section64,
};
use crate::engine::base::{Error, Kind, SectorSource};

/// Bytes of a table that is read at once. Modules have tables of some KiB.
const MOST: u64 = 16 << 20;

/// What a module's file tells without being loaded.
#[derive(Debug)]
pub(super) struct Found {
    /// e_machine: 62 is x86-64, 183 is AArch64.
    pub(super) machine: u16,
    /// The bytes of `.modinfo`.
    pub(super) modinfo: Vec<u8>,
}

/// Where sections are described.
struct Table {
    offset: u64,
    count: u64,
    /// Bytes of an entry.
    size: u64,
    /// The section with the names of all.
    names: u64,
}

/// A section's name (an offset among names) and place.
#[derive(Clone, Copy)]
struct Section {
    name: u32,
    offset: u64,
    size: u64,
}

struct Reader<'a> {
    source: &'a dyn SectorSource,
    wide: bool,
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, what)
}

/// Reads a module's file.
pub(super) fn read(source: &dyn SectorSource) -> Result<Found, Error> {
    let ident: Ident = part(source, 0)?;
    let known = ident.magic == MAGIC && ident.data == LITTLE_ENDIAN;
    let wide = match ident.class {
        CLASS_64 if known => true,
        CLASS_32 if known => false,
        _ => return Err(damaged("it is no little-endian ELF file of 32 or 64 bits")),
    };
    let reader = Reader { source, wide };
    let (kind, machine, table) = reader.header()?;
    if kind != RELOCATABLE {
        let what = format!("it is an ELF file of type {kind}; a module is of type {RELOCATABLE}");
        return Err(damaged(what));
    }
    Ok(Found { machine, modinfo: reader.modinfo(&table)? })
}

/// The structure at `at`.
fn part<T: FromBytes + KnownLayout + Immutable>(
    source: &dyn SectorSource,
    at: u64,
) -> Result<T, Error> {
    let len = source.len();
    let beyond = || damaged(format!("a header at {at} goes beyond its end at {len}"));
    let size = size_of::<T>();
    at.checked_add(size as u64).filter(|end| *end <= len).ok_or_else(beyond)?;
    let mut bytes = vec![0; size];
    source.read_at(at, &mut bytes)?;
    T::read_from_bytes(&bytes).map_err(|_| beyond())
}

impl Reader<'_> {
    fn modinfo(&self, table: &Table) -> Result<Vec<u8>, Error> {
        let entries = self.bytes("the section table", table.offset, table.count * table.size)?;
        // OK to cast: two bytes.
        let entries: Vec<Section> =
            entries.chunks_exact(table.size as usize).filter_map(|row| self.section(row)).collect();
        let names = usize::try_from(table.names).ok().and_then(|index| entries.get(index));
        let names = names.ok_or_else(|| {
            let (names, count) = (table.names, table.count);
            damaged(format!("its names of sections are section {names} of {count}"))
        })?;
        let names = self.bytes("the names of sections", names.offset, names.size)?;
        let is_modinfo = |section: &&Section| {
            let rest = usize::try_from(section.name).ok().and_then(|at| names.get(at..));
            rest.is_some_and(|rest| rest.starts_with(b".modinfo\0"))
        };
        let found = entries.iter().find(is_modinfo);
        let found = found.ok_or_else(|| damaged("it has no section .modinfo"))?;
        self.bytes("the section .modinfo", found.offset, found.size)
    }

    /// e_type, e_machine, and where sections are described.
    fn header(&self) -> Result<(u16, u16, Table), Error> {
        let behind = size_of::<Ident>() as u64;
        let (kind, machine, table, least) = if self.wide {
            let header: Header64 = part(self.source, behind)?;
            let table = Table {
                offset: header.sections.get(),
                count: header.section_count.get().into(),
                size: header.section_len.get().into(),
                names: header.names.get().into(),
            };
            (header.kind, header.machine, table, size_of::<Section64>())
        } else {
            let header: Header32 = part(self.source, behind)?;
            let table = Table {
                offset: header.sections.get().into(),
                count: header.section_count.get().into(),
                size: header.section_len.get().into(),
                names: header.names.get().into(),
            };
            (header.kind, header.machine, table, size_of::<Section32>())
        };
        if table.size < least as u64 || table.count == 0 {
            let (count, size) = (table.count, table.size);
            let what =
                format!("it has {count} sections described in {size} bytes each, not {least}");
            return Err(damaged(what));
        }
        Ok((kind.get(), machine.get(), table))
    }

    fn section(&self, row: &[u8]) -> Option<Section> {
        Some(if self.wide {
            let (section, _) = Section64::read_from_prefix(row).ok()?;
            Section {
                name: section.name.get(),
                offset: section.offset.get(),
                size: section.len.get(),
            }
        } else {
            let (section, _) = Section32::read_from_prefix(row).ok()?;
            Section {
                name: section.name.get(),
                offset: section.offset.get().into(),
                size: section.len.get().into(),
            }
        })
    }

    fn bytes(&self, what: &str, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
        let all = self.source.len();
        let fits = offset.checked_add(len).is_some_and(|end| end <= all) && len <= MOST;
        if !fits {
            let what = format!("{what}, {len} bytes at {offset}, goes beyond its end at {all}");
            return Err(damaged(what));
        }
        // OK to cast: at most `MOST`.
        let mut bytes = vec![0; len as usize];
        self.source.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}
