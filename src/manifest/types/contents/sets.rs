//! Steps that bring many files: archives, container images, disk images, services; and their end.
//!
//! Decides nothing. Invariant: globs are matched against paths without the first slash; a
//! directory stands for what is below it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::is_default;
use super::super::scalar::Path;
use super::super::source::Source;
use super::nodes::Owner;

/// The files of an archive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Archive {
    /// The archive; it may be compressed.
    pub source: Source,
    /// The format.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "auto"))]
    pub format: ArchiveFormat,
    /// Globs of what to take, such as `usr/bin/strip` or `boot/vmlinuz*`. Omitted: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic", "items" = {"type": "string", "maxLength": 4096}))]
    pub include: Vec<String>,
    /// Globs of what to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic", "items" = {"type": "string", "maxLength": 4096}))]
    pub exclude: Vec<String>,
    /// Leaves out so many leading parts of each path, after the globs.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(range(min = 0, max = 64), extend("format" = "int32", "default" = 0))]
    pub strip_components: u32,
    /// Where the files go.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "/"))]
    pub path: Path,
    /// The owner of everything. Omitted: as in the archive; 0:0 where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// A format of archives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ArchiveFormat {
    /// As the first bytes say.
    #[default]
    Auto,
    /// tar.
    Tar,
    /// cpio: newc, crc or odc.
    Cpio,
    /// zip.
    Zip,
    /// The data of a Debian package.
    Deb,
}

/// The files of a container image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Image {
    /// The image: oci, or a file that is an OCI or docker archive, or an OCI layout's directory.
    pub source: Source,
    /// The platform to take of an image for several: `linux/arm64`, `linux/arm/v7`. Omitted: linux
    /// and spec.architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?$"))]
    pub platform: Option<String>,
    /// Globs of what to take. Omitted: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic", "items" = {"type": "string", "maxLength": 4096}))]
    pub include: Vec<String>,
    /// Globs of what to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic", "items" = {"type": "string", "maxLength": 4096}))]
    pub exclude: Vec<String>,
    /// Where the files go.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "/"))]
    pub path: Path,
}

/// The files of a partition of a disk image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct FromImage {
    /// The image file.
    pub source: Source,
    /// Its format. auto believes its first bytes: not for files of strangers.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "raw"))]
    pub format: ImageFormat,
    /// The partition's number. Omitted: the whole disk, or the only partition that holds a
    /// filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 128), extend("format" = "int32"))]
    pub partition: Option<u32>,
    /// The directory in it to take.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "/"))]
    pub from: Path,
    /// Globs of what to take. Omitted: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic", "items" = {"type": "string", "maxLength": 4096}))]
    pub include: Vec<String>,
    /// Globs of what to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic", "items" = {"type": "string", "maxLength": 4096}))]
    pub exclude: Vec<String>,
    /// Where the files go.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "/"))]
    pub path: Path,
}

/// A format of disk images that are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ImageFormat {
    /// The bytes of the disk.
    #[default]
    Raw,
    /// QEMU's.
    Qcow2,
    /// VMware's.
    Vmdk,
    /// Virtual PC's.
    Vhd,
    /// Hyper-V's.
    Vhdx,
    /// VirtualBox'.
    Vdi,
    /// As the first bytes say.
    Auto,
}

/// A service of smolBSD.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Service {
    /// An archive or directory that holds `<name>/etc` and perhaps `common`, at its top or below
    /// `service`.
    pub source: Source,
    /// The service. The files of its `etc` go to `/etc`, those of `common` to `/etc/include`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub name: String,
    /// Links `/sbin/init` and `/sbin/mount_ext2fs` into `/rescue`; for the service rescue `/bin/sh`,
    /// too.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub rescue_links: bool,
}

/// What to take away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Remove {
    /// Paths or globs such as `/usr/share/doc/*`; a directory goes with what is below it. A path
    /// that is not there is an error, a glob may match nothing.
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<Path>,
}
