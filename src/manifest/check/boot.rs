//! The rows about what runs when the machine starts.
//!
//! Pure. Invariant: a function here says the same as the CEL rule with its message.

use super::super::FieldPath;
use super::super::types::{
    Architecture, Boot, BootFirmware, Efi, EfiStyle, FilesystemKind, Grub, GrubEntry, Init,
    Partition, PartitionTable, Sector, Spec,
};
use super::table::Found;

fn at(path: &str) -> Vec<Found> {
    vec![Found { path: FieldPath::new(path), detail: None }]
}

/// This field, if there is something to boot and it is wrong.
fn when(spec: &Spec, path: &str, wrong: impl Fn(&Boot) -> bool) -> Vec<Found> {
    if spec.boot.as_ref().is_some_and(wrong) { at(path) } else { Vec::new() }
}

fn count<const N: usize>(members: [bool; N]) -> usize {
    members.into_iter().filter(|given| *given).count()
}

fn partitions(spec: &Spec) -> &[Partition] {
    spec.disk.as_ref().map_or(&[], |disk| &disk.partitions)
}

fn bios(boot: &Boot) -> bool {
    boot.grub.as_ref().is_some_and(|grub| grub.firmware.contains(&BootFirmware::Bios))
}

fn uefi(boot: &Boot) -> bool {
    let grub = boot.grub.as_ref();
    boot.efi.is_some() || grub.is_some_and(|grub| grub.firmware.contains(&BootFirmware::Uefi))
}

pub(super) fn member(spec: &Spec) -> Vec<Found> {
    when(spec, "spec.boot", |boot| {
        let Boot { sector, grub, syslinux, efi, direct, .. } = boot;
        count([
            sector.is_some(),
            grub.is_some(),
            syslinux.is_some(),
            efi.is_some(),
            direct.is_some(),
        ]) != 1
    })
}

pub(super) fn sector_member(spec: &Spec) -> Vec<Found> {
    let one = |sector: &Sector| sector.message.is_some() != sector.source.is_some();
    when(spec, "spec.boot.sector", |boot| boot.sector.as_ref().is_some_and(|sector| !one(sector)))
}

pub(super) fn sector_arm(spec: &Spec) -> Vec<Found> {
    let arm = spec.architecture == Architecture::Arm64;
    when(spec, "spec.boot.sector", |boot| arm && boot.sector.is_some())
}

pub(super) fn sector_kernel(spec: &Spec) -> Vec<Found> {
    when(spec, "spec.boot", |boot| {
        let more = boot.kernel.is_some() || boot.initrd.is_some() || !boot.command_line.is_empty();
        boot.sector.is_some() && more
    })
}

pub(super) fn kernel_member(spec: &Spec) -> Vec<Found> {
    when(spec, "spec.boot.kernel", |boot| {
        boot.kernel.as_ref().is_some_and(|kernel| kernel.source.is_some() == kernel.from.is_some())
    })
}

pub(super) fn initrd_member(spec: &Spec) -> Vec<Found> {
    when(spec, "spec.boot.initrd", |boot| {
        boot.initrd.as_ref().is_some_and(|initrd| {
            count([initrd.source.is_some(), initrd.build.is_some(), initrd.from.is_some()]) != 1
        })
    })
}

pub(super) fn entry_member(spec: &Spec) -> Vec<Found> {
    let one = |entry: &GrubEntry| {
        let GrubEntry { linux, multiboot, multiboot2, chainload, commands, .. } = entry;
        let kernels = [linux.is_some(), multiboot.is_some(), multiboot2.is_some()];
        count(kernels) + count([chainload.is_some(), commands.is_some()]) == 1
    };
    let wrong = entries(spec).filter(|(_, entry)| !one(entry));
    wrong.map(|(path, _)| Found { path, detail: None }).collect()
}

fn grub(spec: &Spec) -> Option<&Grub> {
    spec.boot.as_ref().and_then(|boot| boot.grub.as_ref())
}

fn entries(spec: &Spec) -> impl Iterator<Item = (FieldPath, &GrubEntry)> {
    let entries = grub(spec).into_iter().flat_map(|grub| grub.entries.iter().enumerate());
    entries.map(|(at, entry)| (FieldPath::new("spec.boot.grub.entries").index(at), entry))
}

