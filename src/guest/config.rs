//! The configuration of `vmimage-init`: a value for each thing it does, and its text.
//!
//! The text has a line for each value, `KEY VALUE`; lines that begin with `#` and empty lines say
//! nothing. A key of a list may stand several times; `clear KEY` empties it, for what is read
//! later, as the kernel command line, adds to what was read earlier. There the same keys follow
//! `vmimage.`, with `=` before the value. Invariant: `Config::parse(&config.to_text())` is `config`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use super::line::{escape, unescape};
use super::values::{Address, Ending, Medium, OnExit, Route, User, ValueError};

/// All that the init can be told. The default is what an empty text means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The file that lists kernel modules in their order, one path and its parameters a line.
    pub modules: String,
    /// The host's name; none is left to DHCP and the seed.
    pub hostname: String,
    /// ISO 9660 media by volume id, mounted read-only.
    pub iso: Vec<Medium>,
    /// Disks with btrfs or ext2/3/4 by exact label, mounted for reading and writing.
    pub data: Vec<Medium>,
    /// How many seconds a disk may take to appear.
    pub disk_wait: u32,
    /// Whether interfaces without a static address ask for one by DHCP.
    pub dhcp: bool,
    /// How many seconds the app waits for addresses; DHCP goes on afterwards.
    pub dhcp_wait: u32,
    /// Static addresses.
    pub address: Vec<Address>,
    /// Static routes.
    pub route: Vec<Route>,
    /// Name servers, before those that DHCP gives.
    pub dns: Vec<Ipv4Addr>,
    /// Domains to search, before the one that DHCP gives.
    pub search: Vec<String>,
    /// Whether the clock is set by SNTP.
    pub sntp: bool,
    /// Time servers; without one, those that DHCP gives.
    pub ntp: Vec<SocketAddrV4>,
    /// How many seconds the app waits for the time.
    pub ntp_wait: u32,
    /// Seconds between two looks at the time.
    pub ntp_interval: u32,
    /// The program to run.
    pub app: String,
    /// Its arguments after its name.
    pub arg: Vec<String>,
    /// Its environment, `NAME=VALUE`.
    pub env: Vec<String>,
    /// Its working directory.
    pub directory: String,
    /// Whom it runs as.
    pub user: User,
    /// What follows when it ends.
    pub on_exit: OnExit,
    /// Seconds between asking the app to stop and killing it.
    pub stop_wait: u32,
    /// What the power button does.
    pub power_button: Ending,
    /// What CTRL-ALT-DEL does.
    pub ctrl_alt_del: Ending,
    /// Whether QEMU's fw_cfg and a NoCloud volume are looked at.
    pub seed: bool,
    /// A root filesystem to change into, as `root=` of the kernel names it; empty: stay.
    pub root: String,
    /// The program of that root filesystem to go on with.
    pub root_init: String,
    /// Whether that root filesystem and its partition grow to the disk's end first.
    pub grow: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            modules: "/etc/vmimage-init.modules".into(),
            hostname: String::new(),
            iso: Vec::new(),
            data: Vec::new(),
            disk_wait: 3,
            dhcp: true,
            dhcp_wait: 10,
            address: Vec::new(),
            route: Vec::new(),
            dns: Vec::new(),
            search: Vec::new(),
            sntp: true,
            ntp: Vec::new(),
            ntp_wait: 2,
            ntp_interval: 3600,
            app: String::new(),
            arg: Vec::new(),
            env: Vec::new(),
            directory: "/".into(),
            user: User::default(),
            on_exit: OnExit::default(),
            stop_wait: 10,
            power_button: Ending::PowerOff,
            ctrl_alt_del: Ending::Reboot,
            seed: true,
            root: String::new(),
            root_init: "/sbin/init".into(),
            grow: false,
        }
    }
}

/// An error with the line that it stands in, counted from 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Located {
    /// The line.
    pub line: usize,
    /// What is wrong there.
    pub error: ValueError,
}

impl fmt::Display for Located {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "line {}: {}", self.line, self.error)
    }
}

impl std::error::Error for Located {}

impl Config {
    /// Where the init looks for its configuration.
    pub const PATH: &str = "/etc/vmimage-init.conf";
    /// What precedes a key on the kernel command line.
    pub const PREFIX: &str = "vmimage.";

    /// The configuration that a text means.
    ///
    /// # Errors
    ///
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, Located> {
        let mut config = Self::default();
        config.read(text).into_iter().next().map_or(Ok(config), Err)
    }

