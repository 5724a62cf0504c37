//! Unified kernel images: systemd's stub with kernel, initrd and command line as sections.
//!
//! Signs nothing. Source: UAPI.5, "Unified Kernel Image", and for addresses the recipe of
//! systemd-stub(7). Invariants: sections do not overlap in the file or in memory; the same parts
//! give the same bytes; kernel and initrd are not held in memory.

use std::mem::{offset_of, size_of};
use std::sync::Arc;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::ondisk::{CERTIFICATES, Coff, DEBUG, Directory, Optional, READ_ONLY, SectionHeader};
use super::pe::Pe;
use super::{Machine, kernel, pe};
use crate::engine::base::{
    ByteSource, Composed, Content, Error, Extent, Kind, Origin, Region, SectorSource,
};

/// Sections begin at whole pages, whatever the stub says: its own alignment is 512.
const PAGE: u64 = 4096;

/// Bytes that the image's headers may have. Stubs have 1 KiB; a number of a stub decides how many are
/// held in memory.
const LARGEST_HEADERS: u64 = 1 << 20;

/// Longest command line: x86 and arm64 Linux have `COMMAND_LINE_SIZE` 2048, one of it for the end.
const COMMAND_LINE: usize = 2047;

/// What goes into the image beside the stub.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The kernel, with an EFI stub of its own.
    pub kernel: Content,
    /// The initrd.
    pub initrd: Option<Content>,
    /// An initrd with microcode, which must come first.
    pub microcode: Option<Content>,
    /// The command line.
    pub command_line: Option<String>,
    /// The text of `/etc/os-release`, which boot menus show.
    pub os_release: Option<Arc<[u8]>>,
    /// What `uname -r` says; omitted: what the kernel tells.
    pub release: Option<String>,
    /// A device tree.
    pub device_tree: Option<Content>,
    /// A picture to show: BMP.
    pub splash: Option<Content>,
    /// Lines for Secure Boot's revocation list; refused where the stub brings its own.
    pub sbat: Option<Arc<[u8]>>,
}

impl Parts {
    /// A kernel alone.
    #[must_use]
    pub const fn new(kernel: Content) -> Self {
        Self {
            kernel,
            initrd: None,
            microcode: None,
            command_line: None,
            os_release: None,
            release: None,
            device_tree: None,
            splash: None,
            sbat: None,
        }
    }
}

/// A section to be: its name and what follows each other in it.
struct New {
    name: &'static str,
    contents: Vec<Content>,
}

impl New {
    /// Contents one after the other, each at a multiple of 4, which is what the kernel wants of
    /// archives that follow each other.
    fn places(&self) -> Vec<(u64, &Content)> {
        let mut end = 0u64;
        let place = |content| {
            let at = end.next_multiple_of(4);
            end = at + Content::len(content);
            (at, content)
        };
        self.contents.iter().map(place).collect()
    }

    fn len(&self) -> u64 {
        self.places().last().map_or(0, |(at, content)| at + content.len())
    }
}

/// `stub` with `parts` as its sections.
pub fn unified(
    machine: Machine,
    stub: &[u8],
    parts: Parts,
) -> Result<Arc<dyn SectorSource>, Error> {
    let found = pe::read(&ByteSource::new(stub))?
        .filter(|found| found.runs_on(machine))
        .ok_or_else(|| {
            let message = format!("the EFI stub is no EFI application for {}", machine.name());
            Error::new(Kind::Input, message)
        })?;
    let news = sections(machine, stub, &found, parts)?;
    let room = Room::new(&found, news.len())?;
    let mut head = room.moved(stub, &found)?;
    let mut regions = Vec::new();
    let mut table = found.table_at() + HEADER * found.sections.len() as u64;
    let mut memory = found.sections.iter().map(memory_end).max().unwrap_or(0);
    let mut file = (head.len() as u64).next_multiple_of(room.file_alignment);
    let (first, page) = (file, room.page);
    for new in &news {
        let len = new.len();
        memory = memory.next_multiple_of(page);
        let raw = len.next_multiple_of(room.file_alignment);
        let header = SectionHeader {
            name: padded(new.name),
            virtual_size: number(len, new.name)?,
            virtual_address: number(memory, new.name)?,
            raw_size: number(raw, new.name)?,
            raw_at: number(file, new.name)?,
            flags: READ_ONLY.into(),
            ..SectionHeader::default()
        };
        *field::<SectionHeader>(&mut head, table)? = header;
        regions.extend(new.places().into_iter().filter_map(|(at, content)| {
            let extent = Extent::new(file + at, file + at + content.len())?;
            Some(Region { extent, content: content.clone(), origin: Origin::new(new.name) })
        }));
        (table, memory, file) = (table + HEADER, memory + len, file + raw);
    }
    settle(&mut head, &found, &room, (news.len(), memory, file - first))?;
    let stub = Region {
        extent: Extent::new(0, head.len() as u64).ok_or_else(|| small(&found))?,
        content: Content::Bytes(head.into()),
        origin: Origin::new("stub"),
    };
    regions.insert(0, stub);
    Ok(Arc::new(Composed::new(file, regions)))
}

