//! What a server grants: address, routes, names and times, out of the options of its answer.
//!
//! Judges the values: what cannot be is left out. Invariant: `renew <= rebind <= length`.

use std::net::Ipv4Addr;

use super::message::{Heard, option};

/// A route of a lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Via {
    pub(crate) destination: Ipv4Addr,
    pub(crate) prefix: u8,
    /// 0.0.0.0: the destination is on the link (RFC 3442).
    pub(crate) gateway: Ipv4Addr,
}

/// A lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) server: Ipv4Addr,
    pub(crate) routes: Vec<Via>,
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) domain: String,
    pub(crate) hostname: String,
    pub(crate) ntp: Vec<Ipv4Addr>,
    pub(crate) mtu: Option<u16>,
    /// Seconds from the request on; none is for ever.
    pub(crate) length: Option<u32>,
    pub(crate) renew: u32,
    pub(crate) rebind: u32,
}

impl Lease {
    /// The lease of an offer or acknowledgement; none, if it lacks what a lease must have.
    pub(crate) fn read(heard: &Heard) -> Option<Self> {
        let address = heard.address;
        if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
            return None;
        }
        let server = heard.addresses(option::SERVER).first().copied()?;
        let mask = heard.number(option::MASK).unwrap_or_else(|| class_mask(address));
        // A mask with holes is none.
        let prefix = u8::try_from(mask.leading_ones()).ok()?;
        if mask.leading_ones() + mask.trailing_zeros() < 32 {
            return None;
        }
        // RFC 2131 §3.3: all ones is for ever. A lease without length is none (RFC 2131 table 3),
        // but an hour does no harm.
        let length = heard.number(option::LEASE).unwrap_or(3600);
        let length = Some(length.max(10)).filter(|length| *length != u32::MAX);
        // RFC 2131 §4.4.5: the defaults are a half and seven eighths. Less than seconds would
        // keep everybody busy.
        let whole = length.unwrap_or(u32::MAX);
        let given = heard.number(option::REBIND).filter(|rebind| (8..=whole).contains(rebind));
        let rebind = given.unwrap_or(whole - whole / 8);
        let given = heard.number(option::RENEW).filter(|renew| (4..=rebind).contains(renew));
        let renew = given.unwrap_or((whole / 2).min(rebind));
        let classless = heard.option(option::ROUTES).map(classless).unwrap_or_default();
        let routes = if classless.is_empty() { default(heard) } else { classless };
        let mtu = heard.option(option::MTU).and_then(|value| <[u8; 2]>::try_from(value).ok());
        Some(Self {
            address,
            prefix,
            server,
            routes,
            dns: heard.addresses(option::DNS),
            domain: name(heard.option(option::DOMAIN)),
            hostname: name(heard.option(option::HOSTNAME)),
            ntp: heard.addresses(option::NTP),
            // RFC 2132 §5.1: 68 is the least; IPv4 wants 576, and less has served attacks only.
            mtu: mtu.map(u16::from_be_bytes).filter(|mtu| *mtu >= 576),
            length,
            renew,
            rebind,
        })
    }
}

/// The first router, as the default route.
fn default(heard: &Heard) -> Vec<Via> {
    let gateway = heard.addresses(option::ROUTER).first().copied();
    let via = |gateway| Via { destination: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway };
    gateway.map(via).into_iter().collect()
}

/// RFC 791 §2.3: the network's bits of an address without a mask.
fn class_mask(address: Ipv4Addr) -> u32 {
    match address.octets()[0] {
        0..128 => 0xff00_0000,
        128..192 => 0xffff_0000,
        _ => 0xffff_ff00,
    }
}

