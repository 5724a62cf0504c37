//! Single files, directories, links and devices.
//!
//! Decides nothing. Invariant: owner and mode are those of the document or its default, never
//! those of the user who builds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::super::rules;
use super::super::is_default;
use super::super::scalar::{Mode, Moment, Path};
use super::super::source::Source;

/// A file: path, and exactly one of text and source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["text", "source"], rules::message::FILE_MEMBER)))]
pub struct File {
    /// Where it lies.
    pub path: Path,
    /// Its text. `$(uuid:NAME)` and `$(partuuid:NAME)` stand for the ids of the partition NAME and
    /// its filesystem; text in `source.inline` is taken as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 131_072))]
    pub text: Option<String>,
    /// Its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Permissions, in quotes.
    #[serde(default = "file_mode", skip_serializing_if = "is_file_mode")]
    #[schemars(extend("default" = "0644"))]
    pub mode: Mode,
    /// The owner's number.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0))]
    pub uid: Id,
    /// The group's number.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0))]
    pub gid: Id,
    /// Extended attributes: `user.note: text`. As getfattr prints them, a value that begins with
    /// `0x` is hexadecimal and one that begins with `0s` is base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 65_536}))]
    pub xattrs: BTreeMap<String, String>,
    /// When it was modified, as in `"2026-01-31T12:00:00Z"`. Omitted: the time of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Moment>,
}

/// Directories: exactly one of path and paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["path", "paths"], rules::message::PATHS)))]
pub struct Directory {
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// Where they lie.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<Path>,
    /// Permissions, in quotes.
    #[serde(default = "directory_mode", skip_serializing_if = "is_directory_mode")]
    #[schemars(extend("default" = "0755"))]
    pub mode: Mode,
    /// The owner's number.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0))]
    pub uid: Id,
    /// The group's number.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0))]
    pub gid: Id,
    /// Extended attributes, as of files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 65_536}))]
    pub xattrs: BTreeMap<String, String>,
    /// When it was modified. Omitted: the time of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Moment>,
}

/// Symbolic links: target, and exactly one of path and paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["path", "paths"], rules::message::PATHS)))]
pub struct Symlink {
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// Where they lie.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<Path>,
    /// What it points to, taken as it is.
    #[schemars(length(min = 1, max = 4095))]
    pub target: String,
    /// The owner's number.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0))]
    pub uid: Id,
    /// The group's number.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0))]
    pub gid: Id,
    /// When it was modified. Omitted: the time of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Moment>,
}

/// Further names of a file: target, and exactly one of path and paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["path", "paths"], rules::message::PATHS)))]
pub struct Hardlink {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// The new names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<Path>,
    /// The file, which must be there.
    pub target: Path,
}

/// A device, FIFO or socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::device()))]
pub struct Device {
    /// Where it lies.
    pub path: Path,
    /// The type.
    #[serde(rename = "type")]
    pub kind: DeviceKind,
    /// The driver's number; char and block need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_048_575), extend("format" = "int32"))]
    pub major: Option<u32>,
    /// The device's number; char and block need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_048_575), extend("format" = "int32"))]
    pub minor: Option<u32>,
    /// Permissions, in quotes.
    #[serde(default = "device_mode", skip_serializing_if = "is_device_mode")]
    #[schemars(extend("default" = "0600"))]
    pub mode: Mode,
    /// The owner's number.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0))]
    pub uid: Id,
    /// The group's number.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0))]
    pub gid: Id,
}

/// A type of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum DeviceKind {
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

/// An owner and a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Owner {
    /// The owner's number.
    pub uid: Id,
    /// The group's number.
    pub gid: Id,
}

/// A number of a user or group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("minimum" = 0, "maximum" = 4_294_967_294u32, "format" = "int64"))]
#[serde(transparent)]
pub struct Id(pub u32);

impl Directory {
    /// All paths.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        self.path.iter().chain(&self.paths)
    }
}

impl Symlink {
    /// All paths.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        self.path.iter().chain(&self.paths)
    }
}

impl Hardlink {
    /// All new names.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        self.path.iter().chain(&self.paths)
    }
}

const fn file_mode() -> Mode {
    Mode::FILE
}

fn is_file_mode(mode: &Mode) -> bool {
    *mode == Mode::FILE
}

const fn directory_mode() -> Mode {
    Mode::DIRECTORY
}

fn is_directory_mode(mode: &Mode) -> bool {
    *mode == Mode::DIRECTORY
}

const fn device_mode() -> Mode {
    Mode::DEVICE
}

fn is_device_mode(mode: &Mode) -> bool {
    *mode == Mode::DEVICE
}
