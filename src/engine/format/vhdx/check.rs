//! Judges the whole structure of a VHDX file: more than reading needs.
//!
//! Changes nothing. Invariant: memory is a bit for each MiB of the file, which is bounded, and
//! lists that `Findings` bounds.

use super::bat::{Bat, PAGE, misplaced};
use super::geometry::ENTRY;
use super::metadata;
use super::ondisk::{
    BAT_OFFSET, BAT_RESERVED, BAT_STATE, BITMAP_PRESENT, FULLY_PRESENT, HEADER_OFFSETS, MIB,
    NOT_PRESENT, PARTIALLY_PRESENT, REGION_SIGNATURE, REGION_TABLE_BYTES, REGION_TABLE_OFFSETS,
    UNDEFINED, UNMAPPED, ZERO,
};
use super::parse::{Parsed, header_at, sealed, unsupported};
use crate::engine::base::{Error, SectorSource, Work};
use crate::engine::format::{Findings, Severity};

/// The longest file that is checked: the largest disk with room for as much again. A bit for each
/// MiB of it is 16 MiB.
const MOST_FILE: u64 = 128 << 40;

/// Judges `file`, whose headers say `parsed`.
pub(super) fn check(
    parsed: &Parsed,
    bat: &Bat,
    file: &dyn SectorSource,
    work: &Work<'_>,
) -> Result<Findings, Error> {
    if parsed.source.len() > MOST_FILE {
        let message = format!(
            "a file of {} bytes is not checked, at most {MOST_FILE} are",
            parsed.source.len()
        );
        return Err(unsupported(message));
    }
    let mut findings = Findings::default();
    headers(parsed, file, &mut findings)?;
    metadata::judge(&*parsed.source, parsed.metadata_region, &mut findings)?;
    let mut blocks = Blocks::new(parsed);
    let entries = parsed.geometry.bat_entries();
    work.progress.begin("checking vhdx", entries * ENTRY);
    let mut index = 0;
    while index < entries {
        for entry in bat.page(index / PAGE)?.iter() {
            blocks.judge(index, entry.get(), bat.entry_offset(index), &mut findings);
            index += 1;
        }
        let page = (index - 1) % PAGE + 1;
        work.progress.advance(page * ENTRY)?;
    }
    blocks.leaks(&mut findings);
    Ok(findings)
}

/// Judges both copies of the headers and the region tables, the log, and the length.
fn headers(parsed: &Parsed, file: &dyn SectorSource, findings: &mut Findings) -> Result<(), Error> {
    for offset in HEADER_OFFSETS {
        if let Err(why) = header_at(file, offset)? {
            findings.add(Severity::Error, offset, format!("the header {why}"));
        }
    }
    let [first, second] = REGION_TABLE_OFFSETS;
    let copy = |offset| sealed(&*parsed.source, offset, REGION_TABLE_BYTES, REGION_SIGNATURE);
    match (copy(first)?, copy(second)?) {
        (Ok(one), Ok(other)) if one != other => {
            findings.add(Severity::Error, second, "the two region tables differ");
        }
        (one, other) => {
            for (copy, offset) in [(one, first), (other, second)] {
                if let Err(why) = copy {
                    findings.add(Severity::Error, offset, format!("the region table {why}"));
                }
            }
        }
    }
    if parsed.replayed > 0 {
        let message = format!(
            "the log holds {} entries that were not written to their places: who does not replay \
             them reads something else",
            parsed.replayed
        );
        findings.add(Severity::Error, parsed.header.log_offset.get(), message);
    }
    let len = file.len();
    if !len.is_multiple_of(MIB) {
        let message = format!("the file has {len} bytes, not a multiple of {MIB}");
        findings.add(Severity::Error, len, message);
    }
    Ok(())
}

/// Which MiB of the file are used.
struct Blocks<'a> {
    parsed: &'a Parsed,
    /// A bit for each MiB.
    used: Vec<u64>,
}

impl<'a> Blocks<'a> {
    fn new(parsed: &'a Parsed) -> Self {
        let units = parsed.source.len().div_ceil(MIB);
        let mut blocks = Self { parsed, used: vec![0; units.div_ceil(64) as usize] };
        blocks.take(0, MIB);
        for (_, extent) in &parsed.taken {
            blocks.take(extent.start(), extent.len());
        }
        blocks
    }

    /// Marks the MiB of `len` bytes from `offset` on. Whether one of them was marked already.
    fn take(&mut self, offset: u64, len: u64) -> bool {
        let mut again = false;
        for unit in offset / MIB..(offset + len).div_ceil(MIB) {
            if let Some(word) = self.used.get_mut((unit / 64) as usize) {
                again |= *word >> (unit % 64) & 1 == 1;
                *word |= 1 << (unit % 64);
            }
        }
        again
    }

    /// Judges an entry of the BAT.
    fn judge(&mut self, index: u64, entry: u64, at: u64, findings: &mut Findings) {
        let (state, offset) = (entry & BAT_STATE, entry & BAT_OFFSET);
        let Some(block) = self.parsed.geometry.block_of(index) else {
            // QEMU before 8.0 moves entries by one when it writes the first of 512: the state
            // ZERO, which bitmaps do not have, then comes here. Nobody reads it.
            if state == BITMAP_PRESENT || offset != 0 {
                let message = format!(
                    "BAT entry {index} is {entry:#x}: a sector bitmap, but the disk has no parent"
                );
                findings.add(Severity::Error, at, message);
            }
            return;
        };
        let mut bad = |why: &str| {
            let message = format!("the BAT entry of block {block} is {entry:#x}: {why}");
            findings.add(Severity::Error, at, message);
        };
        if entry & BAT_RESERVED != 0 {
            bad("reserved bits are set");
        }
        let held = match state {
            NOT_PRESENT | ZERO => return,
            // These may keep their place (section 2.5.1.1).
            UNDEFINED | UNMAPPED if offset == 0 => return,
            UNDEFINED | UNMAPPED | FULLY_PRESENT => self.parsed.geometry.block(),
            PARTIALLY_PRESENT => {
                return bad("the block is partly in a parent, but the disk has none");
            }
            _ => return bad(&format!("the state {state} is reserved")),
        };
        let (file, taken) = (self.parsed.source.len(), &self.parsed.taken);
        // Only what the disk needs of the last block must be there.
        let needed = self.parsed.geometry.len_of(block);
        match misplaced(offset, needed, file, taken) {
            Some(why) => bad(&why),
            None if self.take(offset, held.min(file - offset)) => {
                bad(&format!("offset {offset} is used by something else, too"));
            }
            None => {}
        }
    }

    /// Reports room for whole blocks that nothing uses. Shorter gaps come from alignment: QEMU
    /// lets blocks begin at a multiple of their size.
    fn leaks(&self, findings: &mut Findings) {
        let units = self.parsed.source.len() / MIB;
        let needed = self.parsed.geometry.block() / MIB;
        let used = |unit: u64| {
            self.used.get((unit / 64) as usize).is_some_and(|word| word >> (unit % 64) & 1 == 1)
        };
        let mut unit = 0;
        while unit < units {
            let start = unit;
            while unit < units && !used(unit) {
                unit += 1;
            }
            if unit - start >= needed {
                let message = format!("{} MiB are used by nothing", unit - start);
                findings.add(Severity::Leak, start * MIB, message);
            }
            unit += 1;
        }
    }
}
