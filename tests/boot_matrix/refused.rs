//! Documents that cannot boot: the field is named with what was found, before anything is written.

use crate::world::{Desk, FILES, initrd, made};

/// The document is refused with all of these words.
fn says(desk: &Desk, spec: &str, words: &[&str]) {
    says_with(desk, spec, &[], words);
}

fn says_with(desk: &Desk, spec: &str, options: &[&str], words: &[&str]) {
    let said = desk.refused_with(spec, options);
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}\n{spec}");
    }
}

const MBR: &str = "  disk: {partitionTable: MBR, partitions: [{name: root, mountPath: /, filesystem: {type: ext2}";

/// A GRUB disk with these entries.
fn grub(entries: &str) -> String {
    format!("  boot: {{grub: {{entries: [{entries}]}}}}\n{MBR}, contents: {FILES}}}]}}\n")
}

/// The stub of another machine is in no package here: its name, the places and the package are told.
#[test]
fn a_missing_file_of_a_loader() {
    let desk = Desk::new();
    fs_err::copy(made("e2e/guest/arm64").join("vmlinuz"), desk.path("vmlinuz")).unwrap();
    let spec = "  architecture: arm64
  boot: {efi: {}, kernel: {source: {file: vmlinuz}}}
  disk: {partitionTable: GPT, partitions: [{name: esp, type: esp, filesystem: {type: vfat}}]}
";
    let words = [
        "spec.boot.efi: ",
        "linuxaa64.efi.stub is missing; searched: ./mine/",
        "/usr/lib/systemd/boot/efi",
        "Debian's package systemd-boot-efi:arm64 has it",
    ];
    says_with(&desk, spec, &["--boot-assets", "./mine"], &words);
}

/// Alignment leaves no room for the core image: it says how much is missing.
#[test]
fn a_core_image_too_large_for_its_place() {
    let desk = Desk::new();
    let entry = "{title: a, multiboot: {kernel: /boot/kernel}}";
    let mbr = grub(entry).replace("partitionTable: MBR", "partitionTable: MBR, alignment: 4Ki");
    says(&desk, &mbr, &["spec.boot.grub", "bytes", "too large"]);
    let gpt = grub(entry).replace(
        "partitionTable: MBR, partitions: [",
        "partitionTable: GPT, partitions: [{name: core, type: biosBoot, size: 16Ki}, ",
    );
    says(&desk, &gpt, &["bytes", "too large"]);
}

#[test]
fn a_kernel_without_a_multiboot_header() {
    let desk = Desk::new();
    let entry = |kind: &str| format!("{{title: a, {kind}: {{kernel: /boot/module}}}}");
    for kind in ["multiboot", "multiboot2"] {
        says(&desk, &grub(&entry(kind)), &["spec.boot.grub.entries[0]", "/boot/module", "header"]);
    }
    says(&desk, &grub(&entry("linux")), &["spec.boot.grub.entries[0]", "/boot/module"]);
}

/// An ELF whose second segment lies over the first in memory.
#[test]
fn a_multiboot_kernel_whose_segments_overlap() {
    let desk = Desk::new();
    let mut elf = fs_err::read(desk.path("kernel")).unwrap();
    // ELF32: e_phoff at 28, e_phentsize at 42, e_phnum at 44; p_type 0, p_paddr 12, p_memsz 20.
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (table, count) = (word(&elf, 28) as usize, elf[44] as usize);
    let loads: Vec<_> =
        (0..count).map(|n| table + 32 * n).filter(|at| word(&elf, *at) == 1).collect();
    let first = word(&elf, loads[0] + 12);
    if let Some(second) = loads.get(1) {
        elf[second + 12..second + 16].copy_from_slice(&first.to_le_bytes());
    } else {
        // One segment only: another entry becomes its double.
        let copy = elf[loads[0]..loads[0] + 32].to_vec();
        let other = (0..count).map(|n| table + 32 * n).find(|at| *at != loads[0]).unwrap();
        elf[other..other + 32].copy_from_slice(&copy);
    }
    desk.write("kernel", &elf);
    let entry = "{title: a, multiboot: {kernel: /boot/kernel}}";
    says(&desk, &grub(entry), &["spec.boot.grub.entries[0]", "/boot/kernel", "overlap"]);
}

