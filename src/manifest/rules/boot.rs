//! The rules of what runs when the machine starts.
//!
//! Invariant: as of `rules`.

use serde_json::{Value, json};

use super::{message, one_of};

/// What starts.
pub(in super::super) const LOADERS: [&str; 5] = ["sector", "grub", "syslinux", "efi", "direct"];

/// The rules of `boot`.
pub(in super::super) fn boot() -> Value {
    json!([
        one_of(&LOADERS, message::BOOT),
        {
            "rule": "!has(self.sector) || !(has(self.kernel) || has(self.initrd) || (has(self.commandLine) && self.commandLine != ''))",
            "message": message::SECTOR_KERNEL,
        },
        {
            "rule": "!(has(self.efi) || has(self.direct) || (has(self.grub) && (!has(self.grub.entries) || size(self.grub.entries) == 0)) || (has(self.syslinux) && (!has(self.syslinux.entries) || size(self.syslinux.entries) == 0))) || has(self.kernel)",
            "message": message::KERNEL_NEEDED,
        },
        {
            "rule": "!(has(self.efi) && has(self.efi.style) && self.efi.style == 'Stub') || (has(self.efi.startupScript) && self.efi.startupScript) || !(has(self.initrd) || (has(self.commandLine) && self.commandLine != ''))",
            "message": message::STUB,
        },
        {
            "rule": "!has(self.initrd) || !has(self.initrd.build) || has(self.initrd.build.app) == (has(self.initrd.build.init) && self.initrd.build.init == 'builtin')",
            "message": message::APP,
        },
    ])
}

/// A loader lies on a partition or an ISO; that of a BIOS has room before the first partition, or in
/// one of its own.
pub(super) fn ground() -> String {
    let loader = "(has(self.boot.grub) || has(self.boot.syslinux) || has(self.boot.efi))";
    let partitions =
        "has(self.disk) && has(self.disk.partitions) && size(self.disk.partitions) > 0";
    let bios = "(has(self.boot.grub) && (!has(self.boot.grub.firmware) || 'bios' in self.boot.grub.firmware))";
    format!(
        "!has(self.boot) || !{loader} || ((has(self.iso) || ({partitions})) && (!({partitions}) || !{bios} || (has(self.disk.partitionTable) && (self.disk.partitionTable == 'MBR' || (self.disk.partitionTable == 'GPT' && self.disk.partitions.exists(p, has(p.type) && p.type == 'biosBoot'))))))"
    )
}

/// What UEFI starts lies on a FAT partition of the type esp.
pub(super) fn esp() -> String {
    let uefi = "(has(self.boot.efi) || (has(self.boot.grub) && has(self.boot.grub.firmware) && 'uefi' in self.boot.grub.firmware))";
    format!(
        "!has(self.boot) || !{uefi} || !has(self.disk) || (has(self.disk.partitions) && self.disk.partitions.exists(p, has(p.filesystem) && p.filesystem.type == 'vfat' && (!has(self.disk.partitionTable) || self.disk.partitionTable == 'None' || (has(p.type) && p.type == 'esp'))))"
    )
}

/// What only x86 has.
pub(super) fn arm() -> String {
    "!has(self.boot) || self.architecture != 'arm64' || !(has(self.boot.syslinux) || (has(self.boot.grub) && (!has(self.boot.grub.firmware) || 'bios' in self.boot.grub.firmware)))".to_owned()
}
