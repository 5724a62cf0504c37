//! Reads the headers of PE32+ files without trust.
//!
//! Reads no sections' contents, and ignores checksum and signatures. Invariant: what comes out lies
//! within the file; whatever the bytes are, reading ends with headers or an error.

use std::mem::size_of;

use zerocopy::FromBytes;

use super::Machine;
use super::ondisk::{
    Coff, DOS_MAGIC, DOS_NEW, EFI_APPLICATION, Optional, PE_MAGIC, PE32, PE32_PLUS, SectionHeader,
};
use crate::engine::base::{Error, Kind, SectorSource};

/// Loaders refuse more sections ("COFF File Header", `NumberOfSections`).
const MOST_SECTIONS: u16 = 96;

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name without padding: at most 8 bytes.
    pub name: String,
    /// Where it comes to lie in memory.
    pub virtual_address: u32,
    /// Its bytes in memory.
    pub virtual_size: u32,
    /// Where it lies in the file; means nothing without bytes there.
    pub offset: u32,
    /// Its bytes in the file.
    pub size: u32,
    /// What may be done with it.
    pub flags: u32,
}

/// The headers of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pe {
    /// Whose instructions it holds, as the file has it.
    pub machine: u16,
    /// What runs it; 10 is UEFI.
    pub subsystem: u16,
    /// Major and minor version of the program.
    pub version: (u16, u16),
    /// Sections begin at multiples of this in memory.
    pub section_alignment: u32,
    /// The same in the file.
    pub file_alignment: u32,
    /// Bytes of all headers in the file.
    pub headers_size: u32,
    /// Bytes of the whole in memory.
    pub image_size: u32,
    /// In the order of the file.
    pub sections: Vec<Section>,
    /// Where the signature `PE` stands.
    pub(super) coff_at: u64,
    /// Bytes of the optional header, directories counted.
    pub(super) optional_len: u16,
    /// Number of directories.
    pub(super) directories: u32,
}

impl Pe {
    /// Whether UEFI on `machine` runs it as a program.
    #[must_use]
    pub fn runs_on(&self, machine: Machine) -> bool {
        self.machine == machine.coff() && self.subsystem == EFI_APPLICATION
    }

    /// The section called `name`.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Where the section table begins.
    pub(super) fn table_at(&self) -> u64 {
        self.coff_at + size_of::<Coff>() as u64 + u64::from(self.optional_len)
    }
}

/// The headers of `file`; none if it does not begin like a PE file.
pub fn read(file: &dyn SectorSource) -> Result<Option<Pe>, Error> {
    let Some(magic) = at::<[u8; 2]>(file, 0)? else { return Ok(None) };
    let Some(coff_at) = at::<zerocopy::little_endian::U32>(file, DOS_NEW)? else {
        return Ok(None);
    };
    let coff_at = u64::from(coff_at.get());
    if magic != DOS_MAGIC || coff_at < DOS_NEW + 4 {
        return Ok(None);
    }
    let Some(coff) = at::<Coff>(file, coff_at)? else { return Ok(None) };
    if coff.magic != PE_MAGIC {
        return Ok(None);
    }
    headers(file, coff_at, &coff).map(Some)
}

fn headers(file: &dyn SectorSource, coff_at: u64, coff: &Coff) -> Result<Pe, Error> {
    let optional_at = coff_at + size_of::<Coff>() as u64;
    let cut = || damaged(format!("its headers at {coff_at} go beyond its end at {}", file.len()));
    let magic = at::<zerocopy::little_endian::U16>(file, optional_at)?.ok_or_else(cut)?.get();
    if magic == PE32 {
        return Err(unsupported("it is PE32, for firmware of 32 bits; allowed is PE32+".into()));
    }
    let optional = at::<Optional>(file, optional_at)?.ok_or_else(cut)?;
    let wanted = size_of::<Optional>() as u64 + 8 * u64::from(optional.directories.get());
    if magic != PE32_PLUS || u64::from(coff.optional_len.get()) < wanted {
        return Err(damaged(format!(
            "its optional header of {} bytes begins with {magic:#x}; wanted are {PE32_PLUS:#x} and \
             at least {wanted} bytes",
            coff.optional_len
        )));
    }
    let (section, raw) = (optional.section_alignment.get(), optional.file_alignment.get());
    if !section.is_power_of_two() || !raw.is_power_of_two() {
        return Err(damaged(format!(
            "its alignments are {section} and {raw}; allowed are powers of two"
        )));
    }
    let mut pe = Pe {
        machine: coff.machine.get(),
        subsystem: optional.subsystem.get(),
        version: (optional.image_version[0].get(), optional.image_version[1].get()),
        section_alignment: section,
        file_alignment: raw,
        headers_size: optional.headers_size.get(),
        image_size: optional.image_size.get(),
        sections: Vec::new(),
        coff_at,
        optional_len: coff.optional_len.get(),
        directories: optional.directories.get(),
    };
    pe.sections = sections(file, pe.table_at(), coff.sections.get())?;
    Ok(pe)
}

fn sections(file: &dyn SectorSource, table: u64, count: u16) -> Result<Vec<Section>, Error> {
    if count > MOST_SECTIONS {
        return Err(damaged(format!("it has {count} sections; allowed are {MOST_SECTIONS}")));
    }
    let mut sections = Vec::new();
    for number in 0..u64::from(count) {
        let offset = table + number * size_of::<SectionHeader>() as u64;
        let header = at::<SectionHeader>(file, offset)?
            .ok_or_else(|| damaged(format!("its section table at {table} is cut off")))?;
        let text = header.name.split(|byte| *byte == 0).next().unwrap_or_default();
        let section = Section {
            name: text.escape_ascii().to_string(),
            virtual_address: header.virtual_address.get(),
            virtual_size: header.virtual_size.get(),
            offset: header.raw_at.get(),
            size: header.raw_size.get(),
            flags: header.flags.get(),
        };
        let end = u64::from(section.offset) + u64::from(section.size);
        if section.size > 0 && end > file.len() {
            return Err(damaged(format!(
                "its section {} ends at {end}, beyond the file's end at {}",
                section.name,
                file.len()
            )));
        }
        let in_memory = section.virtual_size.max(section.size);
        if section.virtual_address.checked_add(in_memory).is_none() {
            return Err(damaged(format!(
                "its section {} begins at {:#x} of memory and has {in_memory} bytes, which is \
                 beyond 4 GiB",
                section.name, section.virtual_address
            )));
        }
        sections.push(section);
    }
    Ok(sections)
}

/// The structure at `offset`; none if the file ends before its end.
fn at<T: FromBytes>(file: &dyn SectorSource, offset: u64) -> Result<Option<T>, Error> {
    let mut bytes = vec![0; size_of::<T>()];
    if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > file.len()) {
        return Ok(None);
    }
    file.read_at(offset, &mut bytes)?;
    Ok(T::read_from_bytes(&bytes).ok())
}

fn damaged(what: String) -> Error {
    Error::new(Kind::Input, format!("damaged PE file: {what}"))
}

fn unsupported(what: String) -> Error {
    Error::new(Kind::Unsupported, format!("PE file: {what}"))
}
