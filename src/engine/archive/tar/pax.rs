//! What an extended header of pax says about the next member.
//!
//! POSIX.1-2017, pax, "pax Extended Header"; the words of vendors as GNU tar, star and bsdtar write
//! them. Reads no body. Invariants: a record that is not exactly as long as it says is refused, and
//! a word that is not known changes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::acl;
use crate::engine::archive::Piece;
use crate::engine::base::tree::{Attributes, Time};

/// Bytes of the attributes of one member.
const MOST_ATTRIBUTES: usize = 1 << 20;

/// What is said. Numbers are those of the member, none where nothing is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Box<[u8]>>,
    pub(super) link: Option<Box<[u8]>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) modified: Option<Time>,
    pub(super) attributes: Attributes,
    pub(super) sparse: Sparse,
    /// Bytes of the attributes, names counted.
    held: usize,
}

/// What is said about a sparse file (GNU tar manual, "PAX 0.0", "0.1", "1.0").
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Box<[u8]>>,
    pub(super) real_size: Option<u64>,
    pub(super) count: Option<u64>,
    pub(super) map: Vec<Piece>,
    /// An offset whose length has not come yet.
    offset: Option<u64>,
}

impl Sparse {
    /// Whether anything was said.
    pub(super) const fn is_some(&self) -> bool {
        self.major.is_some() || self.real_size.is_some() || self.count.is_some()
    }
}

impl Pax {
    /// Takes all records of an extended header. Of a global one, what could not be true of more
    /// than one member is refused.
    pub(super) fn extend(&mut self, mut rest: &[u8], global: bool) -> Result<(), String> {
        while !rest.is_empty() {
            let Some((key, value, behind)) = record(rest) else {
                return Err("is an extension without \"LENGTH KEY=VALUE\" records".into());
            };
            let single = matches!(key, b"path" | b"linkpath" | b"size");
            if global && (single || key.starts_with(b"GNU.sparse.")) {
                let key = key.escape_ascii();
                return Err(format!("gives all members one {key}: only one member can have it"));
            }
            self.take(key, value)?;
            rest = behind;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let said = |what: Option<u64>| what.ok_or_else(|| wrong(key, value));
        // An empty value takes back what was said before.
        let given = |value: &[u8]| (!value.is_empty()).then(|| Box::from(value));
        let owner = || match value {
            b"" => Ok(None),
            _ => number(value)
                .and_then(|n| u32::try_from(n).ok())
                .map(Some)
                .ok_or_else(|| wrong(key, value)),
        };
        match key {
            b"path" => self.path = given(value),
            b"linkpath" => self.link = given(value),
            b"size" if value.is_empty() => self.size = None,
            b"size" => self.size = Some(said(number(value))?),
            b"uid" => self.uid = owner()?,
            b"gid" => self.gid = owner()?,
            b"mtime" if value.is_empty() => self.modified = None,
            b"mtime" => self.modified = Some(time(value).ok_or_else(|| wrong(key, value))?),
            b"SCHILY.acl.access" => self.acl(b"system.posix_acl_access", key, value)?,
            b"SCHILY.acl.default" => self.acl(b"system.posix_acl_default", key, value)?,
            b"SCHILY.filetype" if value == b"sparse" => {
                return Err("is a sparse file of star; those of GNU tar are allowed".into());
            }
            b"RHT.security.selinux" => {
                // The attribute ends with a zero byte.
                let value = [value, b"\0"].concat();
                self.attribute(b"security.selinux", &value, true)?;
            }
            _ => return self.vendor(key, value),
        }
        Ok(())
    }

    fn vendor(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            return self.attribute(name, value, true);
        }
        if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let name = percent(name).ok_or_else(|| wrong(key, value))?;
            let value = value.trim_ascii();
            let plain = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value));
            let plain = plain.map_err(|_| wrong(key, value))?;
            return self.attribute(&name, &plain, false);
        }
        match key.strip_prefix(b"GNU.sparse.") {
            Some(what) => self.sparse.take(what, value).ok_or_else(|| wrong(key, value)),
            None => Ok(()),
        }
    }

    /// Takes an attribute; a word that holds it as it is `wins` over one that encodes it.
    fn attribute(&mut self, name: &[u8], value: &[u8], wins: bool) -> Result<(), String> {
        if name.is_empty() || name.contains(&0) || name.len() > 255 {
            let name = name.get(..name.len().min(300)).unwrap_or_default().escape_ascii();
            return Err(format!("has an attribute named \"{name}\"; 1 to 255 bytes are allowed"));
        }
        self.held += name.len() + value.len();
        if self.held > MOST_ATTRIBUTES {
            let held = self.held;
            return Err(format!(
                "has attributes of {held} bytes; at most {MOST_ATTRIBUTES} are allowed"
            ));
        }
        if wins || !self.attributes.contains_key(name) {
            self.attributes.insert(name.into(), value.into());
        }
        Ok(())
    }

    fn acl(&mut self, name: &[u8], key: &[u8], text: &[u8]) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        let value = acl::attribute(text);
        let value = value.map_err(|why| format!("\"{}\" {why}", key.escape_ascii()))?;
        self.attribute(name, &value, false)
    }
}

