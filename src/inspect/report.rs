//! What `inspect` found, as data and as text.
//!
//! Finds nothing itself. Invariant: numbers are exact bytes in both forms; the JSON names are a
//! contract with scripts.

use std::fmt::Write as _;

use serde::Serialize;

use crate::engine::format::FormatName;
use crate::units::ByteSize;

/// What an image file is, and what lies in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The file's format.
    pub format: FormatName,
    /// Length of the file.
    pub file_size: u64,
    /// Length of the disk.
    pub virtual_size: u64,
    /// Bytes of the file that are not holes.
    pub allocated: u64,
    /// More about a qcow2 file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qcow2: Option<Qcow2>,
    /// What lies on the disk.
    pub content: Content,
}

/// More about a qcow2 file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Qcow2 {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of a cluster.
    pub cluster_size: u64,
    /// How compressed clusters are compressed, whether there are any or not.
    pub compression_type: String,
    /// Width of a reference count.
    pub refcount_bits: u32,
    /// Features that are set, by QEMU's names.
    pub features: Vec<String>,
    /// Internal snapshots; their contents are not looked at.
    pub snapshots: u32,
    /// How many clusters of the disk are stored how.
    pub clusters: Clusters,
}

/// Clusters of the disk by how they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Clusters {
    /// Stored as they are.
    pub data: u64,
    /// Compressed.
    pub compressed: u64,
    /// Marked as zero.
    pub zero: u64,
    /// Not mentioned.
    pub unallocated: u64,
}

/// What lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// SHA-256 of the disk's bytes; none if the disk is too large to be hashed in reasonable time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether the first sector ends 55 AA.
    pub boot_signature: bool,
    /// What the first sector is; none without the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_sector: Option<BootSector>,
    /// Bytes of the sectors that are not all zero.
    pub data_bytes: u64,
    /// The first runs of sectors that are not all zero.
    pub data: Vec<Range>,
    /// How many runs there are beside them.
    pub more: u64,
}

/// What a first sector with the signature 55 AA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BootSector {
    /// The protective table in front of a GPT.
    Gpt,
    /// A table of MBR partitions.
    Mbr,
    /// The first sector of a FAT filesystem.
    Fat,
    /// The first sector of an NTFS filesystem.
    Ntfs,
    /// A program without a table.
    Program,
}

impl BootSector {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gpt => "GPT partition table",
            Self::Mbr => "MBR partition table",
            Self::Fat => "FAT filesystem",
            Self::Ntfs => "NTFS filesystem",
            Self::Program => "program",
        }
    }
}

/// A run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Report {
    /// The report as lines for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<16}{value}");
        };
        line("format", self.format.as_str());
        let allocated = self.allocated;
        line("file size", &format!("{} bytes, {allocated} allocated", self.file_size));
        let short = ByteSize::bytes(self.virtual_size);
        line("virtual size", &format!("{} bytes ({short})", self.virtual_size));
        if let Some(qcow2) = &self.qcow2 {
            qcow2.lines(&mut line);
        }
        self.content.lines(&mut line);
        text
    }
}

impl Qcow2 {
    fn lines(&self, line: &mut impl FnMut(&str, &str)) {
        let Self { version, cluster_size, compression_type, refcount_bits, .. } = self;
        line(
            "qcow2",
            &format!(
                "version {version}, clusters of {cluster_size} bytes, {compression_type}, \
                 refcounts of {refcount_bits} bits"
            ),
        );
        if !self.features.is_empty() {
            line("features", &self.features.join(", "));
        }
        if self.snapshots > 0 {
            line("snapshots", &format!("{}, not looked at", self.snapshots));
        }
        let Clusters { data, compressed, zero, unallocated } = self.clusters;
        line(
            "clusters",
            &format!(
                "{data} data, {compressed} compressed, {zero} zero, {unallocated} unallocated"
            ),
        );
    }
}

impl Content {
    fn lines(&self, line: &mut impl FnMut(&str, &str)) {
        line("digest", self.digest.as_deref().unwrap_or("not computed: the disk is too large"));
        match self.boot_sector {
            None => line("boot sector", "none (no signature 55 AA)"),
            Some(kind) => {
                line("boot sector", &format!("{} (signature 55 AA)", kind.as_str()));
            }
        }
        let runs = self.data.len() as u64 + self.more;
        line("data", &format!("{} bytes in {runs} runs", self.data_bytes));
        for Range { start, end } in &self.data {
            line("", &format!("{start}..{end}"));
        }
        if self.more > 0 {
            line("", &format!("and {} more", self.more));
        }
    }
}
