//! The rules of targets.
//!
//! Decides nothing. Invariant: what CEL cannot tell within its budget is a row of `check` alone: the
//! keys of labels, whose length no schema bounds, and tags that two entries share.

use serde_json::{Value, json};

use super::{message, one_of};

/// The kinds of targets.
const TARGETS: [&str; 4] = ["pvc", "files", "containerDisk", "kernelBoot"];

/// The rules of one target.
pub(in super::super) fn target() -> Value {
    let named = |member: &str| {
        format!(
            "(!has(self.containerDisk.defaults.{member}) || !has(self.containerDisk.defaults.{member}.kind))"
        )
    };
    let (instancetype, preference) = (named("instancetype"), named("preference"));
    json!([
        one_of(&TARGETS, message::TARGET),
        {
            "rule": "!has(self.kernelBoot) || !has(self.kernelBoot.defaults) || (!has(self.kernelBoot.defaults.instancetype) && !has(self.kernelBoot.defaults.preference))",
            "message": message::KERNEL_BOOT_DEFAULTS,
        },
        {
            "rule": format!("!has(self.containerDisk) || !has(self.containerDisk.defaults) || ({instancetype} && {preference})"),
            "message": message::PUSH_DEFAULTS,
        },
    ])
}

/// The rules of a claim.
pub(in super::super) fn pvc() -> Value {
    json!([{
        "rule": "!has(self.dataVolume) || has(self.name)",
        "message": message::DATA_VOLUME_NAME,
    }])
}

/// The rules over all targets.
pub(in super::super) fn publish() -> Value {
    let name = |target: &str| {
        format!(
            "(has({target}.pvc) ? (has({target}.pvc.name) ? {target}.pvc.name : '') : has({target}.files) && has({target}.files.pvc) && has({target}.files.pvc.name) ? {target}.files.pvc.name : '')"
        )
    };
    let (a, b) = (name("a"), name("b"));
    let has = |target: &str| format!("has({target}.pvc) && has({target}.pvc.dataSource)");
    json!([
        {
            "rule": format!("self.all(a, {a} == '' || self.exists_one(b, {a} == {b}))"),
            "message": message::CLAIM_NAMES,
        },
        {
            "rule": format!("self.all(a, !({}) || self.exists_one(b, {} && a.pvc.dataSource.name == b.pvc.dataSource.name))", has("a"), has("b")),
            "message": message::DATA_SOURCES,
        },
    ])
}

/// The rules of a `files` target.
pub(in super::super) fn files() -> Value {
    json!([
        {
            "rule": "!has(self.pvc) || !has(self.pvc.request) || quantity(string(self.pvc.request)).isGreaterThan(quantity('0'))",
            "message": message::FILES_REQUEST,
        },
        {
            "rule": "!has(self.pvc) || ((!has(self.pvc.volumeMode) || self.pvc.volumeMode == 'Filesystem') && !has(self.pvc.dataVolume) && !has(self.pvc.dataSource) && (!has(self.pvc.defaults) || (!has(self.pvc.defaults.instancetype) && !has(self.pvc.defaults.preference))))",
            "message": message::FILES_CLAIM,
        },
    ])
}

/// The rules of access modes.
pub(in super::super) fn access_modes() -> Value {
    json!([{
        "rule": "!self.exists(m, m == 'ReadWriteOncePod') || size(self) == 1",
        "message": message::POD_ACCESS,
    }])
}
