//! Names as ISO 9660 and Joliet allow them.
//!
//! Invariants: the names of a directory are different, and depend on its entries alone; ECMA-119
//! 7.5 and 7.6 for the primary tree, the Joliet specification for the second one.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::Level;

/// The version that ends every file's name.
const VERSION: &[u8] = b";1";

/// How names of one tree look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// Upper case letters, digits and `_`.
    Primary(Level),
    /// UCS-2, at most this many characters.
    Joliet(usize),
}

/// A name in two parts, in units: bytes, or UCS-2 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Parts {
    stem: Vec<u16>,
    /// Without its dot; none where the name shows no dot.
    extension: Option<Vec<u16>>,
}

/// Gives out names of one directory.
#[derive(Debug)]
pub(super) struct Namer {
    naming: Naming,
    used: HashSet<Vec<u8>>,
    /// The next number for names that became the same.
    next: HashMap<Vec<u8>, u32>,
}

impl Namer {
    pub(super) fn new(naming: Naming) -> Self {
        Self { naming, used: HashSet::new(), next: HashMap::new() }
    }

    /// A name for `name` that no other entry has.
    pub(super) fn name(&mut self, name: &[u8], directory: bool) -> Vec<u8> {
        let mut parts = self.parts(name, directory);
        let plain = self.bytes(&parts, directory);
        if self.used.insert(plain.clone()) {
            return plain;
        }
        // One counter for all names that share the part which is kept, so that many equal ones cost
        // no search.
        let whole = parts.stem.clone();
        let mut digits = 1;
        loop {
            let room = self.room(&parts, directory).saturating_sub(digits);
            parts.stem = cut(&whole, room).to_vec();
            let key = [digits.to_string().into_bytes(), self.bytes(&parts, directory)].concat();
            let number = self.next.entry(key).or_insert(0);
            let text = format!("{number:0digits$}");
            if text.len() > digits {
                digits += 1;
                continue;
            }
            *number += 1;
            parts.stem.extend(text.bytes().map(u16::from));
            let bytes = self.bytes(&parts, directory);
            if self.used.insert(bytes.clone()) {
                return bytes;
            }
        }
    }

    /// Units that the stem may have beside the extension.
    fn room(&self, parts: &Parts, directory: bool) -> usize {
        let extension = parts.extension.as_ref().map_or(0, Vec::len);
        match self.naming {
            Naming::Primary(Level::One) => 8,
            Naming::Primary(_) if directory => 31,
            Naming::Primary(_) => 30 - extension,
            Naming::Joliet(most) => most - extension - usize::from(parts.extension.is_some()),
        }
    }

    /// The name, made of allowed units and short enough.
    fn parts(&self, name: &[u8], directory: bool) -> Parts {
        let units: Vec<u16> = match self.naming {
            Naming::Primary(_) => name.iter().map(|byte| u16::from(primary(*byte))).collect(),
            Naming::Joliet(_) => String::from_utf8_lossy(name)
                .chars()
                .map(joliet)
                .collect::<String>()
                .encode_utf16()
                .collect(),
        };
        let dot = units.iter().rposition(|unit| *unit == u16::from(b'.')).filter(|at| *at > 0);
        let (stem, extension) = match dot {
            Some(at) if !directory => units.split_at(at),
            _ => (units.as_slice(), &[][..]),
        };
        let mut extension = extension.get(1..).map(<[u16]>::to_vec);
        let mut stem = stem.to_vec();
        if let Naming::Primary(level) = self.naming {
            // One dot at most, and in files always one.
            stem.iter_mut().filter(|unit| **unit == u16::from(b'.')).for_each(underline);
            let most = if level == Level::One { 3 } else { 30 - stem.len().clamp(1, 8) };
            let kept = extension.take().unwrap_or_default();
            extension = (!directory).then(|| cut(&kept, most).to_vec());
        } else if let Some(kept) = &mut extension {
            // An extension that is too long for one is a part of the name.
            *kept = cut(kept, 32).to_vec();
        }
        let mut parts = Parts { stem, extension };
        parts.stem = cut(&parts.stem, self.room(&parts, directory)).to_vec();
        parts
    }

    fn bytes(&self, parts: &Parts, directory: bool) -> Vec<u8> {
        let mut units = parts.stem.clone();
        if let Some(extension) = &parts.extension {
            units.push(u16::from(b'.'));
            units.extend(extension);
        }
        if !directory {
            units.extend(VERSION.iter().map(|byte| u16::from(*byte)));
        }
        match self.naming {
            Naming::Primary(_) => units.iter().map(|unit| unit.to_le_bytes()[0]).collect(),
            Naming::Joliet(_) => units.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        }
    }
}

