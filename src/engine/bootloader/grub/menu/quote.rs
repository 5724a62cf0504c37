//! Words of GRUB's script language, and command lines as they reach a kernel.
//!
//! Knows no commands. Sources: GRUB 2.06 manual, "Quoting"; how `linux`, `multiboot` and `module`
//! join their words was measured with kernels that print what they get. Invariant: what a word is
//! made of is what GRUB's command gets, byte by byte.

use crate::engine::base::{Error, Kind};

/// Bytes that mean nothing to GRUB's script language wherever they stand in a word.
const fn plain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b',' | b':' | b'=' | b'_' | b'-' | b'+' | b'@' | b'%')
}

/// `bytes` as one word: as it is where it can be, else between single quotes, where only they
/// themselves mean something.
pub(super) fn word(bytes: &[u8]) -> Vec<u8> {
    if !bytes.is_empty() && bytes.iter().all(|byte| plain(*byte)) {
        return bytes.to_vec();
    }
    let mut word = vec![b'\''];
    for byte in bytes {
        match byte {
            b'\'' => word.extend(br"'\''"),
            other => word.push(*other),
        }
    }
    word.push(b'\'');
    word
}

/// Who gets a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taker {
    /// It takes double quotes around a value, and around a whole word just as well
    /// (Linux, lib/cmdline.c, `next_arg`).
    Linux,
    /// It takes bytes, and nobody knows what they mean to it.
    Multiboot,
}

/// The words of a command line, each with a space before it. Several spaces become one.
///
/// GRUB 2.06 joins words with single spaces, puts one with a space in it between double quotes, and a
/// backslash before each quote and backslash, whatever the script says (measured; its `\xHH` is no
/// way out, the backslash is doubled, too). So a quoted value goes to Linux as one quoted word, and
/// what would arrive changed is refused.
pub(super) fn arguments(line: &[u8], taker: Taker, what: &str) -> Result<Vec<u8>, Error> {
    if let Some(at) = line.iter().position(|byte| matches!(byte, 0 | b'\n' | b'\r')) {
        let message = format!("{what}: byte {at} of its arguments is a zero or a line end");
        return Err(Error::new(Kind::Document, message));
    }
    let mut quoted = false;
    let separates = |byte: &u8| {
        quoted ^= *byte == b'"' && taker == Taker::Linux;
        *byte == b' ' && !quoted
    };
    let mut words = Vec::new();
    for part in line.split(separates).filter(|part| !part.is_empty()) {
        let plain = if taker == Taker::Linux { unquoted(part) } else { part.to_vec() };
        if let Some(byte) = plain.iter().find(|byte| matches!(byte, b'\'' | b'"' | b'\\')) {
            let message = format!(
                "{what}: {:?} cannot be passed on by GRUB, which puts a backslash before {}",
                String::from_utf8_lossy(part),
                char::from(*byte)
            );
            return Err(Error::new(Kind::Document, message));
        }
        words.push(b' ');
        words.extend(word(&plain));
    }
    Ok(words)
}

/// A word of Linux without the double quotes around it or around its value.
fn unquoted(part: &[u8]) -> Vec<u8> {
    let value = part.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
    let inner = |text: &[u8]| -> Option<Vec<u8>> {
        let inner = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        (!inner.is_empty() && !inner.contains(&b'"')).then(|| inner.to_vec())
    };
    let (name, quoted) = part.split_at_checked(value).unwrap_or((part, &[]));
    let valued = || inner(quoted).map(|value| [name, &value].concat());
    inner(part).or_else(valued).unwrap_or_else(|| part.to_vec())
}

/// A path from the root of its filesystem on.
pub(super) fn path(path: &[u8], what: &str) -> Result<Vec<u8>, Error> {
    let refused = |why: &str| {
        let shown = String::from_utf8_lossy(path);
        Err(Error::new(Kind::Document, format!("{what}: the path {shown:?} {why}")))
    };
    if path.first() != Some(&b'/') {
        return refused("does not begin with /");
    }
    if path.contains(&0) || path.contains(&b'\n') {
        return refused("has a zero or a line end in it, which GRUB cannot read");
    }
    Ok(word(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_must_be() {
        let said = |bytes: &[u8]| String::from_utf8(word(bytes)).unwrap();
        assert_eq!(said(b"/boot/vmlinuz-6.1+x"), "/boot/vmlinuz-6.1+x");
        assert_eq!(said(b""), "''");
        assert_eq!(said(b"$(task-resume)"), "'$(task-resume)'");
        assert_eq!(said(b"it's"), r"'it'\''s'");
        assert_eq!(said(b"a;b{c}#d"), "'a;b{c}#d'");
    }

    #[test]
    fn what_grub_would_change_is_refused() {
        let said = |bytes: &[u8], taker| {
            arguments(bytes, taker, "x").map(|words| String::from_utf8(words).unwrap())
        };
        let linux = |bytes: &[u8]| said(bytes, Taker::Linux).unwrap();
        assert_eq!(linux(b""), "");
        assert_eq!(linux(b" root=/dev/sda1   quiet "), " root=/dev/sda1 quiet");
        assert_eq!(linux(br#"x="a b" "y=c d" z="e" $f"#), " 'x=a b' 'y=c d' z=e '$f'");
        for text in [r"c:\d", "it's", r#"a"b c"d"#, r#"x="a"#, "a\nb", "a\0"] {
            assert!(said(text.as_bytes(), Taker::Linux).is_err(), "{text}");
            assert!(said(text.as_bytes(), Taker::Multiboot).is_err(), "{text}");
        }
        assert!(said(br#"x="a b""#, Taker::Multiboot).is_err());
        assert_eq!(said(b"$(task-resume) -s", Taker::Multiboot).unwrap(), " '$(task-resume)' -s");
    }
}
