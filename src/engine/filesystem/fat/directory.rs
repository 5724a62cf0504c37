//! A directory's bytes: the entries of its names, long ones before the short one each belongs to.
//!
//! Source: FAT 1.03, "FAT Directory Structure" and "FAT Long Directory Entries". Invariant: the
//! bytes are exactly as many as were planned.

use zerocopy::IntoBytes as _;

use super::name::{Fit, Short, Shortener};
use super::ondisk::{
    ARCHIVE, DIRECTORY, ENTRY, Entry, LAST_LONG, LONG, LONG_UNITS, Long, READ_ONLY, VOLUME,
    checksum,
};
use super::plan::Layout;
use super::time::Stamp;
use super::{Bits, name};
use crate::engine::base::tree::{Node, Time};
use crate::engine::base::{Error, Kind};

/// The entries of the directory with number `number`, without the zeros behind them.
pub(super) fn build(layout: &Layout, number: usize) -> Result<Vec<u8>, Error> {
    let Some(directory) = layout.directories.get(number) else { return Ok(Vec::new()) };
    let tree = &layout.tree;
    let node = tree.node(directory.node);
    let Some(entries) = node.entries() else { return Ok(Vec::new()) };
    let mut bytes = Vec::with_capacity(directory.slots as usize * ENTRY);
    let mut add = |entry: Entry| bytes.extend(entry.as_bytes());
    if number == 0 {
        if let Some(label) = layout.label {
            add(Entry { name: label, attributes: VOLUME, ..stamped(layout.time) });
        }
    } else {
        let parent = layout.directories.get(directory.parent as usize);
        // FAT 1.03: the entry `..` of what lies in the root names cluster 0, also on FAT32.
        let up = if directory.parent == 0 { 0 } else { parent.map_or(0, |parent| parent.start) };
        for (name, start) in [(b".          ", directory.start), (b"..         ", up)] {
            let entry = Entry { attributes: DIRECTORY, ..stamped(node.meta.modified) };
            add(at(Entry { name: *name, ..entry }, start, layout.geometry.bits));
        }
    }
    let mut shortener = Shortener::new(entries.keys().map(|name| name.as_bytes()));
    let items = layout.items.get(directory.first as usize..).unwrap_or_default();
    for ((name, _), item) in entries.iter().zip(items) {
        let flags = layout.case_flags;
        let (short, case) = match name::fit(name.as_bytes(), flags) {
            Fit::Short(short, case) => (short, case),
            Fit::Cased(_) | Fit::Long => {
                let short = shortener.short(name.as_bytes()).ok_or_else(|| {
                    let message = format!("\"{name}\" finds no short name that is free");
                    Error::new(Kind::Document, message).at(tree.origin(item.node))
                })?;
                long(name.as_bytes(), &short, &mut bytes);
                (short, 0)
            }
        };
        let entry = Entry { name: short, case, ..described(tree.node(item.node)) };
        bytes.extend(at(entry, item.start, layout.geometry.bits).as_bytes());
    }
    Ok(bytes)
}

fn stamped(time: Time) -> Entry {
    let stamp = Stamp::of(time);
    Entry {
        created_fine: stamp.fine,
        created_time: stamp.time.into(),
        created_date: stamp.date.into(),
        accessed: stamp.date.into(),
        time: stamp.time.into(),
        date: stamp.date.into(),
        ..Entry::default()
    }
}

fn described(node: &Node) -> Entry {
    let kind = if node.kind.is_directory() { DIRECTORY } else { ARCHIVE };
    let read_only = if node.meta.mode & 0o222 == 0 { READ_ONLY } else { 0 };
    Entry {
        attributes: kind | read_only,
        // Files over 4 GiB were refused.
        len: u32::try_from(node.len()).unwrap_or(u32::MAX).into(),
        ..stamped(node.meta.modified)
    }
}

/// The entry with its first cluster.
fn at(entry: Entry, start: u32, bits: Bits) -> Entry {
    let [a, b, c, d] = start.to_le_bytes();
    let high = if bits == Bits::ThirtyTwo { u16::from_le_bytes([c, d]) } else { 0 };
    Entry { low: u16::from_le_bytes([a, b]).into(), high: high.into(), ..entry }
}

/// The long entries of a name, the last one first.
fn long(name: &[u8], short: &Short, bytes: &mut Vec<u8>) {
    let units: Vec<u16> = String::from_utf8_lossy(name).encode_utf16().collect();
    let sum = checksum(short);
    let parts: Vec<&[u16]> = units.chunks(LONG_UNITS).collect();
    for (number, part) in parts.iter().enumerate().rev() {
        // A zero ends a name that leaves room; behind it all ones.
        let mut unit = part.iter().copied().chain(std::iter::once(0));
        let mut next = || unit.next().unwrap_or(0xFFFF).into();
        let last = if number + 1 == parts.len() { LAST_LONG } else { 0 };
        let entry = Long {
            // At most 20.
            order: u8::try_from(number + 1).unwrap_or(0) | last,
            name1: std::array::from_fn(|_| next()),
            attributes: LONG,
            kind: 0,
            checksum: sum,
            name2: std::array::from_fn(|_| next()),
            cluster: 0.into(),
            name3: std::array::from_fn(|_| next()),
        };
        bytes.extend(entry.as_bytes());
    }
}
