//! A machine in QEMU: boots a disk without acceleration, shows screen and serial line, takes keys.
//!
//! Does not judge what it shows. Invariant: only the process started here is ever ended, and it is
//! ended whatever the test does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fs_err as fs;
use tempfile::TempDir;

/// No step of a boot takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A running machine.
pub(crate) struct Qemu {
    child: Child,
    monitor: UnixStream,
    directory: TempDir,
}

/// What a machine has in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine<'a> {
    /// `pc` or `q35`, with options.
    pub(crate) machine: &'a str,
    /// Where the disk is attached: `ide` (on a q35 that means SATA) or `virtio`.
    pub(crate) bus: &'a str,
    /// Whether there is a serial port.
    pub(crate) serial: bool,
}

impl Qemu {
    /// Starts a machine whose first disk has the bytes `disk`.
    pub(crate) fn start(machine: Machine<'_>, disk: &[u8]) -> Self {
        Self::start_with(machine, disk, &[])
    }

    /// The same with more options of QEMU, which win over ours.
    pub(crate) fn start_with(machine: Machine<'_>, disk: &[u8], options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.raw");
        fs::write(&path, disk).unwrap();
        Self::start_in(directory, machine, (&path, "raw"), options)
    }

    /// Starts a machine whose first disk is a file of this format, as QEMU calls it.
    pub(crate) fn start_file(machine: Machine<'_>, disk: &Path, format: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), machine, (disk, format), &[])
    }

    /// The same with more options of QEMU, which win over ours.
    pub(crate) fn start_file_with(
        machine: Machine<'_>,
        disk: (&Path, &str),
        options: &[&str],
    ) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), machine, disk, options)
    }

    /// The same with so many MiB of memory, for guests that are more than a boot sector.
    pub(crate) fn start_large(machine: Machine<'_>, disk: &Path, memory: u32) -> Self {
        let memory = memory.to_string();
        Self::start_in(tempfile::tempdir().unwrap(), machine, (disk, "raw"), &["-m", &memory])
    }

    fn start_in(
        directory: TempDir,
        machine: Machine<'_>,
        (disk, format): (&Path, &str),
        options: &[&str],
    ) -> Self {
        let path = |name: &str| directory.path().join(name).display().to_string();
        let serial =
            if machine.serial { format!("file:{}", path("serial")) } else { "none".into() };
        let program = "qemu-system-x86_64";
        let drive = format!("file={},format={format},if={}", disk.display(), machine.bus);
        let child = Command::new(program)
            .args(["-machine", machine.machine, "-accel", "tcg", "-m", "32", "-nic", "none"])
            .args(["-display", "none", "-no-reboot", "-serial", &serial])
            .args(["-monitor", &format!("unix:{},server=on,wait=off", path("monitor"))])
            .args(["-drive", &drive])
            .args(options)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}; install it: apt install qemu-system-x86"));
        let socket = directory.path().join("monitor");
        let monitor = eventually("QEMU opens its monitor", || UnixStream::connect(&socket).ok());
        monitor.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut qemu = Self { child, monitor, directory };
        qemu.answer();
        qemu
    }

    /// Gives a command to QEMU's monitor and returns its answer.
    pub(crate) fn command(&mut self, command: &str) -> String {
        self.monitor.write_all(format!("{command}\n").as_bytes()).unwrap();
        self.answer()
    }

    /// Reads up to the monitor's prompt, or to the end where QEMU exits.
    fn answer(&mut self) -> String {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        while !text.ends_with(b"(qemu) ") {
            match self.monitor.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => text.extend(&buffer[..read]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
                Err(e) => panic!("QEMU's monitor: {e}"),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Presses and releases the return key.
    pub(crate) fn press_return(&mut self) {
        self.command("sendkey ret");
    }

    /// The 25 lines of the text screen, without spaces at their ends, as lies in video memory.
    pub(crate) fn screen(&mut self) -> Vec<String> {
        let path = self.path("screen");
        self.command(&format!("pmemsave 0xb8000 4000 \"{}\"", path.display()));
        let cells = fs::read(&path).unwrap();
        assert_eq!(cells.len(), 80 * 25 * 2);
        let line = |line: &[u8]| line.iter().step_by(2).map(|byte| char::from(*byte)).collect();
        let trimmed = |line: String| line.trim_end_matches([' ', '\0']).to_owned();
        cells.chunks(160).map(line).map(trimmed).collect()
    }

    /// Waits until a line of the screen contains `text`.
    pub(crate) fn wait_for_screen(&mut self, text: &str) -> Vec<String> {
        eventually(&format!("the screen shows {text:?}"), || {
            let screen = self.screen();
            screen.iter().any(|line| line.contains(text)).then_some(screen)
        })
    }

    /// Waits until the serial line has carried at least `count` bytes.
    pub(crate) fn wait_for_serial(&self, count: usize) {
        eventually(&format!("the serial line carries {count} bytes"), || {
            (self.serial().len() >= count).then_some(())
        });
    }

    /// Waits until the serial line has carried `text`; returns all of it, without carriage returns.
    pub(crate) fn wait_for_text(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let line = String::from_utf8_lossy(&self.serial()).replace('\r', "");
            if line.contains(text) {
                return line;
            }
            assert!(start.elapsed() < PATIENCE, "no {text:?} in {line}");
            sleep(Duration::from_millis(30));
        }
    }

    /// Waits until the machine's processor sleeps with interrupts off, so for ever.
    pub(crate) fn wait_for_halt(&mut self) {
        eventually("the processor halts for ever", || {
            let registers = self.command("info registers");
            let flags = registers.split("EFL=").nth(1)?.get(..8)?;
            let flags = u32::from_str_radix(flags, 16).unwrap();
            (registers.contains("HLT=1") && flags & 0x200 == 0).then_some(())
        });
    }

    /// What the serial line has carried so far.
    pub(crate) fn serial(&self) -> Vec<u8> {
        fs::read(self.path("serial")).unwrap_or_default()
    }

    /// Waits until the machine is off; returns QEMU's exit status and all of the serial line.
    pub(crate) fn wait_for_off(mut self) -> (ExitStatus, Vec<u8>) {
        let status = eventually("the machine powers off", || self.child.try_wait().unwrap());
        (status, self.serial())
    }

    /// The machine runs for this long.
    pub(crate) fn stays_on_for(&mut self, time: Duration) {
        sleep(time);
        assert_eq!(self.child.try_wait().unwrap(), None, "the machine went off");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Fails where QEMU has exited already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries `step` until it succeeds; panics with `what` when patience ends.
fn eventually<T>(what: &str, mut step: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = step() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20));
    }
}
