//! Small files that the readers of boot loaders, kernels and modules take, made by hand.
//!
//! No byte is of somebody else's program: headers are written from their specifications (System V
//! gABI, Microsoft's "PE Format", Linux' boot.rst, Multiboot 0.6.96 and Multiboot2 2.0), code is
//! zeros. Invariant: each is accepted by the reader it is for, which `examples/seeds` asserts.

/// Bytes that grow at their end.
#[derive(Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn halves(&mut self, numbers: &[u16]) -> &mut Self {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self
    }

    pub(crate) fn words(&mut self, numbers: &[u32]) -> &mut Self {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self
    }

    /// Numbers of 8 bytes, or of 4.
    fn longs(&mut self, wide: bool, numbers: &[u64]) -> &mut Self {
        for number in numbers {
            let bytes = number.to_le_bytes();
            self.put(if wide { &bytes } else { &bytes[..4] });
        }
        self
    }

    fn to(&mut self, len: usize) -> &mut Self {
        self.0.resize(len, 0);
        self
    }

    /// Overwrites what is there.
    pub(crate) fn at(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }
}

/// A section of an ELF file: its kind, flags, address, link and info, its bytes.
struct Section<'a> {
    kind: u32,
    flags: u64,
    address: u64,
    link: [u32; 2],
    name: u32,
    bytes: &'a [u8],
}

const PLAIN: Section<'_> =
    Section { kind: 1, flags: 2, address: 0, link: [0, 0], name: 0, bytes: &[] };