pub(super) fn kernel_needed(spec: &Spec) -> Vec<Found> {
    when(spec, "spec.boot", |boot| {
        let bare = boot.grub.as_ref().is_some_and(|grub| grub.entries.is_empty())
            || boot.syslinux.as_ref().is_some_and(|syslinux| syslinux.entries.is_empty());
        (boot.efi.is_some() || boot.direct.is_some() || bare) && boot.kernel.is_none()
    })
}

pub(super) fn stub(spec: &Spec) -> Vec<Found> {
    when(spec, "spec.boot", |boot| {
        let bare = |efi: &Efi| efi.style == EfiStyle::Stub && !efi.startup_script;
        let more = boot.initrd.is_some() || !boot.command_line.is_empty();
        boot.efi.as_ref().is_some_and(bare) && more
    })
}

pub(super) fn app(spec: &Spec) -> Vec<Found> {
    when(spec, "spec.boot", |boot| {
        let build = boot.initrd.as_ref().and_then(|initrd| initrd.build.as_ref());
        build.is_some_and(|build| build.app.is_some() != (build.init == Init::Builtin))
    })
}

pub(super) fn ground(spec: &Spec) -> Vec<Found> {
    let partitions = partitions(spec);
    let table = spec.disk.as_ref().map(|disk| disk.partition_table);
    let own = partitions.iter().any(|p| p.kind.as_deref() == Some("biosBoot"));
    when(spec, "spec", |boot| {
        let loader = boot.grub.is_some() || boot.syslinux.is_some() || boot.efi.is_some();
        let room =
            table == Some(PartitionTable::Mbr) || (table == Some(PartitionTable::Gpt) && own);
        let placed = spec.iso.is_some() || !partitions.is_empty();
        loader && !(placed && (partitions.is_empty() || !bios(boot) || room))
    })
}

pub(super) fn esp(spec: &Spec) -> Vec<Found> {
    let Some(disk) = &spec.disk else { return Vec::new() };
    let fits = |partition: &Partition| {
        let fat = partition.filesystem.as_ref().is_some_and(|f| f.kind == FilesystemKind::Vfat);
        let bare = disk.partition_table == PartitionTable::None;
        fat && (bare || partition.kind.as_deref() == Some("esp"))
    };
    when(spec, "spec", |boot| uefi(boot) && !disk.partitions.iter().any(fits))
}

pub(super) fn arm(spec: &Spec) -> Vec<Found> {
    let arm = spec.architecture == Architecture::Arm64;
    when(spec, "spec", |boot| arm && (boot.syslinux.is_some() || bios(boot)))
}

pub(super) fn partition(spec: &Spec) -> Vec<Found> {
    use FilesystemKind::{Btrfs, Ext2, Ext3, Ext4, Vfat};
    let Some(boot) = &spec.boot else { return Vec::new() };
    let named = |name: &str| partitions(spec).iter().find(|partition| partition.name == name);
    let fits = |name: &str, kinds: &[FilesystemKind]| {
        let filesystem = named(name).and_then(|partition| partition.filesystem.as_ref());
        filesystem.is_some_and(|filesystem| kinds.contains(&filesystem.kind))
    };
    let grub = boot.grub.as_ref().and_then(|grub| grub.partition.as_ref());
    if grub.is_some_and(|name| !fits(name, &[Ext2, Ext3, Ext4, Vfat, Btrfs])) {
        return at("spec.boot.grub.partition");
    }
    let syslinux = boot.syslinux.as_ref().and_then(|syslinux| syslinux.partition.as_ref());
    if syslinux.is_some_and(|name| !fits(name, &[Ext2, Ext3, Ext4, Vfat])) {
        return at("spec.boot.syslinux.partition");
    }
    Vec::new()
}

pub(super) fn default_title(spec: &Spec) -> Vec<Found> {
    let Some(boot) = &spec.boot else { return Vec::new() };
    if let Some(grub) = &boot.grub
        && let Some(title) = &grub.default
        && !grub.entries.iter().any(|entry| entry.title == *title)
    {
        return at("spec.boot.grub.default");
    }
    if let Some(syslinux) = &boot.syslinux
        && let Some(title) = &syslinux.default
        && !syslinux.entries.iter().any(|entry| entry.title == *title)
    {
        return at("spec.boot.syslinux.default");
    }
    Vec::new()
}
