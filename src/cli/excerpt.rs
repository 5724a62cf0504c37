//! The piece of a document that an error message shows.
//!
//! Pure text. Invariant: a line of any length and content becomes one short line without control
//! characters, and the marks stand under the place.

/// At most so many characters of a line are shown.
const WIDTH: usize = 100;

/// So many characters before the place are shown if the line is cut.
const BEFORE: usize = 40;

/// A piece of a line, and the marks under the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The text.
    pub(super) text: String,
    /// Spaces before the marks.
    pub(super) indent: usize,
    /// Number of marks.
    pub(super) width: usize,
}

/// Cuts `line` around `column` (from 1).
#[must_use]
pub(super) fn excerpt(line: &str, column: usize) -> Excerpt {
    let chars: Vec<char> = line.chars().map(visible).collect();
    let at = column.saturating_sub(1).min(chars.len());
    let start = if chars.len() > WIDTH { at.saturating_sub(BEFORE) } else { 0 };
    let end = chars.len().min(start + WIDTH);
    let width = token_width(chars.get(at..).unwrap_or_default());
    let mut text = String::new();
    if start > 0 {
        text.push('…');
    }
    text.extend(chars.get(start..end).unwrap_or_default());
    if end < chars.len() {
        text.push('…');
    }
    let indent = at - start + usize::from(start > 0);
    Excerpt { text, indent, width: width.min(end.saturating_sub(at)).max(1) }
}

/// Length of the word, or quoted text, at the beginning of `rest`.
fn token_width(rest: &[char]) -> usize {
    let end = match rest {
        [quote @ ('"' | '\''), inner @ ..] => {
            inner.iter().position(|c| c == quote).map(|closing| closing + 2)
        }
        _ => rest.iter().position(|c| matches!(c, ' ' | ',' | ':' | '}' | ']' | '#')),
    };
    end.unwrap_or(rest.len()).max(1)
}

/// `c`, or what stands for it where it would move the cursor.
#[must_use]
pub(super) fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        // Marks that turn the direction of text.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(line: &str, column: usize) -> (String, String) {
        let Excerpt { text, indent, width } = excerpt(line, column);
        let marks = " ".repeat(indent) + &"^".repeat(width);
        (text, marks)
    }

    #[test]
    fn marks_stand_under_the_word() {
        let line = "    sector: {message: \"hi\"}";
        assert_eq!(drawn(line, 14).1, "             ^^^^^^^");
        assert_eq!(drawn(line, 23).1, "                      ^^^^");
        assert_eq!(drawn("size: 512M", 7).1, "      ^^^^");
        assert_eq!(drawn("", 1).1, "^");
        assert_eq!(drawn("ab", 99).1, "  ^");
    }

    #[test]
    fn long_and_hostile_lines_stay_short() {
        let line = format!("{}bad{}", "x ".repeat(500), " y".repeat(500));
        let (text, marks) = drawn(&line, 1001);
        assert!(text.chars().count() <= WIDTH + 2, "{text}");
        let under: String = text.chars().skip(marks.find('^').unwrap()).take(3).collect();
        assert_eq!(under, "bad");
        assert_eq!(excerpt("a\u{1b}[31mb\t\u{202e}", 1).text, "a\u{fffd}[31mb \u{fffd}");
    }
}
