//! The controller's settings, resolved from flags once.
//!
//! Does not parse command lines (that is the program). Invariant: later code sees no option that
//! still has to be decided.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::units::{ByteSize, SizeOverflow};

/// The class name that stands for all classes in `ClaimRules`.
pub const ANY_CLASS: &str = "*";

/// What the controller was told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Image of the build pods.
    pub builder_image: String,
    /// Its pull policy.
    pub image_pull_policy: String,
    /// ServiceAccount of build pods whose document names none.
    pub build_service_account: Option<String>,
    /// Namespaces to watch; empty for all.
    pub namespaces: Vec<String>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    pub listen: SocketAddr,
    /// Images reconciled at once in each watched scope.
    pub concurrency: u16,
    /// Flags of build pods about the servers that sources may lie on.
    pub source_flags: Vec<String>,
    /// The boot assets of the builder's image, which is the operator's, by the name of their set: see
    /// `manifest::hash::assets`.
    pub boot_assets: BTreeMap<String, BootAssets>,
    /// Whether scripts run in namespaces that allow them.
    pub allow_scripts: bool,
    /// Whether CDI and KubeVirt are looked for.
    pub kubevirt: bool,
    /// How claims are sized.
    pub claims: ClaimRules,
}

/// Files of a boot loader, or the guest's init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootAssets {
    /// Their digest; none where there are no such files.
    pub digest: Option<String>,
    /// The Debian packages that have them.
    pub packages: String,
}

/// How claims are sized, by StorageClass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimRules {
    /// Filesystem overhead in millionths, for classes not named.
    pub overhead: u32,
    /// Filesystem overhead in millionths of classes that need more.
    pub class_overhead: BTreeMap<String, u32>,
    /// The smallest request, by class.
    pub class_minimum: BTreeMap<String, ByteSize>,
}

impl ClaimRules {
    /// The request for a Block volume of `class` that is to hold this (whole MiB): no filesystem takes
    /// a part of it.
    pub fn device(&self, holds: ByteSize, class: Option<&str>) -> ByteSize {
        holds.max(self.floor(class))
    }

    fn floor(&self, class: Option<&str>) -> ByteSize {
        let minimum = |name| self.class_minimum.get(name).copied().unwrap_or_default();
        minimum(class.unwrap_or(ANY_CLASS)).max(minimum(ANY_CLASS))
    }

    /// The request for a Filesystem volume of `class` that is to hold this (whole MiB).
    pub fn request(&self, holds: ByteSize, class: Option<&str>) -> Result<ByteSize, SizeOverflow> {
        let class = class.unwrap_or(ANY_CLASS);
        let overhead = self.class_overhead.get(class).copied().unwrap_or(0).max(self.overhead);
        Ok(holds.with_overhead(overhead)?.max(self.floor(Some(class))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_exact_and_floors_raise_them() {
        let mut rules = ClaimRules { overhead: 60_000, ..ClaimRules::default() };
        let disk = ByteSize::mib(64);
        assert_eq!(rules.request(disk, None), Ok(ByteSize::bytes(71_135_396)));
        rules.class_overhead.insert("thick".into(), 200_000);
        rules.class_overhead.insert("thin".into(), 10);
        assert_eq!(rules.request(disk, Some("thick")), Ok(ByteSize::bytes(80_530_637)));
        assert_eq!(rules.request(disk, Some("thin")), Ok(ByteSize::bytes(71_135_396)));
        rules.class_minimum.insert(ANY_CLASS.into(), ByteSize::mib(100));
        rules.class_minimum.insert("big".into(), ByteSize::mib(1024));
        assert_eq!(rules.request(disk, Some("thick")), Ok(ByteSize::mib(100)));
        assert_eq!(rules.request(disk, Some("big")), Ok(ByteSize::mib(1024)));
    }
}
