//! The stand-in for CDI (see e2e/cdi-contract), and the definitions of KubeVirt's machines.
//!
//! They are there for the whole cluster, so a case that has them plays alone. Invariant: what a case
//! has installed is gone when it ends, however it ends.

use super::host::{run, try_kubectl};

const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/cdi-contract/run");

/// CDI and the definitions of KubeVirt, until this is dropped.
pub(crate) struct Cdi(());

impl Cdi {
    /// Installs both; they work when this returns.
    pub(crate) fn up() -> Self {
        let cdi = Self(());
        for what in ["kubevirt", "up"] {
            run(STAND_IN, &[what]);
        }
        cdi
    }
}

impl Drop for Cdi {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            let kinds = "datavolume,datasource,cdiconfig,virtualmachine";
            eprintln!("──── {kinds}\n{}", try_kubectl(&["get", kinds, "-A", "-o", "yaml"]));
        }
        for what in ["remove", "remove-kubevirt"] {
            let done = std::process::Command::new(STAND_IN).arg(what).status();
            let done = done.is_ok_and(|status| status.success());
            assert!(done || failed, "{STAND_IN} {what} failed");
        }
    }
}