fn underline(unit: &mut u16) {
    *unit = u16::from(b'_');
}

/// ECMA-119 7.4.1: d-characters, and the dot.
const fn primary(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' => byte.to_ascii_uppercase(),
        _ => b'_',
    }
}

/// Joliet, "Allowed Character Set".
const fn joliet(unit: char) -> char {
    match unit {
        '\0'..='\x1f' | '*' | '/' | ':' | ';' | '?' | '\\' | char::REPLACEMENT_CHARACTER => '_',
        _ => unit,
    }
}

/// The first `most` units, without the first half of a pair of surrogates at their end.
fn cut(units: &[u16], most: usize) -> &[u16] {
    let kept = units.get(..most).unwrap_or(units);
    match kept.split_last() {
        Some((0xd800..=0xdbff, front)) if kept.len() < units.len() => front,
        _ => kept,
    }
}

/// The order of a directory's records: ECMA-119 10.3, name before extension, both as if padded with
/// spaces, which are less than all other characters. Joliet's names are compared whole.
pub(super) fn order(naming: Naming, one: &[u8], other: &[u8]) -> Ordering {
    match naming {
        Naming::Joliet(_) => without_version_wide(one).cmp(without_version_wide(other)),
        Naming::Primary(_) => halves(one).cmp(&halves(other)),
    }
}

fn without_version_wide(id: &[u8]) -> &[u8] {
    id.strip_suffix(b"\0;\x001").unwrap_or(id)
}

fn halves(id: &[u8]) -> (&[u8], &[u8]) {
    let id = id.strip_suffix(VERSION).unwrap_or(id);
    let dot = id.iter().position(|byte| *byte == b'.').unwrap_or(id.len());
    (id.get(..dot).unwrap_or_default(), id.get(dot..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(naming: Naming, directory: bool, given: &[&str]) -> Vec<String> {
        let mut namer = Namer::new(naming);
        let wide = matches!(naming, Naming::Joliet(_));
        let text = |id: Vec<u8>| {
            if !wide {
                return String::from_utf8(id).unwrap();
            }
            let units: Vec<u16> =
                id.chunks(2).map(|pair| u16::from_be_bytes(pair.try_into().unwrap())).collect();
            String::from_utf16(&units).unwrap()
        };
        given.iter().map(|name| text(namer.name(name.as_bytes(), directory))).collect()
    }

    #[test]
    fn level_one_has_eight_and_three() {
        let given =
            ["readme", "read.me.first", ".profile", "index.html", "index.htm", "é", "LONGNAMES"];
        assert_eq!(
            names(Naming::Primary(Level::One), false, &given),
            [
                "README.;1",
                "READ_ME.FIR;1",
                "_PROFILE.;1",
                "INDEX.HTM;1",
                "INDEX0.HTM;1",
                "__.;1",
                "LONGNAME.;1"
            ]
        );
        assert_eq!(
            names(Naming::Primary(Level::One), true, &["a.b.c", "directory1", "directory2"]),
            ["A_B_C", "DIRECTOR", "DIRECTO0"]
        );
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let long = "x".repeat(255);
        let given: Vec<String> = (0..1200).map(|n| format!("{long}{n}.conf")).collect();
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        for (naming, most) in [(Naming::Primary(Level::Three), 33), (Naming::Joliet(64), 66)] {
            let made = names(naming, false, &given);
            assert_eq!(made.iter().collect::<HashSet<_>>().len(), given.len());
            assert!(
                made.iter().all(|name| name.len() <= most && name.ends_with(".CONF;1")
                    || name.ends_with(".conf;1")),
                "{made:?}"
            );
            assert_eq!(made[0].len(), most);
        }
        let tail = format!("a.{long}");
        let made = names(Naming::Primary(Level::Two), false, &[&tail]);
        assert_eq!(made[0].len(), 33);
    }

    #[test]
    fn joliet_keeps_what_it_can() {
        let pair = format!("{}\u{1f600}", "a".repeat(63));
        assert_eq!(
            names(Naming::Joliet(64), false, &["größe.tar.gz", "a:b*c", ".x", &pair]),
            ["größe.tar.gz;1", "a_b_c;1", ".x;1", &format!("{};1", "a".repeat(63))]
        );
    }

    #[test]
    fn records_are_ordered_as_if_padded() {
        let naming = Naming::Primary(Level::Two);
        let mut ids = [&b"FOO.1;1"[..], b"FOO.;1", b"FOO", b"FO.Z;1", b"FOO1.A;1"];
        ids.sort_by(|a, b| order(naming, a, b));
        assert_eq!(ids, [&b"FO.Z;1"[..], b"FOO", b"FOO.;1", b"FOO.1;1", b"FOO1.A;1"]);
    }
}
