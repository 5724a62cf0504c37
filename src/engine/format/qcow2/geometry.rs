//! The numbers that follow from a cluster size and a virtual size.
//!
//! Reads and writes nothing. Invariant: cluster bits are 9 to 21 and the L1 table is at most
//! 32 MiB, so nothing here overflows.

use super::ondisk::{
    COMPRESSED_SECTOR, ENTRY_COMPRESSED, MAX_CLUSTER_BITS, MAX_L1_BYTES, MIN_CLUSTER_BITS,
    MIN_EXTENDED_BITS, OFFSET_BITS, SUBCLUSTERS,
};

/// Bytes of an entry of an L1, L2 or refcount table.
pub(super) const ENTRY: u64 = 8;

/// A cluster size and a virtual size that fit each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    cluster_bits: u32,
    virtual_size: u64,
    /// Bytes of an L2 entry: 8, or 16 with subclusters.
    entry: u64,
}

/// A cluster size and a virtual size that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Impossible {
    #[error("qcow2 clusters have 2^9 to 2^21 bytes, not 2^{0}")]
    ClusterBits(u32),
    #[error("extended L2 entries need clusters of 2^14 to 2^21 bytes, not 2^{0}")]
    Subclusters(u32),
    #[error(
        "The image size is too large for file format 'qcow2' (try using a larger cluster size): \
         {virtual_size} bytes; with clusters of {cluster_size} bytes it ends at {most}"
    )]
    TooLarge { virtual_size: u64, cluster_size: u64, most: u64 },
}

/// Where the bytes of a compressed cluster lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// Host offset of the first byte.
    pub(super) offset: u64,
    /// Number of bytes, at most; the descriptor counts whole sectors.
    pub(super) len: u64,
}

impl Geometry {
    pub(super) const fn new(cluster_bits: u32, virtual_size: u64) -> Result<Self, Impossible> {
        if cluster_bits < MIN_CLUSTER_BITS || cluster_bits > MAX_CLUSTER_BITS {
            return Err(Impossible::ClusterBits(cluster_bits));
        }
        Self { cluster_bits, virtual_size, entry: ENTRY }.judged()
    }

    /// The same with subclusters.
    pub(super) const fn extended(self) -> Result<Self, Impossible> {
        if self.cluster_bits < MIN_EXTENDED_BITS {
            return Err(Impossible::Subclusters(self.cluster_bits));
        }
        Self { entry: 2 * ENTRY, ..self }.judged()
    }

    const fn judged(self) -> Result<Self, Impossible> {
        let (virtual_size, cluster_size) = (self.virtual_size, self.cluster());
        let most = MAX_L1_BYTES / ENTRY * (cluster_size / self.entry) * cluster_size;
        if virtual_size > most {
            return Err(Impossible::TooLarge { virtual_size, cluster_size, most });
        }
        Ok(self)
    }

    /// Whether clusters have subclusters.
    pub(super) const fn is_extended(self) -> bool {
        self.entry != ENTRY
    }

    /// Bytes of a subcluster; of a cluster if it has none.
    pub(super) const fn subcluster(self) -> u64 {
        if self.is_extended() { self.cluster() / SUBCLUSTERS } else { self.cluster() }
    }

    pub(super) const fn cluster_bits(self) -> u32 {
        self.cluster_bits
    }

    pub(super) const fn virtual_size(self) -> u64 {
        self.virtual_size
    }

    /// Bytes of a cluster.
    pub(super) const fn cluster(self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of a cluster, for buffers.
    pub(super) const fn cluster_len(self) -> usize {
        1 << self.cluster_bits
    }

    /// Clusters of the virtual disk.
    pub(super) const fn guest_clusters(self) -> u64 {
        self.virtual_size.div_ceil(self.cluster())
    }

    /// Entries of an L2 table.
    pub(super) const fn l2_entries(self) -> u64 {
        self.cluster() / self.entry
    }

    /// Entries of the L1 table.
    pub(super) const fn l1_entries(self) -> u64 {
        self.guest_clusters().div_ceil(self.l2_entries())
    }

    /// Clusters that `bytes` take.
    pub(super) const fn clusters_of(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster())
    }

    /// The width of the offset in a compressed cluster's descriptor: the section "Cluster mapping"
    /// calls it x. The field above it has the remaining `cluster_bits` - 8 bits up to bit 61.
    const fn packed_offset_bits(self) -> u32 {
        62 - (self.cluster_bits - 8)
    }