impl Sparse {
    /// Takes a word behind `GNU.sparse.`. None if its value is wrong.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"major" => self.major = Some(number(value)?),
            b"minor" => self.minor = Some(number(value)?),
            b"name" => self.name = (!value.is_empty()).then(|| value.into()),
            b"size" | b"realsize" => self.real_size = Some(number(value)?),
            b"numblocks" => self.count = Some(number(value)?),
            b"offset" => match self.offset.replace(number(value)?) {
                None => {}
                Some(_) => return None,
            },
            b"numbytes" => {
                let at = self.offset.take()?;
                self.map.push(Piece { at, len: number(value)? });
            }
            b"map" => {
                let mut numbers = value.split(|byte| *byte == b',').map(number);
                self.map.clear();
                while let Some(at) = numbers.next() {
                    self.map.push(Piece { at: at?, len: numbers.next()?? });
                }
            }
            _ => {}
        }
        Some(())
    }
}

fn wrong(key: &[u8], value: &[u8]) -> String {
    let value = value.get(..value.len().min(40)).unwrap_or_default().escape_ascii();
    format!("says \"{}={value}\", which is no value of it", key.escape_ascii())
}

/// A number in decimal digits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, byte| match byte {
        b'0'..=b'9' => n.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Seconds with an optional fraction; digits behind the ninth are cut off.
fn time(value: &[u8]) -> Option<Time> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(number(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0u32, |n, byte| n * 10 + u32::from(byte - b'0'));
    Some(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos },
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

/// A name with `%41` for `A`.
fn percent(name: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            plain.push(*byte);
            continue;
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
        plain.push(u8::try_from(value).ok()?);
    }
    Some(plain)
}

/// The first record: `LENGTH KEY=VALUE` and a line feed, where the length counts itself. Also what
/// is behind it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(number(bytes.get(..space)?)?).ok()?;
    let record = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    if equals == 0 {
        return None;
    }
    Some((record.get(..equals)?, record.get(equals + 1..)?, bytes.get(len..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pax(text: &[u8]) -> Result<Pax, String> {
        let mut pax = Pax::default();
        pax.extend(text, false)?;
        Ok(pax)
    }

    /// A record: its length counts itself.
    fn record_of(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let digits = if rest.len() + 2 < 100 { 2 } else { 3 };
        [(rest.len() + digits).to_string().as_bytes(), &rest].concat()
    }

    #[test]
    fn records_are_taken_at_their_word() {
        let said = pax(b"12 path=a\nb\n11 size=12\n9 uid=12\n").unwrap();
        assert_eq!(said.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!((said.size, said.uid), (Some(12), Some(12)));
        assert_eq!(pax(b"11 path=ab\n8 path=\n").unwrap().path, None);
        for bad in [
            &b"10 path=ab\n"[..],
            b"12 path=ab\n",
            b"11 path=ab",
            b"99 path=ab\n",
            b"0 path=ab\n",
            b"-1 path=ab\n",
            b"7 path\n",
            b"5 =a\n",
            b"18446744073709551616 a=b\n",
            b"11 size=1x\n",
            b"11 size=-1\n",
            b"18 uid=4294967296\n",
            b"11 mtime=x\n",
        ] {
            assert!(pax(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert!(pax(b"11 size=1x\n").unwrap_err().contains("\"size=1x\""));
        assert!(pax(b"18 uid=4294967296\n").is_err_and(|e| !e.contains("LENGTH")), "its value");
        let global = Pax::default().extend(b"11 path=ab\n", true).unwrap_err();
        assert!(global.contains("gives all members one path"));
    }

    #[test]
    fn times_have_nanoseconds() {
        for (text, seconds, nanos) in [
            ("0", 0, 0),
            ("12.5", 12, 500_000_000),
            ("12.123456789123", 12, 123_456_789),
            ("-1", -1, 0),
            ("-1.25", -2, 750_000_000),
            ("5.", 5, 0),
        ] {
            assert_eq!(time(text.as_bytes()), Some(Time { seconds, nanos }), "{text}");
        }
        for bad in ["", "-", ".5", "1.x", "1e5", "9223372036854775808"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn attributes_come_in_two_spellings() {
        let records = [
            record_of("LIBARCHIVE.xattr.user%2Ea", b"aGk="),
            record_of("SCHILY.xattr.user.b", b"\0\nno\n"),
            record_of("LIBARCHIVE.xattr.user.b", b"aGk"),
            record_of("RHT.security.selinux", b"a:b"),
        ];
        let said = pax(&records.concat()).unwrap().attributes;
        let value = |name: &[u8]| said.get(name).map(|value| value.to_vec());
        assert_eq!(value(b"user.a").unwrap(), b"hi");
        assert_eq!(value(b"user.b").unwrap(), b"\0\nno\n");
        assert_eq!(value(b"security.selinux").unwrap(), b"a:b\0");
        assert_eq!(percent(b"a%2"), None);
    }
}
