//! Which paths of an archive are wanted.
//!
//! `*` and `?` stand for bytes of a name, `[a-z]` and `[!a-z]` for one of some, `\` takes what
//! follows as it is, and `**` stands for any number of directories. A pattern begins at the
//! archive's root, with or without a slash before it, and takes what lies below along. Reads
//! nothing. Invariant: the time to judge a path grows with its length times the pattern's.

use std::fmt;

use crate::engine::base::tree::{Name, TreePath};
use crate::engine::base::{Error, Kind};

/// Patterns of one archive.
const MOST_LEN: usize = 4096;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: Box<str>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Any number of names.
    Any,
    /// One name.
    One(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// One byte.
    One,
    /// Any number of bytes.
    Many,
    /// One of these, or none of them.
    Set { ranges: Vec<(u8, u8)>, not: bool },
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Glob {
    /// The pattern of this text.
    pub fn new(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| {
            let shown: String = text.chars().take(300).collect();
            Error::new(Kind::Document, format!("the pattern \"{shown}\" is refused: {why}"))
        };
        if text.len() > MOST_LEN {
            return Err(refuse("it is longer than 4096 bytes"));
        }
        let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
        let steps = parts.map(|part| match part {
            "**" => Ok(Step::Any),
            ".." => Err(refuse("it leads upwards")),
            part => tokens(part.as_bytes()).map(Step::One).ok_or_else(|| refuse("a [ is open")),
        });
        let steps: Vec<_> = steps.collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), steps })
    }

    /// Whether it names `path` or a directory above it.
    #[must_use]
    pub fn matches(&self, path: &TreePath) -> bool {
        // What is left of the pattern behind each name, for all ways to get there at once.
        let mut ways = vec![false; self.steps.len() + 1];
        if let Some(first) = ways.first_mut() {
            *first = true;
        }
        self.pass_any(&mut ways);
        if ways.last() == Some(&true) {
            return true;
        }
        for name in path.names() {
            let mut next = vec![false; ways.len()];
            for (at, step) in self.steps.iter().enumerate() {
                if ways.get(at) != Some(&true) {
                    continue;
                }
                let to = match step {
                    Step::Any => at,
                    Step::One(tokens) if one(tokens, name) => at + 1,
                    Step::One(_) => continue,
                };
                if let Some(to) = next.get_mut(to) {
                    *to = true;
                }
            }
            ways = next;
            self.pass_any(&mut ways);
            if ways.last() == Some(&true) {
                return true;
            }
        }
        false
    }

    /// `**` stands for no name, too.
    fn pass_any(&self, ways: &mut [bool]) {
        for (at, step) in self.steps.iter().enumerate() {
            if *step == Step::Any
                && ways.get(at) == Some(&true)
                && let Some(next) = ways.get_mut(at + 1)
            {
                *next = true;
            }
        }
    }
}

fn tokens(mut text: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    while let Some((byte, rest)) = text.split_first() {
        text = rest;
        tokens.push(match byte {
            b'*' => Token::Many,
            b'?' => Token::One,
            b'[' => {
                let (set, rest) = set(text)?;
                text = rest;
                set
            }
            b'\\' => {
                let (byte, rest) = text.split_first()?;
                text = rest;
                Token::Byte(*byte)
            }
            byte => Token::Byte(*byte),
        });
    }
    Some(tokens)
}

/// The set behind a `[`, and what follows its `]`, which may also stand first in the set.
fn set(text: &[u8]) -> Option<(Token, &[u8])> {
    let (not, text) = match text.split_first()? {
        (b'!' | b'^', rest) => (true, rest),
        _ => (false, text),
    };
    let end = 1 + text.get(1..)?.iter().position(|byte| *byte == b']')?;
    let (mut inner, rest) = (text.get(..end)?, text.get(end + 1..)?);
    let mut ranges = Vec::new();
    while let Some((from, rest)) = inner.split_first() {
        (inner, ranges) = match rest {
            [b'-', to, rest @ ..] => (rest, [ranges, vec![(*from, *to)]].concat()),
            _ => (rest, [ranges, vec![(*from, *from)]].concat()),
        };
    }
    Some((Token::Set { ranges, not }, rest))
}

