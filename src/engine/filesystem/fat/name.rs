//! Names: what a long name may hold, and the short name that every entry has beside it.
//!
//! Source: FAT 1.03, "FAT Long Directory Entries" and "Name Limits and Character Sets". Numbers are
//! given in the order of the names, so Windows' hash of the long name is not used. Invariants: no
//! two short names of a directory are equal; a name that is a short name already keeps it.

use std::collections::{HashMap, HashSet};

use super::ondisk::{LONG_UNITS, LOWER_BASE, LOWER_EXTENSION};

/// A short name: eight bytes and three.
pub(super) type Short = [u8; 11];

/// What a name is on FAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// A short name, with the bits of `Entry::case`; nothing else is needed.
    Short(Short, u8),
    /// A long name whose letters are a short name when they are capitals.
    Cased(Short),
    /// A long name that needs a number.
    Long,
}

/// Why a name cannot be on FAT; none if it can.
pub(super) fn refusal(name: &[u8]) -> Option<String> {
    let Ok(text) = str::from_utf8(name) else {
        return Some("it is not UTF-8 and names are UTF-16 there".to_owned());
    };
    if let Some(bad) = text.chars().find(|c| *c < ' ' || "\"*/:<>?\\|\x7f".contains(*c)) {
        return Some(format!("it holds {bad:?}, which no name may hold there"));
    }
    let end = text.chars().next_back().filter(|c| matches!(c, '.' | ' '))?;
    Some(format!("it ends with {end:?}, which is dropped there"))
}

/// The form in which names of a directory must differ.
pub(super) fn folded(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().flat_map(char::to_uppercase).collect()
}

/// What `name` is. With `flags` small letters alone do not make a long name.
pub(super) fn fit(name: &[u8], flags: bool) -> Fit {
    let (base, extension) = match name.iter().rposition(|byte| *byte == b'.') {
        Some(0) => return Fit::Long,
        Some(dot) => (name.get(..dot).unwrap_or_default(), name.get(dot + 1..).unwrap_or_default()),
        None => (name, &[][..]),
    };
    let all = base.iter().chain(extension);
    if base.len() > 8 || extension.len() > 3 || !all.copied().all(|byte| plain(byte).is_some()) {
        return Fit::Long;
    }
    let short = join(&upper(base), &upper(extension));
    match (case(base), case(extension)) {
        (Some(false), Some(false)) => Fit::Short(short, 0),
        (Some(base), Some(extension)) if flags => {
            let bit = |is: bool, bit: u8| if is { bit } else { 0 };
            Fit::Short(short, bit(base, LOWER_BASE) | bit(extension, LOWER_EXTENSION))
        }
        _ => Fit::Cased(short),
    }
}

/// Entries that a name takes.
pub(super) fn slots(name: &[u8], flags: bool) -> u32 {
    if let Fit::Short(..) = fit(name, flags) {
        return 1;
    }
    let units = String::from_utf8_lossy(name).encode_utf16().count();
    // A name has at most 255 bytes, so no more than 20 entries.
    1 + u32::try_from(units.div_ceil(LONG_UNITS)).unwrap_or(u32::MAX)
}

/// Whether the letters are small; none if they are mixed.
fn case(part: &[u8]) -> Option<bool> {
    let lower = part.iter().any(u8::is_ascii_lowercase);
    let upper = part.iter().any(u8::is_ascii_uppercase);
    (!(lower && upper)).then_some(lower)
}

/// The byte in a short name, if it may be there.
fn plain(byte: u8) -> Option<u8> {
    let fine = byte.is_ascii_alphanumeric() || b"$%'-_@~`!(){}^#&".contains(&byte);
    fine.then(|| byte.to_ascii_uppercase())
}

fn upper(part: &[u8]) -> Vec<u8> {
    part.to_ascii_uppercase()
}

fn join(base: &[u8], extension: &[u8]) -> Short {
    let mut short = [b' '; 11];
    let (first, last) = short.split_at_mut(8);
    first.iter_mut().zip(base).for_each(|(to, from)| *to = *from);
    last.iter_mut().zip(extension).for_each(|(to, from)| *to = *from);
    short
}

/// "The Basis-Name Generation Algorithm"; dots before the last are left out, as Windows does.
fn basis(name: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let text = String::from_utf8_lossy(name);
    let text = text.trim_start_matches(['.', ' ']);
    let (base, extension) = text.rsplit_once('.').unwrap_or((text, ""));
    let convert = |part: &str, most: usize| -> Vec<u8> {
        let kept = part.chars().filter(|c| !matches!(c, ' ' | '.'));
        let bytes = kept.map(|c| u8::try_from(c).ok().and_then(plain).unwrap_or(b'_'));
        bytes.take(most).collect()
    };
    (convert(base, 6), convert(extension, 3))
}

