//! ELF files: sections of GRUB's own kernel, segments of kernels that it loads.
//!
//! Loads nothing. Source: System V ABI, generic part, chapters 4 and 5. Invariants: untrusted bytes
//! cannot make it panic; only little-endian files are read.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::engine::base::{Error, Kind};

/// "ELF Identification".
const MAGIC: [u8; 4] = *b"\x7fELF";
const CLASS_32: u8 = 1;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;

/// e_machine: Intel 80386.
pub(super) const MACHINE_386: u16 = 3;
/// e_machine: AMD x86-64.
pub(super) const MACHINE_X86_64: u16 = 62;

/// sh_type: bytes of the program.
const PROGBITS: u32 = 1;
/// sh_flags: takes memory.
const ALLOC: u32 = 2;
/// p_type: a segment to load.
const LOAD: u32 = 1;

/// "ELF Header", the part of both classes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ident {
    magic: [u8; 4],
    class: u8,
    data: u8,
    rest: [u8; 10],
    kind: U16,
    machine: U16,
    version: U32,
}

/// "ELF Header" of a 32-bit file, behind the common part.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header32 {
    ident: Ident,
    entry: U32,
    phoff: U32,
    shoff: U32,
    flags: U32,
    ehsize: U16,
    phentsize: U16,
    phnum: U16,
    shentsize: U16,
    shnum: U16,
    shstrndx: U16,
}

/// The same of a 64-bit file.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header64 {
    ident: Ident,
    entry: U64,
    phoff: U64,
    shoff: U64,
    flags: U32,
    ehsize: U16,
    phentsize: U16,
    phnum: U16,
    shentsize: U16,
    shnum: U16,
    shstrndx: U16,
}

/// "Sections", 32 bits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Section32 {
    name: U32,
    kind: U32,
    flags: U32,
    addr: U32,
    offset: U32,
    size: U32,
    link: U32,
    info: U32,
    align: U32,
    entsize: U32,
}

/// "Program Header", 32 bits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Program32 {
    kind: U32,
    offset: U32,
    vaddr: U32,
    paddr: U32,
    filesz: U32,
    memsz: U32,
    flags: U32,
    align: U32,
}

/// "Program Header", 64 bits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Program64 {
    kind: U32,
    flags: U32,
    offset: U64,
    vaddr: U64,
    paddr: U64,
    filesz: U64,
    memsz: U64,
    align: U64,
}

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
    let header: Header32 =
        at(bytes, 0).ok_or_else(|| damaged(what, "shorter than an ELF header"))?;
    let Ident { magic, class, data, machine, .. } = header.ident;
    if (magic, class, data, machine.get()) != (MAGIC, CLASS_32, LITTLE_ENDIAN, MACHINE_386) {
        return Err(damaged(what, "is no 32-bit ELF file for 80386"));
    }
    let mut found = Vec::new();
    for number in 0..header.shnum.get() {
        let place =
            u64::from(header.shoff.get()) + u64::from(number) * u64::from(header.shentsize.get());
        let outside = || damaged(what, format!("section {number} lies outside of the file"));
        let section: Section32 = at(bytes, place).ok_or_else(outside)?;
        if section.kind.get() != PROGBITS || section.flags.get() & ALLOC == 0 {
            continue;
        }
        let from = section.offset.get() as usize;
        let end = from.checked_add(section.size.get() as usize).ok_or_else(outside)?;
        let bytes = bytes.get(from..end).ok_or_else(outside)?;
        found.push(Section { address: section.addr.get(), bytes });
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
    let (wide, entry, phoff, phentsize, phnum) = match ident.class {
        CLASS_32 => {
            let header: Header32 = at(bytes, 0).ok_or_else(short)?;
            let (entry, phoff) = (header.entry.get().into(), u64::from(header.phoff.get()));
            (false, entry, phoff, header.phentsize, header.phnum)
        }
        CLASS_64 => {
            let header: Header64 = at(bytes, 0).ok_or_else(short)?;
            (true, header.entry.get(), header.phoff.get(), header.phentsize, header.phnum)
        }
        class => return Err(damaged(what, format!("ELF class {class}, allowed are 1 and 2"))),
    };
    let mut segments = Vec::new();
    for number in 0..phnum.get() {
        let place = phoff.checked_add(u64::from(number) * u64::from(phentsize.get()));
        let segment = place.and_then(|place| segment(bytes, place, wide));
        let message = || damaged(what, format!("program header {number} lies outside of the file"));
        segments.extend(segment.ok_or_else(message)?);
    }
    Ok(Program { wide, machine: ident.machine.get(), entry, segments })
}

/// The segment of a program header; none inside if it is not loaded.
fn segment(bytes: &[u8], place: u64, wide: bool) -> Option<Option<Segment>> {
    let (kind, segment) = if wide {
        let header: Program64 = at(bytes, place)?;
        let segment = Segment {
            offset: header.offset.get(),
            file: header.filesz.get(),
            virt: header.vaddr.get(),
            physical: header.paddr.get(),
            memory: header.memsz.get(),
        };
        (header.kind, segment)
    } else {
        let header: Program32 = at(bytes, place)?;
        let segment = Segment {
            offset: header.offset.get().into(),
            file: header.filesz.get().into(),
            virt: header.vaddr.get().into(),
            physical: header.paddr.get().into(),
            memory: header.memsz.get().into(),
        };
        (header.kind, segment)
    };
    Some((kind.get() == LOAD).then_some(segment))
}
