//! tinyboot: one app as an ISO for UEFI, with its data on a disk of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fs_err as fs;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::artifacts;
use crate::debian::{Payload, command_line, desk, text};
use crate::running::Machine;
use crate::tool;

/// Messages of the kernel that show how it was started are of level 6.
const LINE: &str = "loglevel=4 console=ttyS0";

/// The ISO of the example, and one whose app ends by itself.
struct Isos {
    _directory: TempDir,
    forever: PathBuf,
    once: PathBuf,
}

fn isos() -> &'static Isos {
    static ISOS: OnceLock<Isos> = OnceLock::new();
    ISOS.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let [forever, once] = ["forever", "once"].map(|run| {
            let out = directory.path().join(run);
            build(Payload::Real, run, &out)
        });
        Isos { _directory: directory, forever, once }
    })
}

fn build(payload: Payload, run: &str, out: &Path) -> PathBuf {
    let app = format!("spec.boot.initrd.build.app.env.RUN={run}");
    let set = [command_line("spec.boot.commandLine", LINE), app];
    desk().build("tinyboot", payload, &set, out);
    out.join("tinyboot.iso")
}

/// A machine with UEFI and the ISO as a CD on virtio-scsi, or as whatever `drive` says.
fn start(iso: &Path, hardware: &str) -> Machine {
    let directory = tempfile::tempdir().unwrap();
    let variables = directory.path().join("variables");
    fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &variables).unwrap();
    let flash = "if=pflash,format=raw";
    let code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-machine", "q35", "-accel", "tcg", "-m", "512", "-display", "none"])
        .args(["-nodefaults", "-vga", "std", "-device", "virtio-scsi-pci"])
        .args(["-drive", &format!("{flash},unit=0,readonly=on,file={code}")])
        .args(["-drive", &format!("{flash},unit=1,file={}", variables.display())])
        .args(["-drive", &format!("file={},format=raw,if=none,id=iso,readonly=on", iso.display())])
        .args(hardware.split_ascii_whitespace());
    Machine::start(&mut command, directory)
}

const CD: &str = "-device scsi-cd,drive=iso";
const NIC: &str = "-netdev user,id=n0 -device virtio-net-pci,netdev=n0";

/// Keeps what a machine said for people.
fn keep(name: &str, serial: &str) {
    artifacts::serial(&format!("tinyboot-{name}"), serial.as_bytes());
}

/// What the app prints about the file of the ISO, whose text tinyboot.yaml has.
fn config() -> String {
    format!("app: config {}", hex::encode(Sha256::digest("{\"greeting\": \"hello\"}\n")))
}

/// The disk of tinyboot-data.yaml.
fn data(directory: &Path) -> PathBuf {
    desk().build("tinyboot-data", Payload::Real, &[], directory);
    directory.join("tinyboot-data.qcow2")
}

#[test]
fn the_app_counts_its_boots_and_the_power_button_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let disk = data(directory.path());
    let drive = format!("-drive file={},format=qcow2,if=virtio", disk.display());
    for boot in 1..=2 {
        let mut machine = start(&isos().forever, &format!("{CD} {NIC} {drive}"));
        let serial = machine.wait(&format!("app: tinyboot, start {boot}\n"));
        assert!(serial.contains("starting Boot"), "{serial}");
        assert!(serial.contains("LINUX_EFI_INITRD_MEDIA_GUID"), "the UKI's stub: {serial}");
        assert!(serial.contains("app: eth0 has 10.0.2.15/24\n"), "{serial}");
        assert!(serial.contains(&config()), "{serial}");
        assert!(serial.contains("mounted path=/persistent device=/dev/vda type=btrfs"), "{serial}");
        machine.command(&artifacts::picture(&format!("tinyboot-boot{boot}")));
        machine.command("system_powerdown");
        let (status, serial) = machine.off();
        keep(&format!("boot{boot}"), &serial);
        assert!(status.success(), "{serial}");
        assert!(serial.contains("info stop why=power-button end=power-off"), "{serial}");
        assert!(serial.contains(&format!("app: ends after {}\n", boot * 1001)), "{serial}");
        assert!(serial.contains("info released interface=eth0 address=10.0.2.15"), "{serial}");
        assert!(serial.contains("info unmounted path=/persistent"), "{serial}");
        assert!(serial.contains("info end by=power-off"), "{serial}");
    }
    let raw = text(directory.path().join("raw"));
    tool::run("qemu-utils", "qemu-img", &["convert", "-O", "raw", &text(&disk), &raw]);
    tool::run("btrfs-progs", "btrfs", &["check", "--readonly", &raw]);
}