/// Gives short names to the names of one directory.
#[derive(Debug, Default)]
pub(super) struct Shortener {
    used: HashSet<Short>,
    /// The next number of so many digits behind a beginning.
    next: HashMap<(Short, usize), u32>,
}

impl Shortener {
    /// With the names that keep theirs.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let keeps = |name| match fit(name, true) {
            Fit::Short(short, _) | Fit::Cased(short) => Some(short),
            Fit::Long => None,
        };
        Self { used: names.filter_map(keeps).collect(), next: HashMap::new() }
    }

    /// The short name of `name`; none if all numbers are taken.
    pub(super) fn short(&mut self, name: &[u8]) -> Option<Short> {
        if let Fit::Short(short, _) | Fit::Cased(short) = fit(name, true) {
            return Some(short);
        }
        let (base, extension) = basis(name);
        // "The Numeric-Tail Generation Algorithm": ~1 to ~999999.
        for digits in 1..=6 {
            let keep = base.get(..base.len().min(7 - digits)).unwrap_or_default();
            let ten = 10u32.pow(u32::try_from(digits).ok()?);
            let row = (join(keep, &extension), digits);
            let next = self.next.entry(row).or_insert(ten / 10);
            while *next < ten {
                let tail = format!("~{next}");
                *next += 1;
                let short = join(&[keep, tail.as_bytes()].concat(), &extension);
                if self.used.insert(short) {
                    return Some(short);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shorts(names: &[&str]) -> Vec<String> {
        let mut shortener = Shortener::new(names.iter().map(|name| name.as_bytes()));
        let text = |short: Short| String::from_utf8(short.to_vec()).unwrap();
        names.iter().map(|name| text(shortener.short(name.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn short_names_are_those_of_windows() {
        // FAT 1.03, "Name Limits and Character Sets", its examples, and names as `dir /x` shows.
        for (name, short) in [
            ("foo.bar", "FOO     BAR"),
            ("FOO.BAR", "FOO     BAR"),
            ("foo", "FOO        "),
            ("PICKLE.A", "PICKLE  A  "),
            ("prettybg.big", "PRETTYBGBIG"),
            ("The quick brown.fox", "THEQUI~1FOX"),
            (".bashrc", "BASHRC~1   "),
            ("a.tar.gz", "ATAR~1  GZ "),
            ("a+b.c", "A_B~1   C  "),
            ("Grüße.txt", "GR__E~1 TXT"),
            ("index.html", "INDEX~1 HTM"),
            ("日本", "__~1       "),
        ] {
            assert_eq!(shorts(&[name]), [short], "{name}");
        }
    }

    #[test]
    fn numbers_go_on_and_leave_names_that_are_there() {
        let names = ["longname-a", "longname-b", "LONGNA~2", "longname-c"];
        assert_eq!(shorts(&names), ["LONGNA~1   ", "LONGNA~3   ", "LONGNA~2   ", "LONGNA~4   "]);
        let many: Vec<_> = (0..12_000).map(|n| format!("longer than eight {n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let found = shorts(&many);
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), 12_000);
        assert_eq!(found[9], "LONGE~10   ");
        assert_eq!(found[11_999], "LO~12000   ");
    }

    #[test]
    fn what_needs_a_long_name() {
        for (name, flags, slots) in [
            ("README", false, 1),
            ("readme", false, 2),
            ("readme", true, 1),
            ("readme.TXT", true, 1),
            ("ReadMe", true, 2),
            ("exactly13char", false, 2),
            ("fourteen.chars", false, 3),
            (&"a".repeat(255), false, 21),
        ] {
            assert_eq!(super::slots(name.as_bytes(), flags), slots, "{name}");
        }
        assert_eq!(fit(b"ab.TXT", true), Fit::Short(*b"AB      TXT", LOWER_BASE));
    }

    #[test]
    fn names_that_windows_would_change_are_refused() {
        for (name, why) in [
            (&b"a:b"[..], "':'"),
            (b"a\\b", "'\\\\'"),
            (b"dot.", "ends with '.'"),
            (b"space ", "ends with ' '"),
            (b"bad\xff", "not UTF-8"),
            (b"line\n", "'\\n'"),
        ] {
            let found = refusal(name).unwrap();
            assert!(found.contains(why), "{found}");
        }
        for fine in ["+,;=[]", ".hidden", " leading", "ä"] {
            assert_eq!(refusal(fine.as_bytes()), None, "{fine}");
        }
        assert_eq!(folded("Ärger".as_bytes()), folded("äRGER".as_bytes()));
    }
}
