//! Disks and kernels as container images: containerDisk and kernelBoot, as KubeVirt takes them.
//!
//! ```text
//! files ──layer──▶ tar, gzip ──image──▶ configuration, manifest ──push──▶ registry
//!                                                      └──index──▶ tag of several architectures
//! ```
//!
//! Makes no disk. Invariants: the same files and parameters give the same bytes on any number of
//! threads; a manifest that the repository has is not uploaded again, nor is anything that it names.

mod image;
pub mod index;
mod layer;
#[cfg(feature = "cli")]
mod push;

use std::sync::Arc;

use uuid::Uuid;

use crate::engine::base::{Error, Scratch, SectorSource, Work};
use crate::engine::format::{self, Label, Output, qcow2};

pub use image::Image;
pub use layer::Layer;
#[cfg(feature = "cli")]
pub use push::{publish, push};

/// The annotation by which a manifest tells what it was made of: contentHash of its document.
pub const CONTENT_HASH: &str = "vmimage.dev/content-hash";
/// The label that holds the SHA-256 of the raw disk.
pub const CONTENT_DIGEST: &str = "vmimage.dev/content-digest";
/// The label that holds the command line of a kernel, which KubeVirt takes from the machine.
pub const COMMAND_LINE: &str = "vmimage.dev/command-line";

/// Where KubeVirt looks for the files.
pub const RAW_DISK: &str = "disk/disk.img";
/// The same for a disk in qcow2.
pub const QCOW2_DISK: &str = "disk/disk.qcow2";
/// The kernel: `kernelBoot.container.kernelPath` is this with a slash before it.
pub const KERNEL: &str = "boot/vmlinuz";
/// The initrd: `kernelBoot.container.initrdPath`.
pub const INITRD: &str = "boot/initrd";

/// What a file has that only machines read.
pub const MODE: u16 = 0o440;

/// A file of an image.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path without a slash before it.
    pub path: String,
    /// Its bytes.
    pub source: Arc<dyn SectorSource>,
    /// Its permissions.
    pub mode: u16,
}

impl File {
    /// A file at `path` that machines read.
    #[must_use]
    pub fn new(path: &str, source: Arc<dyn SectorSource>) -> Self {
        Self { path: path.to_owned(), source, mode: MODE }
    }
}

/// What is around the layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// gzip.
    #[default]
    Gzip,
    /// Nothing.
    None,
}

/// What shapes an image beside its files, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// For which machines it is, named as in GOARCH: `amd64`.
    pub architecture: &'a str,
    /// What is around the layer.
    pub compression: Compression,
    /// Variables of the configuration, in this order.
    pub env: &'a [(String, String)],
    /// Labels of the configuration, and annotations of the manifest.
    pub labels: &'a [(String, String)],
    /// Tags that name the image in the end.
    pub tags: &'a [String],
    /// Whether each tag names an index with an entry for each architecture.
    pub index: bool,
}

/// `medium` as a file in qcow2, written as `formats: [{type: qcow2}]` is.
pub fn qcow2(
    medium: &dyn SectorSource,
    scratch: &Scratch,
    work: &Work<'_>,
) -> Result<Arc<dyn SectorSource>, Error> {
    let spool = scratch.spool()?;
    let label = Label { name: "disk.qcow2", id: Uuid::nil() };
    let output = Output { label, sink: &spool, companion: None };
    format::write(medium, &output, &format::Params::Qcow2(qcow2::Params::default()), work)?;
    Ok(Arc::new(spool))
}
