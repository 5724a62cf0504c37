//! contentHash and targetHash: what decides whether something has to be built again.
//!
//! Does not read inputs; their digests are given. Invariant: a new field with a default changes no
//! hash, and a writer whose bytes change raises its number here (pinned hashes fail until it does).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::path::Segment;
use super::types::{
    Architecture, BootFirmware, Compression, EfiImage, EfiStyle, Files, Format, FormatKind, Init,
    PartitionTable, Preset, Provider, Push, PushFormat, Pvc, Selection, Spec, Target, VolumeMode,
    Wrap,
};
use super::{FieldPath, source};

/// The byte version of each writer: raised when its output changes for the same input.
pub const WRITERS: [(&str, u32); 34] = [
    ("sector", 1),
    ("grub", 1),
    ("syslinux", 1),
    ("efi", 1),
    ("initrd", 1),
    ("netbsd", 1),
    ("mbr", 1),
    ("gpt", 1),
    ("ext", 1),
    ("vfat", 1),
    ("btrfs", 1),
    ("ffs", 1),
    ("squashfs", 1),
    ("erofs", 1),
    ("swap", 1),
    ("iso9660", 1),
    ("deviceSet", 1),
    ("fstab", 1),
    ("hosts", 1),
    ("service", 1),
    ("raw", 1),
    ("iso", 1),
    ("qcow2", 1),
    ("vmdk", 1),
    ("vhd", 1),
    ("vhdx", 1),
    ("vdi", 1),
    ("ova", 1),
    ("box", 1),
    ("tar", 1),
    ("gzip", 1),
    ("xz", 1),
    ("zstd", 1),
    ("container", 1),
];

/// Digests of inputs by the path of their field.
pub type InputDigests = BTreeMap<FieldPath, String>;

/// An input whose digest is not known without reading it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: the digest of this input is not known")]
pub struct UnknownDigest {
    /// The input's field.
    pub path: FieldPath,
}

/// The digests that follow from the document alone: given ones and those of inline bytes.
#[must_use]
pub fn known_digests(spec: &Spec) -> InputDigests {
    let digest_of = |s: &super::types::Source| {
        let inline = s.inline.as_ref().and_then(|inline| source::inline_bytes(inline).ok());
        let pinned = s.pinned().map(ToOwned::to_owned);
        pinned.or_else(|| inline.map(|bytes| source::digest(&bytes)))
    };
    source::sources(spec).into_iter().filter_map(|(path, s)| Some((path, digest_of(s)?))).collect()
}

/// The sets of boot loaders' files that the media of `spec` are made of: see `engine::bootloader`.
#[must_use]
pub fn assets(spec: &Spec) -> Vec<&'static str> {
    let Some(boot) = &spec.boot else { return Vec::new() };
    let mut sets = Vec::new();
    let arm = spec.architecture == Architecture::Arm64;
    if let Some(grub) = &boot.grub {
        let has = |firmware| grub.firmware.contains(&firmware);
        if has(BootFirmware::Bios) {
            sets.push("grub/i386-pc");
        }
        match grub.efi_image {
            _ if !has(BootFirmware::Uefi) => {}
            EfiImage::Signed => sets.extend(["grub/x86_64-efi-signed", "shim"]),
            _ if arm => sets.push("grub/arm64-efi"),
            EfiImage::Native | EfiImage::Distribution => sets.push("grub/x86_64-efi"),
        }
        if grub.install_modules && grub.efi_image == EfiImage::Signed && has(BootFirmware::Uefi) {
            sets.push("grub/x86_64-efi");
        }
        sets.extend(grub.graphics.map(|_| "grub/fonts"));
    }
    if boot.syslinux.is_some() {
        sets.push("syslinux");
        sets.extend(spec.disk.is_some().then_some("syslinux/bin"));
        sets.extend(spec.iso.is_some().then_some("isolinux"));
    }
    let stub = if arm { "efi-stub-arm64" } else { "efi-stub" };
    sets.extend(boot.efi.as_ref().filter(|efi| efi.style == EfiStyle::Uki).map(|_| stub));
    let build = boot.initrd.as_ref().and_then(|initrd| initrd.build.as_ref());
    let init = if arm { "init-arm64" } else { "init" };
    sets.extend(build.filter(|build| build.init == Init::Builtin).map(|_| init));
    sets
}

/// Where the digest of such a set stands among those of inputs.
#[must_use]
pub fn asset_path(set: &str) -> FieldPath {
    FieldPath::new(format!("assets.{set}"))
}

