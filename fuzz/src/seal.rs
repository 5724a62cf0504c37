//! Makes the checksums of an edited file right, so that edits reach what lies behind them.
//!
//! Written apart from the engine's own code, from the specifications. Invariant: a file that was
//! not edited stays as it is.

use vmimage::engine::format::FormatName;

use crate::Broken;

type Patch = (u64, Vec<u8>);

/// The patches that make `file` consistent.
pub(crate) fn seal(format: FormatName, file: &Broken) -> Vec<Patch> {
    match format {
        FormatName::Vhd => vhd(file),
        FormatName::Vhdx => vhdx(file),
        _ => Vec::new(),
    }
}

fn bytes(file: &Broken, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read(at, &mut bytes);
    bytes
}

/// VHD 1.0, "Checksum": the one's complement of the sum of all bytes without the field. Footers
/// (512 bytes, field at 64) begin and end a file, the dynamic header (1024 bytes, field at 36)
/// follows the first.
fn vhd(file: &Broken) -> Vec<Patch> {
    let len = file.file_len();
    let fix = |at: u64, size: usize, field: usize| {
        let mut held = bytes(file, at, size);
        held[field..field + 4].fill(0);
        let sum: u32 = held.iter().map(|byte| u32::from(*byte)).sum();
        (at + field as u64, (!sum).to_be_bytes().to_vec())
    };
    let mut patches = Vec::new();
    if bytes(file, 0, 8) == b"conectix" {
        patches.push(fix(0, 512, 64));
        patches.push(fix(512, 1024, 36));
    }
    if len >= 512 {
        patches.push(fix(len - 512, 512, 64));
    }
    patches
}

/// [MS-VHDX] 2.2.2 and 2.2.3: CRC-32C over the whole structure with the field (at 4) zero.
fn vhdx(file: &Broken) -> Vec<Patch> {
    const STRUCTURES: [(u64, usize); 4] =
        [(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)];
    let fix = |(at, size): (u64, usize)| {
        let mut held = bytes(file, at, size);
        held[4..8].fill(0);
        (at + 4, crc32c::crc32c(&held).to_le_bytes().to_vec())
    };
    STRUCTURES.into_iter().map(fix).collect()
}

/// btrfs on-disk format, "Superblock" and "Header of nodes": the CRC-32C of all but the first 32
/// bytes stands in the first 4. The superblock lies at 64 KiB and has 4 KiB; its node size is at 148,
/// the filesystem's id at 32. A node begins with its checksum and the same id.
pub(crate) fn btrfs(file: &Broken, edited: &[u64]) -> Vec<Patch> {
    const SUPERBLOCK: u64 = 64 << 10;
    if file.file_len() < SUPERBLOCK + 4096 {
        return Vec::new();
    }
    let id = bytes(file, SUPERBLOCK + 32, 16);
    let node = u64::from(little(file, SUPERBLOCK + 148));
    let mut places = vec![(SUPERBLOCK, 4096)];
    if (4096..=65_536).contains(&node) {
        let mut nodes: Vec<u64> = edited.iter().map(|at| at / node * node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let nodes = nodes.into_iter().filter(|at| at + node <= file.file_len());
        let nodes = nodes.filter(|at| bytes(file, at + 32, 16) == id);
        places.extend(nodes.map(|at| (at, node as usize)));
    }
    let sum =
        |(at, len)| (at, crc32c::crc32c(&bytes(file, at + 32, len - 32)).to_le_bytes().to_vec());
    places.into_iter().map(sum).collect()
}

fn little(file: &Broken, at: u64) -> u32 {
    let held = bytes(file, at, 4);
    held.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
