//! The boot sector of a volume, checked.
//!
//! Source: FAT 1.03, "Boot Sector and BPB" and "FAT Type Determination": the number of clusters
//! alone decides the type. Invariant: all places of a volume that was opened lie on the medium.

use std::mem::size_of;

use zerocopy::FromBytes as _;

use super::super::ondisk::{
    BOOT_SIGNATURE, BOOT_SIGNATURE_AT, Bpb, Fat32, NO_LABEL, TAIL_SIGNATURE, Tail,
};
use crate::engine::base::{Error, Kind, SectorSource};

/// Where everything lies, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub(super) bits: u32,
    pub(super) cluster: u64,
    /// Number of clusters; the first one is 2.
    pub(super) clusters: u32,
    pub(super) fat_at: u64,
    /// Bytes of the root directory before the clusters, and where it begins.
    pub(super) root_at: u64,
    pub(super) root_len: u64,
    /// First cluster of the root directory of FAT32.
    pub(super) root: u32,
    pub(super) data_at: u64,
    pub(super) size: u64,
    /// Bytes of a sector.
    pub(super) sector: u64,
    tail: Option<Tail>,
}

impl Volume {
    /// The volume on `medium`, if there is one.
    pub(super) fn open(medium: &dyn SectorSource) -> Result<Option<Self>, Error> {
        let mut first = [0; 512];
        if medium.len() < 512 {
            return Ok(None);
        }
        medium.read_at(0, &mut first)?;
        let Ok((bpb, rest)) = Bpb::read_from_prefix(&first) else { return Ok(None) };
        if first.get(BOOT_SIGNATURE_AT..) != Some(&BOOT_SIGNATURE[..]) || !plausible(&bpb) {
            return Ok(None);
        }
        let wide = bpb.fat16.get() == 0;
        let fat32 = Fat32::read_from_prefix(rest).ok().filter(|_| wide).map(|(fat32, _)| fat32);
        let tail = rest.get(if wide { size_of::<Fat32>() } else { 0 }..).unwrap_or_default();
        let tail = Tail::read_from_prefix(tail).ok().map(|(tail, _)| tail);
        let tail = tail.filter(|tail| tail.signature == TAIL_SIGNATURE);
        // What says its type and is broken is damaged; anything else is no FAT at all.
        let named = tail.as_ref().is_some_and(|tail| tail.name.starts_with(b"FAT"));
        match Self::placed(&bpb, fat32.as_ref(), tail, medium.len()) {
            Ok(volume) => Ok(Some(volume)),
            Err(why) if named => {
                Err(Error::new(Kind::Damaged, format!("the boot sector of a FAT volume: {why}")))
            }
            Err(_) => Ok(None),
        }
    }

    fn placed(
        bpb: &Bpb,
        fat32: Option<&Fat32>,
        tail: Option<Tail>,
        len: u64,
    ) -> Result<Self, String> {
        let sector = u64::from(bpb.sector.get());
        let total = match bpb.sectors16.get() {
            0 => u64::from(bpb.sectors32.get()),
            some => u64::from(some),
        };
        if total == 0 || total * sector > len {
            return Err(format!(
                "it counts {total} sectors of {sector}, the medium has {len} bytes"
            ));
        }
        let fat = fat32.map_or(u64::from(bpb.fat16.get()), |wide| u64::from(wide.fat.get()));
        let root_sectors = (u64::from(bpb.root_entries.get()) * 32).div_ceil(sector);
        let root_at = u64::from(bpb.reserved.get()) + u64::from(bpb.fats) * fat;
        let data = root_at + root_sectors;
        let clusters = total.checked_sub(data).map(|left| left / u64::from(bpb.cluster));
        let Some(clusters) = clusters.filter(|count| *count > 0) else {
            return Err(format!("its data begins at sector {data} of {total}"));
        };
        let bits = match clusters {
            // Linux, too, takes a volume without a 16-bit FAT size for FAT32.
            _ if fat32.is_some() => 32,
            ..4085 => 12,
            _ => 16,
        };
        let held = (fat * sector * 8 / u64::from(bits)).saturating_sub(2);
        let clusters = clusters.min(held).min(0x0FFF_FFF5);
        if clusters == 0 || fat32.is_none() && root_sectors == 0 {
            return Err(format!("a FAT of {fat} sectors and a root of {root_sectors}"));
        }
        Ok(Self {
            bits,
            cluster: u64::from(bpb.cluster) * sector,
            clusters: u32::try_from(clusters).map_err(|error| error.to_string())?,
            fat_at: u64::from(bpb.reserved.get()) * sector,
            root_at: root_at * sector,
            root_len: root_sectors * sector,
            root: fat32.map_or(0, |wide| wide.root.get()),
            data_at: data * sector,
            size: total * sector,
            sector,
            tail,
        })
    }

    /// Whether a cluster with this number can hold something.
    pub(super) const fn has(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters
    }

    /// The byte at which a cluster begins.
    pub(super) const fn at(&self, cluster: u32) -> u64 {
        self.data_at + (cluster as u64).saturating_sub(2) * self.cluster
    }

    /// The label in the boot sector; the one in the root directory goes before it.
    pub(super) fn label(&self) -> Option<[u8; 11]> {
        let label = self.tail.as_ref().map(|tail| tail.label);
        label.filter(|label| *label != NO_LABEL && !label.iter().all(|b| matches!(b, 0 | b' ')))
    }

    pub(super) fn uuid(&self) -> String {
        let serial = self.tail.as_ref().map_or(0, |tail| tail.serial.get());
        format!("{:04X}-{:04X}", serial >> 16, serial & 0xFFFF)
    }
}

/// Whether the numbers can be those of a boot sector; a partition table or code is seldom so lucky.
fn plausible(bpb: &Bpb) -> bool {
    let sector = bpb.sector.get();
    sector.is_power_of_two()
        && (512..=4096).contains(&sector)
        && bpb.cluster.is_power_of_two()
        && bpb.reserved.get() != 0
        && (1..=4).contains(&bpb.fats)
        && (bpb.media == 0xF0 || bpb.media >= 0xF8)
        && matches!(bpb.jump, [0xEB, _, _] | [0xE9, _, _] | [0, 0, 0])
}