/// A tree with modules, of which `b` needs `a`, which is not there.
#[test]
fn a_module_that_is_missing_or_needs_one_that_is() {
    let desk = Desk::new();
    let module = |info: &str| {
        let source = format!("asm(\".section .modinfo,\\\"a\\\"; {info}\");");
        desk.write("m.c", source.as_bytes());
        let done = std::process::Command::new("gcc")
            .args(["-c", "-o", "m.ko", "m.c"])
            .current_dir(desk.path(""))
            .status();
        assert!(done.expect("apt install gcc").success());
    };
    module(".asciz \\\"depends=a\\\"; .asciz \\\"name=b\\\"; .asciz \\\"vermagic=6.1 SMP\\\"");
    let spec = |name: &str, more: &str| {
        format!(
            "  boot:
    direct: {{}}
    kernel: {{source: {{file: vmlinuz}}}}
    initrd:
      build:
        modules: {{names: [{name}]}}
        contents:
        - {{file: {{path: /lib/modules/6.1/kernel/b.ko, source: {{file: m.ko}}}}}}
{more}  disk: {{size: 1Mi}}
"
        )
    };
    let field = "spec.boot.initrd.build.modules";
    says(&desk, &spec("nothing", ""), &[field, "nothing"]);
    says(&desk, &spec("b", ""), &[field, "the module b needs the module a"]);
    let second = "        - {file: {path: /lib/modules/6.2/kernel/b.ko, source: {file: m.ko}}}\n";
    says(&desk, &spec("b", second), &[field, "6.1", "6.2"]);
    let none = spec("b", "").replace("/lib/modules/6.1/kernel/b.ko", "/b.ko");
    says(&desk, &none, &[field, "/lib/modules"]);
}

#[test]
fn a_kernel_without_an_efi_stub() {
    let desk = Desk::new();
    for style in ["Stub", "UKI"] {
        let spec = format!(
            "  boot: {{efi: {{style: {style}}}, kernel: {{source: {{file: kernel}}}}}}\n  disk: {{partitionTable: GPT, partitions: [{{name: esp, type: esp, filesystem: {{type: vfat}}}}]}}\n"
        );
        says(&desk, &spec, &["spec.boot.kernel", "EFI"]);
    }
}

/// A kernel for another machine, in either direction.
#[test]
fn a_kernel_of_another_architecture() {
    let desk = Desk::new();
    let spec = "  architecture: arm64
  boot: {efi: {style: Stub}, kernel: {source: {file: vmlinuz}}}
  disk: {partitionTable: GPT, partitions: [{name: esp, type: esp, filesystem: {type: vfat}}]}
";
    says(&desk, spec, &["spec.boot.kernel", "it is for amd64; wanted is arm64"]);
    let grub = "  architecture: i386
  boot: {grub: {}, kernel: {source: {file: vmlinuz}}}
  disk: {partitionTable: MBR, partitions: [{name: root, filesystem: {type: ext2}}]}
";
    says(&desk, grub, &["spec.boot", "amd64", "i386"]);
    let uefi = "  architecture: i386
  boot: {efi: {}, kernel: {source: {file: vmlinuz}}}
  disk: {partitionTable: GPT, partitions: [{name: esp, type: esp, filesystem: {type: vfat}}]}
";
    says(&desk, uefi, &["spec.boot.efi", "i386"]);
}

#[test]
fn syslinux_on_a_filesystem_that_it_cannot_read() {
    let desk = Desk::new();
    let spec = "  boot: {syslinux: {}, kernel: {source: {file: vmlinuz}}}
  disk: {partitionTable: MBR, partitions: [{name: root, size: 128Mi, filesystem: {type: btrfs}}]}
";
    says(&desk, spec, &["spec.boot.syslinux", "btrfs", "vfat"]);
}

#[test]
fn an_entry_that_names_what_is_not_in_the_tree() {
    let desk = Desk::new();
    for entry in [
        "{title: a, multiboot: {kernel: /boot/other}}",
        "{title: a, multiboot: {kernel: /boot/kernel, modules: [{path: /boot/other}]}}",
        "{title: a, linux: {kernel: /boot/other}}",
        "{title: a, chainload: /boot/other}",
    ] {
        let words =
            ["spec.boot.grub.entries[0]", "/boot/other is not in the tree", "kernel, module"];
        says(&desk, &grub(entry), &words);
    }
    let from = format!(
        "  boot: {{grub: {{}}, kernel: {{from: /boot/other}}}}\n{MBR}, contents: {FILES}}}]}}\n"
    );
    says(&desk, &from, &["spec.boot", "/boot/other is not in the tree"]);
    let syslinux = from.replace("grub: {}", "syslinux: {}");
    says(&desk, &syslinux, &["spec.boot", "/boot/other is not in the tree"]);
}

