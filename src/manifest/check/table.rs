//! The table of impossible combinations.
//!
//! Pure. Invariant: a row's message is constant (a CEL rule shares it); what is special about the
//! document goes to `Found::detail`.

use std::cmp::Ordering;

use super::super::FieldPath;
use super::super::rules::message;
use super::super::types::{Spec, Toleration, TolerationOperator};
use super::{boot, contents, disk as drive, filesystem, formats, publish, scripts, sources};
use crate::units::{ByteSize, SECTOR};

/// The largest disk of QEMU: the largest file offset less its largest alignment.
const LARGEST: u64 = (8 << 60) - (1 << 30);

/// Where a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On the desk and in a cluster.
    Everywhere,
    /// In a cluster only.
    Cluster,
}

/// One impossible combination.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name, for tests.
    pub name: &'static str,
    /// Where it holds.
    pub scope: Scope,
    /// Whether a CEL rule of the CRD refuses it, too.
    pub cel: bool,
    /// What is wrong and what would be right.
    pub message: &'static str,
    /// The fields that show it.
    pub find: fn(&Spec) -> Vec<Found>,
}

/// A field that shows an impossible combination.
#[derive(Clone, Debug)]
pub struct Found {
    /// The field.
    pub path: FieldPath,
    /// The values at hand.
    pub detail: Option<String>,
}

const fn row(name: &'static str, message: &'static str, find: fn(&Spec) -> Vec<Found>) -> Row {
    Row { name, scope: Scope::Everywhere, cel: true, message, find }
}

const fn desk(name: &'static str, message: &'static str, find: fn(&Spec) -> Vec<Found>) -> Row {
    Row { cel: false, ..row(name, message, find) }
}

