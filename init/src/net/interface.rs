//! One interface: its static addresses or its DHCP client, and the sockets of it.
//!
//! Invariant: while a lease lasts there is an UDP socket on its address and no packet socket, so
//! that packets for the app do not wake the init.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use fs_err as fs;

use super::netlink::Netlink;
use super::packet;
use crate::dhcp::{Client, Do, Lease, To};
use crate::guest::Config;
use crate::log;

/// Linux ARPHRD_ETHER (if_arp.h): interfaces with MAC addresses that DHCP can be spoken on.
const ETHERNET: &str = "1";

/// The interfaces that there are: name, index, and the MAC address of those on an Ethernet.
pub(super) fn present() -> Vec<(String, u32, Option<[u8; 6]>)> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let read = |what: &str| {
                let text = fs::read_to_string(entry.path().join(what)).ok()?;
                Some(text.trim_end().to_owned())
            };
            let index = read("ifindex")?.parse().ok()?;
            // The halves of a failover pair belong to their master, as the kernel sees it.
            let own = fs::symlink_metadata(entry.path().join("master")).is_err();
            let ethernet = own && read("type").as_deref() == Some(ETHERNET);
            let mac = read("address").and_then(|text| mac(&text)).filter(|_| ethernet);
            Some((name, index, mac))
        })
        .collect();
    found.sort_by_key(|(_, index, _)| *index);
    found
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// An interface.
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    /// It has a static address.
    pub(super) fixed: bool,
    mac: [u8; 6],
    /// As `hurry` saw it last.
    up: bool,
    client: Option<Client>,
    socket: Option<Socket>,
}

enum Socket {
    Raw(OwnedFd),
    Udp(OwnedFd, Ipv4Addr),
}

impl Interface {
    pub(super) fn new(name: String, index: u32, mac: [u8; 6]) -> Self {
        Self { name, index, fixed: false, mac, up: false, client: None, socket: None }
    }

    /// Sets the static addresses and routes that name this interface.
    pub(super) fn configure(&mut self, netlink: &mut Netlink, config: &Config) {
        let text = mac_text(self.mac);
        let mine = |name: &str| name == self.name || name.eq_ignore_ascii_case(&text);
        for one in config.address.iter().filter(|one| mine(&one.interface)) {
            self.fixed = true;
            let result = netlink.address(self.index, one.address, one.prefix, None);
            let address = format!("{}/{}", one.address, one.prefix);
            match result {
                Ok(()) => log::info(
                    "address",
                    &[("interface", &self.name), ("address", &address), ("by", &"config")],
                ),
                Err(error) => log::error(
                    "address",
                    &[("interface", &self.name), ("address", &address), ("error", &error)],
                ),
            }
        }
        for one in config.route.iter().filter(|one| mine(&one.interface)) {
            let to = (one.destination, one.prefix);
            if let Err(error) = netlink.route(self.index, to, one.gateway, false) {
                log::error(
                    "route",
                    &[("interface", &self.name), ("route", one), ("error", &error)],
                );
            }
        }
    }

    /// Lets a DHCP client begin.
    pub(super) fn ask(&mut self, hostname: &str, random: u32, now: Duration) {
        // Two interfaces of one machine, asked in the same tick.
        let random = random ^ self.index.wrapping_mul(0x9e37_79b9);
        self.client = Some(Client::new(self.mac, hostname, random, now));
    }

    pub(super) fn settled(&self) -> bool {
        self.client.as_ref().is_none_or(|client| client.lease().is_some())
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        self.client.as_ref()?.lease()
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.client.as_ref().map(Client::deadline)
    }

    /// The link has changed: where it came up, what was sent before went nowhere. The carrier tells
    /// that too early: packets pass once the state is "up" (Documentation/networking/operstates).
    pub(super) fn hurry(&mut self, now: Duration) {
        let state = fs::read_to_string(format!("/sys/class/net/{}/operstate", self.name));
        let up = matches!(state.as_deref().map(str::trim_end), Ok("up" | "unknown"));
        if let (Some(client), true, false) = (&mut self.client, up, self.up) {
            client.hurry(now);
        }
        self.up = up;
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self.socket.as_ref()? {
            Socket::Raw(socket) | Socket::Udp(socket, _) => Some(socket.as_fd()),
        }
    }

    /// Does what the time asks for; whether the lease has changed.
    pub(super) fn tick(&mut self, netlink: &mut Netlink, now: Duration) -> bool {
        let Some(client) = &mut self.client else { return false };
        if now < client.deadline() {
            return false;
        }
        let todo = client.tick(now);
        self.perform(netlink, todo)
    }

