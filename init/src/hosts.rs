//! The files that tell programs of the network: /etc/resolv.conf, /etc/hosts, and one lease file
//! for each interface in /run/vmimage.
//!
//! Invariant: a file is never seen half-written, and one that is already right is not touched.

use std::io;

use fs_err as fs;

use crate::dhcp::Lease;
use crate::guest::Config;
use crate::log;

/// What libraries read at most (MAXNS of resolv.h).
const SERVERS: usize = 3;

/// Writes all files from what is known.
pub(crate) fn write(config: &Config, hostname: &str, leases: &[(&str, &Lease)]) {
    let given = leases.iter().flat_map(|(_, lease)| lease.dns.iter().copied());
    let mut servers = Vec::new();
    for server in config.dns.iter().copied().chain(given) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    let domains = leases.iter().map(|(_, lease)| lease.domain.as_str());
    let mut search: Vec<&str> = Vec::new();
    for domain in config.search.iter().map(String::as_str).chain(domains) {
        if !domain.is_empty() && !search.contains(&domain) {
            search.push(domain);
        }
    }
    if !servers.is_empty() || !search.is_empty() {
        let mut text = String::new();
        if !search.is_empty() {
            text.push_str(&format!("search {}\n", search.join(" ")));
        }
        for server in servers.iter().take(SERVERS) {
            text.push_str(&format!("nameserver {server}\n"));
        }
        put("/etc/resolv.conf", &text);
    }
    let given =
        leases.iter().map(|(_, lease)| lease.hostname.as_str()).find(|name| !name.is_empty());
    let name = if hostname.is_empty() { given.unwrap_or("localhost") } else { hostname };
    if let Err(error) = rustix::system::sethostname(name.as_bytes()) {
        log::warn("hostname", &[("name", &name), ("error", &error)]);
    }
    put("/etc/hosts", &format!("127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n"));
    for (interface, lease) in leases {
        put(&format!("/run/vmimage/lease.{interface}"), &of(lease));
    }
}

fn of(lease: &Lease) -> String {
    let mut text = format!("address {}/{}\nserver {}\n", lease.address, lease.prefix, lease.server);
    for via in &lease.routes {
        text.push_str(&format!("route {}/{} {}\n", via.destination, via.prefix, via.gateway));
    }
    for (key, values) in [("dns", &lease.dns), ("ntp", &lease.ntp)] {
        values.iter().for_each(|value| text.push_str(&format!("{key} {value}\n")));
    }
    for (key, value) in [("domain", &lease.domain), ("hostname", &lease.hostname)] {
        if !value.is_empty() {
            text.push_str(&format!("{key} {value}\n"));
        }
    }
    text
}

fn put(path: &str, text: &str) {
    if let Err(error) = replace(path, text) {
        log::warn("write", &[("path", &path), ("error", &error)]);
    }
}

/// Writes a file beside and renames it.
pub(crate) fn replace(path: &str, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    if let Some((directory, _)) = path.rsplit_once('/') {
        fs::create_dir_all(directory)?;
    }
    let new = format!("{path}.new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}
