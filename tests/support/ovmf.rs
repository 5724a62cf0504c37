//! A machine with UEFI or a BIOS in QEMU that runs until its serial line says what is waited for.
//!
//! Judges nothing itself. Invariant: only the process started here is ended, and it always is.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

/// No boot takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Which firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// Starts anything.
    Open,
    /// With Microsoft's keys: Secure Boot is on.
    Microsoft,
    /// Of an arm64 machine; starts anything.
    Arm64,
    /// SeaBIOS.
    Bios,
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where QEMU has exited already, which is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The files of a firmware: its code, and what its variables begin with.
const fn files(firmware: Firmware) -> Option<[&'static str; 2]> {
    Some(match firmware {
        Firmware::Open => ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"],
        Firmware::Microsoft => {
            ["/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"]
        }
        Firmware::Arm64 => ["/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"],
        Firmware::Bios => return None,
    })
}

/// QEMU for the firmware, without disks.
fn machine(firmware: Firmware) -> Command {
    let mut command;
    if firmware == Firmware::Arm64 {
        command = Command::new("qemu-system-aarch64");
        command.args(["-machine", "virt", "-cpu", "cortex-a57"]);
    } else {
        command = Command::new("qemu-system-x86_64");
        command.args(["-machine", "q35,smm=on"]);
        if firmware != Firmware::Bios {
            command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        }
    }
    command.args(["-accel", "tcg", "-m", "512", "-nic", "none", "-display", "none", "-no-reboot"]);
    command
}

/// Boots the raw disks, those called `.iso` as CDs, until one of `ends` is on the serial line or the machine is off; returns all
/// of the serial line. The test fails if neither comes.
pub(crate) fn boot(firmware: Firmware, disks: &[&Path], ends: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let (variables, serial) = (directory.path().join("vars"), directory.path().join("serial"));
    let mut command = machine(firmware);
    command.args(["-serial", &format!("file:{}", serial.display())]);
    if let Some(found) = files(firmware) {
        let [code, store] = found.map(|path| {
            let package = if firmware == Firmware::Arm64 { "qemu-efi-aarch64" } else { "ovmf" };
            let there = Path::new(path).exists();
            assert!(there, "{path} is missing; install it: apt install {package}");
            path
        });
        fs::copy(store, &variables).unwrap();
        let flash = "if=pflash,format=raw";
        command.args(["-drive", &format!("{flash},unit=0,readonly=on,file={code}")]);
        command.args(["-drive", &format!("{flash},unit=1,file={}", variables.display())]);
    }
    // SATA on a PC.
    let bus = if firmware == Firmware::Arm64 { "virtio" } else { "ide" };
    for disk in disks {
        let media = if disk.extension().is_some_and(|e| e == "iso") { "cdrom" } else { "disk" };
        let file = format!("{},media={media}", disk.display());
        command.args(["-drive", &format!("format=raw,if={bus},snapshot=on,file={file}")]);
    }
    let child = command.stdin(Stdio::null()).spawn();
    let mut running = Running(child.unwrap_or_else(|e| {
        panic!("{e}; install QEMU: apt install qemu-system-x86 qemu-system-arm")
    }));
    let began = Instant::now();
    loop {
        let off = running.0.try_wait().unwrap().is_some();
        let said = fs::read(&serial).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        if off || ends.iter().any(|end| said.contains(end)) {
            return said;
        }
        assert!(began.elapsed() < PATIENCE, "none of {ends:?} within {PATIENCE:?}:\n{said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