/// Bytes of a section's header.
const HEADER: u64 = size_of::<SectionHeader>() as u64;

/// Checks the parts, and puts them into the order of UAPI.5's list, the large ones last.
fn sections(machine: Machine, stub: &[u8], pe: &Pe, parts: Parts) -> Result<Vec<New>, Error> {
    let facts = match &parts.kernel {
        Content::Bytes(bytes) => kernel(&ByteSource::new(Arc::clone(bytes)), machine)?,
        Content::Sectors(source) => kernel(source.as_ref(), machine)?,
        Content::Late(_) => return Err(late(".linux")),
    };
    if !facts.takes_initrd && (parts.initrd.is_some() || parts.microcode.is_some()) {
        let message = "the kernel is older than Linux 5.8, which takes no initrd from a unified \
                       kernel image; use it without an initrd, or as style Stub";
        return Err(Error::new(Kind::Unsupported, message));
    }
    if let Some(line) = &parts.command_line {
        check_line(line)?;
    }
    let text = |text: String| Content::Bytes(text.into_bytes().into());
    let mut news = Vec::new();
    let mut add = |name, contents: Vec<Content>| news.push(New { name, contents });
    let bytes = |bytes: Option<Arc<[u8]>>| bytes.map(Content::Bytes).into_iter().collect();
    add(".osrel", bytes(parts.os_release));
    add(".cmdline", parts.command_line.map(text).into_iter().collect());
    add(".uname", parts.release.or(facts.release).map(text).into_iter().collect());
    add(".sbat", bytes(parts.sbat));
    add(".dtb", parts.device_tree.into_iter().collect());
    add(".splash", parts.splash.into_iter().collect());
    // A stub that does not know the section would leave the microcode out: there it becomes the
    // front of the initrd, which is the same to the kernel.
    let knows = stub.windows(6).any(|bytes| bytes == b".ucode");
    let (own, front) = if knows { (parts.microcode, None) } else { (None, parts.microcode) };
    add(".ucode", own.into_iter().collect());
    add(".initrd", front.into_iter().chain(parts.initrd).collect());
    add(".linux", vec![parts.kernel]);
    news.retain(|new| new.len() > 0);
    for new in &news {
        if new.contents.iter().any(|content| matches!(content, Content::Late(_))) {
            return Err(late(new.name));
        }
        if pe.section(new.name).is_some() {
            let message = format!("the EFI stub has a section {} already", new.name);
            return Err(Error::new(Kind::Input, message));
        }
    }
    Ok(news)
}

/// The stub takes the command line byte by byte as ASCII.
fn check_line(line: &str) -> Result<(), Error> {
    if line.len() > COMMAND_LINE {
        let message =
            format!("the command line has {} bytes; Linux takes {COMMAND_LINE}", line.len());
        return Err(Error::new(Kind::Document, message));
    }
    if let Some(bad) = line.chars().find(|c| !matches!(c, ' '..='~')) {
        let message = format!("the command line holds {bad:?}; allowed is printable ASCII");
        return Err(Error::new(Kind::Document, message));
    }
    Ok(())
}

/// What the section table needs, and by how much the stub's data must move for it.
struct Room {
    headers: u64,
    shift: u64,
    file_alignment: u64,
    /// What sections begin at multiples of in memory: not less than in the file, where they are filled
    /// up to that, or what fills one would lie in the next.
    page: u64,
}

