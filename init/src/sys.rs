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

/// Lets the program that `command` becomes have every signal: a mask is inherited, also by what
/// the standard library starts.
pub(crate) fn unmask(command: &mut std::process::Command) -> &mut std::process::Command {
    use std::os::unix::process::CommandExt as _;
    let unmask = || {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initializes the set before sigprocmask reads it.
        let result = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut())
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec the closure calls async-signal-safe functions only
    // (signal-safety(7)), and allocates nothing.
    unsafe { command.pre_exec(unmask) }
}

/// `struct blkpg_partition` and `struct blkpg_ioctl_arg` of linux/blkpg.h.
#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: i32,
    names: [u8; 128],
}

#[repr(C)]
struct Request {
    operation: i32,
    flags: i32,
    length: i32,
    data: *mut Partition,
}

/// BLKPG, and its BLKPG_RESIZE_PARTITION, of linux/blkpg.h.
const BLKPG: libc::c_ulong = 0x1269;
const RESIZE: i32 = 3;
/// EXT4_IOC_RESIZE_FS of linux/ext4.h: _IOW('f', 16, __u64), which is the count of blocks.
const EXT: libc::c_ulong = 0x4008_6610;
/// BTRFS_IOC_RESIZE of linux/btrfs.h: _IOW(0x94, 3, struct btrfs_ioctl_vol_args).
const BTRFS: libc::c_ulong = 0x5000_9403;

fn result(value: i32) -> io::Result<()> {
    if value == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Tells the kernel a partition's new length in bytes, though it is in use.
pub(crate) fn resize_partition(
    disk: &std::fs::File,
    number: u32,
    start: u64,
    length: u64,
) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let signed = |value: u64| i64::try_from(value).map_err(io::Error::other);
    let (start, length) = (signed(start)?, signed(length)?);
    let number = i32::try_from(number).map_err(io::Error::other)?;
    let mut partition = Partition { start, length, number, names: [0; 128] };
    let size = size_of::<Partition>() as i32;
    let mut request =
        Request { operation: RESIZE, flags: 0, length: size, data: &raw mut partition };
    // SAFETY: both structures are those of the header and live until the call returns.
    result(unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG as _, &raw mut request) })
}

/// Lets a mounted ext4 have this many blocks.
pub(crate) fn resize_ext(root: &std::fs::File, blocks: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: the kernel reads the eight bytes of `blocks`, which live until the call returns.
    result(unsafe { libc::ioctl(root.as_raw_fd(), EXT as _, &raw const blocks) })
}

/// Lets a mounted btrfs take all of its device.
pub(crate) fn resize_btrfs(root: &std::fs::File) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    // struct btrfs_ioctl_vol_args: a number that is not used here, and a name of 4088 bytes.
    let mut arguments = [0_u8; 4096];
    arguments.iter_mut().skip(8).zip(b"max").for_each(|(to, byte)| *to = *byte);
    // SAFETY: the kernel reads 4096 bytes, which is what `arguments` has.
    result(unsafe { libc::ioctl(root.as_raw_fd(), BTRFS as _, arguments.as_ptr()) })
}
