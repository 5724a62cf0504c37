//! The PE32+ file around GRUB's kernel and modules.
//!
//! Reads no files. Invariant: the same parts give the same bytes, which are those that grub-mkimage
//! 2.06 gives.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::elf::{Kernel, PAGE};
use super::ondisk::{MODULES, ModuleInfo, ObjectHeader};
use crate::engine::base::{Error, Kind};
use crate::engine::bootloader::efi::Machine;
use crate::engine::bootloader::efi::ondisk::{
    CODE, Coff, DATA, DIR64, DISCARDABLE, Directory, EFI_APPLICATION, Optional, PE_MAGIC,
    PE32_PLUS, READ_ONLY, RELOCATIONS, SectionHeader,
};

/// Where the PE header begins: behind the program that DOS would run.
const PE_AT: usize = 0x80;
/// What grub-mkimage writes as the time of all images: 2015-01-01T00:00:00Z.
const TIME: u32 = 1_420_070_400;
/// "PE Format", "Characteristics": executable, line numbers and symbols stripped, no debug data.
const CHARACTERISTICS: u16 = 0x20e;
/// Bytes of stack and of heap.
const MEMORY: u64 = 0x1_0000;
const DIRECTORIES: usize = 16;

/// The MS-DOS header and its program, which says that it cannot run, as linkers write them: PE
/// Format, "MS-DOS Stub".
const DOS: [&[u8]; 3] = [
    b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40",
    &[0x0e, 0x1f, 0xba, 0x0e, 0x00, 0xb4, 0x09, 0xcd, 0x21, 0xb8, 0x01, 0x4c, 0xcd, 0x21],
    b"This program cannot be run in DOS mode.\r\r\n$",
];

/// The objects of section `mods`: a kind and bytes each.
pub(super) fn modules(objects: &[(u32, Vec<u8>)]) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; size_of::<ModuleInfo>()];
    for (kind, object) in objects {
        // Pointers are of 64 bits here, so is the padding.
        let len = object.len().next_multiple_of(8);
        let size = length(size_of::<ObjectHeader>() + len)?;
        bytes.extend_from_slice(ObjectHeader { kind: (*kind).into(), size }.as_bytes());
        bytes.extend_from_slice(object);
        bytes.resize(bytes.len() + len - object.len(), 0);
    }
    let info = ModuleInfo {
        magic: MODULES.into(),
        padding: U32::ZERO,
        offset: (size_of::<ModuleInfo>() as u64).into(),
        size: (bytes.len() as u64).into(),
    };
    for (into, from) in bytes.iter_mut().zip(info.as_bytes()) {
        *into = *from;
    }
    Ok(bytes)
}

/// The whole file.
pub(super) fn image(
    kernel: &Kernel,
    modules: Vec<u8>,
    sbat: Option<&[u8]>,
) -> Result<Vec<u8>, Error> {
    let code = usize::try_from(kernel.code).unwrap_or(usize::MAX);
    let (code, data) = kernel.image.split_at_checked(code).unwrap_or((&kernel.image, &[]));
    let mut sections = vec![
        (*b".text\0\0\0", CODE, code.to_vec()),
        (*b".data\0\0\0", DATA, data.to_vec()),
        (*b"mods\0\0\0\0", DATA, modules),
    ];
    sections.extend(sbat.map(|sbat| (*b".sbat\0\0\0", READ_ONLY, sbat.to_vec())));
    sections.push((*b".reloc\0\0", DISCARDABLE, relocations(&kernel.moves)?));
    let (mut table, mut body) = (Vec::new(), Vec::new());
    let mut end = PAGE as usize;
    let mut reloc = Directory::default();
    for (name, flags, bytes) in sections {
        let size = bytes.len().next_multiple_of(PAGE as usize);
        let header = SectionHeader {
            name,
            virtual_size: length(size)?,
            virtual_address: length(end)?,
            raw_size: length(size)?,
            raw_at: length(end)?,
            flags: flags.into(),
            ..SectionHeader::default()
        };
        reloc = Directory { address: header.virtual_address, size: header.virtual_size };
        table.push(header);
        body.extend_from_slice(&bytes);
        body.resize(body.len() + size - bytes.len(), 0);
        end += size;
    }
    let mut file = headers(&table, reloc, code.len(), end)?;
    file.resize(PAGE as usize, 0);
    file.extend_from_slice(&body);
    Ok(file)
}