    /// Takes over every line of `text` that can be understood and returns what is wrong with the
    /// others: a machine with a bad line should come up as far as it can.
    pub fn read(&mut self, text: &str) -> Vec<Located> {
        let mut wrong = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let set = unescape(value).map_err(ValueError).and_then(|value| self.set(key, &value));
            wrong.extend(set.err().map(|error| Located { line: number + 1, error }));
        }
        wrong
    }

    /// Sets one value, or adds it to its list.
    ///
    /// # Errors
    ///
    /// An unknown key, or a value that its key does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ValueError> {
        let set = match key {
            "modules" => text(&mut self.modules, value),
            "hostname" => text(&mut self.hostname, value),
            "iso" => add(&mut self.iso, value),
            "data" => add(&mut self.data, value),
            "disk-wait" => number(&mut self.disk_wait, value),
            "dhcp" => switch(&mut self.dhcp, value),
            "dhcp-wait" => number(&mut self.dhcp_wait, value),
            "address" => add(&mut self.address, value),
            "route" => add(&mut self.route, value),
            "dns" => add_ip(&mut self.dns, value),
            "search" => add_text(&mut self.search, value),
            "sntp" => switch(&mut self.sntp, value),
            "ntp" => add_server(&mut self.ntp, value),
            "ntp-wait" => number(&mut self.ntp_wait, value),
            "ntp-interval" => number(&mut self.ntp_interval, value),
            "app" => text(&mut self.app, value),
            "arg" => add_text(&mut self.arg, value),
            "env" => add_variable(&mut self.env, value),
            "directory" => text(&mut self.directory, value),
            "user" => one(&mut self.user, value),
            "on-exit" => one(&mut self.on_exit, value),
            "stop-wait" => number(&mut self.stop_wait, value),
            "power-button" => one(&mut self.power_button, value),
            "ctrl-alt-del" => one(&mut self.ctrl_alt_del, value),
            "seed" => switch(&mut self.seed, value),
            "root" => text(&mut self.root, value),
            "root-init" => text(&mut self.root_init, value),
            "grow" => switch(&mut self.grow, value),
            "clear" => self.clear(value),
            _ => Err(ValueError("there is no such key".into())),
        };
        set.map_err(|error| ValueError(format!("{key}: {error}")))
    }

    fn clear(&mut self, key: &str) -> Result<(), ValueError> {
        match key {
            "iso" => self.iso.clear(),
            "data" => self.data.clear(),
            "address" => self.address.clear(),
            "route" => self.route.clear(),
            "dns" => self.dns.clear(),
            "search" => self.search.clear(),
            "ntp" => self.ntp.clear(),
            "arg" => self.arg.clear(),
            "env" => self.env.clear(),
            _ => {
                return Err(found(key, "iso, data, address, route, dns, search, ntp, arg or env"));
            }
        }
        Ok(())
    }

    /// The text that means this configuration: what differs from the default, in a fixed order.
    pub fn to_text(&self) -> String {
        let plain = Self::default().values();
        let mut text = String::new();
        for ((key, values), (_, default)) in self.values().into_iter().zip(plain) {
            if values == default {
                continue;
            }
            for value in values {
                text.push_str(key);
                if !value.is_empty() {
                    text.push(' ');
                    text.push_str(&escape(&value));
                }
                text.push('\n');
            }
        }
        text
    }

    /// Every key with its values.
    fn values(&self) -> Vec<(&'static str, Vec<String>)> {
        let switch = |on: bool| vec![if on { "on" } else { "off" }.to_owned()];
        vec![
            ("modules", vec![self.modules.clone()]),
            ("hostname", vec![self.hostname.clone()]),
            ("iso", texts(&self.iso)),
            ("data", texts(&self.data)),
            ("disk-wait", vec![self.disk_wait.to_string()]),
            ("dhcp", switch(self.dhcp)),
            ("dhcp-wait", vec![self.dhcp_wait.to_string()]),
            ("address", texts(&self.address)),
            ("route", texts(&self.route)),
            ("dns", texts(&self.dns)),
            ("search", self.search.clone()),
            ("sntp", switch(self.sntp)),
            ("ntp", texts(&self.ntp)),
            ("ntp-wait", vec![self.ntp_wait.to_string()]),
            ("ntp-interval", vec![self.ntp_interval.to_string()]),
            ("app", vec![self.app.clone()]),
            ("arg", self.arg.clone()),
            ("env", self.env.clone()),
            ("directory", vec![self.directory.clone()]),
            ("user", vec![self.user.to_string()]),
            ("on-exit", vec![self.on_exit.to_string()]),
            ("stop-wait", vec![self.stop_wait.to_string()]),
            ("power-button", vec![self.power_button.to_string()]),
            ("ctrl-alt-del", vec![self.ctrl_alt_del.to_string()]),
            ("seed", switch(self.seed)),
            ("root", vec![self.root.clone()]),
            ("root-init", vec![self.root_init.clone()]),
            ("grow", switch(self.grow)),
        ]
    }
}

fn texts<T: fmt::Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn text(to: &mut String, value: &str) -> Result<(), ValueError> {
    value.clone_into(to);
    Ok(())
}

fn one<T: FromStr<Err = ValueError>>(to: &mut T, value: &str) -> Result<(), ValueError> {
    *to = value.parse()?;
    Ok(())
}

fn number(to: &mut u32, value: &str) -> Result<(), ValueError> {
    *to = value.parse().map_err(|_| found(value, "a number of seconds"))?;
    Ok(())
}

fn switch(to: &mut bool, value: &str) -> Result<(), ValueError> {
    *to = match value {
        "on" => true,
        "off" => false,
        _ => return Err(found(value, "on or off")),
    };
    Ok(())
}

