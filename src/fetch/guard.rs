//! Which servers a build may reach: the rules against requests into the cluster, the cloud's
//! metadata services and the machine itself.
//!
//! Opens no connection. Invariants: an address is judged after names are resolved, and what is
//! judged is what is connected to (see `wire`); a refusal names the flag that lifts it, where one
//! does.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ureq::http::Uri;

use super::range::Range;

/// A host that is allowed by name: `files.example.com`, or `*.example.com` for all names below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule(String);

impl FromStr for HostRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("*.").unwrap_or(text).trim_end_matches('.');
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
            let message = format!(
                "{text:?} is no host such as files.example.com or *.example.com (for addresses use \
                 --allow-source-cidr)"
            );
            return Err(message);
        }
        Ok(Self(text.trim_end_matches('.').to_ascii_lowercase()))
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HostRule {
    fn holds(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == self.0,
        }
    }
}

/// What is allowed beyond public servers over https.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Whether every address and name is allowed but those of `deny_ranges`: on a desk.
    pub everything: bool,
    /// Whether http without TLS is allowed.
    pub plain_http: bool,
    /// Names that may lie in the cluster or in a private network.
    pub hosts: Vec<HostRule>,
    /// Addresses that are allowed, whatever they are.
    pub ranges: Vec<Range>,
    /// Addresses that are refused, whatever else is said.
    pub deny_ranges: Vec<Range>,
}

/// Judges addresses of servers.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    rules: Rules,
    /// Hosts and ports of the proxies, which the operator named and no document may.
    proxies: Vec<(String, u16)>,
}

/// Why a server is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Guard {
    /// A guard that keeps these rules.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self { rules, proxies: Vec::new() }
    }

    /// The same, and a proxy at this place may be connected to.
    #[must_use]
    pub fn behind(mut self, host: &str, port: u16) -> Self {
        self.proxies.push((host.to_ascii_lowercase(), port));
        self
    }

    /// Whether `uri` is a proxy.
    pub(super) fn is_proxy(&self, uri: &Uri) -> bool {
        let Some(found) = host(uri) else { return false };
        self.proxies.iter().any(|(host, port)| *host == found && *port == port_of(uri))
    }

    /// Judges scheme and name of an address that a document or a server gave.
    pub fn url(&self, uri: &Uri) -> Result<(), Refusal> {
        let refuse = |why: String| Err(Refusal(why));
        let Some(host) = host(uri) else { return refuse("the address names no host".to_owned()) };
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self.rules.plain_http => {}
            Some("http") => {
                return refuse(format!(
                    "http to {host} is not encrypted; use https, or allow it with \
                     --allow-source-http"
                ));
            }
            scheme => {
                let scheme = scheme.unwrap_or("none");
                return refuse(format!(
                    "the scheme {scheme} is not fetched; allowed are https, http"
                ));
            }
        }
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            let why = "an address with a password in it would end up in logs; use headersSecretRef";
            return refuse(why.to_owned());
        }
        if self.is_proxy(uri) {
            return refuse(format!("{host} is the proxy itself"));
        }
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return self.address(&host, address);
        }
        // 0x7f.1, 2130706433, 127.1: some resolvers take them for addresses.
        let last = host.rsplit('.').next().unwrap_or_default();
        let numeric = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
        if numeric {
            return refuse(format!("{host} is neither a name nor an address"));
        }
        self.name(&host)
    }

    /// Judges a name before it is resolved.
    fn name(&self, host: &str) -> Result<(), Refusal> {
        let inside = ["localhost", "local", "localdomain", "internal", "svc", "cluster.local"];
        let below = |zone: &str| {
            host.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if self.rules.everything || self.allows(host) {
            return Ok(());
        }
        // A name without a dot, and name.namespace.svc, are completed by the pod's search list.
        if !host.contains('.') || inside.into_iter().any(below) {
            let why = format!(
                "{host} is a name inside of the cluster or of a private network; the operator can \
                 allow it with --allow-source-host={host}"
            );
            return Err(Refusal(why));
        }
        Ok(())
    }

    fn allows(&self, host: &str) -> bool {
        self.rules.hosts.iter().any(|rule| rule.holds(host))
    }

    /// Judges an address that `host` has.
    pub fn address(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = address.to_canonical();
        if let Some(range) = self.rules.deny_ranges.iter().find(|range| range.holds(address)) {
            let why = format!(
                "{host} has the address {address}, which --deny-source-cidr={range} refuses"
            );
            return Err(Refusal(why));
        }
        if self.rules.everything || self.rules.ranges.iter().any(|range| range.holds(address)) {
            return Ok(());
        }
        let flags = match class(address) {
            Class::Public => return Ok(()),
            Class::Private(_) if self.allows(&host) => return Ok(()),
            Class::Private(_) if host.parse::<IpAddr>().is_err() && !host.starts_with('[') => {
                format!("--allow-source-host={host} or --allow-source-cidr={address}")
            }
            _ => format!("--allow-source-cidr={address}"),
        };
        let (Class::Private(what) | Class::Special(what)) = class(address) else { return Ok(()) };
        let has = match host.trim_matches(['[', ']']).parse() == Ok(address) {
            true => format!("{address} is {what}"),
            false => format!("{host} has the address {address}, which is {what}"),
        };
        Err(Refusal(format!("{has}; the operator can allow it with {flags}")))
    }
}

