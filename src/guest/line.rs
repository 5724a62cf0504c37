//! Lines of the configuration: how a value is escaped, and how a kernel command line is split.
//!
//! Does not know which keys there are. Invariant: `unescape(&escape(text))` is `text`.

/// A value as one line: backslash, line feed and carriage return are escaped.
pub fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

/// The value that a line's text means.
///
/// # Errors
///
/// An escape that is none of `\\`, `\n` and `\r`.
pub fn unescape(text: &str) -> Result<String, String> {
    let mut value = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            value.push(letter);
            continue;
        }
        match letters.next() {
            Some('\\') => value.push('\\'),
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some(other) => return Err(format!("\\{other} is no escape; there are \\\\, \\n, \\r")),
            None => return Err("a backslash ends the line; write \\\\".into()),
        }
    }
    Ok(value)
}

/// The words of a kernel command line as key and value. Double quotes hold blanks together, as in
/// the kernel's own parser (`next_arg` in lib/cmdline.c), and are not part of the value.
pub fn command_line(text: &str) -> Vec<(String, String)> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            blank if blank.is_ascii_whitespace() && !quoted => {
                words.push(std::mem::take(&mut word))
            }
            other => word.push(other),
        }
    }
    words.push(word);
    let pairs = words.iter().filter(|word| !word.is_empty()).map(|word| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        (key.to_owned(), value.to_owned())
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_come_back() {
        for text in ["", "plain", "a\\b", "two\nlines\r\n", "\\n", " blanks "] {
            assert_eq!(unescape(&escape(text)).as_deref(), Ok(text));
            assert!(!escape(text).contains('\n'));
        }
        assert!(unescape("a\\t").unwrap_err().contains("\\t is no escape"));
        assert!(unescape("a\\").unwrap_err().contains("ends the line"));
    }

    #[test]
    fn a_command_line_is_split_as_the_kernel_does() {
        let words = command_line("quiet  vmimage.arg=\"a b\" \"vmimage.env=X=1 2\" root=LABEL=r\n");
        let expected =
            [("quiet", ""), ("vmimage.arg", "a b"), ("vmimage.env", "X=1 2"), ("root", "LABEL=r")];
        assert_eq!(words, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
