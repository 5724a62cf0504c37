//! The drivers of a NetBSD kernel: those that a machine does not have are disabled in the file, so
//! that the kernel does not look for them and starts sooner.
//!
//! Removes no code: the file keeps its length, and one byte of each disabled entry of the table
//! `cfdata` changes, as `userconf disable` changes it in a running kernel (0 becomes 4, 2 becomes 3).
//! Invariants: a kernel whose table is not understood in full is refused; the result depends on the
//! original kernel and the names alone, so applying twice is applying once, and `restore` gives the
//! original back.

mod elf;
mod ondisk;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::engine::base::{
    Error, Kind, Overlay, Patch, Scratch, SectorSource, Silent, SourceReader,
};
use crate::engine::codec::wrap::{self, Wrap};
use elf::Kernel;
use ondisk::{DISABLED_NOT_FOUND, DISABLED_STAR, NOT_FOUND, STAR};
use table::{Entry, Table};

/// No kernel is larger: GENERIC with its symbols has about 30 MB.
pub const LARGEST: u64 = 256 << 20;

/// What the kernel runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Machine {
    /// 32-bit x86.
    I386,
    /// 64-bit x86.
    Amd64,
}

/// How the table's entries are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Layout {
    /// Until NetBSD 9: unit and state have 16 bits each.
    Netbsd9,
    /// From NetBSD 10 on: the unit has 24 bits, the state 8.
    Netbsd10,
}

impl Layout {
    /// Which byte of the word with unit and state is the state.
    const fn state(self) -> usize {
        match self {
            Self::Netbsd9 => 2,
            Self::Netbsd10 => 3,
        }
    }
}

/// A driver with all its places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Driver {
    /// Its name: `com`, `vioif`.
    pub name: String,
    /// Entries of the table: places where it may be found.
    pub entries: usize,
    /// Whether one of them has no parent (`mainbus`): for such an entry the kernel ignores the state.
    pub root: bool,
}

/// What became of the drivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What the kernel runs on.
    pub machine: Machine,
    /// The layout that was found.
    pub layout: Layout,
    /// Drivers that are looked for, by name.
    pub kept: Vec<Driver>,
    /// Drivers that are not, by name.
    pub disabled: Vec<Driver>,
    /// Names that were to be kept and that the kernel does not have, as they were given.
    pub unknown: Vec<String>,
}

impl fmt::Display for Report {
    /// In one line: drivers with the number of their entries, if there are several; `root` is one
    /// that the kernel looks for whatever its state says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |drivers: &[Driver]| match drivers {
            [] => "none".to_owned(),
            drivers => drivers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        write!(f, "NetBSD drivers kept: {}; disabled: {}", list(&self.kept), list(&self.disabled))
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.entries, self.root) {
            (1, false) => write!(f, "{}", self.name),
            (1, true) => write!(f, "{} (root)", self.name),
            (entries, false) => write!(f, "{} ({entries})", self.name),
            (entries, true) => write!(f, "{} ({entries}, root)", self.name),
        }
    }
}

/// A kernel with other drivers, and the report.
#[derive(Clone, Debug)]
pub struct Transformed {
    /// The kernel: the given one, with some bytes replaced.
    pub kernel: Arc<dyn SectorSource>,
    /// What became of the drivers.
    pub report: Report,
}

/// The kernel without gzip around it; it is unpacked into a temporary file, one that is not packed
/// is returned as it is.
pub fn gunzip(
    kernel: &Arc<dyn SectorSource>,
    scratch: &Scratch,
) -> Result<Arc<dyn SectorSource>, Error> {
    let mut first = vec![0; kernel.len().min(Wrap::MAGIC as u64) as usize];
    kernel.read_at(0, &mut first)?;
    if Wrap::detect(&first) != Some(Wrap::Gzip) {
        return Ok(Arc::clone(kernel));
    }
    let spool = scratch.spool()?;
    let mut unwrapped = wrap::unwrap(Wrap::Gzip, Box::new(SourceReader::new(Arc::clone(kernel))))?;
    wrap::unpack(&mut unwrapped, &spool, LARGEST, &Silent)?;
    Ok(Arc::new(spool))
}

/// `kernel` (plain ELF) with only the drivers named in `keep` enabled, each with all its entries.
/// Names are compared whole. Fails if the kernel has none of them.
pub fn apply(kernel: &Arc<dyn SectorSource>, keep: &[String]) -> Result<Transformed, Error> {
    let opened = Kernel::open(kernel.as_ref())?;
    let table = Table::read(&opened)?;
    let named = |entry: &Entry| keep.contains(&entry.name);
    if !table.entries.iter().any(named) {
        let has = report(&opened, &table, |_| true).kept;
        let has: Vec<_> = has.iter().map(|driver| driver.name.as_str()).collect();
        let message = format!(
            "the kernel has no driver named {}; it has: {}",
            keep.join(", "),
            has.join(", ")
        );
        return Err(Error::new(Kind::Document, message));
    }
    let mut report = report(&opened, &table, named);
    let missing = |name: &&String| !table.entries.iter().any(|entry| entry.name == **name);
    report.unknown = keep.iter().filter(missing).cloned().collect();
    changed(kernel, &table, report, named)
}

/// `kernel` with all drivers enabled, as it was before `apply`. (Of a kernel that kstrip changed,
/// entries without a star come back with one: it writes 3 for both.)
pub fn restore(kernel: &Arc<dyn SectorSource>) -> Result<Transformed, Error> {
    let opened = Kernel::open(kernel.as_ref())?;
    let table = Table::read(&opened)?;
    let report = report(&opened, &table, |_| true);
    changed(kernel, &table, report, |_| true)
}