/// The host of `uri` in lower case, without the dot at the end.
pub(super) fn host(uri: &Uri) -> Option<String> {
    let host = uri.host()?.trim_end_matches('.').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

/// The port of `uri`.
pub(super) fn port_of(uri: &Uri) -> u16 {
    let standard = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    uri.port_u16().unwrap_or(standard)
}

/// What sort of place an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// A server that anyone can ask.
    Public,
    /// A private network, the cluster's among them. A name can be allowed to lie there.
    Private(&'static str),
    /// The machine itself, a metadata service or no server at all: allowed by address only.
    Special(&'static str),
}

/// IANA's special-purpose address registries (RFC 6890), and the clouds' metadata services.
fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => class4(address),
        IpAddr::V6(address) => class6(address),
    }
}

const METADATA: &str = "a cloud's metadata service";

fn class4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [168, 63, 129, 16] | [100, 100, 100, 200] | [169, 254, 169, 254] | [192, 0, 0, 192] => {
            Class::Special(METADATA)
        }
        [127, ..] => Class::Special("loopback"),
        [169, 254, ..] => Class::Special("link-local"),
        [0, ..] => Class::Special("this host"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private("a private network"),
        [100, 64..=127, ..] => Class::Private("a carrier's or cluster's network"),
        [192, 0, 0, _]
        | [192, 0, 2, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [192, 88, 99, _] => Class::Private("reserved"),
        [224..=239, ..] => Class::Special("multicast"),
        [240..=255, ..] => Class::Special("reserved"),
        _ => Class::Public,
    }
}

