//! The values of a configuration, each with the text that it is written as.
//!
//! Does not check what only a running machine can know. Invariant: `value.to_string().parse()` is
//! `value` again.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Why a text is no value of its kind: what was found and what is allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ValueError(pub String);

impl fmt::Display for ValueError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for ValueError {}

fn wrong<T>(found: &str, allowed: &str) -> Result<T, ValueError> {
    Err(ValueError(format!("found {found:?}, allowed is {allowed}")))
}

/// A medium that is found by its label and mounted: `PATH=LABEL`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Medium {
    /// Where it is mounted: absolute, without `=`.
    pub path: String,
    /// Its exact label or volume id; for an ISO the empty label means any.
    pub label: String,
}

impl fmt::Display for Medium {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}={}", self.path, self.label)
    }
}

impl FromStr for Medium {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once('=') {
            Some((path, label)) if path.starts_with('/') => {
                Ok(Self { path: path.into(), label: label.into() })
            }
            _ => wrong(text, "PATH=LABEL with an absolute path"),
        }
    }
}

/// A static address: `INTERFACE=ADDRESS/PREFIX`. The interface has a name or a MAC address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// Name (`eth0`) or MAC address (`52:54:00:12:34:56`, lower case) of the interface.
    pub interface: String,
    /// The address.
    pub address: Ipv4Addr,
    /// How many bits of it name the network: 0 to 32.
    pub prefix: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}={}/{}", self.interface, self.address, self.prefix)
    }
}

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parts = text.split_once('=').filter(|(interface, _)| !interface.is_empty());
        match parts.and_then(|(interface, network)| Some((interface, network_of(network)?))) {
            Some((interface, (address, prefix))) => {
                Ok(Self { interface: interface.into(), address, prefix })
            }
            None => wrong(text, "INTERFACE=ADDRESS/PREFIX, as eth0=192.0.2.5/24"),
        }
    }
}

fn network_of(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    Some((address.parse().ok()?, prefix))
}

/// A static route: `INTERFACE=DESTINATION/PREFIX,GATEWAY`; the gateway 0.0.0.0 means none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Name or MAC address of the interface.
    pub interface: String,
    /// Where it leads; 0.0.0.0/0 is the default route.
    pub destination: Ipv4Addr,
    /// How many bits of it count.
    pub prefix: u8,
    /// Through whom; 0.0.0.0 for a network that is on the link.
    pub gateway: Ipv4Addr,
}

impl fmt::Display for Route {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, destination, prefix, gateway } = self;
        write!(to, "{interface}={destination}/{prefix},{gateway}")
    }
}

impl FromStr for Route {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parts = text.rsplit_once(',').map(|(network, gateway)| (network, gateway.parse().ok()));
        match parts.map(|(network, gateway)| (Address::from_str(network), gateway)) {
            Some((Ok(network), Some(gateway))) => Ok(Self {
                interface: network.interface,
                destination: network.address,
                prefix: network.prefix,
                gateway,
            }),
            _ => wrong(text, "INTERFACE=DESTINATION/PREFIX,GATEWAY, as eth0=0.0.0.0/0,192.0.2.1"),
        }
    }
}

/// Whom the app runs as: `UID` or `UID:GID`, in numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group; without one in the text it is the user's number.
    pub gid: u32,
}

impl fmt::Display for User {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}", self.uid, self.gid)
    }
}

impl FromStr for User {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => Ok(Self { uid, gid }),
            _ => wrong(text, "UID or UID:GID in numbers"),
        }
    }
}

/// What follows when the app has ended by itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnExit {
    /// The machine starts again.
    #[default]
    Reboot,
    /// The machine goes off.
    PowerOff,
    /// The app is started again, after a pause that doubles with each early end.
    Restart,
    /// The machine stops and stays on.
    Halt,
}

impl OnExit {
    const ALL: [(&str, Self); 4] = [
        ("reboot", Self::Reboot),
        ("powerOff", Self::PowerOff),
        ("restart", Self::Restart),
        ("halt", Self::Halt),
    ];
}

impl fmt::Display for OnExit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, value)| value == self);
        to.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for OnExit {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.map_or_else(|| wrong(text, "reboot, powerOff, restart or halt"), Ok)
    }
}

/// What a button or a key does to the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It goes off.
    PowerOff,
    /// It starts again.
    Reboot,
    /// Nothing.
    Ignore,
}

impl Ending {
    const ALL: [(&str, Self); 3] =
        [("powerOff", Self::PowerOff), ("reboot", Self::Reboot), ("ignore", Self::Ignore)];
}

impl fmt::Display for Ending {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, value)| value == self);
        to.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for Ending {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.map_or_else(|| wrong(text, "powerOff, reboot or ignore"), Ok)
    }
}
