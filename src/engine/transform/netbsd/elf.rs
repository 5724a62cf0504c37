//! A NetBSD kernel as ELF: which addresses lie where in the file, and where a symbol is.
//!
//! Loads nothing. Invariant: an address stands for a place in the file only if exactly one loaded
//! segment has it (by its virtual address, never by the physical one, which differs on i386).

use std::mem::size_of;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{LARGEST, Machine, refused};
use crate::engine::base::elf::{
    CLASS_32, CLASS_64, EXECUTABLE, Header32, Header64, Ident, LITTLE_ENDIAN, LOAD, MACHINE_386,
    MACHINE_X86_64, MAGIC, OBJECT, PROGBITS, STRTAB, SYMTAB, Section32, Section64, Segment32,
    Segment64, Symbol32, Symbol64,
};
use crate::engine::base::{Error, Extent, SectorSource};

/// Symbols that are read at once.
const BATCH: u64 = 4096;

/// Parts that are loaded: kernels have three or four, and every pointer is looked for in all of them.
const MOST_SEGMENTS: usize = 64;

/// A kernel whose headers are read.
#[derive(Debug)]
pub(super) struct Kernel<'a> {
    source: &'a dyn SectorSource,
    pub(super) machine: Machine,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    /// The headers, which nothing that is changed may touch.
    headers: Vec<Extent>,
}

/// A part that is loaded.
#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: u64,
    address: u64,
    file_len: u64,
    memory_len: u64,
}

#[derive(Clone, Copy, Debug)]
struct Section {
    kind: u32,
    address: u64,
    offset: u64,
    len: u64,
    link: u32,
}

/// A data object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    /// Where its bytes begin in the file.
    pub(super) offset: u64,
    /// How many there are.
    pub(super) len: u64,
}

/// A table of headers: where, how long a row is, how many rows.
struct Rows {
    what: &'static str,
    offset: u64,
    row: u64,
    count: u64,
}

/// An entry of the symbol table.
struct Row {
    name: u64,
    value: u64,
    len: u64,
    info: u8,
    section: u16,
}

impl<'a> Kernel<'a> {
    /// Reads the headers.
    pub(super) fn open(source: &'a dyn SectorSource) -> Result<Self, Error> {
        if source.len() > LARGEST {
            let len = source.len();
            return Err(refused(format!("it has {len} bytes; at most {LARGEST} are read")));
        }
        if source.len() < size_of::<Ident>() as u64 {
            return Err(refused(format!("it has {} bytes; an ELF file has more", source.len())));
        }
        let ident: Ident = get(source, 0, "identification")?;
        if ident.magic != MAGIC {
            let begins = hex::encode(ident.magic);
            return Err(refused(format!("it begins with {begins} instead of 7f454c46 (ELF)")));
        }
        if ident.data != LITTLE_ENDIAN {
            return Err(refused(format!(
                "its ELF data encoding is {}; 1 (little-endian) is read",
                ident.data
            )));
        }
        match ident.class {
            CLASS_32 => Self::open32(source),
            CLASS_64 => Self::open64(source),
            other => Err(refused(format!("its ELF class is {other}; 1 and 2 are known"))),
        }
    }

    fn open32(source: &'a dyn SectorSource) -> Result<Self, Error> {
        let header: Header32 = get(source, size_of::<Ident>() as u64, "header")?;
        suits(header.kind.get(), header.machine.get(), MACHINE_386, "32-bit, 3 (i386)")?;
        let segments = Rows {
            what: "program headers",
            offset: header.segments.get().into(),
            row: header.segment_len.get().into(),
            count: header.segment_count.get().into(),
        };
        let sections = Rows {
            what: "section headers",
            offset: header.sections.get().into(),
            row: header.section_len.get().into(),
            count: header.section_count.get().into(),
        };
        let loaded = segments.read(source, |s: &Segment32| Segment {
            offset: s.offset.get().into(),
            address: s.virtual_address.get().into(),
            file_len: s.file_len.get().into(),
            memory_len: if s.kind.get() == LOAD { s.memory_len.get().into() } else { 0 },
        })?;
        let listed = sections.read(source, |s: &Section32| Section {
            kind: s.kind.get(),
            address: s.address.get().into(),
            offset: s.offset.get().into(),
            len: s.len.get().into(),
            link: s.link.get(),
        })?;
        let len = (size_of::<Ident>() + size_of::<Header32>()) as u64;
        let headers = [Extent::new(0, len), segments.extent(), sections.extent()];
        Self::checked(source, Machine::I386, loaded, listed, headers)
    }