    /// Reads every packet that is there; whether the lease has changed.
    pub(super) fn receive(&mut self, netlink: &mut Netlink, now: Duration) -> bool {
        let (mut changed, mut buffer) = (false, [0; 2048]);
        // A bound: a flood must not keep the init from its other work.
        for _ in 0..64 {
            let bytes = match &self.socket {
                Some(Socket::Raw(socket)) => packet::receive_raw(socket, &mut buffer),
                Some(Socket::Udp(socket, _)) => packet::receive_udp(socket, &mut buffer),
                None => break,
            };
            let (Ok(bytes), Some(client)) = (bytes, &mut self.client) else { break };
            let todo = client.receive(now, bytes.unwrap_or_default());
            changed |= self.perform(netlink, todo);
        }
        changed
    }

    fn perform(&mut self, netlink: &mut Netlink, todo: Vec<Do>) -> bool {
        let mut changed = false;
        for one in todo {
            let result = match one {
                Do::Send(to, bytes) => self.send(to, &bytes),
                Do::Bind(lease) => {
                    changed = true;
                    self.bind(netlink, &lease)
                }
                Do::Unbind => {
                    changed = true;
                    self.socket = None;
                    log::warn("lease-lost", &[("interface", &self.name)]);
                    netlink.forget(self.index)
                }
            };
            if let Err(error) = result {
                log::warn("dhcp", &[("interface", &self.name), ("error", &error)]);
            }
        }
        changed
    }

    fn send(&mut self, to: To, bytes: &[u8]) -> io::Result<()> {
        match to {
            To::Raw => {
                if !matches!(self.socket, Some(Socket::Raw(_))) {
                    self.socket = Some(Socket::Raw(packet::raw(self.index)?));
                }
                let Some(Socket::Raw(socket)) = &self.socket else { return Ok(()) };
                packet::send_raw(socket, self.index, bytes)
            }
            To::Udp(server) => {
                let Some(Socket::Udp(socket, _)) = &self.socket else { return Ok(()) };
                packet::send_udp(socket, server, bytes)
            }
        }
    }

    fn bind(&mut self, netlink: &mut Netlink, lease: &Lease) -> io::Result<()> {
        let known =
            matches!(self.socket, Some(Socket::Udp(_, address)) if address == lease.address);
        if !known {
            netlink.forget(self.index)?;
        }
        netlink.address(self.index, lease.address, lease.prefix, lease.length)?;
        if let Some(mtu) = lease.mtu
            && let Err(error) = netlink.mtu(self.index, mtu)
        {
            log::warn("mtu", &[("interface", &self.name), ("mtu", &mtu), ("error", &error)]);
        }
        for via in &lease.routes {
            let near = near(via.gateway, lease);
            let to = (via.destination, via.prefix);
            if let Err(error) = netlink.route(self.index, to, via.gateway, !near) {
                let route = format!("{}/{}", via.destination, via.prefix);
                log::warn(
                    "route",
                    &[("interface", &self.name), ("route", &route), ("error", &error)],
                );
            }
        }
        if !known {
            self.socket = Some(Socket::Udp(packet::udp(&self.name, lease.address)?, lease.address));
            let address = format!("{}/{}", lease.address, lease.prefix);
            let seconds = lease.length.map_or("for-ever".to_owned(), |length| length.to_string());
            log::info(
                "address",
                &[
                    ("interface", &self.name),
                    ("address", &address),
                    ("by", &"dhcp"),
                    ("server", &lease.server),
                    ("seconds", &seconds),
                    ("uptime-ms", &crate::clock::now().as_millis()),
                ],
            );
        } else {
            log::info("renewed", &[("interface", &self.name), ("address", &lease.address)]);
        }
        Ok(())
    }

    /// Gives the address back.
    pub(super) fn release(&mut self, now: Duration) {
        let Some((server, bytes)) = self.client.as_mut().and_then(|client| client.release(now))
        else {
            return;
        };
        let Some(Socket::Udp(socket, address)) = &self.socket else { return };
        match packet::send_udp(socket, server, &bytes) {
            Ok(()) => {
                packet::delivered(server);
                log::info("released", &[("interface", &self.name), ("address", address)]);
            }
            Err(error) => log::warn("release", &[("interface", &self.name), ("error", &error)]),
        }
        self.client = None;
    }
}

/// Whether a gateway lies in the lease's own network, or is none.
fn near(gateway: Ipv4Addr, lease: &Lease) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(lease.prefix)).unwrap_or(0);
    gateway.is_unspecified() || (gateway.to_bits() ^ lease.address.to_bits()) & mask == 0
}