    /// The L2 entry of a compressed cluster; None if it lies too far behind.
    pub(super) const fn pack(self, packed: Packed) -> Option<u64> {
        let bits = self.packed_offset_bits();
        let widest = if bits < OFFSET_BITS { bits } else { OFFSET_BITS };
        if packed.len == 0 || packed.offset >> widest != 0 {
            return None;
        }
        let last = (packed.offset + packed.len - 1) / COMPRESSED_SECTOR;
        let additional = last - packed.offset / COMPRESSED_SECTOR;
        Some(ENTRY_COMPRESSED | additional << bits | packed.offset)
    }

    /// Where the compressed cluster of this L2 entry lies; None if a reserved bit is set.
    pub(super) const fn unpack(self, entry: u64) -> Option<Packed> {
        let bits = self.packed_offset_bits();
        let descriptor = entry & (ENTRY_COMPRESSED - 1);
        let offset = descriptor & ((1 << bits) - 1);
        if offset >> OFFSET_BITS != 0 {
            return None;
        }
        let sectors = (descriptor >> bits) + 1;
        Some(Packed { offset, len: sectors * COMPRESSED_SECTOR - offset % COMPRESSED_SECTOR })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_specification() {
        // "with a 512 byte cluster size, it is unable to populate [more] than 128 GB (37 bits)"
        assert!(Geometry::new(9, 128 << 30).is_ok());
        assert_eq!(
            Geometry::new(9, (128 << 30) + 1).unwrap_err().to_string(),
            "The image size is too large for file format 'qcow2' (try using a larger cluster \
             size): 137438953473 bytes; with clusters of 512 bytes it ends at 137438953472"
        );
        // "With a 2 MB cluster size, [...] 2 EB (61 bits)"
        assert!(Geometry::new(21, 1 << 61).is_ok());
        assert!(Geometry::new(21, (1 << 61) + 1).is_err());
        assert_eq!(Geometry::new(8, 0).unwrap_err(), Impossible::ClusterBits(8));
        assert_eq!(Geometry::new(22, 0).unwrap_err(), Impossible::ClusterBits(22));

        let geometry = Geometry::new(16, (512 << 20) + 512).unwrap();
        assert_eq!(geometry.l2_entries(), 8192);
        assert_eq!(geometry.guest_clusters(), 8193);
        assert_eq!(geometry.l1_entries(), 2);
        assert_eq!(Geometry::new(16, 0).unwrap().l1_entries(), 0);

        let extended = geometry.extended().unwrap();
        assert_eq!((extended.l2_entries(), extended.subcluster()), (4096, 2048));
        assert_eq!(extended.l1_entries(), 3);
        let small = Geometry::new(13, 0).unwrap();
        assert_eq!(small.extended().unwrap_err(), Impossible::Subclusters(13));
        assert!(Geometry::new(14, 32 << 40).unwrap().extended().is_ok());
        assert!(Geometry::new(14, 64 << 40).unwrap().extended().is_ok());
        assert!(Geometry::new(14, 128 << 40).unwrap().extended().is_err());
    }

    #[test]
    fn compressed_descriptors_count_additional_sectors() {
        let geometry = Geometry::new(16, 1 << 20).unwrap();
        // x = 62 - (16 - 8) = 54.
        let entry = |offset, len| geometry.pack(Packed { offset, len });
        assert_eq!(entry(0x50000, 87), Some(1 << 62 | 0x50000));
        assert_eq!(entry(0x50000, 512), Some(1 << 62 | 0x50000));
        assert_eq!(entry(0x50000, 513), Some(1 << 62 | 1 << 54 | 0x50000));
        assert_eq!(entry(0x501ff, 1), Some(1 << 62 | 0x501ff));
        assert_eq!(entry(0x501ff, 2), Some(1 << 62 | 1 << 54 | 0x501ff));
        assert_eq!(entry(511, 65_535), Some(1 << 62 | 128 << 54 | 511));
        assert_eq!(entry(1 << 54, 1), None);
        assert_eq!(entry(0, 0), None);
        for (offset, len) in [(0x50000, 87), (0x501ff, 2), (511, 65_535), ((1 << 54) - 1, 65_535)] {
            let back = geometry.unpack(entry(offset, len).unwrap()).unwrap();
            assert_eq!(back.offset, offset);
            assert!(back.len >= len && back.len < len + 512);
            assert_eq!((offset + back.len) % 512, 0);
        }
        // With clusters of 512 bytes the field is wider than an offset may be: bits 56-60 are 0.
        let small = Geometry::new(9, 1 << 20).unwrap();
        assert_eq!(small.unpack(1 << 62 | 1 << 56), None);
        assert_eq!(small.pack(Packed { offset: 1 << 56, len: 1 }), None);
    }
}
