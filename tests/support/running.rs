//! A machine in QEMU that runs beside the test: its serial line is read, its monitor told.
//!
//! Judges nothing itself. Invariant: only the process started here is ever ended, and it is ended
//! whatever the test does.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use tempfile::TempDir;

/// No step takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A running machine.
pub(crate) struct Machine {
    child: Child,
    directory: TempDir,
}

impl Machine {
    /// Starts QEMU, which gets a serial line and a monitor in `directory`.
    pub(crate) fn start(command: &mut Command, directory: TempDir) -> Self {
        let path = |name: &str| directory.path().join(name).display().to_string();
        let child = command
            .args(["-serial", &format!("file:{}", path("serial"))])
            .args(["-monitor", &format!("unix:{},server=on,wait=off", path("monitor"))])
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}; apt install qemu-system-x86"));
        Self { child, directory }
    }

    /// Everything that the serial line has carried so far.
    pub(crate) fn serial(&self) -> String {
        let bytes = fs::read(self.directory.path().join("serial")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// Waits until the serial line has carried `text` `times` times.
    pub(crate) fn wait_times(&mut self, text: &str, times: usize) -> String {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            let serial = self.serial();
            if serial.matches(text).count() >= times {
                return serial;
            }
            let over = began.elapsed() > PATIENCE || ended.is_some();
            assert!(!over, "no {text:?} {times} times ({ended:?}):\n{serial}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub(crate) fn wait(&mut self, text: &str) -> String {
        self.wait_times(text, 1)
    }

    /// Gives QEMU's monitor a command.
    pub(crate) fn command(&self, command: &str) {
        let mut monitor = UnixStream::connect(self.directory.path().join("monitor")).unwrap();
        monitor.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut seen, mut buffer) = (Vec::new(), [0; 512]);
        for prompt in 1..=2 {
            while String::from_utf8_lossy(&seen).matches("(qemu) ").count() < prompt {
                let read = monitor.read(&mut buffer).unwrap_or(0);
                if read == 0 {
                    return;
                }
                seen.extend(&buffer[..read]);
            }
            if prompt == 1 {
                monitor.write_all(format!("{command}\n").as_bytes()).unwrap();
            }
        }
    }

    /// Waits until QEMU has ended; its status and the whole serial line.
    pub(crate) fn off(&mut self) -> (ExitStatus, String) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.serial());
            }
            assert!(began.elapsed() < PATIENCE, "the machine stays on:\n{}", self.serial());
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Fails where QEMU has exited already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
