//! A machine with UEFI in QEMU that runs until its serial line says what is waited for.
//!
//! Judges nothing itself. Invariant: only the process started here is ended, and it always is.

use std::path::{Path, PathBuf};
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
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where QEMU has exited already, which is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots the raw disks, attached by SATA, until one of `ends` is on the serial line or the machine
/// is off; returns all of the serial line. The test fails if neither comes.
pub(crate) fn boot(firmware: Firmware, disks: &[&Path], ends: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let (code, store) = match firmware {
        Firmware::Open => ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
        Firmware::Microsoft => ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
    };
    let path = |name: &str| {
        let path = PathBuf::from("/usr/share/OVMF").join(name);
        assert!(path.exists(), "{} is missing; install it: apt install ovmf", path.display());
        path
    };
    let (variables, serial) = (directory.path().join("vars"), directory.path().join("serial"));
    fs::copy(path(store), &variables).unwrap();
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-machine", "q35,smm=on", "-accel", "tcg", "-m", "512", "-nic", "none"]);
    command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
    command.args(["-display", "none", "-no-reboot"]);
    command.args(["-serial", &format!("file:{}", serial.display())]);
    command
        .args(["-drive"])
        .arg(format!("if=pflash,format=raw,unit=0,readonly=on,file={}", path(code).display()));
    command
        .args(["-drive"])
        .arg(format!("if=pflash,format=raw,unit=1,file={}", variables.display()));
    for disk in disks {
        command.args(["-drive", &format!("format=raw,if=ide,snapshot=on,file={}", disk.display())]);
    }
    let child = command.stdin(Stdio::null()).spawn();
    let mut running = Running(child.unwrap_or_else(|e| {
        panic!("qemu-system-x86_64: {e}; install it: apt install qemu-system-x86")
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
