//! The clock, set by SNTP: once before the app starts, then sometimes.
//!
//! It steps and never slews. Invariant: a server that does not answer costs time only, and is asked
//! less and less.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::clock::{now, random};
use crate::log;
use crate::sntp;

/// The pause after a silent server, first and at most; it doubles.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(1024));
/// A difference that is stepped over once the clock has been right (RFC 5905 §12, STEPT): less is
/// left to be, for a clock that jumps back harms programs.
const STEP: Duration = Duration::from_millis(128);

/// The clock's keeper.
#[derive(Debug)]
pub(crate) struct TimeSync {
    servers: Vec<SocketAddrV4>,
    /// Which server is asked next.
    turn: usize,
    interval: Duration,
    pause: Duration,
    deadline: Duration,
    asked: Option<Asked>,
    set: bool,
}

#[derive(Debug)]
struct Asked {
    socket: OwnedFd,
    server: SocketAddrV4,
    nonce: [u8; 8],
    at: Duration,
}

impl TimeSync {
    pub(crate) fn new(servers: Vec<SocketAddrV4>, interval: u32) -> Self {
        let interval = Duration::from_secs(interval.max(16).into());
        let deadline = now();
        Self { servers, turn: 0, interval, pause: PAUSE.0, deadline, asked: None, set: false }
    }

    /// Whether there is nothing to wait for: no server, or the clock was set.
    pub(crate) fn settled(&self) -> bool {
        self.set || self.servers.is_empty()
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        (!self.servers.is_empty()).then_some(self.deadline)
    }

    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.asked.as_ref().map(|asked| asked.socket.as_fd())
    }

    /// Asks a server, if it is time to.
    pub(crate) fn tick(&mut self) {
        if self.servers.is_empty() || now() < self.deadline {
            return;
        }
        self.deadline = now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE.1);
        let Some(server) = self.servers.get(self.turn % self.servers.len()).copied() else {
            return;
        };
        self.turn = self.turn.wrapping_add(1);
        match ask(server) {
            Ok(asked) => self.asked = Some(asked),
            Err(error) => log::warn("sntp", &[("server", &server), ("error", &error)]),
        }
    }

    /// The socket is readable.
    pub(crate) fn readable(&mut self) {
        let Some(asked) = &self.asked else { return };
        let mut buffer = [0; 128];
        let bytes = match recv(&asked.socket, &mut buffer, RecvFlags::empty()) {
            Ok((length, _)) => buffer.get(..length).unwrap_or_default(),
            Err(error) => {
                // A port that nobody listens at. The next server is asked when the pause is over.
                log::warn("sntp", &[("server", &asked.server), ("error", &error)]);
                self.asked = None;
                return;
            }
        };
        let Some((time, held)) = sntp::answer(bytes, asked.nonce) else { return };
        // RFC 4330 §5: half of the way there and back, without the time that the server took.
        let way = now().saturating_sub(asked.at).saturating_sub(held) / 2;
        self.adjust(time + way, asked.server);
        self.asked = None;
        self.set = true;
        self.pause = PAUSE.0;
        self.deadline = now() + self.interval;
    }

    fn adjust(&self, time: Duration, server: SocketAddrV4) {
        let clock = clock_gettime(ClockId::Realtime);
        let seconds = u64::try_from(clock.tv_sec).unwrap_or(0);
        let old = Duration::new(seconds, u32::try_from(clock.tv_nsec).unwrap_or(0));
        let difference = time.abs_diff(old);
        if self.set && difference < STEP {
            return;
        }
        let Ok(tv_sec) = i64::try_from(time.as_secs()) else { return };
        let new = Timespec { tv_sec, tv_nsec: time.subsec_nanos().into() };
        match clock_settime(ClockId::Realtime, new) {
            Ok(()) => log::info(
                "clock",
                &[
                    ("server", &server),
                    ("moved-ms", &difference.as_millis()),
                    ("seconds", &time.as_secs()),
                ],
            ),
            Err(error) => log::error("clock", &[("error", &error)]),
        }
    }
}

fn ask(server: SocketAddrV4) -> std::io::Result<Asked> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    // A connected socket hears its server only.
    connect(&socket, &server)?;
    let (low, high) = (random().to_ne_bytes(), random().to_ne_bytes());
    let mut nonce = [0; 8];
    nonce.iter_mut().zip(low.into_iter().chain(high)).for_each(|(to, byte)| *to = byte);
    let at = now();
    send(&socket, &sntp::request(nonce), SendFlags::empty())?;
    Ok(Asked { socket, server, nonce, at })
}
