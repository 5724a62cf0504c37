//! As `contents`, for what runs when the machine starts.
//!
//! Tests nothing by itself.

/// A document for every row: its name, the spec, the path, and what the message ends with.
pub(crate) const CASES: &[(&str, &str, &str, &str)] = &[
    (
        "boot-member",
        "{boot: {direct: {}, grub: {}, kernel: {from: /k}}, disk: {partitionTable: MBR, partitions: [{name: a, filesystem: {type: ext4}}]}}",
        "spec.boot",
        "syslinux, efi, direct",
    ),
    (
        "sector-kernel",
        "{boot: {sector: {message: a}, kernel: {source: {inline: {text: a}}}}}",
        "spec.boot",
        "use another loader",
    ),
    (
        "sector-kernel",
        "{boot: {sector: {message: a}, initrd: {source: {inline: {text: a}}}}}",
        "spec.boot",
        "use another loader",
    ),
    (
        "sector-kernel",
        "{boot: {sector: {message: a}, commandLine: quiet}}",
        "spec.boot",
        "use another loader",
    ),
    (
        "kernel-member",
        "{boot: {direct: {}, kernel: {}}, disk: {size: 1Mi}}",
        "spec.boot.kernel",
        "source, from",
    ),
    (
        "kernel-member",
        "{boot: {direct: {}, kernel: {from: /a, source: {inline: {text: a}}}}, disk: {size: 1Mi}}",
        "spec.boot.kernel",
        "source, from",
    ),
    (
        "initrd-member",
        "{boot: {direct: {}, kernel: {from: /a}, initrd: {}}, disk: {size: 1Mi}}",
        "spec.boot.initrd",
        "source, build, from",
    ),
    (
        "initrd-member",
        "{boot: {direct: {}, kernel: {from: /a}, initrd: {from: /a, build: {}}}, disk: {size: 1Mi}}",
        "spec.boot.initrd",
        "source, build, from",
    ),
    (
        "grub-entry",
        "{boot: {grub: {entries: [{title: a}]}}, iso: {}, formats: [{type: iso}]}",
        "spec.boot.grub.entries[0]",
        "chainload, commands",
    ),
    (
        "grub-entry",
        "{boot: {grub: {entries: [{title: a, commands: halt}, {title: b, chainload: '+1', multiboot2: {kernel: /a}}]}}, iso: {}, formats: [{type: iso}]}",
        "spec.boot.grub.entries[1]",
        "chainload, commands",
    ),
    ("kernel-needed", "{boot: {direct: {}}, disk: {size: 1Mi}}", "spec.boot", "add kernel"),
    (
        "kernel-needed",
        "{boot: {efi: {}}, iso: {}, formats: [{type: iso}]}",
        "spec.boot",
        "add kernel",
    ),
    (
        "kernel-needed",
        "{boot: {grub: {}}, iso: {}, formats: [{type: iso}]}",
        "spec.boot",
        "add kernel",
    ),
    (
        "kernel-needed",
        "{boot: {syslinux: {}}, iso: {}, formats: [{type: iso}]}",
        "spec.boot",
        "add kernel",
    ),
    (
        "stub-alone",
        "{boot: {efi: {style: Stub}, kernel: {from: /a}, commandLine: quiet}, iso: {}, formats: [{type: iso}]}",
        "spec.boot",
        "or leave both out",
    ),
    (
        "stub-alone",
        "{boot: {efi: {style: Stub}, kernel: {from: /a}, initrd: {from: /b}}, iso: {}, formats: [{type: iso}]}",
        "spec.boot",
        "or leave both out",
    ),
    (
        "app-and-init",
        "{boot: {direct: {}, kernel: {from: /a}, initrd: {build: {init: builtin}}}, disk: {size: 1Mi}}",
        "spec.boot",
        "or neither",
    ),
    (
        "app-and-init",
        "{boot: {direct: {}, kernel: {from: /a}, initrd: {build: {app: {path: /a}}}}, disk: {size: 1Mi}}",
        "spec.boot",
        "or neither",
    ),
    (
        "boot-ground",
        "{boot: {syslinux: {}, kernel: {from: /a}}, disk: {size: 1Mi}}",
        "spec",
        "and about 1 MiB",
    ),
    (
        "boot-ground",
        "{boot: {grub: {}, kernel: {from: /a}}, disk: {partitions: [{name: a, filesystem: {type: ext4}}]}}",
        "spec",
        "and about 1 MiB",
    ),
    (
        "boot-ground",
        "{boot: {grub: {}, kernel: {from: /a}}, disk: {partitionTable: GPT, partitions: [{name: a, filesystem: {type: ext4}}]}}",
        "spec",
        "and about 1 MiB",
    ),
    (
        "boot-esp",
        "{boot: {efi: {}, kernel: {from: /a}}, disk: {partitionTable: GPT, partitions: [{name: a, filesystem: {type: vfat}}]}}",
        "spec",
        "filesystem: {type: vfat}",
    ),
    (
        "boot-esp",
        "{boot: {grub: {firmware: [uefi]}, kernel: {from: /a}}, disk: {partitionTable: GPT, partitions: [{name: a, type: esp, filesystem: {type: ext4}}]}}",
        "spec",
        "filesystem: {type: vfat}",
    ),
    (
        "boot-arm",
        "{architecture: arm64, boot: {grub: {}, kernel: {from: /a}}, iso: {}, formats: [{type: iso}]}",
        "spec",
        "efi or direct",
    ),
    (
        "boot-arm",
        "{architecture: arm64, boot: {syslinux: {}, kernel: {from: /a}}, iso: {}, formats: [{type: iso}]}",
        "spec",
        "efi or direct",
    ),
    (
        "loader-partition",
        "{boot: {grub: {partition: b}, kernel: {from: /a}}, disk: {partitionTable: MBR, partitions: [{name: a, filesystem: {type: ext4}}]}}",
        "spec.boot.grub.partition",
        "ext2, ext3, ext4",
    ),
    (
        "loader-partition",
        "{boot: {syslinux: {partition: a}, kernel: {from: /a}}, disk: {partitionTable: MBR, partitions: [{name: a, filesystem: {type: btrfs}}]}}",
        "spec.boot.syslinux.partition",
        "ext2, ext3, ext4",
    ),
    (
        "default-title",
        "{boot: {grub: {default: b, entries: [{title: a, commands: halt}]}}, iso: {}, formats: [{type: iso}]}",
        "spec.boot.grub.default",
        "has this title",
    ),
    (
        "default-title",
        "{boot: {syslinux: {default: b}, kernel: {from: /a}}, iso: {}, formats: [{type: iso}]}",
        "spec.boot.syslinux.default",
        "has this title",
    ),
    (
        "sector-beside-disk",
        "{boot: {sector: {message: a}}, disk: {partitionTable: MBR, partitions: [{name: a, filesystem: {type: vfat}}]}}",
        "spec.boot.sector",
        "filesystem: {type: vfat}",
    ),
];

