//! The CEL rules of the CRD, beside the fields they guard.
//!
//! Does not check documents on the desk: that is `check`, whose table has a row with the same
//! message for every rule here (a test compares them). Invariant: every message names what is
//! allowed.

mod boot;
mod disk;
mod filesystem;
pub(super) mod message;
mod publish;

use serde_json::{Value, json};

pub(super) use boot::boot;
pub(super) use disk::{disk, partition};
pub(super) use filesystem::{btrfs, ext, ffs, filesystem, squashfs, swap, vfat};
pub(super) use publish::{access_modes, files, publish, pvc, target};

use super::presets::{LARGEST, PRESETS, Rules, Setting};
use super::types::FormatKind;

/// "Exactly one of these members".
pub(super) fn union(members: &[&str], message: &str) -> Value {
    json!([one_of(members, message)])
}

pub(super) fn one_of(members: &[&str], message: &str) -> Value {
    let has: Vec<String> = members.iter().map(|m| format!("has(self.{m})")).collect();
    json!({"rule": format!("[{}].exists_one(x, x)", has.join(", ")), "message": message})
}

/// The kinds of sources.
pub(super) const SOURCES: [&str; 7] =
    ["inline", "configMapKeyRef", "secretKeyRef", "pvc", "http", "oci", "file"];

/// The rules of a source.
pub(super) fn source() -> Value {
    json!([
        one_of(&SOURCES, message::SOURCE),
        {
            "rule": "!(has(self.http) || has(self.pvc) || has(self.oci)) || has(self.digest) || (has(self.allowMutable) && self.allowMutable) || (has(self.oci) && self.oci.image.contains('@sha256:'))",
            "message": message::SOURCE_DIGEST,
        },
        {"rule": "!has(self.file)", "message": message::FILE},
    ])
}

/// The rules of a device.
pub(super) fn device() -> Value {
    json!([{
        "rule": "self.type in ['char', 'block'] ? has(self.major) && has(self.minor) : !has(self.major) && !has(self.minor)",
        "message": message::DEVICE,
    }])
}

/// The rules of one format.
pub(super) fn format() -> Value {
    let foreign: Vec<String> = FormatKind::ALL
        .into_iter()
        .filter(|kind| !matches!(kind, FormatKind::Raw | FormatKind::Iso))
        .map(|kind| format!("(!has(self.{kind}) || self.type == '{kind}')", kind = kind.as_str()))
        .collect();
    let wrapped = "has(self.wrap) && self.wrap != 'none'";
    let takes = |rules: &Rules| {
        let types: Vec<_> = rules.types.iter().map(|kind| kind.as_str()).collect();
        format!("'{}': ['{}']", rules.preset.as_str(), types.join("', '"))
    };
    let takes: Vec<String> = PRESETS.iter().map(takes).collect();
    let unwrapping = PRESETS.iter().filter(|rules| rules.wrapped);
    let unwrapping: Vec<_> = unwrapping.map(|rules| rules.preset.as_str()).collect();
    json!([
        {"rule": foreign.join(" && "), "message": message::OPTIONS},
        {"rule": "!has(self.name) || self.name != 'build.json'", "message": message::MANIFEST_NAME},
        {
            "rule": format!("!has(self.preset) || self.type in {{{}}}[self.preset]", takes.join(", ")),
            "message": message::PRESET_TYPE,
        },
        {"rule": settings(), "message": message::PRESET_OPTION},
        {
            "rule": format!("!has(self.preset) || self.preset in ['{}'] || !({wrapped})", unwrapping.join("', '")),
            "message": message::PRESET_WRAP,
        },
        {"rule": format!("!(self.type in ['ova', 'box']) || !({wrapped})"), "message": message::WRAP_TYPE},
        {
            "rule": format!("!(has(self.vmdk) && has(self.vmdk.subformat) && self.vmdk.subformat == 'monolithicFlat') || !({wrapped})"),
            "message": message::WRAP_FLAT,
        },
    ])
}

/// No option differs from what a preset must have. Only the preset's own types are looked at, so
/// that a wrong type is told once.
fn settings() -> String {
    let mut rules = Vec::new();
    for preset in &PRESETS {
        for Setting { kind, field, value, .. } in preset.options.iter().filter(|s| s.must) {
            let (preset, kind) = (preset.preset.as_str(), kind.as_str());
            rules.push(format!(
                "(self.preset != '{preset}' || !has(self.{kind}) || !has(self.{kind}.{field}) || self.{kind}.{field} == '{value}')"
            ));
        }
    }
    format!("!has(self.preset) || ({})", rules.join(" && "))
}

