//! Packages: an image file with what is around it (gzip, xz, zstd) or beside it in one archive
//! (OVA, Vagrant box, Compute Engine's tar.gz), written, listed and opened.
//!
//! Unpacks nothing into a directory. Invariants: a package depends on medium, recipe and label
//! alone; of an untrusted one no name leads out of its archive.

mod descriptor;
mod machine;
mod manifest;
pub mod ova;
mod ovf;
mod read;
mod recipe;
pub mod vagrant;
mod write;

pub use machine::{DiskBus, Firmware, Machine, Nic, OsType};
pub use read::{Disk, Entry, Package, PackageKind};
pub use recipe::{Form, Recipe};
pub use write::{stream, write};
