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

/// The words of a command line as a kernel shall get it, each with a space before it.
///
/// GRUB 2.06 joins words with single spaces, puts one with a space in it between double quotes, and a
/// backslash before each quote and backslash; but of `\xHH` it makes the byte with that number. So
/// those bytes, and spaces that are more than one, are written that way.
pub(super) fn arguments(line: &[u8]) -> Vec<u8> {
    let mut words: Vec<Vec<u8>> = vec![Vec::new()];
    for byte in line {
        match (byte, words.last_mut()) {
            (b' ', Some(last)) if !last.is_empty() && !last.ends_with(SPACE) => {
                words.push(Vec::new());
            }
            (b' ', Some(last)) => last.extend(SPACE),
            (b'\'' | b'"' | b'\\', Some(last)) => {
                last.extend(format!("\\x{byte:02x}").into_bytes())
            }
            (other, Some(last)) => last.push(*other),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words.iter().flat_map(|text| [b" ".to_vec(), word(text)]).flatten().collect()
}

/// A space that is not between two words.
const SPACE: &[u8] = br"\x20";

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

/// Refuses bytes that end a command line or GRUB's own line.
pub(super) fn line(bytes: &[u8], what: &str) -> Result<(), Error> {
    match bytes.iter().position(|byte| matches!(byte, 0 | b'\n' | b'\r')) {
        None => Ok(()),
        Some(at) => {
            let message =
                format!("{what}: byte {at} is a zero or a line end, which GRUB cannot pass on");
            Err(Error::new(Kind::Document, message))
        }
    }
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
    fn what_grub_would_change_is_written_as_numbers() {
        let said = |bytes: &[u8]| String::from_utf8(arguments(bytes)).unwrap();
        assert_eq!(said(b""), "");
        assert_eq!(said(b"root=/dev/sda1 quiet"), " root=/dev/sda1 quiet");
        assert_eq!(said(br#"x="a b" c:\d"#), r" 'x=\x22a' 'b\x22' 'c:\x5cd'");
        assert_eq!(said(b" a   b "), r" '\x20a' '\x20\x20b'");
    }
}
