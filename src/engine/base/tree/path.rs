//! Names and paths inside of a tree.
//!
//! Looks nothing up. Invariant: a path that was accepted leads downwards only.

use std::fmt;

use crate::engine::base::{Error, Kind};

/// Bytes of a name: the limit of ext, FFS, btrfs, squashfs and Linux itself.
pub const MAX_NAME: usize = 255;

/// Bytes of a path: Linux' PATH_MAX.
const MAX_PATH: usize = 4096;

/// A name of an entry: 1 to 255 bytes, no slash, no zero byte, not `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// A path from the root of a tree. No names: the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Vec<Name>);

impl Name {
    /// The name, if it is one.
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        let why = match bytes {
            b"" => "a name is empty",
            b"." | b".." => "a name is . or ..",
            _ if bytes.len() > MAX_NAME => "a name is longer than 255 bytes",
            _ if bytes.contains(&b'/') => "a name holds a slash",
            _ if bytes.contains(&0) => "a name holds a zero byte",
            _ => return Ok(Self(bytes.into())),
        };
        Err(refused(bytes, why))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl TreePath {
    /// The path of an archive's entry or a document: `a/b`, `/a/b`, `./a/b/`. Steps up are refused.
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_PATH {
            return Err(refused(bytes, "it is longer than 4096 bytes"));
        }
        if bytes.contains(&0) {
            return Err(refused(bytes, "it holds a zero byte"));
        }
        let steps = bytes.split(|byte| *byte == b'/').filter(|step| !matches!(*step, b"" | b"."));
        let names = steps.map(|step| match step {
            b".." => Err(refused(bytes, "it leads upwards")),
            step => Name::new(step),
        });
        Ok(Self(names.collect::<Result<_, _>>()?))
    }

    /// The names in order.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.0
    }

    /// The path of these names.
    #[must_use]
    pub fn from_names(names: &[Name]) -> Self {
        Self(names.to_vec())
    }

    /// The directory and the name in it; none for the root.
    #[must_use]
    pub fn split(&self) -> Option<(Self, &Name)> {
        let (name, parents) = self.0.split_last()?;
        Some((Self(parents.to_vec()), name))
    }

    /// The path without its first `count` names; none if nothing would be left.
    #[must_use]
    pub fn without(&self, count: usize) -> Option<Self> {
        let rest = self.0.get(count..).filter(|rest| !rest.is_empty() || count == 0)?;
        Some(Self(rest.to_vec()))
    }

    /// The path of `below` in this directory.
    #[must_use]
    pub fn append(&self, below: &Self) -> Self {
        Self(self.0.iter().chain(&below.0).cloned().collect())
    }

    /// The path of `name` in this directory.
    #[must_use]
    pub fn join(&self, name: &Name) -> Self {
        let mut names = self.0.clone();
        names.push(name.clone());
        Self(names)
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

fn refused(path: &[u8], why: &str) -> Error {
    let shown = path.get(..path.len().min(300)).unwrap_or_default().escape_ascii();
    Error::new(Kind::Input, format!("the path \"{shown}\" is refused: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_downwards() {
        for (given, shown) in [
            ("a/b", "/a/b"),
            ("/a//b/", "/a/b"),
            ("./a/./b", "/a/b"),
            (".", "/"),
            ("/", "/"),
            ("", "/"),
            ("a\\..\\b", "/a\\\\..\\\\b"),
        ] {
            assert_eq!(TreePath::new(given.as_bytes()).unwrap().to_string(), shown);
        }
        for (given, why) in [
            (&b"../x"[..], "upwards"),
            (b"/a/../b", "upwards"),
            (b"a/..", "upwards"),
            (b"a\0b", "zero byte"),
        ] {
            let error = TreePath::new(given).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(TreePath::new(&[b'a'; 255]).is_ok());
        assert!(TreePath::new(&[b'a'; 256]).unwrap_err().to_string().contains("255 bytes"));
        assert!(TreePath::new(&b"a/".repeat(2049)).unwrap_err().to_string().contains("4096"));
    }

    #[test]
    fn paths_are_cut_and_joined() {
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        assert_eq!(path("a/b/c").without(2), Some(path("c")));
        assert_eq!(path("a/b").without(2), None);
        assert_eq!(path("/").without(0), Some(path("/")));
        assert_eq!(path("/").without(1), None);
        assert_eq!(path("a/b").append(&path("c")), path("a/b/c"));
    }

    #[test]
    fn names_are_ordered_by_bytes() {
        let name = |bytes: &[u8]| Name::new(bytes).unwrap();
        let mut names = [name(b"b"), name(b"\xff"), name(b"B"), name(b"a.b"), name(b"a")];
        names.sort();
        assert_eq!(format!("{names:?}"), r#"["B", "a", "a.b", "b", "\xff"]"#);
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert!(Name::new(bad).is_err());
        }
    }
}
