//! Judges the structure of a whole VDI file.
//!
//! Mends nothing and reads nothing but header and map, which `Image` holds. Invariant: memory is
//! eight bytes for each block of the map.

use super::ENTRY;
use super::ondisk::{TYPE_STATIC, UNALLOCATED, ZERO};
use super::read::Image;
use crate::engine::format::{Findings, Severity};

/// Judges the file of `image`.
pub(super) fn check(image: &Image) -> Findings {
    let mut findings = Findings::default();
    let parsed = &image.parsed;
    let allocated = u64::from(parsed.header.blocks_allocated.get());
    let room = image.source.len().saturating_sub(parsed.data_at);
    let blocks = u64::from(parsed.header.blocks.get());
    if blocks != parsed.entries {
        let message = format!("header: {blocks} blocks, but the disk has {}", parsed.entries);
        findings.add(Severity::Error, 0, message);
    }
    let mut blocks: Vec<(u32, u32)> = Vec::new();
    let mut used = 0u64;
    for (number, entry) in (0u32..).zip(&image.map) {
        let entry = entry.get();
        let at = parsed.map_at + u64::from(number) * ENTRY;
        if matches!(entry, UNALLOCATED | ZERO) {
            if parsed.header.image_type.get() == TYPE_STATIC && entry == UNALLOCATED {
                let message = format!("map entry {number} of a static disk names no block");
                findings.add(Severity::Error, at, message);
            }
            continue;
        }
        used += 1;
        let wrong = if u64::from(entry) >= allocated {
            Some(format!("only {allocated} blocks are allocated"))
        } else if (u64::from(entry) + 1) * parsed.block > room {
            Some(format!("the block does not lie in the file of {} bytes", image.source.len()))
        } else {
            blocks.push((entry, number));
            None
        };
        if let Some(wrong) = wrong {
            let message = format!("map entry {number} is {entry}: {wrong}");
            findings.add(Severity::Error, at, message);
        }
    }
    blocks.sort_unstable();
    for pair in blocks.windows(2) {
        if let [(one, first), (other, second)] = pair
            && one == other
        {
            let at = parsed.map_at + u64::from(*second) * ENTRY;
            let message = format!("map entries {first} and {second} both name block {one}");
            findings.add(Severity::Error, at, message);
        }
    }
    if used != allocated {
        let message =
            format!("header: {allocated} blocks allocated, but {used} entries of the map name one");
        // More than are used is room that is lost.
        let severity = if used < allocated { Severity::Leak } else { Severity::Error };
        findings.add(severity, 0, message);
    }
    let behind = room.saturating_sub(allocated.saturating_mul(parsed.block)) / parsed.block;
    if behind > 0 {
        let message = format!("room for {behind} blocks behind the allocated ones");
        findings.add(Severity::Leak, parsed.data_at + allocated * parsed.block, message);
    }
    findings
}
