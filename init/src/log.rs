//! The log: one line for each event on the console, `vmimage-init: LEVEL WHAT key=value …`.
//!
//! Keeps nothing. Invariant: a line has no line feed but its last, and values with blanks or
//! quotes stand in double quotes, so that the lines can be cut by a program.

use std::fmt::Write as _;

/// Something went as it should.
pub(crate) fn info(what: &str, values: &[(&str, &dyn std::fmt::Display)]) {
    put("info", what, values);
}

/// Something is missing or odd; the machine goes on.
pub(crate) fn warn(what: &str, values: &[(&str, &dyn std::fmt::Display)]) {
    put("warn", what, values);
}

/// Something that was asked for did not work.
pub(crate) fn error(what: &str, values: &[(&str, &dyn std::fmt::Display)]) {
    put("error", what, values);
}

fn put(level: &str, what: &str, values: &[(&str, &dyn std::fmt::Display)]) {
    // One write, so that lines of the app do not come between. A console that is gone is no
    // reason to stop.
    let _ = rustix::io::write(rustix::stdio::stderr(), line(level, what, values).as_bytes());
}

fn line(level: &str, what: &str, values: &[(&str, &dyn std::fmt::Display)]) -> String {
    let mut line = format!("vmimage-init: {level} {what}");
    for (key, value) in values {
        let value = value.to_string();
        let plain =
            !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        // Writing to a String cannot fail.
        let _ =
            if plain { write!(line, " {key}={value}") } else { write!(line, " {key}={value:?}") };
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_can_be_cut() {
        let values: [(&str, &dyn std::fmt::Display); 4] =
            [("path", &"/iso"), ("label", &"A \"B\"\n"), ("none", &""), ("ms", &12)];
        let expected =
            "vmimage-init: info mounted path=/iso label=\"A \\\"B\\\"\\n\" none=\"\" ms=12\n";
        assert_eq!(line("info", "mounted", &values), expected);
    }
}
