//! The rows about image files and the machine.
//!
//! Pure. Invariant: a function here says the same as the CEL rule with its message.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::presets::LARGEST;
use super::super::types::{
    Architecture, Compat, Compression, DiskBus, Firmware, Format, FormatKind, Nic, Preallocation,
    Preset, Spec, VmdkSubformat, Wrap,
};
use super::super::{FieldPath, Size};
use super::table::Found;
use crate::units::ByteSize;

/// The sizes of a cluster.
const CLUSTERS: [u64; 2] = [512, 2 << 20];
/// The sizes of a VHDX block.
const BLOCKS: [u64; 2] = [1 << 20, 256 << 20];
/// A machine's memory: counted in this, from, to.
const MEMORY: [u64; 3] = [1 << 20, 4 << 20, 6 << 40];

/// The formats for which `wrong` finds something: the member it is about, "" for the format itself,
/// and the values at hand.
fn each(spec: &Spec, wrong: impl Fn(&Format) -> Vec<(String, Option<String>)>) -> Vec<Found> {
    let formats = spec.formats.iter().enumerate();
    let found = formats.flat_map(|(at, format)| {
        let path = FieldPath::new("spec.formats").index(at);
        wrong(format).into_iter().map(move |(member, detail)| {
            let step = |path: FieldPath, name: &str| path.member(name);
            let members = member.split('.').filter(|name| !name.is_empty());
            Found { path: members.fold(path.clone(), step), detail }
        })
    });
    found.collect()
}

/// As `each`, for something that is wrong or not.
fn when(spec: &Spec, member: &str, wrong: impl Fn(&Format) -> bool) -> Vec<Found> {
    each(spec, |format| {
        wrong(format).then(|| (member.to_owned(), None)).into_iter().collect::<Vec<_>>()
    })
}

pub(super) fn foreign_options(spec: &Spec) -> Vec<Found> {
    each(spec, |format| {
        let given = [
            (FormatKind::Qcow2, format.qcow2.is_some()),
            (FormatKind::Vmdk, format.vmdk.is_some()),
            (FormatKind::Vhd, format.vhd.is_some()),
            (FormatKind::Vhdx, format.vhdx.is_some()),
            (FormatKind::Vdi, format.vdi.is_some()),
            (FormatKind::Ova, format.ova.is_some()),
            (FormatKind::Box, format.vagrant.is_some()),
        ];
        let foreign = given.into_iter().filter(|(kind, given)| *given && *kind != format.kind);
        let tell = |(kind, _): (FormatKind, bool)| {
            (kind.as_str().to_owned(), Some(format!("{0} needs type: {0}", kind.as_str())))
        };
        foreign.map(tell).collect()
    })
}

pub(super) fn manifest_name(spec: &Spec) -> Vec<Found> {
    when(spec, "name", |format| format.name() == "build.json")
}

pub(super) fn format_names(spec: &Spec) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    let again = spec.formats.iter().enumerate().filter(|(_, format)| !seen.insert(format.name()));
    again
        .map(|(at, format)| {
            let detail = Some(format!("{} is used twice", format.name()));
            Found { path: FieldPath::new("spec.formats").index(at), detail }
        })
        .collect()
}

fn is_flat(format: &Format) -> bool {
    let subformat = format.vmdk.as_ref().and_then(|vmdk| vmdk.subformat);
    subformat == Some(VmdkSubformat::MonolithicFlat)
}

/// Two flat VMDK files, or one and another file, whose data would have one name.
pub(super) fn flat_names(spec: &Spec) -> Vec<Found> {
    let mut seen: BTreeSet<String> =
        spec.formats.iter().filter(|format| !is_flat(format)).map(Format::name).collect();
    let flat = spec.formats.iter().enumerate().filter(|(_, format)| is_flat(format));
    let data = flat.map(|(at, format)| {
        let name = format.name();
        (at, format!("{}-flat.vmdk", name.strip_suffix(".vmdk").unwrap_or(&name)))
    });
    let again = data.filter(|(_, name)| !seen.insert(name.clone()));
    let path = |at| FieldPath::new("spec.formats").index(at).member("name");
    again
        .map(|(at, name)| Found { path: path(at), detail: Some(format!("{name} is used twice")) })
        .collect()
}

pub(super) fn qcow2_preallocation(spec: &Spec) -> Vec<Found> {
    when(spec, "qcow2.preallocation", |format| {
        format.qcow2.as_ref().is_some_and(|qcow2| {
            qcow2.compression != Compression::None && qcow2.preallocation != Preallocation::Off
        })
    })
}

pub(super) fn qcow2_zstd(spec: &Spec) -> Vec<Found> {
    when(spec, "qcow2.compression", |format| {
        format.qcow2.as_ref().is_some_and(|qcow2| {
            qcow2.compat == Compat::V2 && qcow2.compression == Compression::Zstd
        })
    })
}

pub(super) fn qcow2_lazy(spec: &Spec) -> Vec<Found> {
    when(spec, "qcow2.lazyRefcounts", |format| {
        format
            .qcow2
            .as_ref()
            .is_some_and(|qcow2| qcow2.compat == Compat::V2 && qcow2.lazy_refcounts)
    })
}

fn is_power(size: Size, [from, to]: [u64; 2]) -> bool {
    let bytes = size.0.get();
    bytes.is_power_of_two() && (from..=to).contains(&bytes)
}