    fn open64(source: &'a dyn SectorSource) -> Result<Self, Error> {
        let header: Header64 = get(source, size_of::<Ident>() as u64, "header")?;
        suits(header.kind.get(), header.machine.get(), MACHINE_X86_64, "64-bit, 62 (amd64)")?;
        let segments = Rows {
            what: "program headers",
            offset: header.segments.get(),
            row: header.segment_len.get().into(),
            count: header.segment_count.get().into(),
        };
        let sections = Rows {
            what: "section headers",
            offset: header.sections.get(),
            row: header.section_len.get().into(),
            count: header.section_count.get().into(),
        };
        let loaded = segments.read(source, |s: &Segment64| Segment {
            offset: s.offset.get(),
            address: s.virtual_address.get(),
            file_len: s.file_len.get(),
            memory_len: if s.kind.get() == LOAD { s.memory_len.get() } else { 0 },
        })?;
        let listed = sections.read(source, |s: &Section64| Section {
            kind: s.kind.get(),
            address: s.address.get(),
            offset: s.offset.get(),
            len: s.len.get(),
            link: s.link.get(),
        })?;
        let len = (size_of::<Ident>() + size_of::<Header64>()) as u64;
        let headers = [Extent::new(0, len), segments.extent(), sections.extent()];
        Self::checked(source, Machine::Amd64, loaded, listed, headers)
    }

    fn checked(
        source: &'a dyn SectorSource,
        machine: Machine,
        mut segments: Vec<Segment>,
        sections: Vec<Section>,
        headers: [Option<Extent>; 3],
    ) -> Result<Self, Error> {
        segments.retain(|segment| segment.memory_len > 0);
        if segments.len() > MOST_SEGMENTS {
            let found = segments.len();
            return Err(refused(format!(
                "it has {found} segments; at most {MOST_SEGMENTS} are read"
            )));
        }
        for Segment { offset, address, file_len, memory_len } in &segments {
            let in_file = offset.checked_add(*file_len).is_some_and(|end| end <= source.len());
            if !in_file || file_len > memory_len || address.checked_add(*memory_len).is_none() {
                return Err(refused(format!(
                    "the segment at {address:#x} has {file_len} bytes at offset {offset} and \
                     {memory_len} in memory; the file has {} bytes",
                    source.len()
                )));
            }
        }
        let headers = headers.into_iter().flatten().collect();
        Ok(Self { source, machine, segments, sections, headers })
    }

    /// Bytes of a pointer.
    pub(super) const fn is_64(&self) -> bool {
        matches!(self.machine, Machine::Amd64)
    }

    /// `len` bytes at `offset` of the file.
    pub(super) fn bytes(&self, offset: u64, len: u64, what: &str) -> Result<Vec<u8>, Error> {
        read(self.source, offset, len, what)
    }

    /// Whether the kernel has this address in memory.
    pub(super) fn has(&self, address: u64) -> bool {
        let within = |s: &Segment| address.checked_sub(s.address).is_some_and(|d| d < s.memory_len);
        self.segments.iter().any(within)
    }

    /// The place in the file of this address, and how many bytes follow it there.
    pub(super) fn place(&self, address: u64) -> Option<Extent> {
        let mut found = self.segments.iter().filter_map(|segment| {
            let into = address.checked_sub(segment.address)?;
            Extent::new(segment.offset.checked_add(into)?, segment.offset + segment.file_len)
        });
        let first = found.next();
        if found.next().is_some() { None } else { first }
    }

    /// The only data object with this name.
    pub(super) fn object(&self, name: &str) -> Result<Symbol, Error> {
        let mut tables = self.sections.iter().filter(|section| section.kind == SYMTAB);
        let table = tables.next().ok_or_else(|| {
            refused("it has no symbol table: it is stripped, or of a kind that has none".to_owned())
        })?;
        let names = usize::try_from(table.link).ok().and_then(|link| self.sections.get(link));
        let names = names.filter(|names| names.kind == STRTAB).ok_or_else(|| {
            refused(format!("its symbols' names are in section {}, which has none", table.link))
        })?;
        let strings = self.bytes(names.offset, names.len, "names of symbols")?;
        let row = if self.is_64() { size_of::<Symbol64>() } else { size_of::<Symbol32>() } as u64;
        let wanted = [name.as_bytes(), &[0]].concat();
        let mut found = None;
        let count = table.len / row;
        for first in (0..count).step_by(BATCH as usize) {
            let len = BATCH.min(count - first) * row;
            // OK to add: the product is not behind the end of the section.
            let at = table.offset.saturating_add(first * row);
            let bytes = self.bytes(at, len, "symbols")?;
            for symbol in bytes.chunks_exact(row as usize).filter_map(|bytes| self.row(bytes)) {
                let named = usize::try_from(symbol.name).ok().and_then(|at| strings.get(at..));
                if symbol.info & 15 != OBJECT || !named.unwrap_or_default().starts_with(&wanted) {
                    continue;
                }
                if found.replace(symbol).is_some() {
                    return Err(refused(format!("it has more than one object {name}")));
                }
            }
        }
        let symbol = found.ok_or_else(|| {
            refused(format!("none of its {count} symbols is the object {name}: is it NetBSD's?"))
        })?;
        let place = self.held(&symbol, name)?;
        let tables = [table, names].into_iter().filter_map(|section| {
            Extent::new(section.offset, section.offset.checked_add(section.len)?)
        });
        let end = place.offset.saturating_add(place.len);
        let own = Extent::new(place.offset, end);
        let mut others = self.headers.iter().copied().chain(tables);
        if others.any(|other| own.is_some_and(|own| own.intersect(other).is_some())) {
            return Err(refused(format!("the object {name} overlaps the headers or the symbols")));
        }
        Ok(place)
    }

