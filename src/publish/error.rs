//! Why a medium was not published.
//!
//! Decides nothing. Invariant: numbers are exact, names are as found.

use std::path::PathBuf;

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
    /// The user that this process runs as has no access to the device.
    #[error(
        "user {user} has no access to the block device {}: the container runtime must give devices to the pod's user; set device_ownership_from_security_context = true in the configuration of containerd or CRI-O",
        device.display()
    )]
    DeviceRefused {
        /// Its path.
        device: PathBuf,
        /// The number of the user.
        user: u32,
        /// What was attempted.
        #[source]
        source: base::Error,
    },
    /// The device takes no writes.
    #[error("the block device {} is read-only", device.display())]
    DeviceReadOnly {
        /// Its path.
        device: PathBuf,
    },
    /// Somebody else has the device.
    #[error(
        "the block device {} is in use: it is mounted, or another process is publishing onto it",
        device.display()
    )]
    DeviceInUse {
        /// Its path.
        device: PathBuf,
    },
    /// What is read from the device is not what was written.
    #[error(
        "the block device {} does not hold what was written: {read} was read, {written} was written",
        device.display()
    )]
    DeviceDiffers {
        /// Its path.
        device: PathBuf,
        /// What was written.
        written: String,
        /// What was read.
        read: String,
    },
    /// Writing failed.
    #[error(transparent)]
    Engine(#[from] base::Error),
}
