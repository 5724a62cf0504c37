//! The loader of a disk.
//!
//! Invariant: as of `boot`.

use super::efi::{self, Esp};
use super::grub::{self, Reach, Scene};
use super::place::{Ground, Trees};
use super::{Booting, Record, initrd, kernel, put, syslinux};
use crate::engine::base::tree::{Tree, TreePath};
use crate::engine::base::{Error, Kind, Origin};
use crate::engine::bootloader::grub::menu::{Access, Filesystem, Root, Table};
use crate::engine::bootloader::syslinux as isolinux;
use crate::engine::ids::Ids;
use crate::engine::{Env, Given};
use crate::manifest::types::{
    Boot, BootFirmware, Disk, FilesystemKind, Grub, Initrd, Kernel, PartitionTable, Transform,
};

/// Puts the loader of a document onto its disk.
pub(in crate::engine) fn on_disk(
    disk: &Disk,
    ids: &Ids,
    trees: &mut [Option<Tree>],
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Booting, Error> {
    let Some(boot) = given.spec.boot.as_ref().filter(|_| !disk.partitions.is_empty()) else {
        return Ok(Booting::default());
    };
    let scene = Scene { given, env, ids: Some(ids), ground: Ground::disk(disk) };
    let mut trees = Trees(trees);
    if boot.grub.is_some() || boot.syslinux.is_some() {
        files(boot, &scene, &mut trees)?;
    }
    if let Some(grub) = &boot.grub {
        return with_grub(grub, boot, disk, &scene, &mut trees);
    }
    if let Some(wanted) = &boot.syslinux {
        let (partition, code) = syslinux::install(wanted, boot, disk, &scene, &mut trees)?;
        let table = match disk.partition_table {
            PartitionTable::None => None,
            PartitionTable::Mbr => Some(isolinux::Table::Mbr),
            PartitionTable::Gpt => Some(isolinux::Table::Gpt),
        };
        let record = table.map(|table| isolinux::record(env.assets, table)).transpose();
        let record = record.map_err(|e| e.at(&syslinux::origin()))?.map(Record::Code);
        return Ok(Booting { record, code: Some((partition, code)), active: Some(partition) });
    }
    if let (Some(style), Some(wanted)) = (&boot.efi, &boot.kernel) {
        let kernel = kernel::content(wanted, &scene.ground, &trees, given, env)?;
        let initrd = boot.initrd.as_ref();
        let initrd = initrd
            .map(|one| initrd::content(one, &scene.ground, &trees, Some(ids), given, env))
            .transpose()?;
        let line = scene.fill(&boot.command_line, &Origin::new("spec.boot.commandLine"))?;
        let esp = efi::install(style, kernel, initrd, &line, given, env)?;
        esp.place(&mut trees, esp_of(disk)?, env.time)?;
    }
    Ok(Booting::default())
}

/// Puts the document's kernel and initrd where a loader reads them.
pub(super) fn files(boot: &Boot, scene: &Scene<'_>, trees: &mut Trees<'_>) -> Result<(), Error> {
    let Scene { given, env, ids, ground } = scene;
    if let Some(wanted @ Kernel { from, transform, path, .. }) = &boot.kernel
        && (from.is_none() || *transform != Transform::default())
    {
        let origin = Origin::new("spec.boot.kernel.path");
        let content = kernel::content(wanted, ground, trees, given, env)?;
        let found = ground.find(path, &origin)?;
        put(trees.at(found.partition)?, &found.path, content, env.time, &origin)?;
    }
    if let Some(wanted @ Initrd { from: None, path, .. }) = &boot.initrd {
        let origin = Origin::new("spec.boot.initrd.path");
        let content = initrd::content(wanted, ground, trees, *ids, given, env)?;
        let found = ground.find(path, &origin)?;
        put(trees.at(found.partition)?, &found.path, content, env.time, &origin)?;
    }
    Ok(())
}

fn esp_of(disk: &Disk) -> Result<usize, Error> {
    efi::partition(disk).ok_or_else(|| {
        let message = "there is no partition of type: esp with filesystem: {type: vfat}";
        Error::new(Kind::Document, message).at(&Origin::new("spec.disk.partitions"))
    })
}

fn with_grub(
    grub: &Grub,
    boot: &Boot,
    disk: &Disk,
    scene: &Scene<'_>,
    trees: &mut Trees<'_>,
) -> Result<Booting, Error> {
    let uefi = grub.firmware.contains(&BootFirmware::Uefi);
    let mut esp = uefi.then(Esp::default);
    let reach = |partition| reach(disk, partition, scene);
    let made = grub::install(grub, boot, scene, trees, esp.as_mut(), &reach)?;
    if let Some(esp) = esp {
        esp.place(trees, esp_of(disk)?, scene.env.time)?;
    }
    let mbr = disk.partition_table == PartitionTable::Mbr;
    Ok(Booting {
        active: (made.core.is_some() && mbr).then_some(made.partition),
        record: made.core.map(|core| Record::Grub(Box::new(core))),
        code: None,
    })
}

/// How GRUB reads the partition.
fn reach(disk: &Disk, partition: usize, scene: &Scene<'_>) -> Result<Reach, Error> {
    let kind = disk.partitions.get(partition).and_then(|p| p.filesystem.as_ref()).map(|f| f.kind);
    let filesystem = match kind {
        Some(FilesystemKind::Ext2 | FilesystemKind::Ext3 | FilesystemKind::Ext4) => Filesystem::Ext,
        Some(FilesystemKind::Vfat) => Filesystem::Fat,
        Some(FilesystemKind::Btrfs) => Filesystem::Btrfs,
        other => {
            let found = other.map_or("no filesystem", FilesystemKind::as_str);
            let message = format!(
                "GRUB's partition has {found}; it reads ext2, ext3, ext4, vfat and btrfs here"
            );
            return Err(Error::new(Kind::Document, message));
        }
    };
    let table = match disk.partition_table {
        PartitionTable::None => Table::None,
        PartitionTable::Mbr => Table::Mbr,
        PartitionTable::Gpt => Table::Gpt,
    };
    let ids = scene.ids.and_then(|ids| ids.partitions.get(partition));
    let uuid = ids.and_then(|ids| ids.filesystem.clone());
    let root = uuid.map_or(Root::Own(None), Root::Uuid);
    Ok(Reach { access: Access { filesystem, table }, root })
}

/// The path of a file that marks an ISO of this document for GRUB.
pub(super) fn mark(given: &Given<'_>) -> Result<TreePath, Error> {
    TreePath::new(format!("/boot/grub/{}", given.seed.id("iso/mark")).as_bytes())
}