    fn row(&self, bytes: &[u8]) -> Option<Row> {
        if self.is_64() {
            let s = Symbol64::ref_from_bytes(bytes).ok()?;
            let (name, section) = (s.name.get().into(), s.section.get());
            return Some(Row {
                name,
                value: s.value.get(),
                len: s.len.get(),
                info: s.info,
                section,
            });
        }
        let s = Symbol32::ref_from_bytes(bytes).ok()?;
        let (name, section) = (s.name.get().into(), s.section.get());
        Some(Row {
            name,
            value: s.value.get().into(),
            len: s.len.get().into(),
            info: s.info,
            section,
        })
    }

    /// Where the object's bytes are: its section and its segment must agree.
    fn held(&self, symbol: &Row, name: &str) -> Result<Symbol, Error> {
        let Row { value, len, section: number, .. } = *symbol;
        let section = self.sections.get(usize::from(number)).filter(|s| s.kind == PROGBITS);
        let section = section.ok_or_else(|| {
            refused(format!("the object {name} is in section {number}, which has no bytes"))
        })?;
        let into = value.checked_sub(section.address);
        let inside = into.and_then(|into| into.checked_add(len)).is_some_and(|e| e <= section.len);
        let by_section = into.and_then(|into| section.offset.checked_add(into));
        let by_segment = self.place(value).filter(|place| place.len() >= len);
        match (by_section, by_segment) {
            (Some(offset), Some(place)) if inside && place.start() == offset => {
                Ok(Symbol { offset, len })
            }
            _ => Err(refused(format!(
                "the object {name}, {len} bytes at {value:#x}, is not in one place of the file: its \
                 section says {by_section:?}, the segments say {:?}",
                by_segment.map(Extent::start)
            ))),
        }
    }
}

impl Rows {
    fn extent(&self) -> Option<Extent> {
        Extent::new(self.offset, self.offset.checked_add(self.row.checked_mul(self.count)?)?)
    }

    fn read<T, U>(&self, source: &dyn SectorSource, as_it_is: fn(&T) -> U) -> Result<Vec<U>, Error>
    where
        T: FromBytes + KnownLayout + Immutable + Unaligned,
    {
        let Self { what, offset, row, count } = *self;
        if count == 0 {
            return Ok(Vec::new());
        }
        if row != size_of::<T>() as u64 {
            let wanted = size_of::<T>();
            return Err(refused(format!("its {what} have {row} bytes each instead of {wanted}")));
        }
        let bytes = read(source, offset, row * count, what)?;
        let rows = bytes.chunks_exact(size_of::<T>()).filter_map(|row| T::ref_from_bytes(row).ok());
        Ok(rows.map(as_it_is).collect())
    }
}

fn suits(kind: u16, machine: u16, wanted: u16, known: &str) -> Result<(), Error> {
    if machine != wanted {
        return Err(refused(format!("its machine is {machine}; of this class is known: {known}")));
    }
    if kind != EXECUTABLE {
        return Err(refused(format!("its ELF type is {kind}; 2 (an executable) is wanted")));
    }
    Ok(())
}

/// `len` bytes at `offset`, which must be in the file.
fn read(source: &dyn SectorSource, offset: u64, len: u64, what: &str) -> Result<Vec<u8>, Error> {
    let end = offset.checked_add(len).filter(|end| *end <= source.len());
    let (Some(_), Ok(size)) = (end, usize::try_from(len)) else {
        let has = source.len();
        let message = format!("its {what}, {len} bytes at offset {offset}, end behind it: {has}");
        return Err(refused(message));
    };
    let mut bytes = vec![0; size];
    source.read_at(offset, &mut bytes)?;
    Ok(bytes)
}

fn get<T>(source: &dyn SectorSource, offset: u64, what: &str) -> Result<T, Error>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    let bytes = read(source, offset, size_of::<T>() as u64, what)?;
    T::read_from_bytes(&bytes).map_err(|_| refused(format!("its {what} cannot be read")))
}
