//! Keys by name.
//!
//! Presses nothing. Invariant: a name that is accepted here is one that QEMU knows.

/// Keys that are pressed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chord(pub Vec<String>);

/// Names of keys that are no letter, digit or function key (QEMU 7.2, qapi/ui.json, `QKeyCode`).
const NAMES: [&str; 45] = [
    "shift",
    "shift_r",
    "alt",
    "alt_r",
    "ctrl",
    "ctrl_r",
    "menu",
    "esc",
    "minus",
    "equal",
    "backspace",
    "tab",
    "ret",
    "bracket_left",
    "bracket_right",
    "semicolon",
    "apostrophe",
    "grave_accent",
    "backslash",
    "comma",
    "dot",
    "slash",
    "asterisk",
    "spc",
    "caps_lock",
    "num_lock",
    "scroll_lock",
    "kp_divide",
    "kp_multiply",
    "kp_subtract",
    "kp_add",
    "kp_enter",
    "kp_decimal",
    "sysrq",
    "less",
    "print",
    "home",
    "pgup",
    "pgdn",
    "end",
    "left",
    "up",
    "down",
    "right",
    "insert",
];

/// Other names for some keys.
const ALIASES: [(&str, &str); 6] = [
    ("enter", "ret"),
    ("return", "ret"),
    ("space", "spc"),
    ("escape", "esc"),
    ("del", "delete"),
    ("control", "ctrl"),
];

impl Chord {
    /// The chords of a text: `down ret`, `ctrl-alt-delete`, `l s spc minus l ret`.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let chords: Vec<_> = text
            .split_whitespace()
            .map(|word| word.split('-').map(key).collect::<Result<_, _>>().map(Self))
            .collect::<Result<_, _>>()?;
        match chords.is_empty() {
            true => Err("there is no key in it".to_owned()),
            false => Ok(chords),
        }
    }
}

fn key(name: &str) -> Result<String, String> {
    let name = name.to_ascii_lowercase();
    let name =
        ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| (*own).into());
    let single = name.len() == 1 && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let function = name.strip_prefix('f').and_then(|n| n.parse::<u8>().ok());
    let known = single
        || function.is_some_and(|n| (1..=12).contains(&n))
        || name == "delete"
        || NAMES.contains(&name.as_str());
    match known {
        true => Ok(name),
        false => Err(format!(
            "there is no key {name:?}; known: a to z, 0 to 9, f1 to f12, delete, {}",
            NAMES.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_chords() {
        let names = |text: &str| -> Result<Vec<String>, String> {
            Ok(Chord::parse(text)?.into_iter().map(|chord| chord.0.join("+")).collect())
        };
        assert_eq!(names("down Enter").unwrap(), ["down", "ret"]);
        assert_eq!(names(" ctrl-alt-del  f12 7 ").unwrap(), ["ctrl+alt+delete", "f12", "7"]);
        for wrong in ["", "  ", "ctrl-", "f13", "hello", "ret+", "ä"] {
            assert!(names(wrong).is_err(), "{wrong:?}");
        }
    }
}