/// Without BOOTX64.EFI the firmware's shell runs startup.nsh.
#[test]
fn startup_nsh_starts_it_where_a_shell_is() {
    let directory = tempfile::tempdir().unwrap();
    let iso = directory.path().join("shell.iso");
    fs::copy(&isos().once, &iso).unwrap();
    // The second entry of the MBR is the EFI system partition: its first sector at byte 8.
    let bytes = fs::read(&iso).unwrap();
    let entry = &bytes[446 + 16..446 + 32];
    assert_eq!(entry[4], 0xef);
    let at = u32::from_le_bytes(entry[8..12].try_into().unwrap()) * 512;
    let image = format!("{}@@{at}", iso.display());
    tool::run("mtools", "mdel", &["-i", &image, "::/EFI/BOOT/BOOTX64.EFI"]);
    let mut machine = start(&iso, &format!("{CD} -no-reboot"));
    let (_, serial) = machine.off();
    keep("shell", &serial);
    assert!(serial.contains("EFI stub: Loaded initrd from command line option"), "{serial}");
    assert!(serial.contains(&config()), "{serial}");
}

#[test]
fn an_app_that_ends_restarts_a_machine_without_a_network() {
    let (_, serial) = start(&isos().once, &format!("{CD} -no-reboot")).off();
    keep("alone", &serial);
    assert!(serial.contains(&config()), "{serial}");
    assert!(serial.contains("warn no-disk label=tinyboot path=/persistent"), "{serial}");
    assert!(serial.contains("info app-exit code=0"), "{serial}");
    assert!(serial.contains("info end by=reboot"), "{serial}");
    // Twice from the beginning where QEMU lets it.
    let mut machine = start(&isos().once, CD);
    machine.wait_times(&config(), 2);
}

#[test]
fn two_cards_get_an_address_each() {
    let second =
        "-netdev user,id=n1,net=10.7.8.0/24,dhcpstart=10.7.8.77 -device virtio-net-pci,netdev=n1";
    let (_, serial) = start(&isos().once, &format!("{CD} {NIC} {second} -no-reboot")).off();
    keep("two-cards", &serial);
    assert!(serial.contains(" has 10.0.2.15/24\n"), "{serial}");
    assert!(serial.contains(" has 10.7.8.77/24\n"), "{serial}");
}

#[test]
fn the_iso_boots_as_a_disk_and_a_seed_is_read() {
    let directory = tempfile::tempdir().unwrap();
    desk().build("cidata", Payload::Real, &[], directory.path());
    let seed = directory.path().join("cidata.iso");
    let disk = format!(
        "-device virtio-blk-pci,drive=iso -no-reboot -drive file={},format=raw,if=virtio,readonly=on",
        seed.display()
    );
    let (_, serial) = start(&isos().once, &disk).off();
    keep("disk-seed", &serial);
    assert!(serial.contains(&config()), "{serial}");
    let user = include_bytes!("../../examples/inputs/cidata/user-data");
    let said = format!("app: test i-1 {}", hex::encode(Sha256::digest(user)));
    assert!(serial.contains(&said), "{said}: {serial}");
}

#[test]
fn zeros_for_its_programs_compute_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let iso = build(Payload::Zeroed, "once", directory.path());
    let mut machine = start(&iso, &format!("{CD} -no-reboot"));
    let serial = machine.wait("vmimage-init: error app-start app=/app error=");
    keep("zeroed", &serial);
    assert!(!serial.contains("app: config"), "{serial}");
}