/// SHA-256 over what decides the bytes of the media: 64 hexadecimal digits.
pub fn content_hash(spec: &Spec, digests: &InputDigests) -> Result<String, UnknownDigest> {
    let media = json!({"boot": spec.boot, "disk": spec.disk, "iso": spec.iso});
    let mut media = json!({"spec": media});
    let (mut inputs, mut taken) = (BTreeMap::new(), BTreeMap::new());
    for (path, source) in source::sources(spec) {
        let digest = digests.get(&path).ok_or(UnknownDigest { path: path.clone() })?;
        inputs.insert(path.to_string(), digest.clone());
        if source.selection() != Selection::default() {
            taken.insert(path.to_string(), json!(source.selection()));
        }
        remove(&mut media, &path);
    }
    for set in assets(spec) {
        let path = asset_path(set);
        let digest = digests.get(&path).ok_or(UnknownDigest { path: path.clone() })?;
        inputs.insert(path.to_string(), digest.clone());
    }
    let writers: BTreeMap<_, _> =
        WRITERS.into_iter().filter(|(name, _)| used(spec).contains(name)).collect();
    let mut whole = json!({
        "v": 1,
        "architecture": spec.architecture.as_str(),
        "boot": media["spec"]["boot"],
        "disk": media["spec"]["disk"],
        "inputs": inputs,
        "writers": writers,
    });
    // What came later is left out where it is not used, so that older documents keep their hash.
    if spec.iso.is_some() {
        whole["iso"] = media["spec"]["iso"].take();
    }
    if !taken.is_empty() {
        whole["taken"] = json!(taken);
    }
    Ok(sha256(&whole))
}

/// Takes the member at `path` away: an input counts by its digest, wherever it comes from.
fn remove(whole: &mut Value, path: &FieldPath) {
    let Some(mut segments) = path.segments() else { return };
    let Some(last) = segments.pop() else { return };
    let inner = segments.iter().try_fold(whole, |value, segment| match segment {
        Segment::Member(name) => value.get_mut(name),
        Segment::Index(at) => value.get_mut(at),
    });
    if let (Some(Value::Object(members)), Segment::Member(name)) = (inner, last) {
        members.remove(&name);
    }
}

/// The writers whose bytes are on the media of `spec`.
#[must_use]
pub fn used(spec: &Spec) -> BTreeSet<&'static str> {
    let mut used = BTreeSet::new();
    let mut add = |name: &'static str, is: bool| {
        if is {
            used.insert(name);
        }
    };
    if let Some(boot) = &spec.boot {
        add("sector", boot.sector.is_some());
        add("grub", boot.grub.is_some());
        add("syslinux", boot.syslinux.is_some());
        add("efi", boot.efi.is_some());
        add("initrd", boot.initrd.as_ref().is_some_and(|initrd| initrd.build.is_some()));
        add("netbsd", boot.kernel.as_ref().is_some_and(|kernel| kernel.transform.netbsd.is_some()));
    }
    if let Some(disk) = &spec.disk {
        add("mbr", disk.partition_table == PartitionTable::Mbr);
        add("gpt", disk.partition_table == PartitionTable::Gpt);
    }
    for filesystem in source::partitions(spec).filter_map(|(_, p)| p.filesystem.as_ref()) {
        add(filesystem.kind.options(), true);
    }
    add("iso9660", spec.iso.is_some());
    for (_, step) in source::steps(spec) {
        add("deviceSet", step.device_set.is_some());
        add("fstab", step.fstab.is_some());
        add("hosts", step.hosts.is_some());
        add("service", step.service.is_some());
    }
    used
}

/// targetHash: SHA-256 over a content and what shapes the target that holds it, 64 hexadecimal
/// digits. Nothing for a target without a kind, which `check` refuses.
#[must_use]
pub fn target_hash(content_hash: &str, spec: &Spec, target: &Target) -> Option<String> {
    let files = target.files.as_ref().map(|files| files_hash(content_hash, spec, files));
    let push = target.push().map(|push| push_hash(content_hash, target.kind(), push));
    target.pvc.as_ref().map(|pvc| pvc_hash(content_hash, pvc)).or(files).or(push)
}

/// The targetHash of a container image: what it holds, and the names it has.
fn push_hash(content_hash: &str, kind: &str, push: &Push) -> String {
    let mut tags: Vec<_> = push.tags().collect();
    tags.sort_unstable();
    let format = match (push.format, kind) {
        (Some(PushFormat::Raw), _) => Some("raw"),
        (Some(PushFormat::Qcow2), _) | (None, "containerDisk") => Some("qcow2"),
        (None, _) => None,
    };
    sha256(&json!({
        "v": 1,
        "content": content_hash,
        "kind": kind,
        "image": push.image,
        "tags": tags,
        "format": format.map(|name| json!({"type": name, "writer": writer(name)})),
        "compression": push.compression,
        "index": push.index,
        "defaults": push.defaults,
        "writer": writer("container"),
    }))
}

