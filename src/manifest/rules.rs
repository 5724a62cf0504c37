//! The CEL rules of the CRD, beside the fields they guard.
//!
//! Does not check documents on the desk: that is `check`, whose table has a row with the same
//! message for every rule here (a test compares them). Invariant: every message names what is
//! allowed.

use serde_json::{Value, json};

/// Messages that a CEL rule and a row of `check` share.
pub(super) mod message {
    pub(in super::super) const BOOT: &str = "boot needs its member sector";
    pub(in super::super) const SECTOR: &str = "sector needs exactly one of: message, source";
    pub(in super::super) const SOURCE: &str = "source needs exactly one of: inline, file";
    pub(in super::super) const INLINE: &str = "inline needs exactly one of: text, base64";
    pub(in super::super) const TARGET: &str = "a publish entry needs its member pvc";
    pub(in super::super) const FILE: &str =
        "source.file works on a desk only; in a cluster use source.inline";
    pub(in super::super) const ARM: &str =
        "boot.sector is a BIOS program for x86; arm64 has no BIOS: use architecture amd64 or i386";
    pub(in super::super) const NOTHING: &str =
        "nothing to build: add boot, or disk.size for an empty disk";
    pub(in super::super) const QCOW2: &str =
        "qcow2 holds options of qcow2 files; it needs type: qcow2";
    pub(in super::super) const MANIFEST_NAME: &str =
        "the name build.json is taken by the build manifest; choose another";
    pub(in super::super) const FORMAT_NAMES: &str =
        "every format needs its own name (the type is the name when none is given)";
    pub(in super::super) const CLAIM_NAMES: &str =
        "two entries cannot share one claim: every pvc.name may be used once";
    pub(in super::super) const POD_ACCESS: &str =
        "ReadWriteOncePod cannot be combined with other access modes";
    pub(in super::super) const SECTORS: &str =
        "disk.size must be whole sectors of 512 bytes, at least one";
    pub(in super::super) const LARGEST: &str =
        "disk.size can be at most 8 EiB less 1 GiB, the largest disk of QEMU";
    pub(in super::super) const LARGEST_QCOW2: &str = "a qcow2 file with clusters of 64 KiB holds at most 2 PiB; use type raw or a smaller disk.size";
    pub(in super::super) const REQUEST: &str =
        "pvc.request must hold the disk, which is disk.size rounded up to whole MiB";
    pub(in super::super) const TOLERATION_KEY: &str =
        "a toleration without key needs operator: Exists";
    pub(in super::super) const TOLERATION_VALUE: &str =
        "a toleration with operator: Exists has no value";
    pub(in super::super) const TOLERATION_SECONDS: &str =
        "tolerationSeconds needs effect: NoExecute";
}

/// "Exactly one of these members".
pub(super) fn union(members: &[&str], message: &str) -> Value {
    json!([one_of(members, message)])
}

fn one_of(members: &[&str], message: &str) -> Value {
    let has: Vec<String> = members.iter().map(|m| format!("has(self.{m})")).collect();
    json!({"rule": format!("[{}].exists_one(x, x)", has.join(", ")), "message": message})
}

/// The rules of a source.
pub(super) fn source() -> Value {
    json!([
        one_of(&["inline", "file"], message::SOURCE),
        {"rule": "!has(self.file)", "message": message::FILE},
    ])
}

/// The rules of the disk. Quantities of 1 Pi and more have no integer in CEL, so sectors are
/// counted in the text: with a suffix it is a multiple of 1024.
pub(super) fn disk() -> Value {
    json!([
        {
            "rule": "!has(self.size) || (type(self.size) == int ? self.size > 0 && self.size % 512 == 0 : self.size.matches('^[0-9]+$') ? int(self.size) > 0 && int(self.size) % 512 == 0 : !self.size.matches('^0+[KMGTPE]i$'))",
            "message": message::SECTORS,
        },
        {
            "rule": "!has(self.size) || quantity(string(self.size)).compareTo(quantity('9223372035781033984')) <= 0",
            "message": message::LARGEST,
        },
    ])
}

/// The rules of one format.
pub(super) fn format() -> Value {
    json!([
        {"rule": "!has(self.qcow2) || self.type == 'qcow2'", "message": message::QCOW2},
        {"rule": "!has(self.name) || self.name != 'build.json'", "message": message::MANIFEST_NAME},
    ])
}

/// The rules over all formats.
pub(super) fn formats() -> Value {
    json!([{
        "rule": "self.all(a, self.exists_one(b, (has(a.name) ? a.name : a.type) == (has(b.name) ? b.name : b.type)))",
        "message": message::FORMAT_NAMES,
    }])
}

/// The rules over all targets.
pub(super) fn publish() -> Value {
    json!([{
        "rule": "self.all(a, !has(a.pvc) || !has(a.pvc.name) || self.exists_one(b, has(b.pvc) && has(b.pvc.name) && b.pvc.name == a.pvc.name))",
        "message": message::CLAIM_NAMES,
    }])
}

/// The rules of access modes.
pub(super) fn access_modes() -> Value {
    json!([{
        "rule": "!self.exists(m, m == 'ReadWriteOncePod') || size(self) == 1",
        "message": message::POD_ACCESS,
    }])
}

/// The rules of a toleration: those of pods.
pub(super) fn toleration() -> Value {
    json!([
        {
            "rule": "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
            "message": message::TOLERATION_KEY,
        },
        {
            "rule": "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "message": message::TOLERATION_VALUE,
        },
        {
            "rule": "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "message": message::TOLERATION_SECONDS,
        },
    ])
}

/// The rules over the whole spec: combinations that no machine can boot or no writer can make.
pub(super) fn spec() -> Value {
    const MIB: &str = "1048576";
    let size = "quantity(string(has(self.disk) && has(self.disk.size) ? self.disk.size : 512))";
    let request = "quantity(string(p.pvc.request))";
    json!([
        {
            "rule": "!(has(self.boot) && has(self.boot.sector)) || self.architecture != 'arm64'",
            "message": message::ARM,
        },
        {
            "rule": "has(self.boot) || (has(self.disk) && has(self.disk.size))",
            "message": message::NOTHING,
        },
        {
            "rule": format!("{size}.compareTo(quantity('2Pi')) <= 0 || !self.formats.exists(f, f.type == 'qcow2')"),
            "message": message::LARGEST_QCOW2,
        },
        {
            "rule": format!("!has(self.publish) || self.publish.all(p, !has(p.pvc) || !has(p.pvc.request) || ({request}.isInteger() && {size}.isInteger() ? {request}.asInteger() >= ({size}.asInteger() + {MIB} - 1) / {MIB} * {MIB} : {request}.compareTo({size}) >= 0))"),
            "message": message::REQUEST,
        },
    ])
}
