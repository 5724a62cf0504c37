//! Judges the structure of a whole VHD file.
//!
//! Mends nothing. Invariant: memory is eight bytes for each allocated block and one block, whatever
//! is wrong.

use zerocopy::IntoBytes as _;

use super::ondisk::{DynamicHeader, FEATURE_RESERVED, Footer, TYPE_FIXED, UNUSED};
use super::parse::{Dynamic, FOOTER, Found, footer_at};
use super::read::Image;
use crate::engine::base::{Error, Progress, SectorSource as _, is_zero};
use crate::engine::format::{Findings, Severity};
use crate::units::SECTOR;

/// Bytes of a block that are read at once.
const CHUNK: u64 = 1 << 20;

/// Judges the file of `image`.
pub(super) fn check(image: &Image, progress: &dyn Progress) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    footers(image, &mut findings)?;
    let Some(dynamic) = image.parsed.dynamic else {
        let unused = image.parsed.data_end.saturating_sub(image.parsed.size) / SECTOR;
        // Where the geometry tells the size, less than a cylinder is left over.
        if image.parsed.exact && unused > 0 {
            let message = format!("{unused} sectors between the disk and its footer");
            findings.add(Severity::Leak, image.parsed.size, message);
        }
        return Ok(findings);
    };
    let blocks = places(image, dynamic, &mut findings);
    structures(dynamic, &blocks, &mut findings);
    overlaps(image, dynamic, &blocks, &mut findings);
    bitmaps(image, dynamic, &blocks, progress, &mut findings)?;
    Ok(findings)
}

/// The footer, and its copy.
fn footers(image: &Image, findings: &mut Findings) -> Result<(), Error> {
    let Footer { features, disk_type, .. } = image.parsed.footer;
    let end = image.parsed.data_end;
    if let Some(lost) = image.parsed.lost {
        let message = format!("the footer at the end is {lost}; its copy at offset 0 was used");
        findings.add(Severity::Error, end, message);
    } else if disk_type.get() != TYPE_FIXED {
        match footer_at(&*image.source, 0)? {
            Found::Good(copy) if copy.as_bytes() == image.parsed.footer.as_bytes() => {}
            Found::Good(_) => {
                let message = "the copy of the footer differs from the footer";
                findings.add(Severity::Error, 0, message);
            }
            Found::Broken(why) => findings.add(Severity::Error, 0, why),
            Found::None => findings.add(Severity::Error, 0, "the copy of the footer is missing"),
        }
    }
    if features.get() & FEATURE_RESERVED == 0 {
        let message = format!("footer: features {:#x}, bit 1 must be set", features.get());
        findings.add(Severity::Error, end, message);
    }
    Ok(())
}

/// An allocated block: its sector and its number, in the order of the file.
type Blocks = Vec<(u32, u32)>;

/// The blocks that lie in the file.
fn places(image: &Image, dynamic: Dynamic, findings: &mut Findings) -> Blocks {
    let mut blocks = Blocks::new();
    for (number, entry) in (0u32..).zip(&image.table) {
        let (entry, at) = (entry.get(), dynamic.table_at + u64::from(number) * 4);
        if entry == UNUSED {
            continue;
        }
        let end = u64::from(entry) * SECTOR + dynamic.bitmap + dynamic.block;
        if end > image.parsed.data_end {
            findings.add(
                Severity::Error,
                at,
                format!(
                    "table entry {number} is {entry}: the block ends at {end}, the data at {}",
                    image.parsed.data_end
                ),
            );
        } else {
            blocks.push((entry, number));
        }
    }
    blocks.sort_unstable();
    blocks
}