/// The rules of qcow2 options, in qemu's words.
pub(super) fn qcow2() -> Value {
    let sizes: Vec<String> = (9..=21).map(|bits| (1u64 << bits).to_string()).collect();
    json!([
        {
            "rule": "!has(self.compression) || self.compression == 'none' || !has(self.preallocation) || self.preallocation == 'off'",
            "message": message::QCOW2_PREALLOCATION,
        },
        {
            "rule": "!has(self.compat) || self.compat != '0.10' || !has(self.compression) || self.compression != 'zstd'",
            "message": message::QCOW2_ZSTD,
        },
        {
            "rule": "!has(self.compat) || self.compat != '0.10' || !has(self.lazyRefcounts) || !self.lazyRefcounts",
            "message": message::QCOW2_LAZY,
        },
        {"rule": size_in("clusterSize", &sizes), "message": message::QCOW2_CLUSTER},
    ])
}

/// The rules of VHDX options.
pub(super) fn vhdx() -> Value {
    let sizes: Vec<String> = (20..=28).map(|bits| (1u64 << bits).to_string()).collect();
    json!([{"rule": size_in("blockSize", &sizes), "message": message::VHDX_BLOCK}])
}

/// The size `field`, if it is given, is one of these.
pub(super) fn size_in(field: &str, sizes: &[String]) -> String {
    let size = format!("quantity(string(self.{field}))");
    let sizes = sizes.join(", ");
    format!("!has(self.{field}) || ({size}.isInteger() && {size}.asInteger() in [{sizes}])")
}

/// The rules of the machine.
pub(super) fn machine() -> Value {
    let size = "quantity(string(self.memory))";
    json!([{
        "rule": format!("!has(self.memory) || ({size}.isInteger() && {size}.asInteger() >= 4194304 && {size}.asInteger() <= 6597069766656 && {size}.asInteger() % 1048576 == 0)"),
        "message": message::MEMORY,
    }])
}