/// Specs that stand just inside a limit.
pub(crate) const ACCEPTED: &[&str] = &[
    "{boot: {sector: {message: a}}, disk: {partitions: [{name: a, filesystem: {type: vfat}}]}}",
    "{boot: {grub: {}, kernel: {from: /a}}, disk: {partitionTable: MBR, partitions: [{name: a, filesystem: {type: btrfs}}]}}",
    "{boot: {grub: {}, kernel: {from: /a}}, disk: {partitionTable: GPT, partitions: [{name: c, type: biosBoot, size: 1Mi}, {name: a, filesystem: {type: ext4}}]}}",
    "{boot: {grub: {firmware: [uefi], efiImage: signed, partition: b, default: b, entries: [{title: a, commands: halt}, {title: b, chainload: '+1'}]}}, disk: {partitionTable: GPT, partitions: [{name: a, type: esp, filesystem: {type: vfat}}, {name: b, filesystem: {type: ext2}}]}}",
    "{boot: {syslinux: {}, kernel: {from: /a}}, disk: {partitions: [{name: a, filesystem: {type: vfat}}]}}",
    "{boot: {efi: {style: Stub}, kernel: {from: /a}}, iso: {}, formats: [{type: iso}]}",
    "{boot: {efi: {style: Stub, startupScript: true}, kernel: {from: /a}, initrd: {from: /a}, commandLine: quiet}, disk: {partitions: [{name: a, filesystem: {type: vfat}}]}}",
    "{architecture: arm64, boot: {efi: {}, kernel: {from: /a}, initrd: {build: {init: builtin, app: {path: /a}}}}, iso: {}, formats: [{type: iso}]}",
    "{architecture: arm64, boot: {grub: {firmware: [uefi], efiImage: distribution}, kernel: {from: /a}}, iso: {}, formats: [{type: iso}]}",
    "{architecture: i386, boot: {direct: {}, kernel: {source: {inline: {text: a}}, transform: {netbsd: {keepDrivers: [com]}}}}, disk: {size: 1Mi}}",
];
