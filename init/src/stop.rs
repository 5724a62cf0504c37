//! The end in order: the last processes, the addresses, the filesystems, the machine.
//!
//! Invariant: every step has a bound, and the machine ends whatever a step says.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, wait};

use crate::clock::now;
use crate::net::Net;
use crate::power::{self, End};
use crate::{mounts, sys};

/// How long what is left of the app's processes has after the request to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Ends the machine.
pub(crate) fn machine(net: Option<&mut Net>, end: End) -> ! {
    sys::kill_all(Signal::TERM);
    if !reaped(GRACE) {
        sys::kill_all(Signal::KILL);
        reaped(GRACE);
    }
    if let Some(net) = net {
        net.release();
    }
    rustix::fs::sync();
    mounts::leave();
    power::end(end);
}

/// Whether every process has ended within `limit`.
fn reaped(limit: Duration) -> bool {
    let until = now() + limit;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Err(Errno::CHILD) => return true,
            _ if now() >= until => return false,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
