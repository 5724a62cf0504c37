//! Steps that write what most systems need: devices, fstab, hosts, hostname.
//!
//! Decides nothing. Invariant: each writes one file or one directory, at a path that can be given.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::is_default;
use super::super::scalar::Path;

/// The devices that a system needs to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct DeviceSet {
    /// Whose.
    pub name: DeviceSetName,
    /// The directory that holds them.
    #[serde(default = "dev", skip_serializing_if = "is_dev")]
    #[schemars(extend("default" = "/dev"))]
    pub path: Path,
}

/// A system whose devices are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum DeviceSetName {
    /// Linux: console, null, zero, full, random, urandom, tty, ptmx, kmsg, ttyS0 and others.
    Linux,
    /// NetBSD: console, null, zero, random, tty, ld0a and others, as mksmolnb makes them.
    Netbsd,
}

/// `/etc/fstab`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Fstab {
    /// The lines.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub entries: Vec<FstabEntry>,
    /// Keeps the lines that are there already.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub append: bool,
    /// The file.
    #[serde(default = "fstab", skip_serializing_if = "is_fstab")]
    #[schemars(extend("default" = "/etc/fstab"))]
    pub path: Path,
}

/// A line of fstab. Blanks in its texts are written as `\040`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct FstabEntry {
    /// What is mounted: `LABEL=root`, `UUID=$(uuid:root)`, `PARTUUID=$(partuuid:root)`, `/dev/ld0a`.
    #[schemars(length(min = 1, max = 1024))]
    pub device: String,
    /// Where: a path, or none.
    #[schemars(length(min = 1, max = 4096))]
    pub path: String,
    /// The filesystem's type.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub kind: String,
    /// Options with commas between them.
    #[serde(default = "defaults", skip_serializing_if = "is_defaults")]
    #[schemars(length(min = 1, max = 1024), extend("default" = "defaults"))]
    pub options: String,
    /// Whether dump saves it.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(range(min = 0, max = 9), extend("format" = "int32", "default" = 0))]
    pub dump: u32,
    /// When fsck looks at it: 1 first, 2 later, 0 never.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(range(min = 0, max = 9), extend("format" = "int32", "default" = 0))]
    pub pass: u32,
}

/// `/etc/hostname`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Hostname {
    /// The machine's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")
    )]
    pub name: String,
}

/// `/etc/hosts`: localhost for 127.0.0.1 and ::1, and these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Hosts {
    /// Further lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub entries: Vec<HostEntry>,
}

/// A line of hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct HostEntry {
    /// The address: `127.0.1.1`.
    #[schemars(length(min = 2, max = 45), regex(pattern = r"^[0-9A-Fa-f:.]+$"))]
    pub address: String,
    /// Its names.
    #[schemars(
        length(min = 1, max = 16),
        extend("x-kubernetes-list-type" = "atomic",
               "items" = {"type": "string", "maxLength": 253, "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"})
    )]
    pub names: Vec<String>,
}

fn dev() -> Path {
    Path::new("/dev")
}

fn is_dev(path: &Path) -> bool {
    *path == dev()
}

fn fstab() -> Path {
    Path::new("/etc/fstab")
}

fn is_fstab(path: &Path) -> bool {
    *path == fstab()
}

fn defaults() -> String {
    "defaults".to_owned()
}

fn is_defaults(options: &str) -> bool {
    options == "defaults"
}