/// Which drivers of `kernel` are enabled now.
pub fn look(kernel: &dyn SectorSource) -> Result<Report, Error> {
    let opened = Kernel::open(kernel)?;
    let table = Table::read(&opened)?;
    Ok(report(&opened, &table, |entry| matches!(entry.state, NOT_FOUND | STAR)))
}

fn changed(
    kernel: &Arc<dyn SectorSource>,
    table: &Table,
    report: Report,
    enabled: impl Fn(&Entry) -> bool,
) -> Result<Transformed, Error> {
    let patch = |entry: &Entry| {
        let state = match (entry.state, enabled(entry)) {
            (NOT_FOUND | DISABLED_NOT_FOUND, true) => NOT_FOUND,
            (NOT_FOUND | DISABLED_NOT_FOUND, false) => DISABLED_NOT_FOUND,
            (_, true) => STAR,
            (_, false) => DISABLED_STAR,
        };
        (state != entry.state).then(|| Patch { offset: entry.place, bytes: vec![state] })
    };
    let patches = table.entries.iter().filter_map(patch).collect();
    let kernel = Overlay::new(Arc::clone(kernel), patches)?;
    Ok(Transformed { kernel: Arc::new(kernel), report })
}

fn report(kernel: &Kernel<'_>, table: &Table, enabled: impl Fn(&Entry) -> bool) -> Report {
    // Entries of one driver may differ where something else than `apply` has disabled some.
    let mut drivers: BTreeMap<(&str, bool), (usize, bool)> = BTreeMap::new();
    for entry in &table.entries {
        let (entries, root) = drivers.entry((&entry.name, enabled(entry))).or_default();
        *entries += 1;
        *root |= entry.root;
    }
    let of = |wanted: bool| {
        let chosen = drivers.iter().filter(|((_, enabled), _)| *enabled == wanted);
        let driver = |((name, _), (entries, root)): (&(&str, bool), &(usize, bool))| Driver {
            name: (*name).to_owned(),
            entries: *entries,
            root: *root,
        };
        chosen.map(driver).collect()
    };
    Report {
        machine: kernel.machine,
        layout: table.layout,
        kept: of(true),
        disabled: of(false),
        unknown: Vec::new(),
    }
}

/// The kernel is not one whose drivers can be disabled.
fn refused(why: String) -> Error {
    Error::new(Kind::Input, format!("the drivers of this kernel cannot be disabled: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    const BASE: u64 = 0xffff_ffff_8000_0000;
    /// Where the table of drivers lies: behind the header, 70 program headers and a name.
    const TABLE: usize = 4096;

    fn put(file: &mut [u8], at: usize, numbers: &[(usize, u64)]) {
        for (into, number) in numbers {
            file[at + into..at + into + 8].copy_from_slice(&number.to_le_bytes());
        }
    }

    /// A kernel for amd64 with one driver, whose name's address is this; so many segments show the
    /// whole file, each 1 MiB above the one before.
    fn kernel(segments: u16, name: u64) -> Arc<dyn SectorSource> {
        let mut file = vec![0; 6144];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        // Type and machine, program headers at 64, section headers at 5120, their sizes and counts.
        put(&mut file, 16, &[(0, 62 << 16 | 2), (16, 64), (24, 5120)]);
        put(&mut file, 52, &[(0, 64 | 56 << 16 | u64::from(segments) << 32 | 64 << 48), (8, 4)]);
        for number in 0..u64::from(segments) {
            let at = 64 + 56 * number as usize;
            put(&mut file, at, &[(0, 1), (16, BASE + (number << 20)), (32, 6144), (40, 6144)]);
        }
        file[4064..4067].copy_from_slice(b"com");
        // One entry and the end of the table: names, a star (layout of NetBSD 9), flags that read "ld".
        put(&mut file, TABLE, &[(0, name), (8, name), (16, 2 << 16)]);
        file[TABLE + 32..TABLE + 34].copy_from_slice(b"ld");
        // Sections: data, symbols, their names; type, address, offset, length, link.
        let sections =
            [(1, BASE + TABLE as u64, 4096, 96, 0), (2, 0, 4608, 24, 3), (3, 0, 4640, 8, 0)];
        for (number, (kind, address, offset, len, link)) in (1..).zip(sections) {
            let row: [(usize, u64); 5] =
                [(0, kind << 32), (16, address), (24, offset), (32, len), (40, link)];
            put(&mut file, 5120 + 64 * number, &row);
        }
        put(&mut file, 4608, &[(0, 1 | 1 << 32 | 1 << 48), (8, BASE + TABLE as u64), (16, 96)]);
        file[4641..4647].copy_from_slice(b"cfdata");
        Arc::new(ByteSource::new(file))
    }

    /// Two addresses may stand for one place of the file: a name that a state is part of would be
    /// another one in the changed kernel, which nothing could restore.
    #[test]
    fn names_in_the_table_are_refused_by_their_place_in_the_file() {
        let report = look(kernel(2, BASE + 4064).as_ref()).unwrap();
        assert_eq!((report.kept[0].name.as_str(), report.layout), ("com", Layout::Netbsd9));
        let inside = TABLE as u64 + 32;
        for address in [BASE + inside, BASE + (1 << 20) + inside] {
            let error = look(kernel(2, address).as_ref()).unwrap_err().to_string();
            assert!(error.contains(&format!("{address:#x} is in the table itself")), "{error}");
        }
    }

    /// 65,535 of them would be gone through for each of as many pointers.
    #[test]
    fn segments_are_bounded() {
        assert_eq!(look(kernel(64, BASE + 4064).as_ref()).unwrap().kept.len(), 1);
        let error = look(kernel(65, BASE + 4064).as_ref()).unwrap_err().to_string();
        assert!(error.contains("it has 65 segments; at most 64 are read"), "{error}");
    }
}
