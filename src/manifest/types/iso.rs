//! The ISO 9660 image.
//!
//! Decides nothing. Invariant: its contents are steps as in a partition.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::size::Size;
use super::contents::Step;
use super::{is_default, is_yes, yes};

/// An ISO 9660 image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Iso {
    /// The volume's name, such as `cidata`: at most 32 characters, of which Joliet shows the first
    /// 16. Omitted: `CDROM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub volume_id: Option<String>,

    /// The system that uses the boot area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub system_id: Option<String>,

    /// The publisher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub publisher: Option<String>,

    /// Who prepared the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub preparer: Option<String>,

    /// The application that the volume is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub application: Option<String>,

    /// Names of files for plain readers: 1 (8.3), 2 (31 characters), 3 (files of more than 4 GiB,
    /// too).
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 3))]
    pub level: IsoLevel,

    /// Names, modes, owners, links and devices as Unix has them.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(extend("default" = true))]
    pub rock_ridge: bool,

    /// Names as Windows has them.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(extend("default" = true))]
    pub joliet: bool,

    /// The size, in whole sectors of 2048 bytes. Omitted: as large as the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,

    /// What lies in the image: steps that are applied in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub contents: Vec<Step>,
}

/// A level of interchange, 1 to 3; 3 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("minimum" = 1, "maximum" = 3, "format" = "int32"))]
#[serde(transparent)]
pub struct IsoLevel(pub u32);

impl Default for IsoLevel {
    fn default() -> Self {
        Self(3)
    }
}

impl Default for Iso {
    fn default() -> Self {
        Self {
            volume_id: None,
            system_id: None,
            publisher: None,
            preparer: None,
            application: None,
            level: IsoLevel::default(),
            rock_ridge: true,
            joliet: true,
            size: None,
            contents: Vec::new(),
        }
    }
}
