//! DHCP's packets: in IP and UDP headers of our own before there is an address, in a UDP socket
//! afterwards.
//!
//! Invariant: no call blocks; a packet that is none of DHCP's is `None`, never an error.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, ipproto, recv, sendto,
    socket_with, sockopt,
};

use crate::sys::{LinkAddress, bind_to_device};

/// RFC 2131 §4.1: the ports of client and server.
const CLIENT: u16 = 68;
const SERVER: u16 = 67;
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A socket for IPv4 packets of one interface.
pub(super) fn raw(index: u32) -> io::Result<OwnedFd> {
    // Without a protocol it takes nothing until it is bound to the interface.
    let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, FLAGS, None)?;
    bind(&socket, &LinkAddress::new(index, [0; 6]))?;
    Ok(socket)
}

pub(super) fn send_raw(socket: &OwnedFd, index: u32, message: &[u8]) -> io::Result<()> {
    let everyone = LinkAddress::new(index, [0xff; 6]);
    sendto(socket, &wrap(message), SendFlags::empty(), &everyone)?;
    Ok(())
}

/// A DHCP message in UDP (RFC 768) in IPv4 (RFC 791), from 0.0.0.0 to everyone.
fn wrap(message: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(message.len() + 8).unwrap_or(u16::MAX);
    let mut packet = vec![0x45, 0x10];
    packet.extend((udp + 20).to_be_bytes());
    // No identification, no fragments, time to live 64, UDP, checksum to come.
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
    let checksum = sum(&packet, 0).to_be_bytes();
    packet.splice(10..12, checksum);
    let mut datagram = Vec::with_capacity(message.len() + 8);
    datagram.extend(CLIENT.to_be_bytes());
    datagram.extend(SERVER.to_be_bytes());
    datagram.extend(udp.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(message);
    // The pseudo header of RFC 768: addresses 0.0.0.0 and 255.255.255.255, UDP, length.
    let checksum = match sum(&datagram, 2 * 0xffff + 17 + u32::from(udp)) {
        0 => 0xffff,
        sum => sum,
    };
    datagram.splice(6..8, checksum.to_be_bytes());
    packet.extend(datagram);
    packet
}

/// RFC 1071: the one's complement of the one's complement sum.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let word = |pair: &[u8]| {
        let high = u32::from(pair.first().copied().unwrap_or(0));
        high << 8 | u32::from(pair.get(1).copied().unwrap_or(0))
    };
    let mut sum = bytes.chunks(2).map(word).fold(start, u32::wrapping_add);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// The next packet: `Some` if it is one for a DHCP client.
pub(super) fn receive_raw<'a>(
    socket: &OwnedFd,
    buffer: &'a mut [u8],
) -> io::Result<Option<&'a [u8]>> {
    let (length, _) = recv(socket, &mut *buffer, RecvFlags::empty())?;
    Ok(buffer.get(..length).and_then(unwrap))
}

/// The DHCP message in an IPv4 packet. The UDP checksum may be left to hardware on virtual
/// networks, so a wrong one proves nothing: the message has its own marks.
fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let header = usize::from(first & 15) * 4;
    if first >> 4 != 4 || header < 20 || *packet.get(9)? != 17 {
        return None;
    }
    // A fragment is none: offset or "more fragments" (RFC 791 §3.1).
    let fragment = u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?) & 0x3fff;
    let total = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    let udp = packet.get(header..total)?;
    let port = |at: usize| Some(u16::from_be_bytes(udp.get(at..at + 2)?.try_into().ok()?));
    if fragment != 0 || port(0)? != SERVER || port(2)? != CLIENT {
        return None;
    }
    udp.get(8..usize::from(port(4)?))
}

/// A socket on the address of a lease.
pub(super) fn udp(interface: &str, address: Ipv4Addr) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, FLAGS, Some(ipproto::UDP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_broadcast(&socket, true)?;
    bind_to_device(&socket, interface)?;
    bind(&socket, &SocketAddrV4::new(address, CLIENT))?;
    Ok(socket)
}

pub(super) fn send_udp(socket: &OwnedFd, server: Ipv4Addr, message: &[u8]) -> io::Result<()> {
    sendto(socket, message, SendFlags::empty(), &SocketAddrV4::new(server, SERVER))?;
    Ok(())
}

pub(super) fn receive_udp<'a>(
    socket: &OwnedFd,
    buffer: &'a mut [u8],
) -> io::Result<Option<&'a [u8]>> {
    let (length, _) = recv(socket, &mut *buffer, RecvFlags::empty())?;
    Ok(buffer.get(..length))
}

/// Waits shortly until the server's hardware address is known: until then the kernel holds the
/// last packet back, and the machine is about to go off.
pub(super) fn delivered(server: Ipv4Addr) {
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(10));
        let table = fs_err::read_to_string("/proc/net/arp").unwrap_or_default();
        // IP address, HW type, flags: 0x2 is complete.
        let known = table.lines().any(|line| {
            let mut words = line.split_ascii_whitespace();
            words.next() == Some(&server.to_string()) && words.nth(1) == Some("0x2")
        });
        if known {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_as_the_specifications_say() {
        let packet = wrap(b"abc");
        // IPv4 by hand: 20 + 8 + 3 = 31 bytes; the sum over a header with its checksum is 0.
        assert_eq!(packet[..10], [0x45, 0x10, 0, 31, 0, 0, 0, 0, 64, 17]);
        assert_eq!(sum(&packet[..20], 0), 0);
        assert_eq!(packet[16..26], [255, 255, 255, 255, 0, 68, 0, 67, 0, 11]);
        assert_eq!(sum(&packet[20..], 2 * 0xffff + 17 + 11), 0);
        assert_eq!(unwrap(&packet), None, "our own question is no answer");
        let mut answer = packet;
        answer[20..24].copy_from_slice(&[0, 67, 0, 68]);
        assert_eq!(unwrap(&answer), Some(&b"abc"[..]));
        // Ethernet fills up to its least length: what follows the packet is not part of it.
        answer.extend([0; 20]);
        assert_eq!(unwrap(&answer), Some(&b"abc"[..]));
    }

    #[test]
    fn damage_never_panics() {
        let mut answer = wrap(b"abc");
        answer[20..24].copy_from_slice(&[0, 67, 0, 68]);
        for length in 0..answer.len() {
            assert_eq!(unwrap(&answer[..length]), None);
        }
        for at in 0..answer.len() {
            for value in [0, 1, 0x4f, 0x7f, 0xff] {
                let mut bytes = answer.clone();
                bytes[at] = value;
                let _ = unwrap(&bytes);
            }
        }
    }
}
