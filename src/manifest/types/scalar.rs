//! Single values with a form of their own: paths in a tree, modes, times.
//!
//! Does not look into a tree. Invariant: what is serialized is the canonical form, so that `755`
//! and `0755` hash alike.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An absolute path inside a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(pub String);

impl Path {
    /// The path with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether this is the top of the tree.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// Whether no part of it is empty, `.` or `..`, and it holds no NUL.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Some(parts) = self.0.strip_prefix('/') else { return false };
        let fine = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        parts.is_empty() || parts.split('/').all(fine)
    }
}

impl Default for Path {
    fn default() -> Self {
        Self::new("/")
    }
}

impl Deref for Path {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Path {
    fn schema_name() -> Cow<'static, str> {
        "Path".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 4096, "pattern": "^/"})
    }
}

/// Permissions, as four octal digits in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u16);

impl Mode {
    /// Of files where none is given.
    pub const FILE: Self = Self(0o644);
    /// Of directories where none is given.
    pub const DIRECTORY: Self = Self(0o755);
    /// Of devices where none is given.
    pub const DEVICE: Self = Self(0o600);
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let mode = octal.then(|| u16::from_str_radix(&text, 8).ok()).flatten();
        mode.map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is not a mode of 3 or 4 octal digits, such as \"0755\""
            ))
        })
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 4, "pattern": "^[0-7]{3,4}$"})
    }
}

/// A point in time, as RFC 3339 text in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub String);

impl Moment {
    /// Seconds since 1970 and nanoseconds of the next; none if the text is no time in UTC.
    #[must_use]
    pub fn since_epoch(&self) -> Option<(i64, u32)> {
        let (date, clock) = self.0.strip_suffix('Z')?.split_once('T')?;
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
        if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let digits =
            (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
        let nanoseconds = digits.then(|| format!("{fraction:0<9}").parse().ok()).flatten()?;
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Some((seconds, nanoseconds))
    }
}

fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(between);
    let mut found = [0; 3];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        let plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        *number = plain.then(|| part.parse().ok()).flatten()?;
    }
    parts.next().is_none().then_some(found)
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let years = before * 365 + before / 4 - before / 100 + before / 400 - i64::from(year == 0);
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    years + months + day - 1 - 719_162
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 30,
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_what_date_says() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("1970-01-01T00:00:00.5Z", Some((0, 500_000_000))),
            // date -u -d 2000-02-29T12:34:56Z +%s
            ("2000-02-29T12:34:56Z", Some((951_827_696, 0))),
            ("2038-01-19T03:14:08Z", Some((2_147_483_648, 0))),
            ("1969-12-31T23:59:59Z", Some((-1, 0))),
            ("2446-05-10T22:38:55Z", Some((15_032_385_535, 0))),
            ("0001-01-01T00:00:00Z", Some((-62_135_596_800, 0))),
            ("0000-12-31T00:00:00Z", Some((-62_135_683_200, 0))),
            ("9999-12-31T23:59:59.999999999Z", Some((253_402_300_799, 999_999_999))),
            ("2001-02-29T00:00:00Z", None),
            ("2000-13-01T00:00:00Z", None),
            ("2000-01-01T24:00:00Z", None),
            ("2000-01-01T00:00:60Z", None),
            ("2000-01-01T00:00:00", None),
            ("2000-01-01T00:00:00.Z", None),
            ("2000-01-01 00:00:00Z", None),
        ] {
            assert_eq!(Moment(text.to_owned()).since_epoch(), seconds, "{text}");
        }
    }

    #[test]
    fn modes_have_one_form() {
        let mode = |text: &str| serde_json::from_value::<Mode>(text.into()).ok();
        assert_eq!(mode("755"), Some(Mode(0o755)));
        assert_eq!(mode("4755"), Some(Mode(0o4755)));
        assert_eq!(serde_json::to_value(Mode(0o755)).unwrap(), "0755");
        for text in ["", "75", "0888", "00755", "+755", "0x7"] {
            assert_eq!(mode(text), None, "{text}");
        }
    }

    #[test]
    fn plain_paths() {
        for (text, plain) in [
            ("/", true),
            ("/a", true),
            ("/a/.b/...", true),
            ("/a/", false),
            ("//", false),
            ("/a/../b", false),
            ("/.", false),
            ("a", false),
            ("", false),
            ("/a\0", false),
        ] {
            assert_eq!(Path::new(text).is_plain(), plain, "{text:?}");
        }
    }
}
