//! Why a medium was not published.
//!
//! Decides nothing. Invariant: numbers are exact, names are as found.

use crate::engine::base;

/// Why a medium was not published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The volume cannot hold the disk.
    #[error(
        "the disk needs {needed} bytes but the volume has room for {available}; ask for more with spec.publish[].pvc.request"
    )]
    TooSmall {
        /// Bytes that the disk needs.
        needed: u64,
        /// Bytes that the volume has room for.
        available: u64,
    },
    /// The volume cannot hold the files.
    #[error(
        "the volume has room for {available} bytes, too little for the files; {needed} are enough in any case: ask for more with spec.publish[].files.pvc.request"
    )]
    FilesTooSmall {
        /// Bytes that are enough in any case.
        needed: u64,
        /// Bytes that the volume has room for.
        available: u64,
    },
    /// Something that is not ours lies in the directory.
    #[error(
        "the directory already holds {name:?}, which is not a file of this image; use an empty one"
    )]
    HoldsOtherFiles {
        /// The entry's name.
        name: String,
    },
    /// Something that is not ours lies in the volume.
    #[error(
        "the volume already holds {name:?}, which is not a disk of this program; use an empty volume"
    )]
    HoldsOther {
        /// The entry's name.
        name: String,
    },
    /// Writing failed.
    #[error(transparent)]
    Engine(#[from] base::Error),
}
