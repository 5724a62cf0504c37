//! A DHCP message: written as a client does, read from anyone.
//!
//! Does not know what options mean. Invariant: reading never panics and never allocates more than
//! the message is long.

use std::net::Ipv4Addr;

/// RFC 2131 §2, figure 1: the fixed part before `options`.
const FIXED: usize = 236;
/// RFC 2132 §2: what precedes the options.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// RFC 2131 §2: the flag that asks for answers by broadcast.
const BROADCAST: u16 = 0x8000;

/// RFC 2132 §9.6: message types.
pub(crate) mod kind {
    pub(crate) const DISCOVER: u8 = 1;
    pub(crate) const OFFER: u8 = 2;
    pub(crate) const REQUEST: u8 = 3;
    pub(crate) const ACK: u8 = 5;
    pub(crate) const NAK: u8 = 6;
    pub(crate) const RELEASE: u8 = 7;
}

/// RFC 2132: option codes; 121 is RFC 3442.
pub(crate) mod option {
    pub(crate) const MASK: u8 = 1;
    pub(crate) const ROUTER: u8 = 3;
    pub(crate) const DNS: u8 = 6;
    pub(crate) const HOSTNAME: u8 = 12;
    pub(crate) const DOMAIN: u8 = 15;
    pub(crate) const MTU: u8 = 26;
    pub(crate) const NTP: u8 = 42;
    pub(crate) const WANTED: u8 = 50;
    pub(crate) const LEASE: u8 = 51;
    pub(crate) const OVERLOAD: u8 = 52;
    pub(crate) const KIND: u8 = 53;
    pub(crate) const SERVER: u8 = 54;
    pub(crate) const LIST: u8 = 55;
    pub(crate) const SIZE: u8 = 57;
    pub(crate) const RENEW: u8 = 58;
    pub(crate) const REBIND: u8 = 59;
    pub(crate) const CLIENT: u8 = 61;
    pub(crate) const ROUTES: u8 = 121;
}

/// What a client says beside its own address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) kind: u8,
    pub(crate) xid: u32,
    pub(crate) seconds: u16,
    pub(crate) mac: [u8; 6],
    /// The address it has, or 0.0.0.0.
    pub(crate) own: Ipv4Addr,
    pub(crate) wanted: Option<Ipv4Addr>,
    pub(crate) server: Option<Ipv4Addr>,
    pub(crate) hostname: &'a str,
}

/// The bytes of a message, as they lie in UDP.
pub(crate) fn write(said: &Said<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(300);
    // op, htype, hlen, hops
    bytes.extend([1, 1, 6, 0]);
    bytes.extend(said.xid.to_be_bytes());
    bytes.extend(said.seconds.to_be_bytes());
    // RFC 2131 §4.1: who cannot take unicast before it has an address sets the flag. It is left out
    // with an address, where RFC 2131 §4.4.5 wants the answer by unicast.
    let flags = if said.own.is_unspecified() { BROADCAST } else { 0 };
    bytes.extend(flags.to_be_bytes());
    bytes.extend(said.own.octets());
    bytes.extend([0; 12]);
    bytes.extend(said.mac);
    bytes.resize(FIXED, 0);
    bytes.extend(COOKIE);
    let mut put = |code: u8, value: &[u8]| {
        if let Ok(length) = u8::try_from(value.len()) {
            bytes.extend([code, length]);
            bytes.extend(value);
        }
    };
    put(option::KIND, &[said.kind]);
    let mut id = vec![1];
    id.extend(said.mac);
    put(option::CLIENT, &id);
    if let Some(address) = said.wanted {
        put(option::WANTED, &address.octets());
    }
    if let Some(address) = said.server {
        put(option::SERVER, &address.octets());
    }
    if said.kind != kind::RELEASE {
        // What the packet socket takes in one read.
        put(option::SIZE, &1472_u16.to_be_bytes());
        // RFC 3442: its option stands before the routers.
        put(
            option::LIST,
            &[
                option::MASK,
                option::ROUTES,
                option::ROUTER,
                option::DNS,
                option::HOSTNAME,
                option::DOMAIN,
                option::MTU,
                option::NTP,
                option::LEASE,
                option::RENEW,
                option::REBIND,
            ],
        );
        if !said.hostname.is_empty() {
            put(option::HOSTNAME, said.hostname.as_bytes());
        }
    }
    bytes.push(255);
    // RFC 1542 §2.1: relays may drop what is shorter than 300 bytes.
    bytes.resize(bytes.len().max(300), 0);
    bytes
}

/// A message of a server.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) kind: u8,
    pub(crate) xid: u32,
    pub(crate) mac: [u8; 6],
    /// `yiaddr`: the address it is about.
    pub(crate) address: Ipv4Addr,
    /// Options with their values joined (RFC 3396), in the order of their first mention.
    options: Vec<(u8, Vec<u8>)>,
}

