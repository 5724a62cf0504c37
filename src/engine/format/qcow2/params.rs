//! What shapes a qcow2 file beside its medium, and what does not go together.
//!
//! Writes nothing. Invariant: what `validate` accepts can be written, up to the limit of the
//! refcount table, which only the contents can exceed.

use super::geometry::{Geometry, Impossible};
use crate::engine::base::{Error, Kind};

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Stored as they are.
    #[default]
    None,
    /// Raw deflate with a window of 4 KiB: every reader.
    Zlib,
    /// Zstandard: QEMU 5.1 and newer.
    Zstd,
}

/// Who can read a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// Version 2: QEMU 0.10 and newer.
    V2,
    /// Version 3: QEMU 1.1 and newer.
    #[default]
    V3,
}

/// What is allocated before it is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preallocation {
    /// Nothing.
    #[default]
    Off,
    /// Every cluster has its place in the file, which is sparse.
    Metadata,
    /// As `Metadata`, and the filesystem keeps the room.
    Falloc,
    /// As `Metadata`, and zeros are written.
    Full,
}

/// What shapes a file beside its medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Who can read it.
    pub compat: Compat,
    /// Bytes of a cluster: a power of two from 512 to 2 MiB.
    pub cluster_size: u64,
    /// How clusters are compressed.
    pub compression: Compression,
    /// Marked so that reference counts may be written late.
    pub lazy_refcounts: bool,
    /// What is allocated before it is needed.
    pub preallocation: Preallocation,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            compat: Compat::default(),
            cluster_size: 64 << 10,
            compression: Compression::default(),
            lazy_refcounts: false,
            preallocation: Preallocation::default(),
        }
    }
}

impl Params {
    /// The defaults with this compression.
    #[must_use]
    pub fn compressed(compression: Compression) -> Self {
        Self { compression, ..Self::default() }
    }

    /// Refuses what does not go together, or not with a disk of this size, in QEMU's words.
    pub fn validate(&self, virtual_size: u64) -> Result<(), Error> {
        self.geometry(virtual_size).map(|_| ())
    }

    /// The numbers that follow for a disk of this size.
    pub(super) fn geometry(&self, virtual_size: u64) -> Result<Geometry, Error> {
        let old = self.compat == Compat::V2;
        let refuse = |why: &str| Err(Error::new(Kind::Document, why));
        if self.compression != Compression::None && self.preallocation != Preallocation::Off {
            return refuse("Compression and preallocation not supported at the same time");
        }
        if old && self.lazy_refcounts {
            return refuse(
                "Lazy refcounts only supported with compatibility level 1.1 and above: use compat \
                 1.1",
            );
        }
        if old && self.compression == Compression::Zstd {
            return refuse(
                "Non-zlib compression type is only supported with compatibility level 1.1 and \
                 above: use compat 1.1 or compression zlib",
            );
        }
        let cluster = || {
            let message = format!(
                "Cluster size must be a power of two between 512 and 2048k, not {}",
                self.cluster_size
            );
            Error::new(Kind::Document, message)
        };
        if !self.cluster_size.is_power_of_two() {
            return Err(cluster());
        }
        Geometry::new(self.cluster_size.trailing_zeros(), virtual_size).map_err(|e| match e {
            Impossible::ClusterBits(_) | Impossible::Subclusters(_) => cluster(),
            Impossible::TooLarge { .. } => Error::new(Kind::Document, e.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_refused_in_the_words_of_qemu() {
        let ok = Params::default();
        let zlib = Params::compressed(Compression::Zlib);
        let v2 = Params { compat: Compat::V2, ..ok.clone() };
        for (params, size, says) in [
            (Params { compression: Compression::Zstd, ..v2.clone() }, 0, "Non-zlib compression"),
            (Params { lazy_refcounts: true, ..v2.clone() }, 0, "Lazy refcounts only supported"),
            (
                Params { preallocation: Preallocation::Metadata, ..zlib.clone() },
                0,
                "Compression and preallocation not supported at the same time",
            ),
            (Params { cluster_size: 256, ..ok.clone() }, 0, "between 512 and 2048k, not 256"),
            (Params { cluster_size: 0, ..ok.clone() }, 0, "not 0"),
            (Params { cluster_size: 4 << 20, ..ok.clone() }, 0, "not 4194304"),
            (Params { cluster_size: 3000, ..ok.clone() }, 0, "not 3000"),
            (Params { cluster_size: 1 << 63, ..ok.clone() }, 0, "not 9223372036854775808"),
            (
                Params { cluster_size: 512, ..ok.clone() },
                (128 << 30) + 512,
                "it ends at 137438953472",
            ),
            (v2.clone(), (2 << 50) + 512, "The image size is too large for file format 'qcow2'"),
        ] {
            let error = params.validate(size).unwrap_err();
            assert_eq!(error.kind(), Kind::Document);
            assert!(error.to_string().contains(says), "{params:?}: {error}");
        }
        for (params, size) in [
            (Params { compression: Compression::Zlib, ..v2.clone() }, 2 << 50),
            (Params { preallocation: Preallocation::Full, ..v2 }, 1 << 30),
            (Params { cluster_size: 512, ..zlib }, 128 << 30),
            (Params { cluster_size: 2 << 20, lazy_refcounts: true, ..ok }, 1 << 61),
        ] {
            params.validate(size).unwrap();
        }
    }
}
