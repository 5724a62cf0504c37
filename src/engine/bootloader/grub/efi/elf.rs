//! GRUB's kernel, a relocatable ELF file, given its place in memory.
//!
//! Knows no PE. Invariant: whatever the bytes are, the result has the size that the section table
//! announced, which is bounded, or it is an error; every address in it is on the list of `moves`.

use zerocopy::FromBytes;

use super::ondisk::{R_64, R_NONE, R_PC32, R_PLT32};
use crate::engine::base::elf::{
    ABSOLUTE, ALLOC, CLASS_64, EXEC, Header64, Ident, LITTLE_ENDIAN, MACHINE_X86_64, MAGIC, NOBITS,
    REL, RELA, RELOCATABLE, Rela64, SYMTAB, Section64, Symbol64, UNDEFINED,
};
use crate::engine::base::{Error, Kind};

/// Debian's kernel has 112 KiB in the file and 112 KiB in memory.
const LARGEST: u64 = 16 << 20;

/// Where the program begins in memory, and to what its parts are rounded.
pub(super) const PAGE: u64 = 0x1000;

/// The kernel in memory.
#[derive(Debug)]
pub(super) struct Kernel {
    /// From address `PAGE` on; code, then data, each padded to whole pages.
    pub(super) image: Vec<u8>,
    /// Bytes of the code.
    pub(super) code: u64,
    /// Addresses of 8 bytes that hold an address.
    pub(super) moves: Vec<u64>,
}

struct File<'a> {
    bytes: &'a [u8],
    sections: Vec<Section64>,
    /// The address of each section that lies in memory.
    addresses: Vec<Option<u64>>,
}

/// Puts the sections of `bytes` into memory and their relocations into effect.
pub(super) fn load(bytes: &[u8]) -> Result<Kernel, Error> {
    let mut file = File { bytes, sections: sections(bytes)?, addresses: Vec::new() };
    let (code, end) = file.place()?;
    let mut image = vec![0; index(end - PAGE)?];
    for (section, address) in file.sections.iter().zip(&file.addresses) {
        let Some(address) = address.filter(|_| section.kind.get() != NOBITS) else { continue };
        let from = file.slice(section.offset.get(), section.len.get())?;
        let into = index(address - PAGE)?;
        let into = image.get_mut(into..into + from.len());
        into.ok_or_else(|| bad("a section lies outside of the image"))?.copy_from_slice(from);
    }
    // A relocation changes 4 bytes or 8. Sections may share a table, so its size is no bound.
    let (mut moves, mut left) = (Vec::new(), image.len() / 4);
    for section in &file.sections {
        file.relocate(section, &mut image, &mut moves, &mut left)?;
    }
    Ok(Kernel { image, code: code - PAGE, moves })
}

fn sections(bytes: &[u8]) -> Result<Vec<Section64>, Error> {
    let none = || bad("it has no ELF header");
    let (ident, rest) = Ident::read_from_prefix(bytes).map_err(|_| none())?;
    let (header, _) = Header64::read_from_prefix(rest).map_err(|_| none())?;
    let right = (ident.magic, ident.class, ident.data) == (MAGIC, CLASS_64, LITTLE_ENDIAN)
        && header.kind.get() == RELOCATABLE
        && header.machine.get() == MACHINE_X86_64
        && usize::from(header.section_len.get()) == size_of::<Section64>();
    if !right {
        return Err(bad("it is no relocatable ELF file of 64 bits for x86-64"));
    }
    let table = usize::try_from(header.sections.get()).ok().and_then(|at| bytes.get(at..));
    let count = usize::from(header.section_count.get());
    let found =
        table.and_then(|table| <[Section64]>::ref_from_prefix_with_elems(table, count).ok());
    let (found, _) = found.ok_or_else(|| bad("its section table is cut off"))?;
    Ok(found.to_vec())
}

impl<'a> File<'a> {
    /// Gives each section its address: code first, then data, both in the order of the table as
    /// grub-mkimage does. Returns the ends of both.
    fn place(&mut self) -> Result<(u64, u64), Error> {
        self.addresses = vec![None; self.sections.len()];
        let mut at = PAGE;
        let mut ends = [0; 2];
        let (alloc, exec) = (u64::from(ALLOC), u64::from(EXEC));
        for (end, code) in ends.iter_mut().zip([exec, 0]) {
            for (section, address) in self.sections.iter().zip(&mut self.addresses) {
                if section.flags.get() & (alloc | exec) != alloc | code {
                    continue;
                }
                let align = section.align.get().max(1);
                let size = section.len.get();
                if !align.is_power_of_two() || align > PAGE || size > LARGEST {
                    return Err(bad("a section has an alignment or a size that is not sane"));
                }
                at = at.next_multiple_of(align);
                *address = Some(at);
                at += size;
                if at > LARGEST {
                    return Err(bad("it takes more than 16 MiB of memory"));
                }
            }
            at = at.next_multiple_of(PAGE);
            *end = at;
        }
        Ok((ends[0], ends[1]))
    }

