//! Headers of Multiboot 1 and 2, and whether what they describe can be loaded.
//!
//! Sources: Multiboot Specification 0.6.96, section 3.1; Multiboot2 Specification 2.0, section 3.1.
//! Invariant: a kernel that is accepted has segments apart from each other, above 1 MiB and inside
//! of the file.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::super::elf::{self, MACHINE_386, MACHINE_X86_64, Segment};
use crate::engine::base::{Error, Kind};

/// Where kernels may lie: below are the BIOS, its tables, and GRUB.
const LOWEST: u64 = 1 << 20;
/// GRUB loads below 4 GiB only.
const HIGHEST: u64 = 1 << 32;

/// Multiboot 3.1.1.
const MAGIC_1: u32 = 0x1bad_b002;
/// "Must be contained completely within the first 8192 bytes", 32-bit aligned.
const SEARCH_1: usize = 8192;
/// Bits 0 to 15 are features that a loader must know; it knows 0 (pages), 1 (memory), 2 (video).
const REQUIRED_UNKNOWN_1: u32 = 0xfff8;
/// Bit 16: the address fields are there.
const ADDRESSES: u32 = 1 << 16;

/// Multiboot2 3.1.1.
const MAGIC_2: u32 = 0xe852_50d6;
/// "Within the first 32768 bytes", 64-bit aligned.
const SEARCH_2: usize = 32768;
/// 3.1.2: "0 means 32-bit (protected) mode of i386".
const ARCHITECTURE_386: u32 = 0;
/// 3.1.3: a tag that a loader may leave out.
const OPTIONAL: u16 = 1;
/// 3.1.3: the terminator, and the highest type: relocatable.
const TAG_END: u16 = 0;
const TAG_ADDRESS: u16 = 2;
const TAG_ENTRY: u16 = 3;
const TAG_LAST: u16 = 10;

/// Multiboot 3.1.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header1 {
    magic: U32,
    flags: U32,
    checksum: U32,
}

/// Multiboot 3.1.3 and, with other neighbours, Multiboot2 3.1.5.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Addresses {
    header: U32,
    load: U32,
    load_end: U32,
    bss_end: U32,
}

/// Multiboot2 3.1.2.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header2 {
    magic: U32,
    architecture: U32,
    length: U32,
    checksum: U32,
}

/// Multiboot2 3.1.3.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Tag {
    kind: U16,
    flags: U16,
    size: U32,
}

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Multiboot 0.6.
    One,
    /// Multiboot 2.
    Two,
}

impl Version {
    /// GRUB's commands for a kernel and for a module of it.
    pub(crate) const fn commands(self) -> (&'static str, &'static str) {
        match self {
            Self::One => ("multiboot", "module"),
            Self::Two => ("multiboot2", "module2"),
        }
    }
}

/// What a kernel says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiboot {
    /// Where its header lies in the file.
    pub header: u64,
    /// Whether it is an ELF64 file. It is entered in 32-bit mode all the same.
    pub wide: bool,
    /// Physical address of its first instruction.
    pub entry: u64,
    /// First address and one past the last, of all that is loaded.
    pub memory: (u64, u64),
}

/// What the header says about places.
struct Found {
    at: usize,
    /// The file's part and the memory, where the header itself says so.
    raw: Option<(Segment, u64)>,
    entry: Option<u64>,
}

/// Judges a kernel for GRUB's commands `multiboot` or `multiboot2`.
pub fn multiboot(bytes: &[u8], version: Version, what: &str) -> Result<Multiboot, Error> {
    let bad = |message: String| Error::new(Kind::Input, format!("{what} {message}"));
    let (found, name) = match version {
        Version::One => (find_1(bytes).map_err(bad)?, "Multiboot"),
        Version::Two => (find_2(bytes).map_err(bad)?, "Multiboot 2"),
    };
    let Some(found) = found else { return Err(bad(no_header(bytes, version))) };
    if let Some((segment, entry)) = found.raw {
        return judge(bytes, &[segment], entry, false, found.at).map_err(bad);
    }
    if !elf::is_elf(bytes) {
        return Err(bad(format!(
            "has a {name} header at {:#x} without addresses and is no ELF file: nothing says where it \
             is loaded",
            found.at
        )));
    }
    let program = elf::program(bytes, what)?;
    let wanted = if program.wide { MACHINE_X86_64 } else { MACHINE_386 };
    if program.machine != wanted {
        return Err(bad(format!(
            "is an ELF file for machine {}, allowed are 3 (80386, 32 bits) and 62 (x86-64, 64 bits)",
            program.machine
        )));
    }
    let segments: Vec<Segment> =
        program.segments.into_iter().filter(|segment| segment.memory > 0).collect();
    let entry = match found.entry {
        Some(entry) => entry,
        None => physical(&segments, program.entry).ok_or_else(|| {
            bad(format!("has its entry {:#x} outside of all segments", program.entry))
        })?,
    };
    judge(bytes, &segments, entry, program.wide, found.at).map_err(bad)
}