/// All rows.
pub const ROWS: &[Row] = &[
    row("boot-member", message::BOOT, boot::member),
    row("sector-member", message::SECTOR, boot::sector_member),
    row("source-member", message::SOURCE, sources::member),
    row("inline-member", message::INLINE, sources::inline_member),
    row("target-member", message::TARGET, publish::target_member),
    Row { scope: Scope::Cluster, ..row("file-in-cluster", message::FILE, sources::files) },
    row("arm-without-bios", message::ARM, boot::sector_arm),
    row("sector-kernel", message::SECTOR_KERNEL, boot::sector_kernel),
    row("kernel-member", message::KERNEL, boot::kernel_member),
    row("initrd-member", message::INITRD, boot::initrd_member),
    row("grub-entry", message::GRUB_ENTRY, boot::entry_member),
    row("kernel-needed", message::KERNEL_NEEDED, boot::kernel_needed),
    row("stub-alone", message::STUB, boot::stub),
    row("app-and-init", message::APP, boot::app),
    row("boot-ground", message::BOOT_GROUND, boot::ground),
    row("boot-esp", message::BOOT_ESP, boot::esp),
    row("boot-arm", message::BOOT_ARM, boot::arm),
    desk("loader-partition", message::LOADER_PARTITION, boot::partition),
    desk("default-title", message::DEFAULT_TITLE, boot::default_title),
    row("nothing-to-build", message::NOTHING, nothing),
    row("foreign-options", message::OPTIONS, formats::foreign_options),
    row("manifest-name", message::MANIFEST_NAME, formats::manifest_name),
    row("format-names", message::FORMAT_NAMES, formats::format_names),
    desk(
        "flat-names",
        "the data of a monolithicFlat VMDK needs a name of its own",
        formats::flat_names,
    ),
    row("qcow2-preallocation", message::QCOW2_PREALLOCATION, formats::qcow2_preallocation),
    row("qcow2-zstd", message::QCOW2_ZSTD, formats::qcow2_zstd),
    row("qcow2-lazy", message::QCOW2_LAZY, formats::qcow2_lazy),
    row("qcow2-cluster", message::QCOW2_CLUSTER, formats::qcow2_cluster),
    row("vhdx-block", message::VHDX_BLOCK, formats::vhdx_block),
    row("preset-type", message::PRESET_TYPE, formats::preset_type),
    row("preset-option", message::PRESET_OPTION, formats::preset_option),
    row("preset-wrap", message::PRESET_WRAP, formats::preset_wrap),
    row("wrap-type", message::WRAP_TYPE, formats::wrap_type),
    row("wrap-flat", message::WRAP_FLAT, formats::wrap_flat),
    row("memory", message::MEMORY, formats::memory),
    row("vsphere-virtio", message::VSPHERE_VIRTIO, formats::vsphere_virtio),
    row("arm-firmware", message::ARM_FIRMWARE, formats::arm_firmware),
    row("claim-names", message::CLAIM_NAMES, publish::claim_names),
    row("pod-access", message::POD_ACCESS, publish::pod_access),
    row("whole-sectors", message::SECTORS, whole_sectors),
    row("largest-disk", message::LARGEST, largest),
    row("largest-qcow2", message::LARGEST_QCOW2, formats::largest_qcow2),
    row("largest-other", message::LARGEST_OTHER, formats::largest_other),
    row("request-holds-disk", message::REQUEST, publish::request),
    row("files-request", message::FILES_REQUEST, publish::files_request),
    row("files-claim", message::FILES_CLAIM, publish::files_claim),
    row("data-volume-name", message::DATA_VOLUME_NAME, publish::data_volume_name),
    row("data-sources", message::DATA_SOURCES, publish::data_sources),
    desk("own-keys", message::OWN_KEYS, publish::own_keys),
    desk("label-keys", message::LABEL_KEYS, publish::label_keys),
    desk("image-tags", message::IMAGE_TAGS, publish::image_tags),
    row("kernel-boot", message::KERNEL_BOOT, publish::kernel_boot),
    row("kernel-boot-defaults", message::KERNEL_BOOT_DEFAULTS, publish::kernel_boot_defaults),
    row("push-defaults", message::PUSH_DEFAULTS, publish::push_defaults),
    row("toleration-key", message::TOLERATION_KEY, toleration_key),
    row("toleration-value", message::TOLERATION_VALUE, toleration_value),
    row("toleration-seconds", message::TOLERATION_SECONDS, toleration_seconds),
    row("sector-beside-disk", message::SECTOR_DISK, drive::sector_beside),
    row("source-digest", message::SOURCE_DIGEST, sources::digest),
    row("step-member", message::STEP, contents::step_member),
    row("file-member", message::FILE_MEMBER, contents::file_member),
    row("paths", message::PATHS, contents::paths),
    row("device-numbers", message::DEVICE, contents::device),
    row("sector-size", message::SECTOR_SIZE, drive::sector_size),
    row("large-sectors", message::LARGE_SECTORS, drive::large_sectors),
    row("alignment", message::ALIGNMENT, drive::alignment),
    row("no-table", message::NO_TABLE, drive::no_table),
    row("no-table-fields", message::NO_TABLE_FIELDS, drive::no_table_fields),
    row("disk-id", message::DISK_ID, drive::disk_id),
    row("hybrid", message::HYBRID, drive::hybrid),
    row("mbr-fields", message::MBR_FIELDS, drive::mbr_fields),
    row("gpt-fields", message::GPT_FIELDS, drive::gpt_fields),
    row("mbr-count", message::MBR_COUNT, drive::mbr_count),
    row("one-active", message::ONE_ACTIVE, drive::one_active),
    row("one-grow", message::ONE_GROW, drive::one_grow),
    row("grow-size", message::GROW_SIZE, drive::grow_size),
    row("mount-paths", message::MOUNT_PATHS, drive::mount_paths),
    row("script-partition", message::SCRIPT_PARTITION, scripts::partition),
    desk("script-env", message::SCRIPT_ENV, scripts::env),
    desk(
        "script-text",
        "a script and its variables hold no NUL, and its shell is a plain absolute path",
        scripts::nul,
    ),
    row("partition-member", message::PARTITION_MEMBER, drive::partition_member),
    row("contents", message::CONTENTS, drive::contents),
    row("partition-sectors", message::PARTITION_SECTORS, drive::partition_sectors),
    row("partition-type", message::PARTITION_TYPE, drive::partition_type),
    row("attribute", message::ATTRIBUTE, drive::attribute),
    row("filesystem-options", message::FS_OPTIONS, filesystem::options),
    row("filesystem-label", message::FS_LABEL, filesystem::label),
    row("filesystem-uuid", message::FS_UUID, filesystem::uuid),
    row("filesystem-headroom", message::FS_HEADROOM, filesystem::headroom),
    row("ext2-journal", message::EXT2_JOURNAL, filesystem::ext2_journal),
    row("ext-block", message::EXT_BLOCK, filesystem::ext_block),
    row("ext-inode", message::EXT_INODE, filesystem::ext_inode),
    row("ext-inodes", message::EXT_INODES, filesystem::ext_inodes),
    row("fat-bits", message::FAT_BITS, filesystem::fat_bits),
    row("fat-cluster", message::FAT_CLUSTER, filesystem::fat_cluster),
    row("fat-root", message::FAT_ROOT, filesystem::fat_root),
    row("fat-floppy", message::FAT_FLOPPY, filesystem::fat_floppy),
    row("btrfs-node", message::BTRFS_NODE, filesystem::btrfs_node),
    row("ffs-block", message::FFS_BLOCK, filesystem::ffs_block),
    row("ffs-fragment", message::FFS_FRAGMENT, filesystem::ffs_fragment),
    row("squashfs-block", message::SQUASHFS_BLOCK, filesystem::squashfs_block),
    row("squashfs-level", message::SQUASHFS_LEVEL, filesystem::squashfs_level),
    row("swap-page", message::SWAP_PAGE, filesystem::swap_page),
    row("iso-type", message::ISO_TYPE, drive::iso_type),
    row("iso-package", message::ISO_PACKAGE, drive::iso_package),
    row("of-missing", message::OF_MISSING, drive::of_missing),
    row("of-without", message::OF_WITHOUT, drive::of_without),
    row("fit-request", message::FIT_REQUEST, drive::fit_request),
    desk(
        "ext-features",
        "not a feature of ext that can be chosen: see docs/contents.md",
        filesystem::ext_features,
    ),
    desk(
        "path-form",
        "a path in a tree is absolute, has no part that is empty, `.` or `..`, no NUL, and names more than the root where a file is meant",
        contents::path_form,
    ),
    desk("moment", "there is no such time", contents::moment),
    desk(
        "xattrs",
        "an attribute's name begins with user., trusted., security. or system., and a value that begins with 0x is hexadecimal, with 0s base64, of at most 64 KiB",
        contents::xattrs,
    ),
    desk("reference", "this reference means nothing", contents::reference),
    desk("beneath", "the path of an input has no `..` and no NUL", contents::beneath),
    desk("inline-bytes", "these bytes cannot be taken", sources::inline_bytes),
    desk(
        "inline-total",
        "all inline bytes of a document together can be at most 128 KiB",
        sources::inline_total,
    ),
    desk("inline-digest", "the inline bytes have another digest", sources::inline_digest),
    desk("file-name", "a file's name cannot hold NUL", sources::file_name),
    desk(
        "resource-name",
        "not a resource of pods: use cpu, memory, ephemeral-storage, hugepages-* or a name with a domain",
        resource_name,
    ),
    desk("request-over-limit", "a request cannot be more than the limit", request_over_limit),
];

