//! EFI programs: what a PE file is. Sources: Microsoft "PE Format"; UAPI Group "Unified Kernel Image"
//! for the sections of such an image; shim's SBAT.md for `.sbat`.
//!
//! Judges no signature. Invariant: at most 96 sections are looked at, and of each a bounded part.

use super::bytes::{Bytes, TEXT, between, holds, some_text, text};
use super::found::Program;
use super::{grub, kernel};

/// "Machine Types" and what UEFI calls them (UEFI 2.10, 3.5.1.1).
const MACHINES: [(u16, &str); 6] = [
    (0x14c, "ia32"),
    (0x1c2, "arm"),
    (0x8664, "x64"),
    (0xaa64, "aa64"),
    (0x5064, "riscv64"),
    (0x6264, "loongarch64"),
];

/// "Optional Header Magic Number" of 64-bit programs.
const PLUS: u16 = 0x20b;

/// Most bytes of a GRUB's modules that are looked through.
const MODULES: usize = 8 << 20;

struct Section {
    name: String,
    offset: u64,
    len: usize,
}

/// The program in `file`; none if it is none.
pub(super) fn program(file: Bytes<'_>) -> Option<Program> {
    if file.some(0, 2) != b"MZ" {
        return None;
    }
    // "MS-DOS Stub": the place of the signature is at 0x3c. "COFF File Header" follows it.
    let header = u64::from(file.u32(0x3c)?);
    if file.some(header, 4) != b"PE\0\0" {
        return None;
    }
    let machine = file.u16(header + 4)?;
    let count = file.u16(header + 6)?.min(96);
    let optional = header + 24;
    let wide = file.u16(optional)? == PLUS;
    // "Optional Header Data Directories": the fifth is the certificate table: its place, its length.
    let directories = optional + if wide { 112 } else { 96 };
    let signed = file.u32(directories - 4)? > 4 && file.u32(directories + 4 * 8 + 4)? > 0;
    let table = optional + u64::from(file.u16(header + 20)?);
    let sections: Vec<_> =
        (0..count).filter_map(|n| section(file, table + u64::from(n) * 40)).collect();
    let machine =
        MACHINES.iter().find(|(number, _)| *number == machine).map_or("?", |(_, name)| name);
    let mut program = Program { machine, signed, ..Program::default() };
    identify(file, &sections, wide, &mut program);
    Some(program)
}

/// "Section Table (Section Headers)".
fn section(file: Bytes<'_>, at: u64) -> Option<Section> {
    let (virtual_len, raw_len) = (file.u32(at + 8)?, file.u32(at + 16)?);
    let len = if virtual_len == 0 { raw_len } else { virtual_len.min(raw_len) } as usize;
    Some(Section { name: file.text(at, 8), offset: u64::from(file.u32(at + 20)?), len })
}

fn identify(file: Bytes<'_>, sections: &[Section], wide: bool, program: &mut Program) {
    let named = |name: &str| sections.iter().find(|section| section.name == name);
    let held = |name: &str, most: usize| {
        named(name)
            .map_or_else(Vec::new, |section| file.some(section.offset, section.len.min(most)))
    };
    let sbat = text(&held(".sbat", TEXT));
    // "#### LoaderInfo: systemd-boot 252 ####", which systemd's programs carry for this purpose.
    let magic = held(".sdmagic", TEXT);
    let loader = between(&magic, b"LoaderInfo: ", b'#').or_else(|| {
        let data = held(".data", 1 << 20);
        between(&data, b"#### LoaderInfo: ", b'#')
    });
    let (name, version) = loader.as_deref().and_then(|info| info.split_once(' ')).unzip();
    program.version = version.map(str::to_owned);
    if named(".linux").is_some() {
        program.what = "unified kernel image";
        program.command_line = some_text(&held(".cmdline", TEXT));
        program.uname = some_text(&held(".uname", TEXT));
        program.system = pretty(&text(&held(".osrel", TEXT)));
    } else if named("mods").is_some() {
        program.what = "GRUB";
        let found = grub::embedded(&held("mods", MODULES), wide);
        program.version = found.version.clone().or_else(|| by_sbat(&sbat, "grub"));
        program.grub = Some(found);
    } else if name == Some("systemd-boot") {
        program.what = "systemd-boot";
    } else if name == Some("systemd-stub") {
        program.what = "stub of a unified kernel image";
    } else if let Some(version) = by_vendor(&sbat, "shim") {
        program.what = "shim";
        program.version = Some(version);
    } else if let Some(found) = kernel::linux(file) {
        program.what = "Linux";
        program.version = found.version;
    } else if holds(&held(".text", 4 << 20), &wide_chars("UEFI Interactive Shell")) {
        program.what = "EFI shell";
    } else {
        program.what = "EFI program";
        program.version = None;
    }
}

/// The name a system gives itself (os-release(5)).
fn pretty(release: &str) -> Option<String> {
    let line = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches(['"', '\'']).to_owned())
}

/// The version of `component` in an SBAT table: component, generation, vendor, package, version, URL.
fn by_sbat(sbat: &str, component: &str) -> Option<String> {
    let lines = sbat.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let mut found = lines.filter(|fields| fields.first() == Some(&component));
    found.next()?.get(4).map(|version| (*version).to_owned())
}

/// The same, of the vendor's own line (`shim.debian`), which tells more, if there is one.
fn by_vendor(sbat: &str, component: &str) -> Option<String> {
    let own = by_sbat(sbat, component)?;
    let mut vendors = sbat.lines().filter_map(|line| line.split(',').next());
    let vendor =
        vendors.rfind(|name| name.strip_prefix(component).is_some_and(|n| n.starts_with('.')));
    vendor.and_then(|vendor| by_sbat(sbat, vendor)).or(Some(own))
}

fn wide_chars(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