/// The physical address of a virtual one.
fn physical(segments: &[Segment], entry: u64) -> Option<u64> {
    let of = |segment: &Segment| {
        let inside = entry.checked_sub(segment.virt).filter(|inside| *inside < segment.memory)?;
        segment.physical.checked_add(inside)
    };
    segments.iter().find_map(of)
}

/// Refuses what cannot be loaded.
fn judge(
    bytes: &[u8],
    segments: &[Segment],
    entry: u64,
    wide: bool,
    at: usize,
) -> Result<Multiboot, String> {
    let mut sorted = segments.to_vec();
    sorted.sort_by_key(|segment| segment.physical);
    let mut before: Option<(u64, u64)> = None;
    let len = bytes.len() as u64;
    for segment in &sorted {
        let Segment { offset, file, physical: start, memory, .. } = *segment;
        let end = start.checked_add(memory).filter(|end| *end <= HIGHEST);
        let Some(end) = end else {
            return Err(format!("wants {memory} bytes at {start:#x}: not below 4 GiB"));
        };
        if start < LOWEST {
            return Err(format!(
                "wants {memory} bytes at {start:#x}; below 0x100000 are the BIOS and GRUB"
            ));
        }
        if file > memory || offset.checked_add(file).is_none_or(|end| end > len) {
            return Err(format!(
                "loads {file} bytes from {offset} on into {memory} bytes at {start:#x}; the file has \
                 {len}"
            ));
        }
        if let Some((from, to)) = before.filter(|(_, to)| *to > start) {
            return Err(format!(
                "has segments that overlap: {from:#x} to {to:#x} and {start:#x} to {end:#x}"
            ));
        }
        before = Some((start, end));
    }
    let (Some(first), Some((_, end))) = (sorted.first(), before) else {
        return Err("loads nothing".to_owned());
    };
    let inside = |s: &Segment| entry.checked_sub(s.physical).is_some_and(|at| at < s.memory);
    if !sorted.iter().any(inside) {
        return Err(format!("has its entry {entry:#x} outside of what is loaded"));
    }
    Ok(Multiboot { header: at as u64, wide, entry, memory: (first.physical, end) })
}

fn find_1(bytes: &[u8]) -> Result<Option<Found>, String> {
    let head = bytes.get(..bytes.len().min(SEARCH_1)).unwrap_or_default();
    for at in (0..head.len()).step_by(4) {
        let rest = head.get(at..).unwrap_or_default();
        let Ok((header, rest)) = Header1::read_from_prefix(rest) else { break };
        let (magic, flags) = (header.magic.get(), header.flags.get());
        let sum = magic.wrapping_add(flags).wrapping_add(header.checksum.get());
        if magic != MAGIC_1 || sum != 0 {
            continue;
        }
        if flags & REQUIRED_UNKNOWN_1 != 0 {
            return Err(format!(
                "asks in its Multiboot header for features {:#x} that no loader has",
                flags & REQUIRED_UNKNOWN_1
            ));
        }
        if flags & ADDRESSES == 0 {
            return Ok(Some(Found { at, raw: None, entry: None }));
        }
        let short = || format!("has a Multiboot header at {at:#x} that is cut short");
        let (addresses, rest) = Addresses::read_from_prefix(rest).map_err(|_| short())?;
        let (entry, _) = U32::read_from_prefix(rest).map_err(|_| short())?;
        let raw = raw(bytes, at, addresses)?;
        return Ok(Some(Found { at, raw: Some((raw, entry.get().into())), entry: None }));
    }
    Ok(None)
}