/// Whether the tokens stand for the name. On a mismatch only the last `*` takes a byte more.
fn one(tokens: &[Token], name: &Name) -> bool {
    let name = name.as_bytes();
    let (mut token, mut byte) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while byte < name.len() || token < tokens.len() {
        let fits = match (tokens.get(token), name.get(byte)) {
            (Some(Token::Many), _) => {
                back = Some((token, byte));
                token += 1;
                continue;
            }
            (Some(Token::Byte(wanted)), Some(found)) => wanted == found,
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Set { ranges, not }), Some(found)) => {
                ranges.iter().any(|(from, to)| (from..=to).contains(&found)) != *not
            }
            _ => false,
        };
        if fits {
            (token, byte) = (token + 1, byte + 1);
            continue;
        }
        match back {
            Some((many, taken)) if taken < name.len() => {
                back = Some((many, taken + 1));
                (token, byte) = (many + 1, taken + 1);
            }
            _ => return false,
        }
    }
    true
}

/// What of an archive is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these; none means all.
    pub include: Vec<Glob>,
    /// But not these.
    pub exclude: Vec<Glob>,
}

impl Selection {
    /// Whether `path` is wanted. Notes in `seen` which patterns of `include` named something.
    pub(super) fn takes(&self, path: &TreePath, seen: &mut [bool]) -> bool {
        let mut included = self.include.is_empty();
        for (at, glob) in self.include.iter().enumerate() {
            if glob.matches(path) {
                included = true;
                if let Some(seen) = seen.get_mut(at) {
                    *seen = true;
                }
            }
        }
        included && !self.exclude.iter().any(|glob| glob.matches(path))
    }

    /// Refuses a pattern of `include` that named nothing: mostly it is misspelt.
    pub(super) fn judge(&self, seen: &[bool]) -> Result<(), Error> {
        let missing = self.include.iter().zip(seen).find(|(_, seen)| !**seen);
        missing.map_or(Ok(()), |(glob, _)| {
            let message = format!("nothing in the archive is named by \"{glob}\"");
            Err(Error::new(Kind::Input, message))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).unwrap().matches(&TreePath::new(path.as_bytes()).unwrap())
    }

    #[test]
    fn patterns_name_paths_and_what_lies_below() {
        for (pattern, yes, no) in [
            ("usr/bin", &["usr/bin", "usr/bin/a/b"][..], &["usr", "usr/binx", "x/usr/bin"][..]),
            ("/usr/bin/strip", &["usr/bin/strip"], &["usr/bin/strip2"]),
            ("*.c", &["a.c", ".c", "a.c/x"], &["a.cc", "d/a.c"]),
            ("**/*.c", &["a.c", "d/a.c", "d/e/a.c"], &["a.h", "d"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b/z"], &["a", "a/x", "b"]),
            ("a/**", &["a", "a/b"], &["b"]),
            ("**", &["", "a"], &[]),
            ("/", &["", "a"], &[]),
            ("[a-c]?", &["ax", "cx"], &["dx", "a", "axx"]),
            ("[!a-c]", &["d"], &["a"]),
            ("[]x]", &["]", "x"], &["a"]),
            (r"\*", &["*"], &["a"]),
            ("a*b*c", &["abc", "axxbxxc", "abcbc"], &["ab", "abcd"]),
            ("+*", &["+BUILD"], &["BUILD"]),
        ] {
            yes.iter().for_each(|path| assert!(matches(pattern, path), "{pattern} {path}"));
            no.iter().for_each(|path| assert!(!matches(pattern, path), "{pattern} {path}"));
        }
        for bad in ["[a", "a/../b", r"a\", "[]"] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let name = "a".repeat(250);
        assert!(!matches(&format!("{}b", "a*".repeat(500)), &name));
        let deep = "a/".repeat(2000);
        assert!(!matches(&format!("{}b", "**/a/".repeat(200)), &deep));
    }
}