fn class6(address: Ipv6Addr) -> Class {
    let [a, b, c, d, ..] = address.segments();
    let octets = address.octets();
    let embedded = |at: usize| {
        let four = octets.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        four.map_or(Class::Special("reserved"), |four| class4(Ipv4Addr::from(four)))
    };
    match (a, b, c, d) {
        _ if address.is_loopback() => Class::Special("loopback"),
        _ if address.is_unspecified() => Class::Special("this host"),
        // NAT64 and 6to4 lead to an IPv4 address.
        (0x64, 0xff9b, 0, 0) => embedded(12),
        (0x2002, ..) => embedded(2),
        (0xfd00, 0x0ec2, ..) | (0xfd20, 0x00ce, ..) => Class::Special(METADATA),
        (0xfe80..=0xfebf, ..) => Class::Special("link-local"),
        (0xff00..=0xffff, ..) => Class::Special("multicast"),
        (0xfc00..=0xfdff, ..) | (0xfec0..=0xfeff, ..) => Class::Private("a private network"),
        (0x2001, 0..=0x1ff, ..) | (0x2001, 0xdb8, ..) | (0x3fff, 0..=0xfff, ..) => {
            Class::Private("reserved")
        }
        (0x2000..=0x3fff, ..) => Class::Public,
        _ => Class::Special("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(rules: &Rules, url: &str) -> Option<String> {
        let guard = Guard::new(rules.clone());
        guard.url(&url.parse().unwrap()).err().map(|refusal| refusal.to_string())
    }

    #[test]
    fn literal_addresses_are_judged_in_every_spelling() {
        let rules = Rules::default();
        for host in [
            "127.0.0.1",
            "127.255.1.2",
            "0.0.0.0",
            "169.254.169.254",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "168.63.129.16",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[fc00::1]",
            "[ff02::1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[::7f00:1]",
            "[2001:db8::1]",
            "[64:ff9b:1::1]",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0x7f000001",
            "0177.0.0.01",
            "localhost",
            "LOCALHOST.",
            "metadata.google.internal",
            "kubernetes",
            "kubernetes.default.svc",
            "a.b.svc.cluster.local",
            "printer.local",
            "svc",
        ] {
            let found = refusal(&rules, &format!("https://{host}/a"));
            assert!(found.is_some(), "{host}");
        }
        for host in [
            "8.8.8.8",
            "[2606:4700::1111]",
            "example.com",
            "[64:ff9b::808:808]",
            "notlocalhost.example",
            "mysvc.example",
            "172.32.0.1",
            "100.128.0.1",
        ] {
            assert_eq!(refusal(&rules, &format!("https://{host}/a")), None, "{host}");
        }
    }

    #[test]
    fn schemes_passwords_and_the_proxy_are_refused() {
        let rules = Rules { everything: true, ..Rules::default() };
        for (url, wanted) in [
            ("http://a.example/", "--allow-source-http"),
            ("ftp://a.example/", "the scheme ftp is not fetched"),
            ("https://u:p@a.example/", "headersSecretRef"),
        ] {
            let found = refusal(&rules, url).unwrap_or_default();
            assert!(found.contains(wanted), "{url}: {found}");
        }
        let guard = Guard::new(rules).behind("Proxy.example", 3128);
        assert!(guard.url(&"https://proxy.EXAMPLE:3128/".parse().unwrap()).is_err());
        assert!(guard.url(&"https://proxy.example/".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_refusal_names_the_flag_that_lifts_it() {
        let host = "files.example.com";
        let guard = |hosts: &[&str], ranges: &[&str], deny: &[&str]| {
            Guard::new(Rules {
                hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
                ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
                deny_ranges: deny.iter().map(|range| range.parse().unwrap()).collect(),
                ..Rules::default()
            })
        };
        let judge = |guard: &Guard, address: &str| {
            guard.address(host, address.parse().unwrap()).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(
            judge(&guard(&[], &[], &[]), "10.1.2.3").unwrap_err(),
            "files.example.com has the address 10.1.2.3, which is a private network; the operator \
             can allow it with --allow-source-host=files.example.com or \
             --allow-source-cidr=10.1.2.3"
        );
        assert_eq!(judge(&guard(&[host], &[], &[]), "10.1.2.3"), Ok(()));
        assert_eq!(judge(&guard(&["*.example.com"], &[], &[]), "10.1.2.3"), Ok(()));
        assert!(judge(&guard(&["*.files.example.com"], &[], &[]), "10.1.2.3").is_err());
        assert_eq!(judge(&guard(&[], &["10.0.0.0/8"], &[]), "::ffff:10.1.2.3"), Ok(()));
        // A name that is allowed does not reach the machine itself or the metadata service.
        let found = judge(&guard(&[host], &[], &[]), "169.254.169.254").unwrap_err();
        assert!(found.ends_with("allow it with --allow-source-cidr=169.254.169.254"), "{found}");
        assert!(judge(&guard(&[host], &[], &[]), "127.0.0.1").is_err());
        assert_eq!(judge(&guard(&[], &["127.0.0.0/8"], &[]), "127.0.0.1"), Ok(()));
        let found =
            judge(&guard(&[host], &["8.8.0.0/16"], &["8.8.8.0/24"]), "8.8.8.8").unwrap_err();
        assert!(found.contains("--deny-source-cidr=8.8.8.0/24"), "{found}");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "*.", "*", "a/b", "10.0.0.0/8", "*.*.a", ".a"] {
            assert!(text.parse::<HostRule>().is_err(), "{text}");
        }
    }
}