/// RFC 3442: width, the significant bytes of the destination, the router.
fn classless(mut bytes: &[u8]) -> Vec<Via> {
    let mut routes = Vec::new();
    while let Some((prefix, rest)) = bytes.split_first() {
        let significant = usize::from(prefix.div_ceil(8));
        let Some((given, rest)) = rest.split_at_checked(significant) else { break };
        let Some((gateway, rest)) = rest.split_first_chunk::<4>() else { break };
        let mut destination = [0; 4];
        if *prefix > 32 {
            break;
        }
        destination.iter_mut().zip(given).for_each(|(to, byte)| *to = *byte);
        // "MUST be set to zero": bits beyond the width would make the kernel refuse the route.
        let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
        let destination = Ipv4Addr::from(u32::from_be_bytes(destination) & mask);
        routes.push(Via { destination, prefix: *prefix, gateway: Ipv4Addr::from(*gateway) });
        bytes = rest;
    }
    routes
}

/// A host's or domain's name: letters, digits, `-`, `_` and `.` only, for it goes into files that
/// other programs read.
fn name(bytes: Option<&[u8]>) -> String {
    let bytes = bytes.unwrap_or_default();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = bytes.get(..end).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let fit = |text: &&str| {
        text.len() <= 253
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.filter(fit).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::answer;
    use super::super::message::{Said, kind};
    use super::*;

    fn lease(options: &[(u8, &[u8])]) -> Option<Lease> {
        let said = Said {
            kind: kind::ACK,
            xid: 1,
            seconds: 0,
            mac: [2; 6],
            own: [10, 0, 2, 15].into(),
            wanted: None,
            server: None,
            hostname: "",
        };
        let mut all: Vec<(u8, &[u8])> = vec![(54, &[10, 0, 2, 2])];
        all.extend(options);
        Lease::read(&Heard::read(&answer(&said, &all))?)
    }

    #[test]
    fn what_qemu_answers() {
        let found = lease(&[
            (1, &[255, 255, 255, 0]),
            (3, &[10, 0, 2, 2]),
            (6, &[10, 0, 2, 3]),
            (51, &[0, 1, 0x51, 0x80]),
            (15, b"example.org\0"),
            (12, b"bad name"),
            (26, &[5, 0xdc]),
        ]);
        let found = found.unwrap();
        assert_eq!((found.address, found.prefix), (Ipv4Addr::new(10, 0, 2, 15), 24));
        let gateway = Ipv4Addr::new(10, 0, 2, 2);
        assert_eq!(found.routes, [Via { destination: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway }]);
        assert_eq!((found.length, found.renew, found.rebind), (Some(86400), 43200, 75600));
        assert_eq!((found.domain.as_str(), found.hostname.as_str()), ("example.org", ""));
        assert_eq!(found.mtu, Some(1500));
    }

    #[test]
    fn classless_routes_win_over_the_router() {
        // The examples of RFC 3442: 0/0 via 10.0.2.2, 10.17/16 via 10.0.2.3, 10.0.2.1/32 on the
        // link; a bit beyond the width is cleared.
        let bytes = [
            0, 10, 0, 2, 2, 16, 10, 17, 10, 0, 2, 3, 32, 10, 0, 2, 1, 0, 0, 0, 0, 9, 10, 255, 1, 2,
            3, 4, 33, 1,
        ];
        let found = lease(&[(121, &bytes), (3, &[9, 9, 9, 9])]).unwrap();
        let routes: Vec<_> = found
            .routes
            .iter()
            .map(|via| format!("{}/{} {}", via.destination, via.prefix, via.gateway))
            .collect();
        assert_eq!(
            routes,
            [
                "0.0.0.0/0 10.0.2.2",
                "10.17.0.0/16 10.0.2.3",
                "10.0.2.1/32 0.0.0.0",
                "10.128.0.0/9 1.2.3.4"
            ]
        );
    }

    #[test]
    fn odd_values_are_refused_or_mended() {
        assert!(lease(&[(1, &[255, 0, 255, 0])]).is_none());
        let found = lease(&[(51, &[255; 4]), (26, &[0, 100])]).unwrap();
        assert_eq!((found.length, found.mtu, found.prefix), (None, None, 8));
        let found = lease(&[(51, &[0, 0, 0, 100]), (58, &[0, 0, 1, 0]), (59, &[0; 4])]).unwrap();
        assert_eq!((found.length, found.renew, found.rebind), (Some(100), 50, 88));
    }
}