fn here(path: &str) -> Vec<Found> {
    vec![Found { path: FieldPath::new(path), detail: None }]
}

fn when(condition: bool, path: &str) -> Vec<Found> {
    if condition { here(path) } else { Vec::new() }
}

fn nothing(spec: &Spec) -> Vec<Found> {
    let disk = spec.disk.as_ref();
    let filled = disk.is_some_and(|disk| disk.size.is_some() || !disk.partitions.is_empty());
    when(!(spec.has_disk() && disk.is_none()) && spec.iso.is_none() && !filled, "spec")
}

/// `spec.disk.size` if it is given and `wrong`.
fn disk(spec: &Spec, wrong: fn(ByteSize) -> bool) -> Vec<Found> {
    let size = spec.disk.as_ref().and_then(|disk| disk.size).map(|size| size.0);
    let detail = |size: ByteSize| Some(format!("it is {} bytes", size.get()));
    size.filter(|size| wrong(*size))
        .map(|size| Found { path: FieldPath::new("spec.disk.size"), detail: detail(size) })
        .into_iter()
        .collect()
}

fn whole_sectors(spec: &Spec) -> Vec<Found> {
    disk(spec, |size| size == ByteSize::ZERO || !size.is_multiple_of(SECTOR))
}

fn largest(spec: &Spec) -> Vec<Found> {
    disk(spec, |size| size.get() > LARGEST)
}

fn tolerations(spec: &Spec, wrong: fn(&Toleration) -> bool) -> Vec<Found> {
    let path = |at| FieldPath::new("spec.build.tolerations").index(at);
    let list =
        spec.build.tolerations.iter().enumerate().filter(|(_, toleration)| wrong(toleration));
    list.map(|(at, _)| Found { path: path(at), detail: None }).collect()
}

fn exists(toleration: &Toleration) -> bool {
    toleration.operator == Some(TolerationOperator::Exists)
}

fn toleration_key(spec: &Spec) -> Vec<Found> {
    tolerations(spec, |t| t.key.as_deref().unwrap_or_default().is_empty() && !exists(t))
}

fn toleration_value(spec: &Spec) -> Vec<Found> {
    tolerations(spec, |t| exists(t) && !t.value.as_deref().unwrap_or_default().is_empty())
}

fn toleration_seconds(spec: &Spec) -> Vec<Found> {
    use super::super::types::TaintEffect::NoExecute;
    tolerations(spec, |t| t.toleration_seconds.is_some() && t.effect != Some(NoExecute))
}

fn resource_name(spec: &Spec) -> Vec<Found> {
    let resources = &spec.build.resources;
    let path = FieldPath::new("spec.build.resources");
    let standard = |name: &str| {
        matches!(name, "cpu" | "memory" | "ephemeral-storage")
            || name.starts_with("hugepages-")
            || name
                .split_once('/')
                .is_some_and(|(domain, name)| !domain.is_empty() && !name.is_empty())
    };
    let lists = [("requests", &resources.requests), ("limits", &resources.limits)];
    let names = lists.into_iter().flat_map(|(list, map)| map.keys().map(move |name| (list, name)));
    let odd = names.filter(|(_, name)| !standard(name));
    odd.map(|(list, name)| Found { path: path.member(list).member(name), detail: None }).collect()
}

fn request_over_limit(spec: &Spec) -> Vec<Found> {
    let resources = &spec.build.resources;
    let path = FieldPath::new("spec.build.resources.requests");
    let pairs = resources.requests.iter().filter_map(|(name, request)| {
        let limit = resources.limits.get(name)?;
        let over = request.compare(limit) == Some(Ordering::Greater);
        over.then(|| Found {
            path: path.member(name),
            detail: Some(format!("{request} is more than {limit}")),
        })
    });
    pairs.collect()
}
