//! The end of the machine, and the button that asks for it.
//!
//! The button is an input device (drivers/acpi/button.c) that evdev shows. Invariant: `end` does not
//! return.

use fs_err as fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::system::{RebootCommand, reboot};

use crate::log;

/// How a machine ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    PowerOff,
    Reboot,
    Halt,
}

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PowerOff => "power-off",
            Self::Reboot => "reboot",
            Self::Halt => "halt",
        }
    }
}

/// Ends the machine: what is written goes to the disks first.
pub(crate) fn end(end: End) -> ! {
    rustix::fs::sync();
    log::info("end", &[("by", &end.name())]);
    let command = match end {
        End::PowerOff => RebootCommand::PowerOff,
        End::Reboot => RebootCommand::Restart,
        End::Halt => RebootCommand::Halt,
    };
    if let Err(error) = reboot(command) {
        log::error("end", &[("error", &error)]);
    }
    // Without the right to (a test outside of a machine), or on hardware that stays on.
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

/// CTRL-ALT-DEL becomes SIGINT for us instead of a reset (reboot(2)).
pub(crate) fn catch_keys() {
    if let Err(error) = reboot(RebootCommand::CadOff) {
        log::warn("ctrl-alt-del", &[("error", &error)]);
    }
}

/// linux/input-event-codes.h: the type of keys, and the one of interest.
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
/// `struct input_event` (linux/input.h) where a `long` has 64 bits: time 16, type 2, code 2,
/// value 4.
const EVENT: usize = 24;

/// The power buttons of the machine.
#[derive(Debug, Default)]
pub(crate) struct Buttons {
    known: Vec<String>,
    open: Vec<OwnedFd>,
}

impl Buttons {
    /// Opens the buttons that are not open yet.
    pub(crate) fn rescan(&mut self) {
        for entry in fs::read_dir("/sys/class/input").into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.starts_with("event") || self.known.contains(&name) {
                continue;
            }
            let keys = fs::read_to_string(entry.path().join("device/capabilities/key"));
            if !has_key(&keys.unwrap_or_default(), KEY_POWER) {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            match open(format!("/dev/input/{name}"), flags, Mode::empty()) {
                Ok(file) => self.open.push(file),
                Err(error) => log::warn("button", &[("device", &name), ("error", &error)]),
            }
            self.known.push(name);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(|file| file.as_fd())
    }

    /// Whether one was pressed since the last call. A button that has gone is closed.
    pub(crate) fn pressed(&mut self) -> bool {
        let mut pressed = false;
        self.open.retain(|file| {
            let mut buffer = [0; EVENT * 16];
            loop {
                match rustix::io::read(file, &mut buffer) {
                    Ok(0) => return false,
                    Ok(length) => {
                        let events = buffer.get(..length).unwrap_or_default();
                        pressed |= events.chunks_exact(EVENT).any(is_press);
                    }
                    Err(rustix::io::Errno::AGAIN) => return true,
                    Err(_) => return false,
                }
            }
        });
        pressed
    }
}

/// Type, code, and the value 1: pressed, not released and not repeated.
fn is_press(event: &[u8]) -> bool {
    let number = |at: usize| Some(u16::from_ne_bytes(event.get(at..at + 2)?.try_into().ok()?));
    number(16) == Some(EV_KEY) && number(18) == Some(KEY_POWER) && event.get(20) == Some(&1)
}

/// The kernel writes a bitmap as 64-bit words in hexadecimal, the highest first.
fn has_key(bitmap: &str, key: u16) -> bool {
    let word = bitmap.split_ascii_whitespace().rev().nth(usize::from(key / 64));
    word.and_then(|word| u64::from_str_radix(word, 16).ok())
        .is_some_and(|word| word >> (key % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_shows_for_its_power_button() {
        // /sys/class/input/eventN/device/capabilities/key of LNXPWRBN: bit 116 = 64 + 52.
        assert!(has_key("10000000000000 0\n", KEY_POWER));
        assert!(!has_key("8000000000000 0\n", KEY_POWER));
        assert!(!has_key("", KEY_POWER));
        assert!(!has_key("zz 0", KEY_POWER));
        let mut event = [0; EVENT];
        event[16] = 1;
        event[18] = 116;
        assert!(!is_press(&event));
        event[20] = 1;
        assert!(is_press(&event));
        assert!(!is_press(&event[..19]));
    }
}
