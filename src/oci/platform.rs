//! Which of an index' images is meant.
//!
//! Invariant: the same index and wish give the same image, whatever machine chooses.

use std::fmt;

use serde::Deserialize;

/// A platform, named as in GOOS and GOARCH.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, ...
    pub architecture: String,
    /// `v7`, `v8`, ...
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on this architecture.
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        Self { os: "linux".into(), architecture: architecture.into(), variant: None }
    }

    /// Whether `other` may be taken where this one is wanted. The first variant of arm64 is v8:
    /// it is left out as often as not.
    pub(super) fn takes(&self, other: &Self) -> bool {
        let variant = |of: &Self| match (of.architecture.as_str(), of.variant.as_deref()) {
            ("arm64", None | Some("" | "v8")) | (_, Some("")) => None,
            (_, variant) => variant.map(ToOwned::to_owned),
        };
        let wanted = variant(self);
        self.os == other.os
            && self.architecture == other.architecture
            && (wanted.is_none() || wanted == variant(other))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}
