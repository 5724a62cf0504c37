//! Sizes and places: FAT type, cluster size, where the FATs and the clusters lie.
//!
//! Knows no file. Source: FAT 1.03, "FAT Type Determination" and "FAT Volume Initialization".
//! Invariants: the number of clusters is never within 16 of a limit between two types on the wrong
//! side; more sectors never give fewer clusters of the same size.

use super::choice::Row;
use super::{Bits, Floppy, Params};
use crate::engine::base::{Error, Kind};

/// What the caller fixed and the tree needs of the fixed part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) params: &'a Params,
    /// Bytes of a sector.
    pub(super) sector: u64,
    /// Entries of the root directory.
    pub(super) root_slots: u64,
}

/// A volume's places, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Geometry {
    pub(super) bits: Bits,
    pub(super) sector: u64,
    /// Sectors of the volume; those behind the last cluster are not used.
    pub(super) total: u64,
    pub(super) reserved: u64,
    pub(super) fats: u64,
    /// Of one FAT.
    pub(super) fat: u64,
    pub(super) root_entries: u64,
    /// Of a cluster.
    pub(super) cluster: u64,
    pub(super) clusters: u64,
}

/// Entries of a root directory that nobody fixed.
const ROOT_ENTRIES: u64 = 512;
/// Bytes of the largest cluster that every system reads.
const MAX_CLUSTER: u64 = 64 << 10;

impl Bits {
    /// Clusters that a volume of the type has, at least and at most: 16 off the limits.
    const fn clusters(self) -> (u64, u64) {
        match self {
            Self::Twelve => (1, 4084 - 16),
            Self::Sixteen => (4085 + 16, 65524 - 16),
            Self::ThirtyTwo => (65525 + 16, 0x0FFF_FFF5),
        }
    }

    /// Bits of an entry.
    pub(super) const fn count(self) -> u64 {
        match self {
            Self::Twelve => 12,
            Self::Sixteen => 16,
            Self::ThirtyTwo => 32,
        }
    }
}

impl Geometry {
    /// Sectors of the root directory that lies before the clusters.
    pub(super) const fn root(&self) -> u64 {
        (self.root_entries * 32).div_ceil(self.sector)
    }

    /// Byte at which the FATs begin.
    pub(super) const fn fat_at(&self) -> u64 {
        self.reserved * self.sector
    }

    /// Byte at which the root directory begins that lies before the clusters.
    pub(super) const fn root_at(&self) -> u64 {
        (self.reserved + self.fats * self.fat) * self.sector
    }

    /// Byte at which a cluster begins; the first one has the number 2.
    pub(super) const fn cluster_at(&self, number: u64) -> u64 {
        self.root_at() + (self.root() + (number - 2) * self.cluster) * self.sector
    }

    /// Bytes of a cluster.
    pub(super) const fn cluster_bytes(&self) -> u64 {
        self.cluster * self.sector
    }
}

/// Clusters for so many bytes.
pub(super) const fn clusters_for(bytes: u64, cluster: u64) -> u64 {
    bytes.div_ceil(cluster)
}