/// The rules over all formats.
pub(super) fn formats() -> Value {
    let name = |f: &str| {
        format!(
            "(has({f}.name) ? {f}.name : (has({f}.preset) && {f}.preset == 'gce' ? 'tar.gz' : {f}.type) + (has({f}.wrap) ? {{'none': '', 'gzip': '.gz', 'xz': '.xz', 'zstd': '.zst'}}[{f}.wrap] : ''))"
        )
    };
    json!([{
        "rule": format!("self.all(a, self.exists_one(b, {} == {}))", name("a"), name("b")),
        "message": message::FORMAT_NAMES,
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
    let disk = "(has(self.disk) || (has(self.boot) && has(self.boot.sector)))";
    let open_disk = "(has(self.disk) && !has(self.disk.size) && has(self.disk.partitions) && size(self.disk.partitions) > 0)";
    let open_iso = "(has(self.iso) && !has(self.iso.size))";
    let rules = json!([
        {
            "rule": "!(has(self.boot) && has(self.boot.sector)) || self.architecture != 'arm64'",
            "message": message::ARM,
        },
        {
            "rule": "(has(self.boot) && has(self.boot.sector)) || has(self.iso) || (has(self.disk) && (has(self.disk.size) || (has(self.disk.partitions) && size(self.disk.partitions) > 0)))",
            "message": message::NOTHING,
        },
        {
            "rule": "!(has(self.boot) && has(self.boot.sector) && has(self.disk)) || ((!has(self.disk.partitions) || self.disk.partitions.all(p, has(p.filesystem) && p.filesystem.type == 'vfat')) && (!has(self.disk.partitionTable) || self.disk.partitionTable == 'None'))",
            "message": message::SECTOR_DISK,
        },
        {"rule": boot::ground(), "message": message::BOOT_GROUND},
        {"rule": boot::esp(), "message": message::BOOT_ESP},
        {"rule": boot::arm(), "message": message::BOOT_ARM},
        {
            "rule": "self.formats.all(f, f.type != 'iso' || ((has(self.iso) || (has(self.boot) && has(self.boot.sector))) && !(has(f.of) && f.of == 'disk')))",
            "message": message::ISO_TYPE,
        },
        {
            "rule": format!("self.formats.all(f, !(f.type in ['ova', 'box']) || !((has(f.of) && f.of == 'iso') || (has(self.iso) && !{disk})))"),
            "message": message::ISO_PACKAGE,
        },
        {
            "rule": format!("!({disk} && has(self.iso)) || self.formats.all(f, f.type == 'iso' || has(f.of))"),
            "message": message::OF_MISSING,
        },
        {
            "rule": format!("self.formats.all(f, f.type == 'iso' || !has(f.of) || (f.of == 'disk' ? {disk} : has(self.iso)))"),
            "message": message::OF_WITHOUT,
        },
        {
            "rule": format!("!has(self.publish) || self.publish.all(p, has(p.pvc) ? has(p.pvc.request) || !({disk} ? {open_disk} : {open_iso}) : !has(p.files) || (has(p.files.pvc) && has(p.files.pvc.request)) || !({open_disk} || {open_iso}))"),
            "message": message::FIT_REQUEST,
        },
        {
            "rule": "!has(self.publish) || !self.publish.exists(p, has(p.kernelBoot)) || (has(self.boot) && has(self.boot.direct))",
            "message": message::KERNEL_BOOT,
        },
        {
            "rule": "!has(self.machine) || !((has(self.machine.diskBus) && self.machine.diskBus == 'virtio') || (has(self.machine.nic) && self.machine.nic == 'virtio')) || !self.formats.exists(f, f.type == 'ova' && has(f.preset) && f.preset == 'vsphere')",
            "message": message::VSPHERE_VIRTIO,
        },
        {
            "rule": "self.architecture != 'arm64' || !has(self.machine) || !has(self.machine.firmware) || self.machine.firmware != 'bios'",
            "message": message::ARM_FIRMWARE,
        },
    ]);
    let rules = rules.as_array().cloned().unwrap_or_default();
    Value::Array(rules.into_iter().chain(sizes()).collect())
}

/// The rules of sizes: what formats hold, and what is asked for.
fn sizes() -> Vec<Value> {
    const MIB: &str = "1048576";
    let size = "quantity(string(has(self.disk) && has(self.disk.size) ? self.disk.size : 512))";
    let request = "quantity(string(p.pvc.request))";
    let cluster = "quantity(string(f.qcow2.clusterSize))";
    // As texts: a number made into a text has no bound that the API server knows.
    let clusters = (9..=21).map(|bits| format!("{}: '{}'", 1u64 << bits, 1u64 << (2 * bits + 19)));
    let clusters = clusters.collect::<Vec<_>>().join(", ");
    let types: Vec<_> = LARGEST.iter().map(|(kind, _)| kind.as_str()).collect();
    let types = types.join("', '");
    let limits = LARGEST.iter().map(|(kind, limit)| format!("'{}': '{limit}'", kind.as_str()));
    let limits = limits.collect::<Vec<_>>().join(", ");
    vec![
        json!({
            "rule": format!("!(has(self.disk) && has(self.disk.size)) || self.formats.all(f, f.type != 'qcow2' || (has(f.qcow2) && has(f.qcow2.clusterSize) ? !{cluster}.isInteger() || !({cluster}.asInteger() in {{{clusters}}}) || {size}.compareTo(quantity({{{clusters}}}[{cluster}.asInteger()])) <= 0 : {size}.compareTo(quantity('2Pi')) <= 0))"),
            "message": message::LARGEST_QCOW2,
        }),
        json!({
            "rule": format!("!(has(self.disk) && has(self.disk.size)) || self.formats.all(f, !(f.type in ['{types}']) || {size}.compareTo(quantity({{{limits}}}[f.type])) <= 0)"),
            "message": message::LARGEST_OTHER,
        }),
        json!({
            "rule": format!("!has(self.publish) || self.publish.all(p, !has(p.pvc) || !has(p.pvc.request) || ({request}.isInteger() && {size}.isInteger() ? {request}.asInteger() >= ({size}.asInteger() + {MIB} - 1) / {MIB} * {MIB} : {request}.compareTo({size}) >= 0))"),
            "message": message::REQUEST,
        }),
    ]
}