    fn slice(&self, offset: u64, len: u64) -> Result<&'a [u8], Error> {
        let end = offset.checked_add(len).and_then(|end| usize::try_from(end).ok());
        let found = usize::try_from(offset).ok().zip(end);
        let found = found.and_then(|(start, end)| self.bytes.get(start..end));
        found.ok_or_else(|| bad(&format!("{len} bytes at {offset} are beyond its end")))
    }

    fn relocate(
        &self,
        section: &Section64,
        image: &mut [u8],
        moves: &mut Vec<u64>,
        left: &mut usize,
    ) -> Result<(), Error> {
        let target = self.addresses.get(section.info.get() as usize).copied().flatten();
        let (Some(base), RELA | REL) = (target, section.kind.get()) else { return Ok(()) };
        if section.kind.get() == REL {
            return Err(bad("it has relocations without addends"));
        }
        let symbols = self.sections.get(section.link.get() as usize);
        let symbols = symbols.filter(|symbols| symbols.kind.get() == SYMTAB);
        let symbols = symbols.ok_or_else(|| bad("relocations have no symbol table"))?;
        let symbols = self.slice(symbols.offset.get(), symbols.len.get())?;
        let symbols = <[Symbol64]>::ref_from_bytes(symbols)
            .map_err(|_| bad("its symbol table has a broken length"))?;
        let relocations = self.slice(section.offset.get(), section.len.get())?;
        let relocations = <[Rela64]>::ref_from_bytes(relocations)
            .map_err(|_| bad("a relocation table has a broken length"))?;
        *left = left.checked_sub(relocations.len()).ok_or_else(|| {
            bad(&format!("it has more relocations than fit {} bytes of memory", image.len()))
        })?;
        for relocation in relocations {
            let symbol = symbols.get(relocation.symbol.get() as usize);
            let symbol = symbol.ok_or_else(|| bad("a relocation names no symbol"))?;
            let value = self.value(symbol)?.wrapping_add_signed(relocation.addend.get());
            let place = base.wrapping_add(relocation.offset.get());
            let at = place.checked_sub(PAGE).map_or(Ok(usize::MAX), index)?;
            let rest = image.get_mut(at..).unwrap_or_default();
            let outside = || bad(&format!("a relocation at {place:#x} is outside of the image"));
            match relocation.kind.get() {
                R_NONE => {}
                R_64 => {
                    *rest.first_chunk_mut().ok_or_else(outside)? = value.to_le_bytes();
                    moves.push(place);
                }
                R_PC32 | R_PLT32 => {
                    let distance = i32::try_from(value.wrapping_sub(place).cast_signed());
                    let distance = distance.map_err(|_| outside())?;
                    *rest.first_chunk_mut().ok_or_else(outside)? = distance.to_le_bytes();
                }
                kind => {
                    let message = format!(
                        "it has a relocation of type {kind} at {place:#x}; known are {R_64}, \
                         {R_PC32} and {R_PLT32}"
                    );
                    return Err(bad(&message));
                }
            }
        }
        Ok(())
    }

    fn value(&self, symbol: &Symbol64) -> Result<u64, Error> {
        let section = match symbol.section.get() {
            ABSOLUTE => return Ok(symbol.value.get()),
            // The first symbol of every table is empty; others would be of another file.
            UNDEFINED if symbol.name.get() == 0 => return Ok(symbol.value.get()),
            section => usize::from(section),
        };
        let address = self.addresses.get(section).copied().flatten();
        let address = address.ok_or_else(|| {
            bad(&format!("a relocation needs section {section}, which is not in memory"))
        })?;
        Ok(address.wrapping_add(symbol.value.get()))
    }
}

fn index(number: u64) -> Result<usize, Error> {
    usize::try_from(number).map_err(|_| bad(&format!("it needs byte {number}")))
}

fn bad(why: &str) -> Error {
    Error::new(Kind::Input, format!("GRUB's kernel.img cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel with a page of code, 32 relocations of it, and so many sections that name them.
    fn kernel(tables: u16) -> Vec<u8> {
        let mut file = vec![0; 0x800];
        let mut put = |at: usize, numbers: &[u64]| {
            for (number, value) in numbers.iter().enumerate() {
                file[at + 8 * number..][..8].copy_from_slice(&value.to_le_bytes());
            }
        };
        let count = u64::from(tables) + 2;
        put(0, &[u64::from_le_bytes(*b"\x7fELF\x02\x01\x01\0"), 0, 62 << 16 | 1, 0, 0, 0x800, 0]);
        put(56, &[64 << 16 | count << 32]);
        // The symbol that every table begins with, and relocations of byte 0 by it: 64 bits.
        put(0x400, &[0, 0, 0]);
        for number in 0..32 {
            put(0x440 + 24 * number, &[0, 1, 5]);
        }
        // Name and type, flags, address, offset, size, link and info, alignment, length of a row.
        let code = [1 << 32, 6, 0, 0x200, 0x100, 0, 1, 0];
        let symbols = [2 << 32, 0, 0, 0x400, 24, 0, 8, 24];
        let table = [4 << 32, 0, 0, 0x440, 32 * 24, 1, 8, 24];
        let rows = [code, symbols].into_iter().chain((0..tables).map(|_| table));
        file.extend(rows.flatten().flat_map(u64::to_le_bytes));
        file
    }

    #[test]
    fn tables_that_are_named_again_and_again_end() {
        // A page has room for 1024 relocations of 4 bytes.
        assert_eq!(load(&kernel(32)).unwrap().moves.len(), 1024);
        let error = load(&kernel(33)).unwrap_err().to_string();
        assert!(error.contains("more relocations than fit 4096 bytes of memory"), "{error}");
    }
}
