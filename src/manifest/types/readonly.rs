//! The options of the filesystems that are written once: squashfs and erofs.
//!
//! Decides nothing. Invariant: as of `filesystem`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::super::size::Size;
use super::{is_default, is_yes, yes};

/// Options of squashfs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::squashfs()))]
pub struct Squashfs {
    /// The compressor.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "gzip"))]
    pub compression: SquashfsCompression,

    /// The compressor's level: 1 to 9 for gzip, 1 to 22 for zstd; the others have none. Omitted:
    /// the compressor's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 22), extend("format" = "int32"))]
    pub level: Option<u32>,

    /// Bytes of a block: a power of two from 4Ki to 1Mi. Omitted: 128Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<Size>,

    /// Packs the ends of files together.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(extend("default" = true))]
    pub fragments: bool,

    /// A table for NFS.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(extend("default" = true))]
    pub exports: bool,
}

/// A compressor of squashfs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum SquashfsCompression {
    /// zlib.
    #[default]
    Gzip,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
    /// LZ4.
    Lz4,
    /// Everything is stored as it is.
    None,
}

/// Options of erofs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Erofs {
    /// The compressor.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "none"))]
    pub compression: ErofsCompression,
}

/// A compressor of erofs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ErofsCompression {
    /// Everything is stored as it is.
    #[default]
    None,
    /// LZ4.
    Lz4,
}

impl Default for Squashfs {
    fn default() -> Self {
        Self {
            compression: SquashfsCompression::default(),
            level: None,
            block_size: None,
            fragments: true,
            exports: true,
        }
    }
}
