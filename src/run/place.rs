//! What the computer offers: programs, KVM, a directory for what must not stay.
//!
//! Invariant: the directory is its user's alone, and is gone with the value.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::machine::{Architecture, program};
use crate::engine::base::{Error, Kind};

/// How long a look at KVM may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A directory of its own.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// A new one in the directory for temporary files.
    pub fn create() -> Result<Self, Error> {
        let root = std::env::temp_dir();
        for number in 0..1000_u32 {
            let path = root.join(format!("vmimage-run.{}.{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => {
                    return Err(Error::io(format!("making the directory {}", path.display()), e));
                }
            }
        }
        let message = format!("{} holds 1000 directories of dead runs", root.display());
        Err(Error::new(Kind::Io, message))
    }

    /// The path of the file with this name in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The path of QEMU's program: the one that was named, or the architecture's in `PATH`.
pub fn located(named: Option<&OsStr>, architecture: Architecture) -> Result<OsString, Error> {
    let name = named.unwrap_or_else(|| OsStr::new(program(architecture)));
    let has_directory = Path::new(name).components().count() > 1;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = match has_directory {
        true => is_program(Path::new(name)),
        false => std::env::split_paths(&path).any(|directory| is_program(&directory.join(name))),
    };
    match found {
        true => Ok(name.to_owned()),
        false => {
            let place = if has_directory { "" } else { " in PATH" };
            let message = format!(
                "there is no program {}{place}; Debian has QEMU for {} in the package {}",
                name.to_string_lossy(),
                architecture.as_str(),
                architecture.package()
            );
            Err(Error::new(Kind::Input, message))
        }
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Whether KVM runs machines of this architecture here. A device that can be opened is not enough:
/// under another hypervisor QEMU may still abort, so it is asked.
#[must_use]
pub fn accelerated(architecture: Architecture, program: &OsStr) -> bool {
    let device = || fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    let processor = || {
        let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        architecture == Architecture::Arm64 || virtualizes(&told)
    };
    architecture.is_native()
        && device()
        && processor()
        && tried(architecture, program).unwrap_or(false)
}

/// Whether an x86 processor has VT-x or AMD-V. A KVM without them, as under some hypervisors, makes
/// every machine and stops many of them at an instruction that it cannot emulate.
fn virtualizes(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    flags.split_whitespace().any(|flag| ["vmx", "svm"].contains(&flag))
}

/// Makes a machine that never runs, and quits.
fn tried(architecture: Architecture, program: &OsStr) -> std::io::Result<bool> {
    let board = if architecture == Architecture::Arm64 { "virt" } else { "q35" };
    let mut child = Command::new(program)
        .args(["-nodefaults", "-no-user-config", "-machine", board, "-accel", "kvm", "-cpu"])
        .args(["host", "-display", "none", "-S", "-monitor", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended already says no below.
        let _ = stdin.write_all(b"quit\n");
    }
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_needs_a_processor_for_it() {
        let of = |flags: &str| format!("processor\t: 0\nflags\t\t: fpu {flags} lm\nbugs\t: svm\n");
        assert!(virtualizes(&of("vmx")) && virtualizes(&of("svm")));
        assert!(!virtualizes(&of("svmx hypervisor")) && !virtualizes(""));
    }

    #[test]
    fn a_directory_goes_with_its_value() {
        let (one, two) = (Temporary::create().unwrap(), Temporary::create().unwrap());
        assert_ne!(one.path(), two.path());
        let mode = fs::metadata(one.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(one.file("a"), b"a").unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && two.path().exists());
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let missing = located(Some(OsStr::new("/nowhere/qemu")), Architecture::Arm64).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "there is no program /nowhere/qemu; Debian has QEMU for arm64 in the package qemu-system-arm"
        );
        assert!(located(Some(OsStr::new("sh")), Architecture::Amd64).is_ok());
    }
}
