//! Becoming another program that ends when the one that asked for it ends.
//!
//! Starts no second process: this one becomes the program. Invariant: there is no moment in which the
//! asker can end and the program stays.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::engine::base::{Error, Kind};

/// Becomes the program of these words. `parent` is the process that asked.
pub fn leash(parent: u32, words: &[OsString]) -> Error {
    // Kept over exec. The asker may have ended before the call: then nobody would send the signal.
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Error::io("asking to end with the program that started it", error.into());
    }
    let asked = i32::try_from(parent).ok().and_then(Pid::from_raw);
    if getppid() != asked {
        return Error::new(Kind::Cancelled, "the program that started it has ended");
    }
    let Some((program, arguments)) = words.split_first() else {
        return Error::new(Kind::Input, "there is no program to become");
    };
    let error = Command::new(program).args(arguments).exec();
    Error::io(format!("starting {}", program.to_string_lossy()), error)
}
