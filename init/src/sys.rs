//! The calls of Linux that no safe function offers: signals as a file, addresses of packet
//! sockets, and the ioctls that grow disks. The one file with unsafe code.
//!
//! Decides nothing. Invariant: every unsafe block says why it is sound; no pointer leaves a
//! function.
#![expect(unsafe_code, reason = "what this file is for")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

/// The signals that the init waits for; `SIGKILL` and those of a crash stay as they are.
const SIGNALS: [i32; 7] = [
    libc::SIGCHLD,
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
];

/// Blocks the signals and returns a file that tells them, each as a `signalfd_siginfo`.
pub(crate) fn signals() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the whole set before anything reads it, sigaddset and the
    // two last calls get a pointer to that live set, and signalfd returns a new descriptor or -1.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in SIGNALS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// `struct sockaddr_ll` of packet(7): where a packet goes, or where packets are taken from.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkAddress {
    family: u16,
    /// In network order, as the kernel wants it.
    protocol: [u8; 2],
    index: i32,
    hardware: u16,
    kind: u8,
    length: u8,
    address: [u8; 8],
}

/// EtherType of IPv4 (IANA "IEEE 802 Numbers").
const IPV4: [u8; 2] = [0x08, 0x00];

impl LinkAddress {
    /// IPv4 on an interface; with `mac`, to that address.
    pub(crate) fn new(index: u32, mac: [u8; 6]) -> Self {
        let mut address = [0; 8];
        address.iter_mut().zip(mac).for_each(|(to, byte)| *to = byte);
        let index = i32::try_from(index).unwrap_or(0);
        let family = libc::AF_PACKET as u16;
        Self { family, protocol: IPV4, index, hardware: 0, kind: 0, length: 6, address }
    }
}

// SAFETY: the callee gets a pointer to `self`, which outlives the call, and the size of exactly
// that type; it has no padding and is never written through.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let length = size_of::<Self>() as SocketAddrLen;
        f(std::ptr::from_ref(self).cast(), length)
    }
}

/// Ties a socket to an interface (SO_BINDTODEVICE of socket(7)).
pub(crate) fn bind_to_device(socket: impl AsFd, name: &str) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let socket = socket.as_fd().as_raw_fd();
    let length = u32::try_from(name.len()).map_err(io::Error::other)?;
    // SAFETY: the pointer and the length are those of `name`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_ptr().cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The signals that have come, by number.
pub(crate) fn pending(signals: &OwnedFd) -> Vec<rustix::process::Signal> {
    // struct signalfd_siginfo of signalfd(2): 128 bytes, the number first.
    let (mut found, mut buffer) = (Vec::new(), [0; 128 * 8]);
    while let Ok(length) = rustix::io::read(signals, &mut buffer) {
        let all = buffer.get(..length).unwrap_or_default();
        let numbers = all.chunks_exact(128).filter_map(|one| one.first_chunk::<4>());
        found.extend(numbers.filter_map(|number| {
            rustix::process::Signal::from_named_raw(i32::from_ne_bytes(*number))
        }));
    }
    found
}

/// Sends a signal to every process but this one.
pub(crate) fn kill_all(signal: rustix::process::Signal) {
    // SAFETY: takes two numbers. As the first process, -1 means all others (kill(2)).
    unsafe { libc::kill(-1, signal.as_raw()) };
}