fn found(value: &str, allowed: &str) -> ValueError {
    ValueError(format!("found {value:?}, allowed is {allowed}"))
}

fn add<T: FromStr<Err = ValueError>>(to: &mut Vec<T>, value: &str) -> Result<(), ValueError> {
    to.push(value.parse()?);
    Ok(())
}

fn add_ip(to: &mut Vec<Ipv4Addr>, value: &str) -> Result<(), ValueError> {
    to.push(value.parse().map_err(|_| found(value, "an IPv4 address"))?);
    Ok(())
}

fn add_server(to: &mut Vec<SocketAddrV4>, value: &str) -> Result<(), ValueError> {
    let plain = value.parse().map(|address| SocketAddrV4::new(address, 123));
    let allowed = "an IPv4 address, or one with a port as 192.0.2.1:123";
    to.push(plain.or_else(|_| value.parse()).map_err(|_| found(value, allowed))?);
    Ok(())
}

fn add_text(to: &mut Vec<String>, value: &str) -> Result<(), ValueError> {
    to.push(value.to_owned());
    Ok(())
}

fn add_variable(to: &mut Vec<String>, value: &str) -> Result<(), ValueError> {
    if value.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
        return Err(found(value, "NAME=VALUE"));
    }
    add_text(to, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: &str = "modules /m\nhostname h\niso /iso=TINY BOOT\niso /any=\n\
        data /persistent=tinyboot\ndisk-wait 7\ndhcp off\ndhcp-wait 1\n\
        address eth0=192.0.2.5/24\naddress 52:54:00:12:34:56=10.0.0.1/8\n\
        route eth0=0.0.0.0/0,192.0.2.1\ndns 192.0.2.53\nsearch example.org\nsntp off\n\
        ntp 192.0.2.123:123\nntp 192.0.2.124:1123\nntp-wait 5\nntp-interval 60\napp /app\n\
        arg --serve\narg\narg two\\nlines  \nenv A=B=C\nenv E=\ndirectory /srv\nuser 1000:100\n\
        on-exit restart\nstop-wait 3\npower-button ignore\nctrl-alt-del powerOff\nseed off\n\
        root LABEL=r\nroot-init /init\ngrow on\n";

    #[test]
    fn every_key_comes_back() {
        let config = Config::parse(EVERY).unwrap();
        assert_eq!(config.to_text(), EVERY);
        // A key that a new field forgot would be missing in EVERY.
        assert_eq!(Config::default().values().len(), 28);
        for (key, _) in config.values() {
            assert!(EVERY.lines().any(|line| line.split(' ').next() == Some(key)), "{key}");
        }
        assert_eq!(config.arg, ["--serve", "", "two\nlines  "]);
        assert_eq!(config.iso[0], Medium { path: "/iso".into(), label: "TINY BOOT".into() });
        assert_eq!(Config::parse("").unwrap(), Config::default());
        assert_eq!(Config::default().to_text(), "");
        assert_eq!(Config::parse("# no\n\n  \nuser 5").unwrap().user, User { uid: 5, gid: 5 });
        assert_eq!(Config::parse("ntp 192.0.2.9").unwrap().ntp[0].port(), 123);
    }

    #[test]
    fn a_list_is_emptied() {
        let config = Config::parse("arg a\nenv A=B\nclear arg\narg b\n").unwrap();
        assert_eq!(config.arg, ["b"]);
        assert_eq!(config.env, ["A=B"]);
    }

    #[test]
    fn errors_name_line_key_and_what_is_allowed() {
        for (text, message) in [
            ("\nnap /app", "line 2: nap: there is no such key"),
            ("dhcp yes", "line 1: dhcp: found \"yes\", allowed is on or off"),
            ("stop-wait -1", "line 1: stop-wait: found \"-1\", allowed is a number of seconds"),
            ("address eth0=1.2.3/8", "allowed is INTERFACE=ADDRESS/PREFIX"),
            ("address eth0=1.2.3.4/33", "allowed is INTERFACE=ADDRESS/PREFIX"),
            ("address =1.2.3.4/3", "allowed is INTERFACE=ADDRESS/PREFIX"),
            ("route eth0=1.2.3.4/3", "allowed is INTERFACE=DESTINATION/PREFIX,GATEWAY"),
            ("iso TINYBOOT", "allowed is PATH=LABEL with an absolute path"),
            ("env X", "env: found \"X\", allowed is NAME=VALUE"),
            ("user root", "allowed is UID or UID:GID in numbers"),
            ("on-exit panic", "allowed is reboot, powerOff, restart or halt"),
            ("ctrl-alt-del no", "allowed is powerOff, reboot or ignore"),
            ("ntp pool.example", "allowed is an IPv4 address"),
            ("clear app", "clear: found \"app\", allowed is iso, data, address"),
            ("arg a\\qb", "line 1: \\q is no escape"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text:?}: {error}");
        }
        let mut config = Config::default();
        assert_eq!(config.read("bad\napp /a\nworse\n").len(), 2);
        assert_eq!(config.app, "/a");
    }
}