fn headers(
    table: &[SectionHeader],
    reloc: Directory,
    code: usize,
    end: usize,
) -> Result<Vec<u8>, Error> {
    let mut file = DOS[0].to_vec();
    file.resize(0x3c, 0);
    file.extend_from_slice(length(PE_AT)?.as_bytes());
    file.extend(DOS[1].iter().chain(DOS[2]));
    file.resize(PE_AT, 0);
    let coff = Coff {
        magic: PE_MAGIC,
        machine: Machine::X64.coff().into(),
        sections: u16::try_from(table.len()).unwrap_or(u16::MAX).into(),
        time: TIME.into(),
        symbols_at: U32::ZERO,
        symbols: U32::ZERO,
        optional_len: ((size_of::<Optional>() + DIRECTORIES * size_of::<Directory>()) as u16)
            .into(),
        characteristics: CHARACTERISTICS.into(),
    };
    let sizes = table.iter().map(|section| section.raw_size.get() as usize);
    let data = sizes.sum::<usize>() - code - reloc.size.get() as usize;
    let page = U32::new(PAGE as u32);
    let optional = Optional {
        magic: PE32_PLUS.into(),
        linker_version: [0; 2],
        code_size: length(code)?,
        data_size: length(data)?,
        bss_size: U32::ZERO,
        entry: page,
        code_base: page,
        image_base: U64::ZERO,
        section_alignment: page,
        file_alignment: page,
        system_version: [U16::ZERO; 2],
        image_version: [U16::ZERO; 2],
        subsystem_version: [U16::ZERO; 2],
        reserved: U32::ZERO,
        image_size: length(end)?,
        headers_size: page,
        checksum: U32::ZERO,
        subsystem: EFI_APPLICATION.into(),
        dll_characteristics: U16::ZERO,
        stack: [MEMORY.into(); 2],
        heap: [MEMORY.into(); 2],
        loader_flags: U32::ZERO,
        directories: (DIRECTORIES as u32).into(),
    };
    let mut directories = [Directory::default(); DIRECTORIES];
    directories[RELOCATIONS] = reloc;
    file.extend_from_slice(coff.as_bytes());
    file.extend_from_slice(optional.as_bytes());
    file.extend_from_slice(directories.as_bytes());
    file.extend_from_slice(table.as_bytes());
    Ok(file)
}

/// "PE Format", "The .reloc Section": a block for each page, with the places in it. Whole pages: the
/// last block takes what is left, as firmware refuses a block of no bytes (EDK II does).
fn relocations(moves: &[u64]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut blocks = moves.chunk_by(|a, b| a / PAGE == b / PAGE).peekable();
    while let Some(block) = blocks.next() {
        let page = block.first().map_or(0, |place| place / PAGE * PAGE);
        // Entries of zero say "nothing". The specification wants a multiple of 4 bytes;
        // grub-mkimage takes 8.
        let end = bytes.len() + (8 + 2 * block.len()).next_multiple_of(8);
        let last = blocks.peek().is_none();
        let end = if last { end.next_multiple_of(PAGE as usize) } else { end };
        bytes.extend_from_slice(length(usize::try_from(page).unwrap_or(usize::MAX))?.as_bytes());
        bytes.extend_from_slice(length(end + 4 - bytes.len())?.as_bytes());
        let entry = |place: &u64| (DIR64 << 12 | (place % PAGE) as u16).to_le_bytes();
        bytes.extend(block.iter().flat_map(entry));
        bytes.resize(end, 0);
    }
    Ok(bytes)
}

fn length(number: usize) -> Result<U32, Error> {
    let number = u32::try_from(number).map_err(|_| {
        Error::new(Kind::Document, format!("GRUB's image would have more than 4 GiB: {number}"))
    })?;
    Ok(number.into())
}
