//! The network: interfaces up, static addresses, a DHCP client on each of the others, and the
//! files that tell programs of it.
//!
//! IPv4 only; IPv6 is left to the kernel's own autoconfiguration. Invariant: one interface's trouble
//! does not stop another's.

mod interface;
mod netlink;
mod packet;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use interface::Interface;
use netlink::Netlink;

use crate::clock::{now, random};
use crate::guest::Config;
use crate::hosts;
use crate::log;

/// All interfaces of the machine.
pub(crate) struct Net {
    netlink: Option<Netlink>,
    interfaces: Vec<Interface>,
    config: Config,
    hostname: String,
}

impl Net {
    /// Brings up what is there and lets DHCP begin.
    pub(crate) fn start(config: &Config, hostname: &str) -> Self {
        let netlink = Netlink::open();
        if let Err(error) = &netlink {
            log::error("network", &[("error", error)]);
        }
        let (config, hostname) = (config.clone(), hostname.to_owned());
        let mut net = Self { netlink: netlink.ok(), interfaces: Vec::new(), config, hostname };
        net.rescan();
        net.tell();
        net.tick();
        net
    }

    /// Takes over interfaces that were not there before.
    fn rescan(&mut self) {
        let Some(netlink) = &mut self.netlink else { return };
        for (name, index, mac) in interface::present() {
            if self.interfaces.iter().any(|known| known.index == index) {
                continue;
            }
            if let Err(error) = netlink.up(index) {
                log::error("link", &[("interface", &name), ("error", &error)]);
            }
            // The loopback has no address of its own to get: the kernel gives it 127.0.0.1.
            let Some(mac) = mac else { continue };
            let mut found = Interface::new(name, index, mac);
            found.configure(netlink, &self.config);
            if self.config.dhcp && !found.fixed {
                found.ask(&self.hostname, random(), now());
            }
            self.interfaces.push(found);
        }
    }

    /// Whether nobody waits for an address.
    pub(crate) fn settled(&self) -> bool {
        self.interfaces.iter().all(Interface::settled)
    }

    /// When `tick` is wanted next.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.interfaces.iter().filter_map(Interface::deadline).min()
    }

    /// The files to poll: that of the link changes, then those of the interfaces.
    pub(crate) fn files(&self) -> Vec<(usize, BorrowedFd<'_>)> {
        let links = self.netlink.iter().map(|netlink| (usize::MAX, netlink.events()));
        let sockets = self.interfaces.iter().enumerate();
        links.chain(sockets.filter_map(|(at, one)| Some((at, one.socket()?)))).collect()
    }

    /// A file of `files` is readable.
    pub(crate) fn readable(&mut self, which: usize) {
        if which == usize::MAX {
            let changed = self.netlink.as_ref().map(Netlink::changed).unwrap_or_default();
            self.rescan();
            for index in changed {
                let one = self.interfaces.iter_mut().find(|one| one.index == index);
                if let Some(one) = one {
                    one.hurry(now());
                }
            }
            self.tick();
            return;
        }
        let (Some(one), Some(netlink)) = (self.interfaces.get_mut(which), &mut self.netlink) else {
            return;
        };
        if one.receive(netlink, now()) {
            self.tell();
        }
    }

    /// Does what the time asks for.
    pub(crate) fn tick(&mut self) {
        let Some(netlink) = &mut self.netlink else { return };
        let mut changed = false;
        for one in &mut self.interfaces {
            changed |= one.tick(netlink, now());
        }
        if changed {
            self.tell();
        }
    }

    /// Time servers that DHCP gave.
    pub(crate) fn time_servers(&self) -> Vec<std::net::Ipv4Addr> {
        let leases = self.interfaces.iter().filter_map(Interface::lease);
        leases.flat_map(|lease| lease.ntp.iter().copied()).collect()
    }

    /// Gives the addresses back.
    pub(crate) fn release(&mut self) {
        for one in &mut self.interfaces {
            one.release(now());
        }
    }

    /// Writes what programs read: name servers, host name, and the leases for the app.
    fn tell(&self) {
        let leases: Vec<_> = self
            .interfaces
            .iter()
            .filter_map(|one| Some((one.name.as_str(), one.lease()?)))
            .collect();
        hosts::write(&self.config, &self.hostname, &leases);
    }
}