impl Room {
    fn new(pe: &Pe, more: usize) -> Result<Self, Error> {
        let file_alignment = u64::from(pe.file_alignment).max(512);
        let table = pe.table_at() + HEADER * (pe.sections.len() + more) as u64;
        let held = pe.sections.iter().filter(|section| section.size > 0);
        let first = held.map(|section| u64::from(section.offset)).min();
        let first =
            first.ok_or_else(|| Error::new(Kind::Input, "the EFI stub has no bytes to run"))?;
        let used = pe.table_at() + HEADER * pe.sections.len() as u64;
        if first < used || u64::from(pe.headers_size) < used {
            return Err(small(pe));
        }
        let wanted = table.max(u64::from(pe.headers_size)).next_multiple_of(file_alignment);
        if wanted > LARGEST_HEADERS {
            let message = format!(
                "the EFI stub's headers would have {wanted} bytes (it says {}, in units of \
                 {file_alignment}); allowed are {LARGEST_HEADERS}",
                pe.headers_size
            );
            return Err(Error::new(Kind::Input, message));
        }
        let shift = wanted.saturating_sub(first).next_multiple_of(file_alignment);
        // Headers lie in memory before the first section: they cannot grow into it.
        let memory = pe.sections.iter().map(|section| u64::from(section.virtual_address)).min();
        if memory.is_some_and(|memory| memory < wanted) {
            let message = format!(
                "the EFI stub has no room for {more} more sections: their headers would end at \
                 {wanted:#x}, and its first section begins at {:#x} of memory",
                memory.unwrap_or(0)
            );
            return Err(Error::new(Kind::Unsupported, message));
        }
        let page = PAGE.max(u64::from(pe.section_alignment)).max(file_alignment);
        Ok(Self { headers: wanted, shift, file_alignment, page })
    }

    /// The stub up to the end of its last section, its data moved. Symbols and signature, which lie
    /// behind it, are left out: both would be wrong.
    fn moved(&self, stub: &[u8], pe: &Pe) -> Result<Vec<u8>, Error> {
        let held = pe.sections.iter().filter(|section| section.size > 0);
        let end = held.clone().map(|section| u64::from(section.offset) + u64::from(section.size));
        let end = end.max().unwrap_or(0);
        let start = held.map(|section| u64::from(section.offset)).min().unwrap_or(end);
        let (start, end) = (index(start)?, index(end)?);
        let used = index(pe.table_at() + HEADER * pe.sections.len() as u64)?;
        let mut head = stub.get(..used).ok_or_else(|| small(pe))?.to_vec();
        head.resize(start + index(self.shift)?, 0);
        head.extend_from_slice(stub.get(start..end).ok_or_else(|| small(pe))?);
        head.resize(head.len().max(index(self.headers)?), 0);
        Ok(head)
    }
}

/// The numbers of the headers that are others now.
fn settle(
    head: &mut [u8],
    pe: &Pe,
    room: &Room,
    (more, memory, data): (usize, u64, u64),
) -> Result<(), Error> {
    let coff = field::<Coff>(head, pe.coff_at)?;
    let count = u16::try_from(pe.sections.len() + more).map_err(|_| small(pe))?;
    coff.sections = count.into();
    (coff.symbols_at, coff.symbols) = (U32::ZERO, U32::ZERO);
    let at = pe.coff_at + size_of::<Coff>() as u64;
    let optional = field::<Optional>(head, at)?;
    let grown = u64::from(optional.data_size.get()) + data;
    optional.data_size = number(grown, "SizeOfInitializedData")?;
    optional.image_size = number(memory.next_multiple_of(room.page), "SizeOfImage")?;
    optional.headers_size = number(room.headers, "SizeOfHeaders")?;
    optional.checksum = U32::ZERO;
    let gone = [Some(CERTIFICATES), (room.shift > 0).then_some(DEBUG)];
    for number in gone.into_iter().flatten().filter(|number| *number < pe.directories as usize) {
        let at = at + (size_of::<Optional>() + number * size_of::<Directory>()) as u64;
        *field::<Directory>(head, at)? = Directory::default();
    }
    let shift = u32::try_from(room.shift).map_err(|_| small(pe))?;
    for (number, section) in pe.sections.iter().enumerate().filter(|(_, one)| one.size > 0) {
        let offset = offset_of!(SectionHeader, raw_at) as u64;
        let moved = section.offset.checked_add(shift).ok_or_else(|| small(pe))?;
        *field::<U32>(head, pe.table_at() + HEADER * number as u64 + offset)? = moved.into();
    }
    Ok(())
}

fn memory_end(section: &pe::Section) -> u64 {
    u64::from(section.virtual_address) + u64::from(section.virtual_size.max(section.size))
}