impl Heard {
    /// The message that bytes out of UDP mean; none, if they are no answer of a server.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        // op, htype and hlen of an answer to Ethernet.
        if bytes.get(..3)? != [2, 1, 6] || bytes.get(FIXED..FIXED + 4)? != COOKIE {
            return None;
        }
        let mut options = Vec::new();
        collect(bytes.get(FIXED + 4..)?, &mut options);
        // RFC 2132 §9.3: `file` (1) and `sname` (2) may hold options, in this order.
        let overload = find(&options, option::OVERLOAD).and_then(|value| value.first()).copied();
        if matches!(overload, Some(1 | 3)) {
            collect(bytes.get(108..FIXED)?, &mut options);
        }
        if matches!(overload, Some(2 | 3)) {
            collect(bytes.get(44..108)?, &mut options);
        }
        let kind = *find(&options, option::KIND)?.first()?;
        Some(Self {
            kind,
            xid: u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?),
            mac: bytes.get(28..34)?.try_into().ok()?,
            address: Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(16..20)?).ok()?),
            options,
        })
    }

    pub(crate) fn option(&self, code: u8) -> Option<&[u8]> {
        find(&self.options, code)
    }

    pub(crate) fn number(&self, code: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.option(code)?.try_into().ok()?))
    }

    /// Addresses of an option; what does not fill one is left out.
    pub(crate) fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let bytes = self.option(code).unwrap_or_default();
        bytes
            .chunks_exact(4)
            .filter_map(|four| <[u8; 4]>::try_from(four).ok())
            .map(Ipv4Addr::from)
            .collect()
    }
}

fn find(options: &[(u8, Vec<u8>)], code: u8) -> Option<&[u8]> {
    options.iter().find(|(found, _)| *found == code).map(|(_, value)| value.as_slice())
}

/// RFC 2132 §2: code, length, value; 0 fills, 255 ends. What is cut off is left out.
fn collect(mut bytes: &[u8], options: &mut Vec<(u8, Vec<u8>)>) {
    while let Some((code, rest)) = bytes.split_first() {
        match code {
            0 => bytes = rest,
            255 => return,
            code => {
                let Some((length, rest)) = rest.split_first() else { return };
                let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else {
                    return;
                };
                match options.iter_mut().find(|(found, _)| found == code) {
                    Some((_, known)) => known.extend(value),
                    None => options.push((*code, value.to_vec())),
                }
                bytes = rest;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer with these options, as a server would write it.
    pub(crate) fn answer(said: &Said<'_>, options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = write(said);
        bytes[0] = 2;
        bytes[12..16].fill(0);
        bytes[16..20].copy_from_slice(&said.own.octets());
        bytes.truncate(FIXED + 4);
        bytes.extend([option::KIND, 1, said.kind]);
        for (code, value) in options {
            bytes.extend([*code, value.len() as u8]);
            bytes.extend(*value);
        }
        bytes.push(255);
        bytes
    }

    fn said() -> Said<'static> {
        Said {
            kind: kind::DISCOVER,
            xid: 0x0102_0304,
            seconds: 3,
            mac: [0x52, 0x54, 0, 1, 2, 3],
            own: Ipv4Addr::UNSPECIFIED,
            wanted: None,
            server: None,
            hostname: "box",
        }
    }

    #[test]
    fn a_discover_by_hand() {
        let bytes = write(&said());
        // RFC 2131 figure 1, by hand: op 1, Ethernet, 6, 0; xid; secs 3, flags 0x8000.
        assert_eq!(bytes[..12], [1, 1, 6, 0, 1, 2, 3, 4, 0, 3, 0x80, 0]);
        assert_eq!(bytes[12..28], [0; 16]);
        assert_eq!(bytes[28..34], [0x52, 0x54, 0, 1, 2, 3]);
        assert_eq!(bytes[34..236], [0; 202]);
        assert_eq!(bytes[236..243], [99, 130, 83, 99, 53, 1, 1]);
        assert_eq!(bytes[243..252], [61, 7, 1, 0x52, 0x54, 0, 1, 2, 3]);
        assert!(bytes.len() >= 300);
        let name = bytes.windows(5).any(|window| window == [12, 3, b'b', b'o', b'x']);
        assert!(name);
    }

    #[test]
    fn a_request_names_what_it_wants() {
        let request = Said {
            kind: kind::REQUEST,
            wanted: Some([10, 0, 2, 15].into()),
            server: Some([10, 0, 2, 2].into()),
            ..said()
        };
        let bytes = write(&request);
        assert_eq!(bytes[252..264], [50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2]);
    }

    #[test]
    fn overloaded_and_split_options_are_joined() {
        let mut bytes = answer(
            &Said { kind: kind::ACK, own: [10, 0, 0, 9].into(), ..said() },
            &[(option::OVERLOAD, &[3]), (option::DNS, &[1, 1, 1, 1])],
        );
        bytes[108..115].copy_from_slice(&[option::DNS, 4, 2, 2, 2, 2, 255]);
        bytes[44..53].copy_from_slice(&[0, option::DOMAIN, 4, b'a', b'.', b'b', b'c', 255, 9]);
        let heard = Heard::read(&bytes).unwrap();
        assert_eq!((heard.kind, heard.xid), (kind::ACK, 0x0102_0304));
        assert_eq!(heard.address, Ipv4Addr::new(10, 0, 0, 9));
        assert_eq!(heard.option(option::DOMAIN), Some(&b"a.bc"[..]));
        let servers = [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(2, 2, 2, 2)];
        assert_eq!(heard.addresses(option::DNS), servers);
    }

    #[test]
    fn damage_never_panics() {
        let good = answer(&Said { kind: kind::ACK, ..said() }, &[(3, &[10, 0, 2, 2])]);
        assert!(Heard::read(&good).is_some());
        for length in 0..good.len() {
            let _ = Heard::read(&good[..length]);
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                let _ = Heard::read(&bytes);
            }
        }
        assert!(Heard::read(&good[..239]).is_none());
    }
}
