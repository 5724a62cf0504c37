//! What GRUB reads from its directory while it runs: modules and fonts.

use crate::ovmf::Firmware::{self, Bios, Open};
use crate::ovmf::boot;
use crate::tool;
use crate::world::{Desk, FILES};

/// One more option of GRUB.
const SERIAL: &str = "\n      serial: {}";

/// A disk of which GRUB's menu has one entry with these commands.
fn disk(options: &str, commands: &str) -> String {
    format!(
        "  boot:
    grub:
      firmware: [bios, uefi]
      timeoutSeconds: 0
      {options}
      entries: [{{title: commands, commands: '{commands}'}}]
  disk:
    partitionTable: GPT
    partitions:
    - {{name: core, type: biosBoot}}
    - {{name: esp, type: esp, size: 34Mi, mountPath: /boot/efi, filesystem: {{type: vfat}}}}
    - {{name: root, mountPath: /, filesystem: {{type: ext2}}, contents: {FILES}}}
"
    )
}

/// What GRUB says until it has halted.
fn said(spec: &str, firmware: Firmware) -> String {
    let desk = Desk::new();
    boot(firmware, &[&desk.build(spec, "raw")], &["ends here"])
}

/// The command stands in a variable, so that nothing but GRUB itself can know that a module is needed.
#[test]
fn grub_loads_modules_from_its_directory() {
    let desk = Desk::new();
    let module = desk.path("module");
    let sum = tool::run("coreutils", "sha256sum", &[module.to_str().unwrap()]);
    let sum = sum.split(' ').next().unwrap();
    let commands = "set c=sha256sum; $c /boot/module; echo ends here";
    // UEFI has its own console on the serial line.
    for (firmware, serial) in [(Bios, SERIAL), (Open, "")] {
        let with = said(&disk(&format!("installModules: true{serial}"), commands), firmware);
        assert!(with.contains(sum), "{firmware:?}: no {sum}: {with}");
    }
    let without = said(&disk("serial: {}", commands), Bios);
    assert!(without.contains("can't find command `sha256sum'"), "{without}");
}

#[test]
fn grub_shows_its_menu_on_a_graphical_screen() {
    let commands = "terminal_output; insmod font; lsfonts; echo ends here";
    let screens = |options: &str, firmware| {
        let said = said(&disk(&format!("{options}{SERIAL}"), commands), firmware);
        let active = said.split("Active output terminals:").nth(1);
        let active = active.and_then(|rest| rest.split("Available").next());
        let active = active.unwrap_or_else(|| panic!("{said}"));
        (active.contains("gfxterm"), said.contains("Unifont Regular 16"))
    };
    for (firmware, font) in [(Bios, "unicode"), (Bios, "euro"), (Open, "ascii")] {
        let seen = screens(&format!("graphics: {{font: {font}}}"), firmware);
        assert_eq!(seen, (true, true), "{firmware:?}, {font}: graphics, font");
    }
    assert_eq!(screens("modules: [font]", Bios), (false, false), "without graphics");
}