fn bytes(size: Size) -> Option<String> {
    Some(format!("it is {} bytes", size.0.get()))
}

pub(super) fn qcow2_cluster(spec: &Spec) -> Vec<Found> {
    each(spec, |format| {
        let size = format.qcow2.as_ref().map(|qcow2| qcow2.cluster_size);
        let wrong = size.filter(|size| !is_power(*size, CLUSTERS));
        wrong.map(|size| ("qcow2.clusterSize".to_owned(), bytes(size))).into_iter().collect()
    })
}

pub(super) fn vhdx_block(spec: &Spec) -> Vec<Found> {
    each(spec, |format| {
        let size = format.vhdx.as_ref().and_then(|vhdx| vhdx.block_size);
        let wrong = size.filter(|size| !is_power(*size, BLOCKS));
        wrong.map(|size| ("vhdx.blockSize".to_owned(), bytes(size))).into_iter().collect()
    })
}

pub(super) fn preset_type(spec: &Spec) -> Vec<Found> {
    when(spec, "type", |format| {
        format.preset.is_some_and(|preset| !preset.rules().types.contains(&format.kind))
    })
}

pub(super) fn preset_option(spec: &Spec) -> Vec<Found> {
    each(spec, |format| {
        let Some(preset) = format.preset else { return Vec::new() };
        let given = serde_json::to_value(format).unwrap_or_default();
        let settings = preset.rules().options.iter().filter(|setting| setting.must);
        let wrong = settings.filter_map(|setting| {
            let kind = setting.kind.as_str();
            let value = given.get(kind)?.get(setting.field).and_then(Value::as_str)?;
            let detail = format!("{} needs {}, here is {value}", preset.as_str(), setting.value);
            let member = format!("{kind}.{}", setting.field);
            (value != setting.value).then_some((member, Some(detail)))
        });
        wrong.collect()
    })
}

pub(super) fn preset_wrap(spec: &Spec) -> Vec<Found> {
    when(spec, "wrap", |format| {
        format.wrap != Wrap::None && format.preset.is_some_and(|preset| !preset.rules().wrapped)
    })
}

pub(super) fn wrap_type(spec: &Spec) -> Vec<Found> {
    when(spec, "wrap", |format| {
        format.wrap != Wrap::None && matches!(format.kind, FormatKind::Ova | FormatKind::Box)
    })
}

pub(super) fn wrap_flat(spec: &Spec) -> Vec<Found> {
    when(spec, "wrap", |format| format.wrap != Wrap::None && is_flat(format))
}

/// `spec.disk.size`, once, if it is given and more than one of `limits` allows.
fn over(spec: &Spec, limit: impl Fn(&Format) -> Option<u64>) -> Vec<Found> {
    let Some(size) = spec.disk.as_ref().and_then(|disk| disk.size) else { return Vec::new() };
    let limits = spec.formats.iter().filter_map(limit);
    let wrong = limits.min().is_some_and(|limit| size.0 > ByteSize::bytes(limit));
    let found = Found { path: FieldPath::new("spec.disk.size"), detail: bytes(size) };
    wrong.then_some(found).into_iter().collect()
}

/// QEMU's limit is an L1 table of 32 MiB. Its 4 Mi entries stand for an L2 table of one cluster
/// each, and each of that one's entries of 8 bytes for a cluster of data.
pub(super) fn largest_qcow2(spec: &Spec) -> Vec<Found> {
    over(spec, |format| {
        let cluster = format.qcow2.as_ref().map_or(64 << 10, |qcow2| qcow2.cluster_size.0.get());
        let known = format.kind == FormatKind::Qcow2 && cluster <= CLUSTERS[1];
        known.then(|| cluster * cluster * ((4 << 20) / 8))
    })
}

pub(super) fn largest_other(spec: &Spec) -> Vec<Found> {
    over(spec, |format| {
        let mut limits = LARGEST.into_iter();
        limits.find(|(kind, _)| *kind == format.kind).map(|(_, limit)| limit)
    })
}

pub(super) fn memory(spec: &Spec) -> Vec<Found> {
    let size = spec.machine.memory;
    let [unit, from, to] = MEMORY;
    let fits = size.0.is_multiple_of(unit) && (from..=to).contains(&size.0.get());
    let found = Found { path: FieldPath::new("spec.machine.memory"), detail: bytes(size) };
    (!fits).then_some(found).into_iter().collect()
}

pub(super) fn vsphere_virtio(spec: &Spec) -> Vec<Found> {
    let virtio = [
        ("diskBus", spec.machine.disk_bus == DiskBus::Virtio),
        ("nic", spec.machine.nic == Nic::Virtio),
    ];
    let vsphere =
        |format: &Format| format.kind == FormatKind::Ova && format.preset == Some(Preset::Vsphere);
    let path = |field| FieldPath::new("spec.machine").member(field);
    let first = virtio.into_iter().find(|(_, wrong)| *wrong && spec.formats.iter().any(vsphere));
    first.map(|(field, _)| Found { path: path(field), detail: None }).into_iter().collect()
}

pub(super) fn arm_firmware(spec: &Spec) -> Vec<Found> {
    let bios = spec.machine.firmware == Some(Firmware::Bios);
    let wrong = bios && spec.architecture == Architecture::Arm64;
    let found = Found { path: FieldPath::new("spec.machine.firmware"), detail: None };
    wrong.then_some(found).into_iter().collect()
}