/// A path on another partition than the menu, and one on none.
#[test]
fn an_entry_that_the_loader_cannot_reach() {
    let desk = Desk::new();
    let spec = format!(
        "  boot: {{grub: {{partition: boot, entries: [{{title: a, multiboot: {{kernel: /boot/kernel}}}}]}}}}
  disk:
    partitionTable: MBR
    partitions:
    - {{name: boot, mountPath: /grub, filesystem: {{type: ext2}}}}
    - {{name: root, mountPath: /, filesystem: {{type: ext4}}, contents: {FILES}}}
"
    );
    says(&desk, &spec, &["spec.boot.grub.entries[0]", "another partition"]);
    let nowhere = spec.replace("partition: boot, ", "").replace(", mountPath: /,", ",");
    says(&desk, &nowhere, &["is on no partition", "mountPath"]);
}

/// What the kernel's header says about the highest address of an initrd.
#[test]
fn an_initrd_larger_than_the_loader_takes() {
    let desk = Desk::new();
    let mut kernel = fs_err::read(desk.path("vmlinuz")).unwrap();
    // The boot protocol's initrd_addr_max at 22Ch: 16 MiB and no more.
    kernel[0x22C..0x230].copy_from_slice(&0x00ff_ffffu32.to_le_bytes());
    desk.write("vmlinuz", &kernel);
    desk.write("initrd", &vec![1; 17 << 20]);
    for loader in ["grub: {}", "syslinux: {}"] {
        let spec = format!(
            "  boot: {{{loader}, kernel: {{source: {{file: vmlinuz}}}}, initrd: {{source: {{file: initrd}}}}}}
  disk: {{partitionTable: MBR, partitions: [{{name: root, filesystem: {{type: ext2}}}}]}}
"
        );
        says(&desk, &spec, &["initrd", "17825792", "16777216"]);
    }
}

/// What a fixture's kernel is refused for has tests of its own in `tests/netbsd`.
#[test]
fn a_netbsd_kernel_without_symbols() {
    let desk = Desk::new();
    let transform = "transform: {netbsd: {keepDrivers: [com]}}";
    for (file, word) in [("kernel", "cfdata"), ("module", "ELF")] {
        let spec = format!(
            "  boot: {{direct: {{}}, kernel: {{source: {{file: {file}}}, {transform}}}}}\n  disk: {{size: 1Mi}}\n"
        );
        says(&desk, &spec, &["spec.boot.kernel.transform.netbsd", word]);
    }
}

/// The configuration of our init, and a command line that names no partition.
#[test]
fn lines_that_mean_nothing() {
    let desk = Desk::new();
    let app =
        initrd(1, 2, "", "init: builtin, app: {path: /bin/busybox}, settings: 'nonsense here', ");
    let spec = format!(
        "  boot: {{direct: {{}}, kernel: {{source: {{file: vmlinuz}}}}, initrd: {app}}}\n  disk: {{size: 1Mi}}\n"
    );
    says_with(&desk, &spec, &[], &["spec.boot.initrd.build"]);
    let line = format!(
        "  boot: {{grub: {{}}, kernel: {{source: {{file: vmlinuz}}}}, commandLine: 'root=PARTUUID=$(partuuid:other)'}}\n{MBR}}}]}}\n"
    );
    says(&desk, &line, &["spec.boot", "other"]);
}

/// A message that fits a bare sector and not one behind the parameters of a volume.
#[test]
fn a_message_that_does_not_fit_behind_a_volumes_parameters() {
    let desk = Desk::new();
    let message = "x".repeat(230);
    let spec = format!(
        "  boot: {{sector: {{message: {message}}}}}\n  disk: {{partitions: [{{name: a, filesystem: {{type: vfat, vfat: {{floppy: 1.44M}}}}}}]}}\n"
    );
    says(&desk, &spec, &["spec.boot.sector.message", "26 bytes too long", "FAT12"]);
    let spec = "  boot: {sector: {message: x}}\n  disk: {size: 8Mi, partitions: [{name: a, filesystem: {type: vfat}}]}\n  formats: [{type: iso}, {type: raw, of: disk}]\n";
    says(&desk, spec, &["spec.disk", "8388608 bytes", "1474560"]);
}