/// No block may lie on the copy of the footer, the header or the table; nor they on each other.
fn structures(dynamic: Dynamic, blocks: &Blocks, findings: &mut Findings) {
    let header = dynamic.header_at..dynamic.header_at + size_of::<DynamicHeader>() as u64;
    let table = dynamic.table_at..dynamic.table_at + dynamic.entries * 4;
    let parts =
        [("the copy of the footer", 0..FOOTER), ("the header", header), ("the table", table)];
    for (n, (name, part)) in parts.iter().enumerate() {
        for (other, range) in parts.iter().skip(n + 1) {
            if range.start < part.end && part.start < range.end {
                let message = format!("{name} and {other} overlap");
                findings.add(Severity::Error, range.start, message);
            }
        }
        let stride = dynamic.bitmap + dynamic.block;
        let first =
            blocks.partition_point(|(entry, _)| u64::from(*entry) * SECTOR + stride <= part.start);
        for (entry, number) in blocks.iter().skip(first) {
            let at = u64::from(*entry) * SECTOR;
            if at >= part.end {
                break;
            }
            let message = format!("block {number} at {at} overlaps {name}");
            findings.add(Severity::Error, dynamic.table_at + u64::from(*number) * 4, message);
        }
    }
}

/// No two blocks may overlap, and no room for a block may be left between them.
fn overlaps(image: &Image, dynamic: Dynamic, blocks: &Blocks, findings: &mut Findings) {
    let stride = dynamic.bitmap + dynamic.block;
    let table_end = dynamic.table_at + u64::from(dynamic.max_entries) * 4;
    let mut last: Option<u32> = None;
    let mut end = table_end.max(dynamic.header_at + size_of::<DynamicHeader>() as u64);
    for (entry, number) in blocks {
        let at = u64::from(*entry) * SECTOR;
        match last {
            Some(last) if at < end => {
                let place = dynamic.table_at + u64::from(*number) * 4;
                let message = format!("block {number} at {at} overlaps block {last}");
                findings.add(Severity::Error, place, message);
            }
            _ => leak(end, at, stride, findings),
        }
        end = end.max(at + stride);
        last = Some(*number);
    }
    leak(end, image.parsed.data_end, stride, findings);
}

fn leak(from: u64, to: u64, stride: u64, findings: &mut Findings) {
    let room = to.saturating_sub(from) / stride;
    if room > 0 {
        let message = format!("room for {room} blocks that no table entry names");
        findings.add(Severity::Leak, from, message);
    }
}

/// What a bitmap calls never written must be zero: some readers believe the bitmap, some the data.
fn bitmaps(
    image: &Image,
    dynamic: Dynamic,
    blocks: &Blocks,
    progress: &dyn Progress,
    findings: &mut Findings,
) -> Result<(), Error> {
    progress.begin("checking vhd", blocks.len() as u64 * dynamic.block);
    // Sectors of a chunk, and the bytes of the bitmap for them.
    let chunk = CHUNK.min(dynamic.block);
    let bits = (chunk / SECTOR).div_ceil(8);
    let mut bitmap = vec![0; bits as usize];
    let mut data = vec![0; chunk as usize];
    for (entry, number) in blocks {
        let at = u64::from(*entry) * SECTOR;
        let left = dynamic.block.min(image.len() - u64::from(*number) * dynamic.block);
        for within in (0..left).step_by(chunk as usize) {
            image.source.read_at(at + within / SECTOR / 8, &mut bitmap)?;
            if bitmap.iter().all(|byte| *byte == 0xff) {
                continue;
            }
            let part = (left - within).min(chunk) as usize;
            let Some(data) = data.get_mut(..part) else { continue };
            image.source.read_at(at + dynamic.bitmap + within, data)?;
            let unwritten =
                |n: usize| bitmap.get(n / 8).is_none_or(|byte| byte & (0x80 >> (n % 8)) == 0);
            let mut sectors = data.chunks(SECTOR as usize).enumerate();
            let wrong = sectors.find(|(n, sector)| unwritten(*n) && !is_zero(sector));
            if let Some((n, _)) = wrong {
                let sector = within / SECTOR + n as u64;
                let message = format!(
                    "bitmap of block {number}: sector {sector} is said to be unwritten, but holds \
                     data"
                );
                findings.add(Severity::Error, at, message);
                break;
            }
        }
        progress.advance(dynamic.block)?;
    }
    Ok(())
}
