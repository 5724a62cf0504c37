//! One file as it is shown.
//!
//! Prints nothing. Invariants: what is shown of a name holds no control characters, and a name that
//! is shown differently than it is can be told: only its escapes have backslashes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::engine::base::tree::{Attributes, Kind, Node, Time};

/// A name or path for people and JSON: what is no printable UTF-8 as `\xNN`, a backslash twice.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if is_harmful(c) => {
                    let mut buffer = [0; 4];
                    let bytes = c.encode_utf8(&mut buffer).as_bytes();
                    bytes.iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
                }
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// Whether a character steers a terminal or turns the direction of what is around it.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What `ls` calls a kind in its first column.
const fn letter(kind: &Kind) -> char {
    match kind {
        Kind::Directory(_) => 'd',
        Kind::File(_) => '-',
        Kind::Symlink(_) => 'l',
        Kind::CharDevice(_) => 'c',
        Kind::BlockDevice(_) => 'b',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
    }
}

/// The word for a kind in JSON.
pub(super) const fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Directory(_) => "directory",
        Kind::File(_) => "file",
        Kind::Symlink(_) => "symlink",
        Kind::CharDevice(_) => "charDevice",
        Kind::BlockDevice(_) => "blockDevice",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    }
}

/// `drwxr-xr-x`.
fn mode(node: &Node) -> String {
    let mode = node.meta.mode;
    let mut text = String::from(letter(&node.kind));
    for (shift, special, on, off) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => on,
            (false, true) => off,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A time as RFC 3339 has it; nanoseconds only where there are some.
pub(super) fn time(time: Time) -> String {
    let (days, second) = (time.seconds.div_euclid(86_400), time.seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let rest = if time.nanos == 0 { String::new() } else { format!(".{:09}", time.nanos) };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{rest}Z")
}

/// The day of the Gregorian calendar that lies so many days after 1970-01-01: years are counted from
/// March, so that the day which some years have more is the last one; 400 years are 146,097 days.
fn civil(days: i64) -> (i128, i128, i128) {
    // From 0000-03-01, which is 719,468 days earlier.
    let days = i128::from(days) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March on have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let late = i128::from(month >= 10);
    (era * 400 + year + late, month + 3 - 12 * late, day)
}

/// A line of `ls -l`: kind and mode, links, owner, group, size or device, time, name.
pub(super) fn line(node: &Node, name: &str) -> String {
    let meta = &node.meta;
    let size = match &node.kind {
        Kind::CharDevice(device) | Kind::BlockDevice(device) => {
            format!("{}:{}", device.major, device.minor)
        }
        _ => node.len().to_string(),
    };
    let target = match &node.kind {
        Kind::Symlink(target) => format!(" -> {}", shown(target)),
        _ => String::new(),
    };
    let moment = time(Time { nanos: 0, ..meta.modified });
    let (mode, links, uid, gid) = (mode(node), node.names(), meta.uid, meta.gid);
    format!("{mode} {links:>3} {uid:>5} {gid:>5} {size:>12} {moment} {name}{target}")
}

/// A node for machines.
pub(super) fn json(node: &Node, path: &[u8]) -> Value {
    let meta = &node.meta;
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| {
        map.insert(name.to_owned(), value);
    };
    put("path", shown(path).into());
    if str::from_utf8(path).is_err() {
        put("pathBase64", STANDARD.encode(path).into());
    }
    put("type", word(&node.kind).into());
    put("mode", format!("{:04o}", meta.mode).into());
    put("uid", meta.uid.into());
    put("gid", meta.gid.into());
    put("size", node.len().into());
    put("links", node.names().into());
    put("modified", time(meta.modified).into());
    match &node.kind {
        Kind::Symlink(target) => put("target", shown(target).into()),
        Kind::CharDevice(device) | Kind::BlockDevice(device) => {
            put("device", json!({"major": device.major, "minor": device.minor}));
        }
        _ => {}
    }
    if let Some(attributes) = &node.attributes {
        put("attributes", encoded(attributes));
    }
    Value::Object(map)
}

/// Attributes by their names, with values in base64.
pub(super) fn encoded(attributes: &Attributes) -> Value {
    let pairs = attributes.iter().map(|(name, value)| (shown(name), STANDARD.encode(value).into()));
    Value::Object(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        // date -u -d @N +%FT%TZ
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_001, "2023-11-14T22:13:21Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-2_203_891_200, "1900-03-01T00:00:00Z"),
            (17_179_869_183, "2514-05-30T01:53:03Z"),
        ] {
            assert_eq!(time(Time { seconds, nanos: 0 }), text);
        }
        assert_eq!(time(Time { seconds: 0, nanos: 5 }), "1970-01-01T00:00:00.000000005Z");
        for seconds in [i64::MIN, i64::MAX] {
            assert!(time(Time { seconds, nanos: 0 }).ends_with('Z'));
        }
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        for (name, text) in [
            (&b"a b"[..], "a b"),
            ("größe".as_bytes(), "größe"),
            (b"\x1b[2J", "\\x1b[2J"),
            (b"a\xffb\n", "a\\xffb\\x0a"),
            (b"a\\b", "a\\\\b"),
            ("\u{202e}x".as_bytes(), "\\xe2\\x80\\xaex"),
        ] {
            assert_eq!(shown(name), text);
        }
    }
}