/// An ELF file: one segment with all of it at `base`, if there is one, and sections behind a
/// header of 64 or 52 bytes, a program header of 56 or 32, each section at a multiple of 8.
fn elf(
    wide: bool,
    kind: u16,
    machine: u16,
    base: Option<u64>,
    sections: &[Section<'_>],
) -> Vec<u8> {
    let (header, segment, row) = if wide { (64, 56, 64) } else { (52, 32, 40) };
    let mut body = Bytes::default();
    body.to(if base.is_some() { (header + segment) as usize } else { header as usize });
    let mut table = Bytes::default();
    table.to(row as usize);
    for one in sections {
        let at = body.0.len().next_multiple_of(8);
        body.to(at).put(one.bytes);
        let address =
            if one.address == 0 { base.map_or(0, |base| base + at as u64) } else { one.address };
        table.words(&[one.name, one.kind]).longs(wide, &[one.flags, address, at as u64]);
        table.longs(wide, &[one.bytes.len() as u64]).words(&one.link).longs(wide, &[8, 0]);
    }
    let at = body.0.len().next_multiple_of(8);
    body.to(at).put(&table.0);
    let len = body.0.len() as u64;
    let mut head = Bytes::default();
    head.put(b"\x7fELF")
        .put(&[1 + u8::from(wide), 1, 1])
        .to(16)
        .halves(&[kind, machine])
        .words(&[1]);
    let segments = base.map_or(0, |_| u64::from(header));
    head.longs(wide, &[base.unwrap_or(0), segments, at as u64]).words(&[0]);
    let count = sections.len() as u16 + 1;
    head.halves(&[header, segment, u16::from(base.is_some()), row, count, count - 1]);
    if let Some(base) = base {
        head.words(&[1]);
        match wide {
            true => head.words(&[7]).longs(true, &[0, base, base, len, len, 8]),
            false => head.words(&[0, base as u32, base as u32, len as u32, len as u32, 7, 8]),
        };
    }
    body.at(0, &head.0);
    body.0
}

/// A NetBSD kernel with three drivers; the layout of `cfdata` is that of NetBSD 9, or of 10.
pub fn netbsd(wide: bool, old: bool) -> Vec<u8> {
    let base = if wide { 0xffff_ffff_8000_0000 } else { 0xc000_0000 };
    let head = if wide { 64 + 56 } else { 88 };
    let names = b"com\0pci\0ld\0";
    let mut data = Bytes::default();
    data.put(names).to(16);
    for (name, unit, state) in [(0u64, 0u8, 0u8), (4, 0, 2), (8, 1, 2)] {
        let name = base + head + name;
        data.longs(wide, &[name, name]);
        data.put(&if old { [unit, 0, state, 0] } else { [unit, 0, 0, state] });
        match wide {
            true => data.words(&[0]).longs(true, &[0, 0, base]),
            false => data.words(&[0, 0, base as u32]),
        };
    }
    let row = if wide { 48 } else { 24 };
    data.to(16 + 4 * row);
    let mut symbols = Bytes::default();
    symbols.to(if wide { 24 } else { 16 });
    let (value, len) = (base + head + 16, 4 * row as u64);
    match wide {
        true => symbols.words(&[1]).put(&[1, 0]).halves(&[1]).longs(true, &[value, len]),
        false => symbols.words(&[1, value as u32, len as u32]).put(&[1, 0]).halves(&[1]),
    };
    let sections = [
        Section { bytes: &data.0, ..PLAIN },
        Section { kind: 2, flags: 0, link: [3, 1], bytes: &symbols.0, ..PLAIN },
        Section { kind: 3, flags: 0, bytes: b"\0cfdata\0", ..PLAIN },
    ];
    elf(wide, 2, if wide { 62 } else { 3 }, Some(base), &sections)
}

/// A kernel with a Multiboot header (1 or 2): with addresses of its own, or in an ELF file.
pub fn multiboot(version: u8, raw: bool) -> Vec<u8> {
    let base = 1u32 << 20;
    let mut header = Bytes::default();
    match (version, raw) {
        (1, true) => {
            let (magic, flags) = (0x1bad_b002u32, 1 << 16);
            header.words(&[magic, flags, 0u32.wrapping_sub(magic + flags)]);
            header.words(&[base, base, 0, 0, base])
        }
        (1, false) => header.words(&[0x1bad_b002, 0, 0u32.wrapping_sub(0x1bad_b002)]),
        (_, raw) => {
            let (magic, len) = (0xe852_50d6u32, if raw { 64 } else { 24 });
            header.words(&[magic, 0, len, 0u32.wrapping_sub(magic).wrapping_sub(len)]);
            if raw {
                header.words(&[2, 24, base, base, 0, 0, 3, 12, base, 0]);
            }
            header.words(&[0, 8])
        }
    };
    header.put(&[0xf4; 32]);
    if raw {
        return header.0;
    }
    elf(
        version == 2,
        2,
        if version == 2 { 62 } else { 3 },
        Some(base.into()),
        &[Section { bytes: &header.0, ..PLAIN }],
    )
}

/// A PE32+ program for UEFI with these sections; its headers have 1024 bytes.
pub fn program(machine: u16, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut head = Bytes::default();
    head.put(b"MZ").to(0x3c).words(&[0x80]).to(0x80).put(b"PE\0\0");
    head.halves(&[machine, sections.len() as u16]).words(&[0, 0, 0]).halves(&[112 + 128, 0x20e]);
    head.halves(&[0x20b, 0]).words(&[0x200, 0x200, 0, 0x1000, 0x1000]).longs(true, &[0]);
    let pages = |bytes: usize| bytes.div_ceil(0x1000).max(1) as u32 * 0x1000;
    let memory = 0x1000 + sections.iter().map(|(_, bytes)| pages(bytes.len())).sum::<u32>();
    // Alignments, versions (Linux' stub says here that it takes an initrd), sizes.
    head.words(&[0x1000, 0x200]).halves(&[0, 0, 1, 1, 0, 0]).words(&[0, memory, 0x400, 0]);
    head.halves(&[10, 0]).longs(true, &[0x1000; 4]).words(&[0, 16]).to(0x80 + 24 + 240);
    let mut body = Bytes::default();
    let mut address = 0x1000;
    for (name, bytes) in sections {
        let mut padded = [0; 8];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        let (at, len) = (0x400 + body.0.len() as u32, bytes.len() as u32);
        head.put(&padded).words(&[
            len,
            address,
            len.next_multiple_of(0x200),
            at,
            0,
            0,
            0,
            0x4000_0040,
        ]);
        let end = (body.0.len() + bytes.len()).next_multiple_of(0x200);
        body.put(bytes).to(end);
        address += pages(bytes.len());
    }
    head.to(0x400).put(&body.0);
    head.0
}

/// What every `program` has to run.
pub const CODE: (&str, &[u8]) = (".text", &[0xf4; 16]);

/// A Linux kernel for x86 with an EFI stub.
pub fn bzimage() -> Vec<u8> {
    let mut file = Bytes(program(0x8664, &[CODE]));
    let units = (file.0.len() - 1024) as u32 / 16;
    file.at(0x1f1, &[1]).at(0x1f4, &units.to_le_bytes()).at(0x1fe, &[0x55, 0xaa]);
    file.at(0x202, b"HdrS\x0f\x02").at(0x20e, &0x100u16.to_le_bytes()).at(0x211, &[1]);
    file.at(0x22c, &0x7fff_ffffu32.to_le_bytes()).at(0x236, &[1]).at(0x238, &[0xff, 7, 0, 0]);
    file.at(0x300, b"6.1.0-fuzz (nobody@nowhere) #1\0");
    file.0
}

/// A Linux kernel for arm64 with an EFI stub.
pub fn arm64() -> Vec<u8> {
    let mut file = Bytes(program(0xaa64, &[CODE]));
    file.at(0x38, b"ARM\x64");
    file.0
}

/// A kernel module that says this of itself.
pub fn module(wide: bool, modinfo: &[u8]) -> Vec<u8> {
    let sections = [
        Section { name: 1, bytes: modinfo, ..PLAIN },
        Section { kind: 3, flags: 0, name: 10, bytes: b"\0.modinfo\0.shstrtab\0", ..PLAIN },
    ];
    elf(wide, 1, if wide { 62 } else { 3 }, None, &sections)
}

/// GRUB's kernel for BIOS: code where it is linked to.
pub fn grub_pc() -> Vec<u8> {
    elf(false, 2, 3, None, &[Section { address: 0x9000, bytes: &[0xf4; 64], ..PLAIN }])
}

/// GRUB's kernel for UEFI: code, data, and a relocation of each kind.
pub fn grub_efi() -> Vec<u8> {
    let mut symbols = Bytes::default();
    symbols.to(24).words(&[0, 0x0002_0003]).longs(true, &[8, 0]);
    let mut relocations = Bytes::default();
    for (at, kind) in [(0u64, 1u64), (8, 2), (16, 4), (24, 0)] {
        relocations.longs(true, &[at, 1 << 32 | kind, 0]);
    }
    let sections = [
        Section { flags: 6, bytes: &[0xf4; 32], ..PLAIN },
        Section { flags: 3, bytes: &[7; 16], ..PLAIN },
        Section { kind: 2, flags: 0, bytes: &symbols.0, ..PLAIN },
        Section { kind: 4, flags: 0, link: [3, 1], bytes: &relocations.0, ..PLAIN },
    ];
    elf(true, 1, 62, None, &sections)
}

/// `ldlinux.sys` of four sectors in which everything has a place.
pub fn ldlinux() -> Vec<u8> {
    let mut image = Bytes::default();
    image.put(b"\r\nSYSLINUX 6.04 \0").to(4 * 512);
    image.at(0x18, &0x3eb2_02fe_u32.to_le_bytes()).at(0x2e, &[0x40, 0]);
    let mut fields = Bytes::default();
    fields.halves(&[0x60, 0x70, 0x80, 0xf0, 0x10, 0x100, 3, 0x11a, 0x120, 0x1ca]);
    image.at(0x40, &fields.0).at(4 * 512 - 1, &[9]);
    image.0
}

/// syslinux' boot sector without code.
pub fn ldlinux_sector() -> Vec<u8> {
    let mut sector = Bytes::default();
    sector.put(b"\xeb\x58\x90SYSLINUX").to(504).put(&[0xfe, 2, 0xb2, 0x3e, 0x18, 0x37, 0x55, 0xaa]);
    sector.0
}

/// A module of syslinux, which needs `libutil.c32`.
pub fn c32() -> Vec<u8> {
    let mut module = elf(false, 3, 3, Some(0x1000), &[Section { bytes: &[0; 48], ..PLAIN }]);
    // A second program header in the section, which holds what it needs: the name, where names are.
    let (dynamic, name) = (88 + 0u32, 88 + 32u32);
    let mut body = Bytes::default();
    body.words(&[5, 0x1000 + name, 1, 0, 0, 0, 0, 0]).put(b"libutil.c32\0");
    module[88..88 + body.0.len()].copy_from_slice(&body.0);
    let mut segment = Bytes::default();
    segment.words(&[2, dynamic, 0x1000 + dynamic, 0, 24, 24, 7, 8]);
    // The table of segments moves to the end, which syslinux' modules have not, but may have.
    let sections = u32::from_le_bytes(module[32..36].try_into().expect("four bytes")) as usize;
    let mut table = module[52..84].to_vec();
    table.extend(&segment.0);
    let rows = module.split_off(sections);
    let at = module.len() as u32;
    module.extend(&table);
    let sections = module.len() as u32;
    module.extend(&rows);
    let mut file = Bytes(module);
    file.at(28, &at.to_le_bytes()).at(32, &sections.to_le_bytes()).at(44, &[2, 0]);
    file.0
}

/// The program `syslinux` around these: a segment with all that is loaded.
pub fn installer() -> Vec<u8> {
    let mut all = Bytes::default();
    all.put(b"\x7fELF\x02\x01").to(0x100);
    all.at(0x20, &[0x40]).at(0x36, &[56]).at(0x38, &[1]).at(0x40, &[1]);
    all.at(0x90, &(4u32 * 512).to_le_bytes());
    let image = ldlinux();
    all.put(&ldlinux_sector()).put(&image).put(&c32());
    all.at(0x60, &(image.len() as u32).to_le_bytes());
    all.0
}