/// The one segment that address fields describe (Multiboot 3.1.3).
fn raw(bytes: &[u8], at: usize, addresses: Addresses) -> Result<Segment, String> {
    let (header, load) = (u64::from(addresses.header.get()), u64::from(addresses.load.get()));
    let offset = header.checked_sub(load).and_then(|before| (at as u64).checked_sub(before));
    let Some(offset) = offset else {
        return Err(format!(
            "has a header at {at:#x} for address {header:#x}, while it is loaded from {load:#x} on"
        ));
    };
    let file = match u64::from(addresses.load_end.get()) {
        0 => (bytes.len() as u64).saturating_sub(offset),
        end => {
            end.checked_sub(load).ok_or_else(|| format!("is loaded from {load:#x} to {end:#x}"))?
        }
    };
    let memory = match u64::from(addresses.bss_end.get()) {
        0 => file,
        end => end.saturating_sub(load).max(file),
    };
    Ok(Segment { offset, file, virt: load, physical: load, memory })
}

fn find_2(bytes: &[u8]) -> Result<Option<Found>, String> {
    let head = bytes.get(..bytes.len().min(SEARCH_2)).unwrap_or_default();
    for at in (0..head.len()).step_by(8) {
        let rest = head.get(at..).unwrap_or_default();
        let Ok((header, _)) = Header2::read_from_prefix(rest) else { break };
        let (magic, length) = (header.magic.get(), header.length.get());
        let parts = [header.architecture.get(), length, header.checksum.get()];
        if magic != MAGIC_2 || parts.iter().fold(magic, |sum, part| sum.wrapping_add(*part)) != 0 {
            continue;
        }
        if header.architecture.get() != ARCHITECTURE_386 {
            let found = header.architecture.get();
            return Err(format!("has a Multiboot 2 header for architecture {found}, not 0 (i386)"));
        }
        let tags = rest.get(size_of::<Header2>()..length as usize).ok_or_else(|| {
            format!("has a Multiboot 2 header of {length} bytes at {at:#x}: not within 32768")
        })?;
        return tags_2(bytes, at, tags).map(Some);
    }
    Ok(None)
}

/// Goes through the tags of a Multiboot 2 header.
fn tags_2(bytes: &[u8], at: usize, mut tags: &[u8]) -> Result<Found, String> {
    let (mut segment, mut entry) = (None, None);
    while let Ok((tag, body)) = Tag::read_from_prefix(tags) {
        let (kind, size) = (tag.kind.get(), tag.size.get() as usize);
        if kind == TAG_END {
            break;
        }
        if size < size_of::<Tag>() || size > tags.len() {
            return Err(format!("has a Multiboot 2 tag {kind} of {size} bytes"));
        }
        let short = |_| format!("has a Multiboot 2 tag {kind} of {size} bytes: too short");
        match kind {
            TAG_ADDRESS => {
                let (addresses, _) =
                    Addresses::read_from_prefix(body).map_err(|e| short(e.to_string()))?;
                segment = Some(raw(bytes, at, addresses)?);
            }
            TAG_ENTRY => {
                let (found, _) = U32::read_from_prefix(body).map_err(|e| short(e.to_string()))?;
                entry = Some(u64::from(found.get()));
            }
            _ if kind > TAG_LAST && tag.flags.get() & OPTIONAL == 0 => {
                return Err(format!(
                    "needs the Multiboot 2 feature {kind}, known are 1 to {TAG_LAST}"
                ));
            }
            _ => {}
        }
        tags = tags.get(size.next_multiple_of(8)..).unwrap_or_default();
    }
    match (segment, entry) {
        (Some(segment), Some(entry)) => Ok(Found { at, raw: Some((segment, entry)), entry: None }),
        (Some(_), None) => Err("has a Multiboot 2 address tag without an entry tag".to_owned()),
        (None, entry) => Ok(Found { at, raw: None, entry }),
    }
}

/// What there is instead of the header.
fn no_header(bytes: &[u8], version: Version) -> String {
    let (name, search, other) = match version {
        Version::One => {
            ("Multiboot", SEARCH_1, find_2(bytes).ok().flatten().map(|_| "Multiboot 2"))
        }
        Version::Two => {
            ("Multiboot 2", SEARCH_2, find_1(bytes).ok().flatten().map(|_| "Multiboot"))
        }
    };
    let hint = match other {
        Some(other) => format!("; it has one of {other}"),
        None if super::is_gzip(bytes) => "; it is compressed with gzip".to_owned(),
        None if bytes.get(0x202..0x206) == Some(b"HdrS") => "; it is a Linux kernel".to_owned(),
        None => String::new(),
    };
    format!("has no {name} header in its first {search} bytes{hint}")
}
