//! The states of a client on one interface (RFC 2131 §4.4, figure 5), without INIT-REBOOT.
//!
//! It does not probe the address by ARP before it takes it. Invariant: after every call
//! `deadline` says when `tick` is next wanted, and never less than half a second ahead for ever.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::lease::Lease;
use super::message::{Heard, Said, kind, write};

/// What the caller is to do.
#[derive(Debug)]
pub(crate) enum Do {
    /// Send these bytes from port 68 to port 67.
    Send(To, Vec<u8>),
    /// Set this up; it may have been set up before.
    Bind(Lease),
    /// Take the address away: the lease is over.
    Unbind,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum To {
    /// To everyone, from 0.0.0.0, through a packet socket.
    Raw,
    /// To a server or 255.255.255.255, from the address of the lease.
    Udp(Ipv4Addr),
}

#[derive(Debug)]
enum State {
    Selecting,
    Requesting { offer: Lease },
    Bound,
    Renewing,
    Rebinding,
}

/// A client of one interface.
#[derive(Debug)]
pub(crate) struct Client {
    state: State,
    mac: [u8; 6],
    hostname: String,
    xid: u32,
    random: u32,
    /// When the first message of this exchange went out.
    began: Duration,
    tries: u32,
    deadline: Duration,
    lease: Option<Lease>,
    /// When the lease's request went out: its times count from there (RFC 2131 §4.4.5).
    granted: Duration,
}

impl Client {
    /// A client that asks at once: call `tick`. `random` distinguishes it from others.
    pub(crate) fn new(mac: [u8; 6], hostname: &str, random: u32, now: Duration) -> Self {
        Self {
            state: State::Selecting,
            mac,
            hostname: hostname.into(),
            xid: random,
            random,
            began: now,
            tries: 0,
            deadline: now,
            lease: None,
            granted: now,
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Whether answers come to a packet socket; else to the UDP socket of the address.
    #[cfg(test)]
    fn raw(&self) -> bool {
        matches!(self.state, State::Selecting | State::Requesting { .. })
    }

    /// Whether the next message is due because nobody answered the last one.
    pub(crate) fn waits(&self) -> bool {
        !matches!(self.state, State::Bound)
    }

    /// The link came up: ask again at once where an answer is missing.
    pub(crate) fn hurry(&mut self, now: Duration) {
        if self.waits() {
            self.tries = 0;
            self.deadline = now;
        }
    }

    /// What the time asks for.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Do> {
        if now < self.deadline {
            return Vec::new();
        }
        match &self.state {
            State::Selecting => self.discover(now),
            // RFC 2131 §4.4.1 lets the whole exchange begin again after some requests.
            State::Requesting { .. } if self.tries >= 4 => {
                self.begin(now, State::Selecting);
                self.discover(now)
            }
            State::Requesting { offer } => {
                let (wanted, server) = (offer.address, offer.server);
                self.again(now);
                vec![self.send(To::Raw, kind::REQUEST, now, Some(wanted), Some(server))]
            }
            State::Bound => {
                self.begin(now, State::Renewing);
                self.extend(now)
            }
            State::Renewing | State::Rebinding => self.extend(now),
        }
    }

    /// What a packet asks for; packets for others ask for nothing.
    pub(crate) fn receive(&mut self, now: Duration, bytes: &[u8]) -> Vec<Do> {
        let Some(heard) = Heard::read(bytes) else { return Vec::new() };
        if heard.xid != self.xid || heard.mac != self.mac {
            return Vec::new();
        }
        match (&self.state, heard.kind) {
            (State::Selecting, kind::OFFER) => {
                let Some(offer) = Lease::read(&heard) else { return Vec::new() };
                let (wanted, server) = (offer.address, offer.server);
                self.state = State::Requesting { offer };
                self.tries = 0;
                self.again(now);
                vec![self.send(To::Raw, kind::REQUEST, now, Some(wanted), Some(server))]
            }
            (State::Selecting | State::Bound, _) => Vec::new(),
            (_, kind::ACK) => Lease::read(&heard).map_or_else(Vec::new, |lease| self.bind(lease)),
            (_, kind::NAK) => {
                let bound = self.lease.take().is_some();
                self.begin(now, State::Selecting);
                // Not at once: a server that says no for ever must not be flooded.
                self.deadline = now + Duration::from_secs(1);
                if bound { vec![Do::Unbind] } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    /// The message that gives the address back, and where it goes.
    pub(crate) fn release(&mut self, now: Duration) -> Option<(Ipv4Addr, Vec<u8>)> {
        let lease = self.lease.take()?;
        self.xid = self.next();
        self.began = now;
        let bytes = write(&Said {
            kind: kind::RELEASE,
            xid: self.xid,
            seconds: 0,
            mac: self.mac,
            own: lease.address,
            wanted: None,
            server: Some(lease.server),
            hostname: "",
        });
        Some((lease.server, bytes))
    }

    fn discover(&mut self, now: Duration) -> Vec<Do> {
        self.again(now);
        vec![self.send(To::Raw, kind::DISCOVER, now, None, None)]
    }

    /// RENEWING and REBINDING: asks the own server, then any; RFC 2131 §4.4.5 halves what is left
    /// between two messages, down to a minute.
    fn extend(&mut self, now: Duration) -> Vec<Do> {
        let Some(lease) = &self.lease else {
            self.begin(now, State::Selecting);
            return self.discover(now);
        };
        let at = |seconds: u32| self.granted + Duration::from_secs(seconds.into());
        let (rebind, end) = (at(lease.rebind), lease.length.map(at));
        if end.is_some_and(|end| now >= end) {
            self.lease = None;
            self.begin(now, State::Selecting);
            let mut todo = vec![Do::Unbind];
            todo.extend(self.discover(now));
            return todo;
        }
        let rebinding = now >= rebind;
        let server = if rebinding { Ipv4Addr::BROADCAST } else { lease.server };
        let until =
            if rebinding { end.unwrap_or(rebind + Duration::from_hours(1)) } else { rebind };
        let left = until.saturating_sub(now);
        let pause = (left / 2).max(Duration::from_mins(1)).min(left);
        self.deadline = now + pause.max(Duration::from_secs(1));
        self.state = if rebinding { State::Rebinding } else { State::Renewing };
        vec![self.send(To::Udp(server), kind::REQUEST, now, None, None)]
    }

    fn bind(&mut self, lease: Lease) -> Vec<Do> {
        self.granted = self.began;
        self.deadline = self.granted + Duration::from_secs(lease.renew.into());
        self.state = State::Bound;
        self.lease = Some(lease.clone());
        vec![Do::Bind(lease)]
    }

    /// Begins an exchange of its own.
    fn begin(&mut self, now: Duration, state: State) {
        self.state = state;
        self.xid = self.next();
        self.began = now;
        self.tries = 0;
    }

    /// Sets the time of the next try: RFC 2131 §4.1 doubles from 4 s to 64 s, each ± 1 s. Ours
    /// begins at 1 s: a machine that starts in two should not wait for four.
    fn again(&mut self, now: Duration) {
        let seconds = 1_u64 << self.tries.min(6);
        self.tries = self.tries.saturating_add(1);
        let jitter = u64::from(self.next() % 500) * seconds.min(2) / 2;
        self.deadline = now + Duration::from_millis(seconds * 1000 - 250 + jitter);
    }

    /// Xorshift (Marsaglia 2003): enough to tell machines apart.
    fn next(&mut self) -> u32 {
        let mut word = self.random.max(1);
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        self.random = word;
        word
    }

    fn send(
        &self,
        to: To,
        kind: u8,
        now: Duration,
        wanted: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) -> Do {
        let own = match (to, &self.lease) {
            (To::Udp(_), Some(lease)) => lease.address,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let seconds = now.saturating_sub(self.began).as_secs();
        let seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
        let (xid, mac, hostname) = (self.xid, self.mac, self.hostname.as_str());
        Do::Send(to, write(&Said { kind, xid, seconds, mac, own, wanted, server, hostname }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::option;
    use super::super::message::tests::answer;
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn reply(client: &Client, kind: u8) -> Vec<u8> {
        let said = Said {
            kind,
            xid: client.xid,
            seconds: 0,
            mac: MAC,
            own: [10, 0, 2, 15].into(),
            wanted: None,
            server: None,
            hostname: "",
        };
        let length = 1000_u32.to_be_bytes();
        answer(&said, &[(option::SERVER, &SERVER.octets()), (option::LEASE, &length)])
    }

    fn sent(todo: &[Do]) -> (To, u8, &[u8]) {
        let [Do::Send(to, bytes)] = todo else { panic!("{todo:?}") };
        (*to, bytes[242], bytes)
    }

    fn bound() -> Client {
        let mut client = Client::new(MAC, "h", 7, at(0));
        assert_eq!(sent(&client.tick(at(0))).1, kind::DISCOVER);
        let offer = reply(&client, kind::OFFER);
        assert_eq!(sent(&client.receive(at(1), &offer)).1, kind::REQUEST);
        let ack = reply(&client, kind::ACK);
        assert!(matches!(client.receive(at(1), &ack)[..], [Do::Bind(_)]));
        client
    }

    #[test]
    fn the_usual_way() {
        let mut client = bound();
        assert!(!client.raw());
        // T1 is half of 1000 s, counted from the first message.
        assert_eq!(client.deadline(), at(500));
        assert!(client.tick(at(499)).is_empty());
        let todo = client.tick(at(500));
        let (to, kind, bytes) = sent(&todo);
        assert_eq!((to, kind), (To::Udp(SERVER), kind::REQUEST));
        assert_eq!(bytes[12..16], [10, 0, 2, 15], "ciaddr is the address");
        // RFC 2131 table 5: neither requested address nor server while renewing.
        assert!(Heard::read(bytes).is_none());
        assert_eq!(bytes[252], option::SIZE);
        let ack = reply(&client, kind::ACK);
        assert!(matches!(client.receive(at(501), &ack)[..], [Do::Bind(_)]));
        assert_eq!(client.deadline(), at(1000));
    }

    #[test]
    fn a_silent_server_is_asked_less_and_less_then_anybody_then_it_ends() {
        let mut client = bound();
        let (mut times, mut now) = (Vec::new(), at(500));
        let end = loop {
            let todo = client.tick(now);
            if let [Do::Unbind, Do::Send(To::Raw, _)] = &todo[..] {
                break now;
            }
            let (to, ..) = sent(&todo);
            times.push((now.as_secs(), to));
            now = client.deadline();
        };
        assert_eq!(end, at(1000));
        let to = |server| To::Udp(server);
        let every = Ipv4Addr::BROADCAST;
        // T2 = 875 by seven eighths.
        assert_eq!(
            times,
            [
                (500, to(SERVER)),
                (687, to(SERVER)),
                (781, to(SERVER)),
                (841, to(SERVER)),
                (875, to(every)),
                (937, to(every)),
                (997, to(every))
            ]
        );
        assert!(client.raw() && client.lease().is_none());
    }

    #[test]
    fn nobody_there() {
        let mut client = Client::new(MAC, "", 1, at(0));
        let mut now = at(0);
        for tries in 0..20_u32 {
            assert_eq!(sent(&client.tick(now)).1, kind::DISCOVER);
            let pause = (client.deadline() - now).as_millis();
            let expected = 1000 << tries.min(6);
            assert!((expected - 250..=expected + 250).contains(&(pause as i64)), "{tries} {pause}");
            now = client.deadline();
        }
        client.hurry(now - at(1));
        assert_eq!(sent(&client.tick(now - at(1))).1, kind::DISCOVER);
    }

    #[test]
    fn a_refused_request_begins_again_with_a_pause() {
        let mut client = bound();
        client.tick(at(500));
        let nak = reply(&client, kind::NAK);
        assert!(matches!(client.receive(at(501), &nak)[..], [Do::Unbind]));
        assert!(client.tick(at(501)).is_empty());
        assert_eq!(sent(&client.tick(at(502))).1, kind::DISCOVER);
    }

    #[test]
    fn answers_to_others_say_nothing() {
        let mut client = Client::new(MAC, "", 9, at(0));
        client.tick(at(0));
        let good = reply(&client, kind::OFFER);
        for at_byte in [0, 2, 4, 7, 28, 33, 236] {
            let mut bytes = good.clone();
            bytes[at_byte] ^= 1;
            assert!(client.receive(at(0), &bytes).is_empty(), "byte {at_byte}");
        }
        assert_eq!(sent(&client.receive(at(0), &good)).1, kind::REQUEST);
        // An offer that comes late does not change the choice.
        assert!(client.receive(at(0), &good).is_empty());
    }

    #[test]
    fn release_names_both_addresses() {
        let mut client = bound();
        let (to, bytes) = client.release(at(9)).unwrap();
        assert_eq!((to, bytes[242]), (SERVER, kind::RELEASE));
        assert_eq!(bytes[12..16], [10, 0, 2, 15]);
        assert_eq!(bytes[252..258], [option::SERVER, 4, 10, 0, 2, 2]);
        assert!(client.release(at(9)).is_none());
    }
}
