//! The section `.modinfo` of a module, and what machine the module is for.
//!
//! Reads headers, names of sections and that section: nothing else of the file. Invariant: untrusted
//! bytes never cause a panic, nor more than `MOST` bytes of memory at a time.

use zerocopy::FromBytes;

use super::ondisk::{
    BIG, CLASS_32, CLASS_64, Header32, Header64, Ident, LITTLE, MAGIC, RELOCATABLE, Section32,
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
    name: u64,
    offset: u64,
    size: u64,
}

struct Reader<'a> {
    source: &'a dyn SectorSource,
    little: bool,
    wide: bool,
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, what)
}

/// Reads a module's file.
pub(super) fn read(source: &dyn SectorSource) -> Result<Found, Error> {
    let no = || damaged("it is no ELF file of 32 or 64 bits");
    let first: [u8; size_of::<Ident>()] = part(source, 0)?;
    let ident = Ident::read_from_bytes(&first).map_err(|_| no())?;
    let little = match ident.data {
        LITTLE => true,
        BIG => false,
        _ => return Err(no()),
    };
    let wide = match ident.class {
        CLASS_64 => true,
        CLASS_32 => false,
        _ => return Err(no()),
    };
    if ident.magic != MAGIC {
        return Err(no());
    }
    let reader = Reader { source, little, wide };
    let kind = reader.number(&ident.kind);
    if kind != RELOCATABLE {
        let what = format!("it is an ELF file of type {kind}; a module is of type {RELOCATABLE}");
        return Err(damaged(what));
    }
    // OK to cast: two bytes.
    let machine = reader.number(&ident.machine) as u16;
    Ok(Found { machine, modinfo: reader.modinfo()? })
}

fn part<const N: usize>(source: &dyn SectorSource, at: u64) -> Result<[u8; N], Error> {
    let end = at.checked_add(N as u64).filter(|end| *end <= source.len());
    end.ok_or_else(|| {
        let len = source.len();
        damaged(format!("a header at {at} goes beyond its end at {len}"))
    })?;
    let mut bytes = [0; N];
    source.read_at(at, &mut bytes)?;
    Ok(bytes)
}

impl Reader<'_> {
    /// A field of at most 8 bytes.
    fn number(&self, field: &[u8]) -> u64 {
        let digit = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        if self.little { field.iter().rev().fold(0, digit) } else { field.iter().fold(0, digit) }
    }

    fn modinfo(&self) -> Result<Vec<u8>, Error> {
        let table = self.table()?;
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

    fn table(&self) -> Result<Table, Error> {
        let no = || damaged("its header cannot be read");
        let (table, least) = if self.wide {
            let bytes: [u8; size_of::<Header64>()] = part(self.source, 0)?;
            let header = Header64::read_from_bytes(&bytes).map_err(|_| no())?;
            let table = Table {
                offset: self.number(&header.sections),
                count: self.number(&header.section_count),
                size: self.number(&header.section_size),
                names: self.number(&header.names),
            };
            (table, size_of::<Section64>())
        } else {
            let bytes: [u8; size_of::<Header32>()] = part(self.source, 0)?;
            let header = Header32::read_from_bytes(&bytes).map_err(|_| no())?;
            let table = Table {
                offset: self.number(&header.sections),
                count: self.number(&header.section_count),
                size: self.number(&header.section_size),
                names: self.number(&header.names),
            };
            (table, size_of::<Section32>())
        };
        if table.size < least as u64 || table.count == 0 {
            let (count, size) = (table.count, table.size);
            let what =
                format!("it has {count} sections described in {size} bytes each, not {least}");
            return Err(damaged(what));
        }
        Ok(table)
    }

    fn section(&self, row: &[u8]) -> Option<Section> {
        Some(if self.wide {
            let (section, _) = Section64::read_from_prefix(row).ok()?;
            Section {
                name: self.number(&section.name),
                offset: self.number(&section.offset),
                size: self.number(&section.size),
            }
        } else {
            let (section, _) = Section32::read_from_prefix(row).ok()?;
            Section {
                name: self.number(&section.name),
                offset: self.number(&section.offset),
                size: self.number(&section.size),
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
