//! The one thing in JSON that YAML lacks: a character beyond 16 bits as two `\u` escapes.
//!
//! Does not parse. Invariant: a text that is not JSON comes back as it is, and line numbers stay.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// `text` with every escaped pair of surrogates replaced by its character, if it is JSON.
pub(super) fn without_surrogates(text: &str) -> Cow<'_, str> {
    let json = text.trim_start().starts_with('{') && text.contains("\\u");
    if !json || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let (replaced, taken) = match pair(escape) {
            Some(character) => (Some(character), 12),
            // A backslash and what it escapes, which may be another backslash.
            None => (None, 1 + escape.chars().nth(1).map_or(0, char::len_utf8)),
        };
        let (written, behind) = escape.split_at(taken);
        match replaced {
            Some(character) => out.push(character),
            None => out.push_str(written),
        }
        rest = behind;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of the two escapes that `text` begins with.
fn pair(text: &str) -> Option<char> {
    let unit = |from: usize| {
        let digits = text.get(from..from + 6)?.strip_prefix("\\u")?;
        digits
            .chars()
            .all(|c| c.is_ascii_hexdigit())
            .then(|| u16::from_str_radix(digits, 16).ok())?
    };
    char::decode_utf16([unit(0)?, unit(6)?]).next()?.ok().filter(|c| u32::from(*c) > 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_in_json_become_characters_and_nothing_else_changes() {
        // The letters are those of python3 -c 'import json; print(json.dumps("😀"))'.
        for (text, out) in [
            (r#"{"a": "\ud83d\ude00!"}"#, r#"{"a": "😀!"}"#),
            (r#"{"a": "\\ud83d\\ude00"}"#, r#"{"a": "\\ud83d\\ude00"}"#),
            (r#"{"a": "\u00e9\n\ud83d"}"#, r#"{"a": "\u00e9\n\ud83d"}"#),
            (r#"{a: '\ud83d\ude00'}"#, r#"{a: '\ud83d\ude00'}"#),
            (r#"a: "\ud83d\ude00""#, r#"a: "\ud83d\ude00""#),
        ] {
            assert_eq!(without_surrogates(text), out);
        }
    }
}