impl Frame<'_> {
    /// Bytes of which a volume with such clusters certainly has enough of them for a type.
    pub(super) fn least(&self, bits: Bits, cluster: u64) -> u64 {
        let (least, _) = bits.clusters();
        let fats = 2 * ((least + 2) * bits.count() / 8 + self.sector);
        let given = self.params.root_entries.map(u64::from);
        let root = given.unwrap_or_else(|| ROOT_ENTRIES.max(self.root_slots)) * 32;
        (least + 2).saturating_mul(cluster).saturating_add(fats + root + 34 * self.sector)
    }

    /// The volume of `total` sectors with this type and cluster size.
    pub(super) fn geometry(&self, row: &Row, total: u64) -> Result<Geometry, Error> {
        let refused = |why: String| {
            let bytes = total.saturating_mul(self.sector);
            Err(Error::new(Kind::Document, format!("a FAT volume of {bytes} bytes {why}")))
        };
        self.checked(row)?;
        if u32::try_from(total).is_err() {
            return refused(format!("has {total} sectors, it can have at most {}", u32::MAX));
        }
        let mut found = self.places(row, total)?;
        let (least, most) = row.bits.clusters();
        let most = most.min((found.fat * self.sector * 8 / row.bits.count()).saturating_sub(2));
        if found.clusters > most {
            found.clusters = most;
            found.total = found.cluster_at(most + 2) / self.sector;
        }
        if found.clusters < least {
            return refused(format!(
                "has {} clusters of {} bytes, FAT{} needs at least {least}",
                found.clusters,
                row.cluster,
                row.bits.count()
            ));
        }
        Ok(found)
    }

    fn checked(&self, row: &Row) -> Result<(), Error> {
        let refused = |message: String| Err(Error::new(Kind::Document, message));
        if !matches!(self.sector, 512 | 1024 | 2048 | 4096) {
            return refused(format!("a sector has {} bytes, FAT takes 512 to 4096", self.sector));
        }
        let sectors = row.cluster / self.sector;
        if !row.cluster.is_power_of_two()
            || sectors == 0
            || sectors > 128
            || row.cluster > MAX_CLUSTER
        {
            return refused(format!(
                "a cluster has {} bytes, it must be a power of two from {} to {}",
                row.cluster,
                self.sector,
                MAX_CLUSTER.min(self.sector * 128)
            ));
        }
        if !matches!(self.params.fats, 1 | 2) {
            return refused(format!("{} FATs are asked for, 1 or 2 can be", self.params.fats));
        }
        Ok(())
    }

    /// Entries of the root directory before the clusters.
    fn root_entries(&self, bits: Bits) -> Result<u64, Error> {
        if bits == Bits::ThirtyTwo {
            return Ok(0);
        }
        let given = self.params.root_entries.map(u64::from);
        let given = given.or(self.params.floppy.map(|floppy| floppy.shape().root_entries));
        let per_sector = self.sector / 32;
        let entries = given.unwrap_or_else(|| ROOT_ENTRIES.max(self.root_slots));
        let entries = entries.next_multiple_of(per_sector);
        let most = u64::from(u16::MAX) / per_sector * per_sector;
        if entries < self.root_slots.max(1) || entries > most {
            let message = format!(
                "the root directory needs {} entries, it has {}",
                self.root_slots,
                entries.min(most)
            );
            return Err(Error::new(Kind::Document, message));
        }
        Ok(entries)
    }

    /// The most clusters that `total` sectors can have: either the FAT is large enough for all of
    /// them, or it is one sector smaller and some sectors are left over.
    fn places(&self, row: &Row, total: u64) -> Result<Geometry, Error> {
        let root_entries = self.root_entries(row.bits)?;
        let enough = |geometry: &Geometry| {
            (geometry.clusters + 2) * row.bits.count() <= geometry.fat * self.sector * 8
        };
        let (mut low, mut high) = (1, total.max(1));
        while low < high {
            let middle = low.midpoint(high);
            if enough(&self.with_fat(row, total, root_entries, middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let found = self.with_fat(row, total, root_entries, high);
        let smaller = self.with_fat(row, total, root_entries, high.saturating_sub(1).max(1));
        let held = (smaller.fat * self.sector * 8 / row.bits.count()).saturating_sub(2);
        Ok(if smaller.clusters.min(held) > found.clusters { smaller } else { found })
    }

    fn with_fat(&self, row: &Row, total: u64, root_entries: u64, fat: u64) -> Geometry {
        let cluster = row.cluster / self.sector;
        // FAT32: 32 as everybody has; there is room for boot code.
        let reserved = if row.bits == Bits::ThirtyTwo { 32 } else { 1 };
        let mut geometry = Geometry {
            bits: row.bits,
            sector: self.sector,
            total,
            reserved,
            fats: u64::from(self.params.fats),
            fat,
            root_entries,
            cluster,
            clusters: 0,
        };
        let data = geometry.cluster_at(2) / self.sector;
        if self.params.floppy.is_none() {
            // Clusters lie at multiples of their size.
            geometry.reserved += data.next_multiple_of(cluster) - data;
        }
        let data = geometry.cluster_at(2) / self.sector;
        geometry.clusters = total.saturating_sub(data) / cluster;
        geometry
    }
}

/// What is known of a kind of floppy disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) sectors: u64,
    pub(super) track: u16,
    pub(super) media: u8,
    pub(super) cluster: u64,
    pub(super) root_entries: u64,
}

impl Floppy {
    /// The formats that DOS gave them; all have two heads.
    pub(super) const fn shape(self) -> Shape {
        let (sectors, track, media, cluster, root_entries) = match self {
            Self::Kib720 => (1440, 9, 0xF9, 2, 112),
            Self::Kib1200 => (2400, 15, 0xF9, 1, 224),
            Self::Kib1440 => (2880, 18, 0xF0, 1, 224),
            Self::Kib2880 => (5760, 36, 0xF0, 2, 240),
        };
        Shape { sectors, track, media, cluster, root_entries }
    }
}

#[cfg(test)]
mod tests {
    use super::super::choice::rows;
    use super::*;

    fn found(params: &Params, sector: u64, bytes: u64) -> Result<Geometry, Error> {
        let frame = Frame { params, sector, root_slots: 0 };
        let rows = rows(&frame);
        let row = rows.iter().find(|row| bytes <= row.most).unwrap();
        frame.geometry(row, bytes / sector)
    }

    #[test]
    fn the_type_follows_the_size() {
        let auto = Params::default();
        for (sector, bytes, bits, cluster) in [
            (512, 1 << 20, Bits::Twelve, 512),
            (512, 8 << 20, Bits::Twelve, 2048),
            (512, 16 << 20, Bits::Twelve, 4096),
            (512, 17 << 20, Bits::Sixteen, 1024),
            (512, 128 << 20, Bits::Sixteen, 2048),
            (512, 511 << 20, Bits::Sixteen, 8192),
            (512, 512 << 20, Bits::ThirtyTwo, 4096),
            (512, 40 << 30, Bits::ThirtyTwo, 32768),
            (4096, 8 << 20, Bits::Twelve, 4096),
            (4096, 33 << 20, Bits::Sixteen, 4096),
            (4096, 1 << 30, Bits::ThirtyTwo, 4096),
        ] {
            let geometry = found(&auto, sector, bytes).unwrap();
            assert_eq!((geometry.bits, geometry.cluster_bytes()), (bits, cluster), "{bytes}");
            assert_eq!(geometry.cluster_at(2) % cluster, 0);
        }
    }

    #[test]
    fn clusters_stay_off_the_limits_and_inside_of_the_fat() {
        for cluster in [512, 2048] {
            let params = Params { cluster_size: Some(cluster), ..Params::default() };
            for clusters in (4000..4300).chain(65_400..66_400) {
                let geometry = found(&params, 512, clusters * cluster).unwrap();
                let count = geometry.clusters;
                assert!(!(4069..4101).contains(&count) && !(65_509..65_541).contains(&count));
                assert!((count + 2) * geometry.bits.count() <= geometry.fat * 512 * 8);
                assert!(geometry.cluster_at(2 + count) <= geometry.total * 512);
                assert!(geometry.total * 512 <= clusters * cluster);
            }
        }
    }

    #[test]
    fn more_sectors_never_give_fewer_clusters() {
        for (bits, cluster) in [(Bits::Twelve, 512), (Bits::Sixteen, 1024), (Bits::ThirtyTwo, 512)]
        {
            let params =
                Params { bits: Some(bits), cluster_size: Some(cluster), ..Params::default() };
            let mut before = 0;
            for sectors in (10..20_000).chain(66_000..90_000) {
                let count = found(&params, 512, sectors * 512).map_or(0, |found| found.clusters);
                assert!(count >= before, "{bits:?} {sectors}: {count} after {before}");
                before = count;
            }
        }
    }

    #[test]
    fn a_floppy_is_what_dos_makes() {
        // `mkfs.fat -f` and `mformat` agree on these: sectors of a FAT, clusters.
        for (floppy, fat, clusters) in [
            (Floppy::Kib720, 3, 713),
            (Floppy::Kib1200, 7, 2371),
            (Floppy::Kib1440, 9, 2847),
            (Floppy::Kib2880, 9, 2863),
        ] {
            let params = Params { floppy: Some(floppy), ..Params::default() };
            let geometry = found(&params, 512, floppy.shape().sectors * 512).unwrap();
            assert_eq!((geometry.fat, geometry.clusters), (fat, clusters), "{floppy:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_numbers() {
        let says =
            |params: &Params, sector, bytes| found(params, sector, bytes).unwrap_err().to_string();
        let fat32 = Params { bits: Some(Bits::ThirtyTwo), ..Params::default() };
        assert!(says(&fat32, 512, 1 << 20).contains("FAT32 needs at least 65541"));
        let odd = Params { cluster_size: Some(3000), ..Params::default() };
        assert!(says(&odd, 512, 1 << 20).contains("a cluster has 3000 bytes"));
        assert!(says(&Params::default(), 256, 1 << 20).contains("a sector has 256 bytes"));
        assert!(says(&Params::default(), 512, 3 << 40).contains("at most 4294967295"));
    }
}
