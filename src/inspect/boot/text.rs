//! How a disk boots, as lines for people.
//!
//! Finds nothing. Invariant: says nothing that the data does not have.

use std::fmt::Write as _;

use super::found::{Answer, Boot, CatalogEntry, Grub, Initrd, Kernel, Menu, Program, Record, Ways};

impl Boot {
    /// The lines: a name for the first of each kind, and the value.
    pub(in crate::inspect) fn lines(&self, mut line: impl FnMut(&str, &str)) {
        line("boots", &format!("as a disk: {}", ways(&self.disk)));
        if let Some(cd) = &self.cd {
            line("", &format!("as a CD: {}", ways(cd)));
        }
        let mut list = |name: &str, values: Vec<String>| {
            for (number, value) in values.iter().enumerate() {
                line(if number == 0 { name } else { "" }, value);
            }
        };
        list("boot code", self.records.iter().map(record).collect());
        list("boot catalog", (1..).zip(&self.catalog).map(|(n, one)| entry(n, one)).collect());
        list("EFI programs", self.programs.iter().map(program).collect());
        list("menus", self.menus.iter().map(menu).collect());
        list("kernels", self.kernels.iter().map(kernel).collect());
        list("initrds", self.initrds.iter().map(initrd).collect());
        list("not looked at", self.problems.clone());
    }
}

fn ways(ways: &Ways) -> String {
    let bios = match ways.bios {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Unknown => "unknown code",
    };
    let uefi = if ways.uefi.is_empty() { "no".to_owned() } else { ways.uefi.join(", ") };
    format!("BIOS {bios}; UEFI {uefi}")
}

fn record(one: &Record) -> String {
    let mut text = format!("{}: {}", one.place, one.code.as_str());
    if let Some(message) = &one.message {
        let _ = write!(text, " {message:?}");
    }
    if let Some(version) = &one.version {
        let _ = write!(text, " {version}");
    }
    text + &one.grub.as_ref().map(grub).unwrap_or_default()
}

fn grub(one: &Grub) -> String {
    let mut text = String::new();
    if let Some(version) = &one.version {
        let _ = write!(text, " {version}");
    }
    if let Some(sector) = one.sector {
        let _ = write!(text, ", core at sector {sector}");
    }
    let _ = write!(text, ", {} modules", one.modules);
    if let Some(prefix) = &one.prefix {
        let _ = write!(text, ", prefix {prefix}");
    }
    if let Some(config) = &one.config {
        let _ = write!(text, ", commands {config:?}");
    }
    text
}

fn entry(number: usize, one: &CatalogEntry) -> String {
    let CatalogEntry { platform, emulation, start, sectors, .. } = one;
    let mut text =
        format!("{number}: {platform}, emulation {emulation}, {sectors} sectors at {start}");
    if !one.bootable {
        text += ", not bootable";
    }
    if let Some(loader) = one.loader {
        let _ = write!(text, ": {loader}");
    }
    if let Some(version) = &one.version {
        let _ = write!(text, " {version}");
    }
    text + &one.grub.as_ref().map(grub).unwrap_or_default()
}

fn program(one: &Program) -> String {
    let mut text = format!("{}: {}: {}", one.place, one.path, one.what);
    if let Some(version) = &one.version {
        let _ = write!(text, " {version}");
    }
    let _ = write!(text, ", {}{}", one.machine, if one.signed { ", signed" } else { "" });
    if let Some(system) = &one.system {
        let _ = write!(text, ", {system}");
    }
    if let Some(uname) = &one.uname {
        let _ = write!(text, ", Linux {uname}");
    }
    if let Some(line) = &one.command_line {
        let _ = write!(text, ", command line {line:?}");
    }
    if let Some(found) = &one.grub {
        text += &grub(&Grub { version: None, ..found.clone() });
    }
    text
}

fn menu(one: &Menu) -> String {
    let mut text = format!("{}: {} ({})", one.place, one.path, one.loader);
    for (number, entry) in one.entries.iter().enumerate() {
        let _ = write!(text, "{} {entry:?}", if number == 0 { ":" } else { "," });
    }
    if let Some(default) = &one.default {
        let _ = write!(text, "; default {default}");
    }
    if let Some(timeout) = &one.timeout {
        let _ = write!(text, "; timeout {timeout}");
    }
    text
}

fn kernel(one: &Kernel) -> String {
    let mut text = format!("{}: {}: {}", one.place, one.path, one.kind);
    if let Some(version) = &one.version {
        let _ = write!(text, " {version}");
    }
    text += if one.efi_stub { ", EFI stub" } else { "" };
    text += if one.gzip { ", gzip" } else { "" };
    text
}

fn initrd(one: &Initrd) -> String {
    format!("{}: {}: {}", one.place, one.path, one.parts.join(" + "))
}
