//! What a header says, for people and scripts.
//!
//! Judges nothing. Invariant: plain values, and names that are safe to print.

use super::Compression;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of a cluster.
    pub cluster_size: u64,
    /// Virtual size in bytes.
    pub virtual_size: u64,
    /// The method of compressed clusters, if there are any: never `None`.
    pub compression: Compression,
    /// Width of a reference count.
    pub refcount_bits: u32,
    /// Bytes of the header without its extensions.
    pub header_length: u32,
    /// Snapshots in the file; their contents are not read.
    pub snapshots: u32,
    /// The file was not closed properly: reference counts may be wrong. Contents are not affected.
    pub dirty: bool,
    /// Reference counts may be written late.
    pub lazy_refcounts: bool,
    /// Clusters have subclusters.
    pub extended_l2: bool,
    /// The external data file alone is the disk, too.
    pub raw_data_file: bool,
    /// The file below this one, its name escaped.
    pub backing_file: Option<String>,
    /// The file that holds the data, its name escaped.
    pub data_file: Option<String>,
}

impl Details {
    /// The features that are set, as QEMU names them.
    #[must_use]
    pub fn features(&self) -> Vec<&'static str> {
        [
            (self.dirty, "dirty bit"),
            (self.data_file.is_some(), "external data file"),
            (self.compression == Compression::Zstd, "compression type"),
            (self.extended_l2, "extended L2 entries"),
            (self.lazy_refcounts, "lazy refcounts"),
            (self.raw_data_file, "raw external data"),
        ]
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
        .collect()
    }
}