/// The targetHash of a volume with a disk.
#[must_use]
pub fn pvc_hash(content_hash: &str, pvc: &Pvc) -> String {
    let format = ("format", json!({"type": "raw", "writer": writer("raw")}));
    match pvc.volume_mode {
        VolumeMode::Filesystem => volume_hash(content_hash, "pvc", pvc, [format]),
        VolumeMode::Block => {
            volume_hash(content_hash, "pvc", pvc, [format, ("volumeMode", json!("Block"))])
        }
    }
}

/// The targetHash of a directory with the files of all formats.
fn files_hash(content_hash: &str, spec: &Spec, files: &Files) -> String {
    let formats = spec.formats.iter().map(|format| format_hash(content_hash, spec, format));
    let formats: Vec<String> = formats.collect();
    let shape = [("formats", json!(formats)), ("path", json!(files.path))];
    volume_hash(content_hash, "files", &files.pvc, shape)
}

fn volume_hash<const N: usize>(
    content_hash: &str,
    kind: &str,
    pvc: &Pvc,
    shape: [(&str, Value); N],
) -> String {
    let mut modes: Vec<_> = pvc.access_modes.clone();
    modes.sort_unstable();
    let mut whole = json!({
        "v": 1,
        "content": content_hash,
        "kind": kind,
        "name": pvc.name,
        "accessModes": modes,
        "request": pvc.request,
        "storageClassName": pvc.storage_class_name,
    });
    for (name, value) in shape {
        whole[name] = value;
    }
    sha256(&whole)
}

/// SHA-256 over a content and all that shapes one image file, its name too, from which ids in it
/// are derived: 64 hexadecimal digits.
#[must_use]
pub fn format_hash(content_hash: &str, spec: &Spec, format: &Format) -> String {
    let kind = format.kind.as_str();
    let mut shape = Map::new();
    let mut add = |name: &str, value: Value| {
        if value != Value::Null {
            shape.insert(name.to_owned(), value);
        }
    };
    add("type", json!(kind));
    add("writer", json!(writer(kind)));
    add("name", json!(format.name));
    add("of", json!(format.of));
    add("preset", json!(format.preset));
    add("wrap", if format.wrap == Wrap::None { Value::Null } else { json!(format.wrap) });
    let others: BTreeMap<_, _> = writers(format)
        .into_iter()
        .filter(|name| *name != kind)
        .map(|name| (name, writer(name)))
        .collect();
    add("writers", if others.is_empty() { Value::Null } else { json!(others) });
    if matches!(format.kind, FormatKind::Ova | FormatKind::Box) {
        add("machine", json!(spec.machine));
        add("architecture", json!(spec.architecture.as_str()));
    }
    shape.insert("options".to_owned(), options(format));
    sha256(&json!({"v": 1, "content": content_hash, "format": shape}))
}

/// The options of `format` that are not at their default; null for none.
#[must_use]
pub fn given_options(format: &Format) -> Value {
    let given = serde_json::to_value(format).unwrap_or_default();
    let options = given.get(format.kind.as_str()).cloned().unwrap_or_default();
    if options.as_object().is_some_and(Map::is_empty) { Value::Null } else { options }
}

/// The options as they are hashed. The compression of qcow2 stands there even at its default: it is
/// older than the rule that defaults are left out.
fn options(format: &Format) -> Value {
    let mut options = given_options(format);
    if format.kind == FormatKind::Qcow2 {
        let compression = format.qcow2.as_ref().map_or(Compression::None, |o| o.compression);
        let mut all = options.as_object().cloned().unwrap_or_default();
        all.insert("compression".to_owned(), json!(compression));
        options = Value::Object(all);
    }
    options
}

/// The writers that make a file of this format, its own first.
#[must_use]
pub fn writers(format: &Format) -> Vec<&'static str> {
    let inner: &[&str] = match format.kind {
        FormatKind::Ova => &["vmdk", "tar"],
        FormatKind::Box => match format.vagrant.as_ref().map(|o| o.provider).unwrap_or_default() {
            Provider::Virtualbox => &["vmdk", "tar", "gzip"],
            Provider::Libvirt => &["qcow2", "tar", "gzip"],
        },
        FormatKind::Raw if format.preset == Some(Preset::Gce) => &["tar", "gzip"],
        _ => &[],
    };
    let wrap = (format.wrap != Wrap::None).then(|| format.wrap.as_str());
    std::iter::once(format.kind.as_str()).chain(inner.iter().copied()).chain(wrap).collect()
}

fn writer(name: &str) -> u32 {
    WRITERS.iter().find(|(known, _)| *known == name).map_or(0, |(_, version)| *version)
}

/// SHA-256 of the canonical JSON (keys sorted, no white space) of `value`.
fn sha256(value: &impl Serialize) -> String {
    let canonical = serde_json::to_value(value).map(|v| v.to_string()).unwrap_or_default();
    hex::encode(Sha256::digest(canonical))
}
