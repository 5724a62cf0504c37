//! Time since the machine started, which no correction of the clock moves, and pauses.
//!
//! Invariant: `now` never goes back, and goes on while the machine sleeps (CLOCK_BOOTTIME), as a
//! lease does.

use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, clock_gettime};

/// Since the machine started.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Some bits that differ from machine to machine and from call to call. No secrets: the kernel may
/// have no entropy yet, and a read of /dev/urandom makes it gather some for a second or two
/// (`try_to_generate_entropy` since Linux 5.18).
pub(crate) fn random() -> u32 {
    let mut bytes = [0; 4];
    match getrandom(&mut bytes, GetRandomFlags::INSECURE) {
        Ok(4) => u32::from_ne_bytes(bytes),
        // A kernel before 5.6 does not know the flag: the clock differs at least.
        _ => now().subsec_nanos(),
    }
}
