//! ELF files: sections of GRUB's own kernel, segments of kernels that it loads.
//!
//! Loads nothing. Source: System V ABI, generic part, chapters 4 and 5. Invariants: untrusted bytes
//! cannot make it panic; only little-endian files are read.

use zerocopy::FromBytes;

use crate::engine::base::elf::{
    ALLOC, CLASS_32, CLASS_64, Header32, Header64, Ident, LITTLE_ENDIAN, LOAD, MAGIC, PROGBITS,
    Section32, Segment32, Segment64,
};
use crate::engine::base::{Error, Kind};

pub(super) use crate::engine::base::elf::{MACHINE_386, MACHINE_X86_64};

/// Where the header goes on behind its identification.
const BEHIND: u64 = size_of::<Ident>() as u64;

/// Bytes of a section with the address they are linked to.
pub(super) struct Section<'a> {
    pub(super) address: u32,
    pub(super) bytes: &'a [u8],
}

/// A segment that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) file: u64,
    pub(super) virt: u64,
    pub(super) physical: u64,
    pub(super) memory: u64,
}

/// What a program says about itself.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) wide: bool,
    pub(super) machine: u16,
    pub(super) entry: u64,
    pub(super) segments: Vec<Segment>,
}

/// Whether the bytes begin as ELF files do.
pub(super) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

fn damaged(what: &str, message: impl AsRef<str>) -> Error {
    Error::new(Kind::Input, format!("{what}: {}", message.as_ref()))
}

fn at<T: FromBytes>(bytes: &[u8], offset: u64) -> Option<T> {
    let rest = bytes.get(usize::try_from(offset).ok()?..)?;
    T::read_from_prefix(rest).ok().map(|(value, _)| value)
}

/// The bytes of all sections of a 32-bit file that are loaded from it.
pub(super) fn sections<'a>(bytes: &'a [u8], what: &str) -> Result<Vec<Section<'a>>, Error> {
    let short = || damaged(what, "shorter than an ELF header");
    let Ident { magic, class, data, .. } = at(bytes, 0).ok_or_else(short)?;
    let header: Header32 = at(bytes, BEHIND).ok_or_else(short)?;
    let machine = header.machine.get();
    if (magic, class, data, machine) != (MAGIC, CLASS_32, LITTLE_ENDIAN, MACHINE_386) {
        return Err(damaged(what, "is no 32-bit ELF file for 80386"));
    }
    let mut found = Vec::new();
    for number in 0..header.section_count.get() {
        let row = u64::from(number) * u64::from(header.section_len.get());
        let place = u64::from(header.sections.get()) + row;
        let outside = || damaged(what, format!("section {number} lies outside of the file"));
        let section: Section32 = at(bytes, place).ok_or_else(outside)?;
        if section.kind.get() != PROGBITS || section.flags.get() & ALLOC == 0 {
            continue;
        }
        let from = section.offset.get() as usize;
        let end = from.checked_add(section.len.get() as usize).ok_or_else(outside)?;
        let bytes = bytes.get(from..end).ok_or_else(outside)?;
        found.push(Section { address: section.address.get(), bytes });
    }
    Ok(found)
}

/// The program in an ELF file of either class.
pub(super) fn program(bytes: &[u8], what: &str) -> Result<Program, Error> {
    let ident: Ident = at(bytes, 0).ok_or_else(|| damaged(what, "shorter than an ELF header"))?;
    if ident.data != LITTLE_ENDIAN {
        return Err(damaged(what, format!("ELF data encoding {}, only 1 is read", ident.data)));
    }
    let short = || damaged(what, "shorter than an ELF header");
    let (wide, machine, entry, table, row, count) = match ident.class {
        CLASS_32 => {
            let header: Header32 = at(bytes, BEHIND).ok_or_else(short)?;
            let (entry, table) = (header.entry.get().into(), u64::from(header.segments.get()));
            (false, header.machine, entry, table, header.segment_len, header.segment_count)
        }
        CLASS_64 => {
            let header: Header64 = at(bytes, BEHIND).ok_or_else(short)?;
            let (entry, table) = (header.entry.get(), header.segments.get());
            (true, header.machine, entry, table, header.segment_len, header.segment_count)
        }
        class => return Err(damaged(what, format!("ELF class {class}, allowed are 1 and 2"))),
    };
    let mut segments = Vec::new();
    for number in 0..count.get() {
        let place = table.checked_add(u64::from(number) * u64::from(row.get()));
        let segment = place.and_then(|place| segment(bytes, place, wide));
        let message = || damaged(what, format!("program header {number} lies outside of the file"));
        segments.extend(segment.ok_or_else(message)?);
    }
    Ok(Program { wide, machine: machine.get(), entry, segments })
}

/// The segment of a program header; none inside if it is not loaded.
fn segment(bytes: &[u8], place: u64, wide: bool) -> Option<Option<Segment>> {
    let (kind, segment) = if wide {
        let header: Segment64 = at(bytes, place)?;
        let segment = Segment {
            offset: header.offset.get(),
            file: header.file_len.get(),
            virt: header.virtual_address.get(),
            physical: header.physical_address.get(),
            memory: header.memory_len.get(),
        };
        (header.kind, segment)
    } else {
        let header: Segment32 = at(bytes, place)?;
        let segment = Segment {
            offset: header.offset.get().into(),
            file: header.file_len.get().into(),
            virt: header.virtual_address.get().into(),
            physical: header.physical_address.get().into(),
            memory: header.memory_len.get().into(),
        };
        (header.kind, segment)
    };
    Some((kind.get() == LOAD).then_some(segment))
}
