//! The files that a kernel begins with.
//!
//! Decides nothing. Invariant: as of `types`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::contents::Step;
use super::is_default;
use super::scalar::Path;
use super::source::Source;

/// The files that a kernel begins with: exactly one of source, build and from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["source", "build", "from"], rules::message::INITRD)))]
pub struct Initrd {
    /// A finished initrd, taken byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,

    /// One made of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<InitrdBuild>,

    /// Its path in the disk's or the ISO's contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Path>,

    /// Where grub and syslinux put it.
    #[serde(default = "initrd_path", skip_serializing_if = "is_initrd_path")]
    #[schemars(extend("default" = "/boot/initrd.img"))]
    pub path: Path,
}

/// An initramfs made of files. What lies in /kernel/x86/microcode and /kernel/firmware/acpi of its
/// contents goes to an archive of its own in front, uncompressed, where the kernel looks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct InitrdBuild {
    /// What lies in it: steps that are applied in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub contents: Vec<Step>,

    /// What is /init.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "none"))]
    pub init: Init,

    /// What our own init starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,

    /// More settings of our own init, as lines of its configuration: see docs/guest-init.md.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16_384), extend("default" = ""))]
    pub settings: String,

    /// Keeps of /lib/modules only what is named here and what that needs. Omitted: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<Modules>,

    /// Adds the certificates that Mozilla trusts, in /etc/ssl/certs/ca-certificates.crt.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub ca_bundle: bool,

    /// How it is compressed.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "zstd"))]
    pub compression: InitrdCompression,
}

/// What is /init.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Init {
    /// What the contents have there.
    #[default]
    None,
    /// Our own: mounts, network, one app.
    Builtin,
}

/// The program that our init starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct App {
    /// Its path in the contents, or on the ISO below /iso, or on the data disk below /persistent.
    pub path: Path,

    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)), extend("x-kubernetes-list-type" = "atomic"))]
    pub arguments: Vec<String>,

    /// Variables of its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    pub env: BTreeMap<String, String>,

    /// What happens when it ends.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "reboot"))]
    pub on_exit: OnExit,

    /// Seconds that it may take to end when the machine is told to stop.
    #[serde(default = "patience", skip_serializing_if = "is_patience")]
    #[schemars(extend("default" = 30, "minimum" = 0, "maximum" = 3600, "format" = "int32"))]
    pub stop_seconds: u32,

    /// Seconds that it waits for the network before it starts; 0 not at all.
    #[serde(default = "wait", skip_serializing_if = "is_wait")]
    #[schemars(extend("default" = 10, "minimum" = 0, "maximum" = 3600, "format" = "int32"))]
    pub network_seconds: u32,
}

/// What happens when the app ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum OnExit {
    /// The machine starts again.
    #[default]
    Reboot,
    /// The machine is switched off.
    PowerOff,
    /// The app starts again, each time a little later.
    Restart,
}

/// Modules of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Modules {
    /// Names or aliases of modules. What they depend on comes with them; what is built into the kernel
    /// is left out.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub names: Vec<String>,

    /// Keeps the firmware of /lib/firmware that they name, and drops the rest of it.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub firmware: bool,
}

/// How an initramfs is compressed. The kernel must know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum InitrdCompression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// xz with CRC32.
    Xz,
    /// Zstandard.
    #[default]
    Zstd,
    /// LZ4 in its legacy form.
    Lz4,
}

const INITRD: &str = "/boot/initrd.img";

fn initrd_path() -> Path {
    Path::new(INITRD)
}

fn is_initrd_path(path: &Path) -> bool {
    &**path == INITRD
}

const fn patience() -> u32 {
    30
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_patience(seconds: &u32) -> bool {
    *seconds == 30
}

const fn wait() -> u32 {
    10
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_wait(seconds: &u32) -> bool {
    *seconds == 10
}
