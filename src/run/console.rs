//! What a serial line carries, as text that can be searched.
//!
//! Prints nothing. Invariant: the memory it takes does not grow with what the machine says.

use regex_lite::Regex;

/// A match reaches back over at least so much text.
const REACH: usize = 8 << 10;

/// So much is kept, at most twice.
const KEPT: usize = 32 << 10;

/// Where in an escape sequence the line is (ECMA-48, 5.4: CSI, parameters, intermediates, final).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    /// In none.
    #[default]
    None,
    /// Behind ESC.
    Begun,
    /// Behind ESC [.
    Sequence,
}

/// The text so far: without carriage returns and escape sequences, UTF-8 where it is that.
#[derive(Clone, Debug, Default)]
pub struct Console {
    text: String,
    /// Bytes that may be the beginning of a character.
    begun: Vec<u8>,
    escape: Escape,
    /// Text before this was matched by earlier steps.
    taken: usize,
    /// Text before this was searched without a match.
    searched: usize,
}

impl Console {
    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
        if self.text.len() > 2 * KEPT {
            let cut = boundary(&self.text, self.text.len() - KEPT);
            self.text.drain(..cut);
            self.taken = self.taken.saturating_sub(cut);
            self.searched = self.searched.saturating_sub(cut);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.escape = match (self.escape, byte) {
            (_, 0x1b) => Escape::Begun,
            (Escape::Begun, b'[') => Escape::Sequence,
            (Escape::Begun, _) => Escape::None,
            (Escape::Sequence, 0x20..=0x3f) => Escape::Sequence,
            (Escape::Sequence, _) => Escape::None,
            (Escape::None, byte) => {
                self.plain(byte);
                Escape::None
            }
        };
    }

    fn plain(&mut self, byte: u8) {
        match (byte, self.begun.is_empty()) {
            (b'\r' | 0, true) => return,
            (0..=0x7f, true) => return self.text.push(char::from(byte)),
            _ => self.begun.push(byte),
        }
        match std::str::from_utf8(&self.begun) {
            Ok(text) => self.text.push_str(text),
            // The character goes on.
            Err(e) if e.error_len().is_none() => return,
            Err(_) => {
                self.text.push(char::REPLACEMENT_CHARACTER);
                if byte.is_ascii() && byte != b'\r' {
                    self.text.push(char::from(byte));
                }
            }
        }
        self.begun.clear();
    }

    /// Whether the text behind the last match has one of `pattern`; then later searches begin behind
    /// it.
    pub fn take(&mut self, pattern: &Regex) -> bool {
        let from = self.searched.saturating_sub(REACH).max(self.taken);
        // From the beginning of a line, so that ^ means one.
        let before = self.text.get(..boundary(&self.text, from)).unwrap_or_default();
        let from = before.rfind('\n').map_or(0, |at| at + 1).max(self.taken);
        let found = self.text.get(from..).and_then(|text| pattern.find(text));
        match found {
            Some(found) => {
                self.taken = from + found.end();
                self.searched = self.taken;
                true
            }
            None => {
                self.searched = self.text.len();
                false
            }
        }
    }

    /// The last lines, at most `count`.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let mut lines: Vec<_> =
            self.text.lines().rev().filter(|line| !line.trim().is_empty()).take(count).collect();
        lines.reverse();
        lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// The first boundary of characters at or behind `at`.
fn boundary(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use regex_lite::RegexBuilder;

    use super::*;

    fn pattern(text: &str) -> Regex {
        RegexBuilder::new(text).multi_line(true).build().unwrap()
    }

    #[test]
    fn escapes_and_returns_are_left_out() {
        let mut console = Console::default();
        console.push(b"\x1b[2J\x1b[01;01HUEFI \x1b[1m\x1b[33mShell\r\n\x1bcok \xc3");
        console.push(b"\xa4 \xff! \xe2\x82\rx\0y\n");
        assert_eq!(console.text, "UEFI Shell\nok ä \u{fffd}! \u{fffd}xy\n");
    }

    #[test]
    fn matches_are_taken_in_order() {
        let mut console = Console::default();
        console.push(b"boot\r\nlog");
        assert!(!console.take(&pattern("^login: $")));
        console.push(b"in: ");
        assert!(console.take(&pattern("^login: $")));
        assert!(!console.take(&pattern("login")), "it was taken");
        console.push(b"root\r\nlogin again\r\n");
        assert!(console.take(&pattern("^login a")));
        assert_eq!(console.last_lines(2), ["login: root", "login again"]);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_missed() {
        let mut console = Console::default();
        let wanted = pattern("^line 7777 ");
        for number in 0..20_000 {
            console.push(format!("line {number} é\r\n").as_bytes());
            if number % 100 == 0 {
                assert_eq!(console.take(&wanted), number == 7800);
            }
        }
        assert!(console.text.len() <= 2 * KEPT + 100);
        // Without a line break the beginning is still found over two pushes.
        console.push(&[b'x'; 100_000]);
        assert!(!console.take(&pattern("ab")));
        console.push(b"a");
        assert!(!console.take(&pattern("ab")));
        console.push(b"b");
        assert!(console.take(&pattern("ab")));
    }
}
