//! Links, addresses and routes through rtnetlink (rtnetlink(7), linux/rtnetlink.h).
//!
//! Keeps no state of the kernel's. Invariant: every request waits for the kernel's word on it.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

/// Message types of linux/rtnetlink.h, and NLMSG_ERROR of linux/netlink.h.
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Flags of linux/netlink.h: NLM_F_REQUEST, _ACK, _DUMP (ROOT | MATCH), _REPLACE, _CREATE.
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const REPLACE: u16 = 0x100;
const CREATE: u16 = 0x400;

/// RTMGRP_LINK: changes of links.
const LINKS: u32 = 1;
/// IFF_UP of linux/if.h.
const UP: u32 = 1;
/// RTNH_F_ONLINK: the gateway is reached though no network says so.
const ONLINK: u32 = 4;
/// Attributes.
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const INET: u8 = 2;

/// A socket for requests, and one that tells changes of links.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    events: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let open = |flags: SocketFlags, groups: u32| -> io::Result<OwnedFd> {
            // NETLINK_ROUTE is protocol 0.
            let flags = flags | SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, groups))?;
            Ok(socket)
        };
        let events = open(SocketFlags::NONBLOCK, LINKS)?;
        Ok(Self { socket: open(SocketFlags::empty(), 0)?, events, sequence: 0 })
    }

    pub(super) fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// The links that changed since the last call.
    pub(super) fn changed(&self) -> Vec<u32> {
        let (mut found, mut buffer) = (Vec::new(), [0; 8192]);
        while let Ok((length, _)) = recv(&self.events, &mut buffer, RecvFlags::empty()) {
            for (kind, body) in messages(buffer.get(..length).unwrap_or_default()) {
                let index = body.get(4..8).and_then(|bytes| bytes.try_into().ok());
                if let (NEW_LINK | DEL_LINK, Some(index)) = (kind, index) {
                    found.push(u32::from_ne_bytes(index));
                }
            }
        }
        found
    }

    pub(super) fn up(&mut self, index: u32) -> io::Result<()> {
        self.ask(NEW_LINK, ACK, &link(index, UP, UP))
    }

    pub(super) fn mtu(&mut self, index: u32, mtu: u16) -> io::Result<()> {
        let mut body = link(index, 0, 0);
        attribute(&mut body, IFLA_MTU, &u32::from(mtu).to_ne_bytes());
        self.ask(NEW_LINK, ACK, &body)
    }

    /// Sets an address, or its lifetime anew; none is for ever.
    pub(super) fn address(
        &mut self,
        index: u32,
        address: Ipv4Addr,
        prefix: u8,
        seconds: Option<u32>,
    ) -> io::Result<()> {
        let mut body = vec![INET, prefix, 0, 0];
        body.extend(index.to_ne_bytes());
        attribute(&mut body, IFA_LOCAL, &address.octets());
        attribute(&mut body, IFA_ADDRESS, &address.octets());
        if prefix < 31 {
            let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            attribute(&mut body, IFA_BROADCAST, &(address.to_bits() | host).to_be_bytes());
        }
        // struct ifa_cacheinfo: preferred, valid, and two stamps of the kernel's. The kernel takes
        // the address away if the init should not.
        let seconds = seconds.unwrap_or(u32::MAX).to_ne_bytes();
        attribute(&mut body, IFA_CACHEINFO, &[seconds, seconds, [0; 4], [0; 4]].concat());
        self.ask(NEW_ADDRESS, ACK | CREATE | REPLACE, &body)
    }

    /// Takes every IPv4 address of an interface away, and so the routes that need them.
    pub(super) fn forget(&mut self, index: u32) -> io::Result<()> {
        let header = [INET, 0, 0, 0, 0, 0, 0, 0];
        self.send(GET_ADDRESS, DUMP, &header)?;
        let (mut found, mut buffer) = (Vec::new(), [0; 8192]);
        'dump: loop {
            let (length, _) = recv(&self.socket, &mut buffer, RecvFlags::empty())?;
            for (kind, body) in messages(buffer.get(..length).unwrap_or_default()) {
                match kind {
                    DONE | ERROR => break 'dump,
                    NEW_ADDRESS if body.get(4..8) == Some(&index.to_ne_bytes()) => {
                        found.push(body.to_vec());
                    }
                    _ => {}
                }
            }
        }
        found.into_iter().try_for_each(|body| self.ask(DEL_ADDRESS, ACK, &body))
    }

    /// Sets a route; `onlink` where the gateway lies in no network of the interface.
    pub(super) fn route(
        &mut self,
        index: u32,
        to: (Ipv4Addr, u8),
        gateway: Ipv4Addr,
        onlink: bool,
    ) -> io::Result<()> {
        const MAIN: u8 = 254;
        const DHCP: u8 = 16;
        const UNICAST: u8 = 1;
        let direct = gateway.is_unspecified();
        let scope = if direct { 253 } else { 0 };
        // struct rtmsg
        let mut body = vec![INET, to.1, 0, 0, MAIN, DHCP, scope, UNICAST];
        body.extend(if onlink { ONLINK } else { 0 }.to_ne_bytes());
        if to.1 > 0 {
            attribute(&mut body, RTA_DST, &to.0.octets());
        }
        if !direct {
            attribute(&mut body, RTA_GATEWAY, &gateway.octets());
        }
        attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
        // With several interfaces the first wins, and none takes another's route away.
        attribute(&mut body, RTA_PRIORITY, &(100 + index).to_ne_bytes());
        self.ask(NEW_ROUTE, ACK | CREATE | REPLACE, &body)
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(16 + body.len());
        // struct nlmsghdr
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((REQUEST | flags).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(body);
        send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }

    /// Sends a request and waits for the answer, which the kernel has ready when `send` returns.
    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.send(kind, flags, body)?;
        let mut buffer = [0; 4096];
        let (length, _) = recv(&self.socket, &mut buffer, RecvFlags::empty())?;
        for (kind, body) in messages(buffer.get(..length).unwrap_or_default()) {
            let code = body.get(..4).and_then(|bytes| bytes.try_into().ok());
            if let (ERROR, Some(code)) = (kind, code) {
                return match i32::from_ne_bytes(code) {
                    0 => Ok(()),
                    code => Err(io::Error::from_raw_os_error(-code)),
                };
            }
        }
        Err(io::Error::other("the kernel did not answer"))
    }
}

/// struct ifinfomsg
fn link(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend(change.to_ne_bytes());
    body
}

/// struct rtattr: length with its header, type, value, filled up to four bytes.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(4);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The messages of one packet: type and what follows the header.
fn messages(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (bytes.first_chunk::<4>(), bytes.get(4..6)) {
        let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap_or(0);
        let Some(body) = bytes.get(16..length) else { break };
        let kind = kind.try_into().map_or(0, u16::from_ne_bytes);
        found.push((kind, body));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_never_panics() {
        let mut bytes = vec![20, 0, 0, 0, 2, 0];
        bytes.resize(20, 0);
        bytes.extend(bytes.clone());
        assert_eq!(messages(&bytes).len(), 2);
        for at in 0..bytes.len() {
            for value in [0, 15, 16, 17, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = messages(&damaged);
                let _ = messages(&damaged[..at]);
            }
        }
    }
}
