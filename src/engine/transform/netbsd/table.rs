//! The table of drivers in a NetBSD kernel: its entries, and which of two layouts they have.
//!
//! Changes nothing. Invariant: a layout is taken only if every entry fits it and at least one does
//! not fit the other; each pointer is followed inside the loaded file, with a bound.

use std::mem::size_of;

use zerocopy::FromBytes;

use super::elf::{Kernel, Symbol};
use super::ondisk::{Cfdata32, Cfdata64, DISABLED_NOT_FOUND, DISABLED_STAR, NOT_FOUND, STAR};
use super::{Layout, refused};
use crate::engine::base::Error;

/// The symbol, as config(1) names it.
const SYMBOL: &str = "cfdata";

/// GENERIC has about 2,000 entries.
const MOST: usize = 65_536;

/// Longest name of a driver that is read.
const LONGEST: u64 = 64;

/// All drivers' entries.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) layout: Layout,
    /// Without the one that ends the table.
    pub(super) entries: Vec<Entry>,
}

/// A driver at a place where it may be found.
#[derive(Debug)]
pub(super) struct Entry {
    /// The driver.
    pub(super) name: String,
    /// Whether it has no parent: the kernel looks for it whatever its state.
    pub(super) root: bool,
    /// Where its state lies in the file: one byte; a second one above it is always 0.
    pub(super) place: u64,
    /// One of the four.
    pub(super) state: u8,
}

/// An entry of either class.
struct Raw {
    name: u64,
    attachment: u64,
    unit_state: [u8; 4],
    locators: u64,
    parent: u64,
}

impl Table {
    /// Finds and reads the table.
    pub(super) fn read(kernel: &Kernel<'_>) -> Result<Self, Error> {
        let symbol = kernel.object(SYMBOL)?;
        let row = if kernel.is_64() { size_of::<Cfdata64>() } else { size_of::<Cfdata32>() };
        let count = symbol.len / row as u64;
        if symbol.len % row as u64 != 0 || !(2..=MOST as u64).contains(&count) {
            return Err(refused(format!(
                "its object {SYMBOL} has {} bytes; entries have {row}, and there are 2 to {MOST}",
                symbol.len
            )));
        }
        let bytes = kernel.bytes(symbol.offset, symbol.len, SYMBOL)?;
        let mut raw: Vec<Raw> = bytes.chunks_exact(row).filter_map(parse).collect();
        let last = raw.pop().map_or(1, |last| last.name);
        if last != 0 {
            return Err(refused(format!("the last entry of {SYMBOL} has a name: {last:#x}")));
        }
        if let Some(number) = raw.iter().position(|entry| entry.name == 0) {
            return Err(refused(format!("entry {number} of {count} in {SYMBOL} has no name")));
        }
        let layout = layout(&raw)?;
        let mut entries = Vec::with_capacity(raw.len());
        for (number, raw) in raw.iter().enumerate() {
            let told = |what: &str| refused(format!("entry {number} of {SYMBOL}: {what}"));
            let name =
                name(kernel, raw.name, &symbol).map_err(|e| told(&format!("cf_name {e}")))?;
            name_of_attachment(kernel, raw.attachment, &symbol)
                .map_err(|e| told(&format!("cf_atname {e}")))?;
            for (what, pointer) in [("cf_loc", raw.locators), ("cf_pspec", raw.parent)] {
                if pointer != 0 && !kernel.has(pointer) {
                    return Err(told(&format!("{what} {pointer:#x} is not in the kernel")));
                }
            }
            let at = layout.state();
            // The word with the state lies behind two pointers.
            let word = if kernel.is_64() { 16 } else { 8 };
            let place = symbol.offset + (number * row) as u64 + word + at as u64;
            let state = raw.unit_state.get(at).copied().unwrap_or_default();
            entries.push(Entry { name, root: raw.parent == 0, place, state });
        }
        Ok(Self { layout, entries })
    }
}

fn parse(bytes: &[u8]) -> Option<Raw> {
    if bytes.len() == size_of::<Cfdata32>() {
        let entry = Cfdata32::ref_from_bytes(bytes).ok()?;
        return Some(Raw {
            name: entry.name.get().into(),
            attachment: entry.attachment.get().into(),
            unit_state: entry.unit_state,
            locators: entry.locators.get().into(),
            parent: entry.parent.get().into(),
        });
    }
    let entry = Cfdata64::ref_from_bytes(bytes).ok()?;
    Some(Raw {
        name: entry.name.get(),
        attachment: entry.attachment.get(),
        unit_state: entry.unit_state,
        locators: entry.locators.get(),
        parent: entry.parent.get(),
    })
}

/// The layout that all entries fit. A kernel where nothing tells them apart (no entry with a star
/// and none disabled) has none.
fn layout(entries: &[Raw]) -> Result<Layout, Error> {
    let known = |state: u8| matches!(state, NOT_FOUND | STAR | DISABLED_STAR | DISABLED_NOT_FOUND);
    // A signed unit is never negative; the byte above the state is 0.
    let old = |&[_, unit, state, above]: &[u8; 4]| unit < 0x80 && known(state) && above == 0;
    // No kernel has 65,536 units of a driver.
    let new = |&[_, _, above, state]: &[u8; 4]| above == 0 && known(state);
    let stranger =
        |fits: &dyn Fn(&[u8; 4]) -> bool| entries.iter().position(|entry| !fits(&entry.unit_state));
    match (stranger(&old), stranger(&new)) {
        (None, Some(_)) => Ok(Layout::Netbsd9),
        (Some(_), None) => Ok(Layout::Netbsd10),
        (None, None) => Err(refused(format!(
            "all states of {SYMBOL} are 0: nothing tells the layout of NetBSD 9 from that of 10"
        ))),
        (Some(old), Some(new)) => {
            let shown = |number: usize| {
                entries.get(number).map_or_else(String::new, |entry| hex::encode(entry.unit_state))
            };
            Err(refused(format!(
                "the layout of {SYMBOL} is unknown: entry {old} ({}) is not of NetBSD 9, entry {new} \
                 ({}) not of NetBSD 10 (unit and state)",
                shown(old),
                shown(new)
            )))
        }
    }
}

fn name_of_attachment(kernel: &Kernel<'_>, address: u64, table: &Symbol) -> Result<(), String> {
    name(kernel, address, table).map(drop)
}

/// The name at `address`, of which no byte may be of the table itself: there states change.
fn name(kernel: &Kernel<'_>, address: u64, table: &Symbol) -> Result<String, String> {
    let found = |what: &str| format!("{address:#x} {what}");
    let place = kernel.place(address).ok_or_else(|| found("is not in the file"))?;
    let bytes = kernel.bytes(place.start(), place.len().min(LONGEST), "name");
    let bytes = bytes.map_err(|e| e.to_string())?;
    let len = bytes.iter().position(|byte| *byte == 0);
    let name = len.and_then(|len| bytes.get(..len)).unwrap_or_default();
    // By its place in the file: several addresses may stand for one. OK to add: all were read.
    let end = place.start() + name.len() as u64;
    if end >= table.offset && place.start() < table.offset + table.len {
        return Err(found("is in the table itself"));
    }
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        return Err(found("is not the name of a driver"));
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}
