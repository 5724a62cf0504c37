//! Which FAT types and cluster sizes come into question for volumes of which size.
//!
//! Knows no file and places nothing. Invariant: rows are in the order of their volumes' sizes, and the
//! last one has no limit.

use super::Bits;
use super::geometry::Frame;

/// A FAT type and cluster size, and for which volumes they are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Bytes of the largest volume.
    pub(super) most: u64,
    pub(super) bits: Bits,
    /// Bytes of a cluster.
    pub(super) cluster: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The types and cluster sizes in question, from small volumes to large ones. Volumes below 512 MiB
/// are no FAT32, and cluster sizes are about those of FAT 1.03's tables.
pub(super) fn rows(frame: &Frame<'_>) -> Vec<Row> {
    let (params, sector) = (frame.params, frame.sector);
    let row = |most, bits, cluster: u64| Row { most, bits, cluster: cluster.max(sector) };
    if let Some(floppy) = params.floppy {
        let shape = floppy.shape();
        return vec![row(u64::MAX, Bits::Twelve, shape.cluster * 512)];
    }
    // A cluster holds at least a sector: with large ones FAT16 begins later.
    let sixteen = if sector > 1024 { sector.saturating_mul(8192) } else { 16 * MIB };
    match (params.bits, params.cluster_size) {
        (Some(bits), Some(cluster)) => vec![row(u64::MAX, bits, cluster)],
        (None, Some(cluster)) => vec![
            row(frame.least(Bits::Sixteen, cluster), Bits::Twelve, cluster),
            row(frame.least(Bits::ThirtyTwo, cluster), Bits::Sixteen, cluster),
            row(u64::MAX, Bits::ThirtyTwo, cluster),
        ],
        (Some(Bits::Twelve), None) => twelve(u64::MAX, sector),
        (Some(Bits::Sixteen), None) => {
            let mut rows = vec![row(16 * MIB, Bits::Sixteen, 512)];
            rows.extend(middle(u64::MAX, sector));
            rows
        }
        (Some(Bits::ThirtyTwo), None) => {
            let mut rows = vec![row(260 * MIB, Bits::ThirtyTwo, 512)];
            rows.extend(large(sector));
            rows
        }
        (None, None) => {
            let mut rows = twelve(sixteen, sector);
            rows.extend(middle(512 * MIB - 1, sector));
            rows.extend(large(sector));
            rows
        }
    }
}

/// FAT12, as many clusters as it can have.
fn twelve(most: u64, sector: u64) -> Vec<Row> {
    let sizes = (0..7).map(|n| 512u64 << n).filter(|size| *size >= sector);
    let mut rows: Vec<Row> = sizes
        .map(|cluster| Row { most: cluster * 4096, bits: Bits::Twelve, cluster })
        .take_while(|row| row.most / 2 < most)
        .collect();
    if let Some(last) = rows.last_mut() {
        last.most = most;
    }
    rows
}

fn middle(most: u64, sector: u64) -> Vec<Row> {
    let sizes =
        [(32, 1), (128, 2), (256, 4), (512, 8), (1024, 16), (2048, 32), (u64::MAX / MIB, 64)];
    let row = |(mib, kib): (u64, u64)| Row {
        most: (mib * MIB).min(most),
        bits: Bits::Sixteen,
        cluster: (kib << 10).max(sector),
    };
    let end = sizes.iter().position(|(mib, _)| mib * MIB >= most).unwrap_or(sizes.len() - 1);
    sizes.into_iter().take(end + 1).map(row).collect()
}

fn large(sector: u64) -> Vec<Row> {
    let sizes = [(8 * GIB, 4), (16 * GIB, 8), (32 * GIB, 16), (u64::MAX, 32)];
    let row = |(most, kib): (u64, u64)| Row {
        most,
        bits: Bits::ThirtyTwo,
        cluster: (kib << 10).max(sector),
    };
    sizes.into_iter().map(row).collect()
}