/// The structure at `at` of the headers, to be changed.
fn field<T: FromBytes + IntoBytes + KnownLayout + Immutable + zerocopy::Unaligned>(
    head: &mut [u8],
    at: u64,
) -> Result<&mut T, Error> {
    let rest = usize::try_from(at).ok().and_then(|at| head.get_mut(at..));
    let found = rest.and_then(|rest| T::mut_from_prefix(rest).ok());
    let (found, _) = found.ok_or_else(|| {
        Error::new(Kind::Input, format!("the EFI stub ends before its headers at {at}"))
    })?;
    Ok(found)
}

fn padded(name: &str) -> [u8; 8] {
    std::array::from_fn(|at| name.as_bytes().get(at).copied().unwrap_or(0))
}

fn index(number: u64) -> Result<usize, Error> {
    usize::try_from(number).map_err(|_| Error::new(Kind::Input, format!("{number} bytes")))
}

fn number(value: u64, what: &str) -> Result<U32, Error> {
    let value = u32::try_from(value).map_err(|_| {
        let message =
            format!("a unified kernel image has at most 4 GiB; {what} would come to {value} bytes");
        Error::new(Kind::Document, message)
    })?;
    Ok(value.into())
}

fn late(name: &str) -> Error {
    let message = format!("{name} must be known before the image's place is");
    Error::new(Kind::Document, message)
}

fn small(pe: &Pe) -> Error {
    let message = format!(
        "the EFI stub's headers ({} bytes, {} sections) overlap its data",
        pe.headers_size,
        pe.sections.len()
    );
    Error::new(Kind::Input, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stub with one section of 512 bytes, whose numbers are these.
    fn stub(file_alignment: u32, headers_size: u32, address: u32) -> Vec<u8> {
        let mut file = vec![0; 1024];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"MZ");
        put(0x3c, &[0x40]);
        // COFF at 0x40: x86-64, one section, 112 bytes of optional header.
        put(0x40, b"PE\0\0\x64\x86\x01\0");
        put(0x54, &[112]);
        // The optional header at 0x58.
        put(0x58, &[0x0b, 2]);
        for (at, number) in [(32, 4096), (36, file_alignment), (60, headers_size), (68, 10)] {
            put(0x58 + at, &number.to_le_bytes());
        }
        // The section table behind it: sizes and places in memory and in the file.
        for (at, number) in [(8, 512), (12, address), (16, 512), (20, 512)] {
            put(0x58 + 112 + at, &u32::to_le_bytes(number));
        }
        file
    }

    fn headers(file: &dyn SectorSource) -> Pe {
        pe::read(file).unwrap().unwrap()
    }

    /// Found by fuzzing: both numbers were believed, and up to 4 GiB of zeros were held.
    #[test]
    fn headers_of_gigabytes_are_refused() {
        let room = |stub| Room::new(&headers(&ByteSource::new(stub)), 6);
        let usual = room(stub(512, 512, 0x1000)).unwrap();
        assert_eq!((usual.headers, usual.shift), (512, 0));
        let address = 0xf000_0000;
        for (alignment, headers, found) in
            [(1 << 31, 512, "2147483648"), (512, 1 << 30, "1073741824"), (1 << 21, 0, "")]
        {
            let stub = stub(alignment, headers.max(512), address);
            let error = room(stub).err().unwrap().to_string();
            let wanted = format!("headers would have {found}");
            assert!(error.contains(&wanted) && error.contains("allowed are 1048576"), "{error}");
        }
        assert_eq!(room(stub(1 << 20, 512, address)).unwrap().headers, 1 << 20);
    }

    /// Found by fuzzing, with sections that are filled up to 128 KiB in the file and lay 4 KiB apart.
    #[test]
    fn sections_are_apart_in_memory_whatever_the_alignment_in_the_file() {
        for alignment in [512, 4096, 1 << 17] {
            let stub = stub(alignment, 512, 0x100_0000);
            let parts = Parts {
                command_line: Some("quiet".to_owned()),
                os_release: Some(b"ID=a\n"[..].into()),
                ..Parts::new(Content::Bytes(stub.clone().into()))
            };
            let made = headers(unified(Machine::X64, &stub, parts).unwrap().as_ref());
            assert_eq!(made.sections.len(), 4);
            for pair in made.sections.windows(2) {
                assert!(memory_end(&pair[0]) <= pair[1].virtual_address.into(), "{pair:?}");
            }
            assert!(memory_end(&made.sections[3]) <= made.image_size.into(), "{made:?}");
        }
    }
}
