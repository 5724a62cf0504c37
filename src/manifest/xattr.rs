//! Extended attributes as documents write them.
//!
//! Does not know what a filesystem can hold. Invariant: a value has one meaning.

use base64::Engine as _;

/// What the names of attributes begin with in Linux.
pub(super) const NAMESPACES: [&str; 4] = ["user.", "trusted.", "security.", "system."];

/// The bytes of a value: hexadecimal behind `0x`, base64 behind `0s`, else the text itself. None if
/// they are neither.
#[must_use]
pub fn value(text: &str) -> Option<Vec<u8>> {
    match text.split_at_checked(2) {
        Some(("0x" | "0X", digits)) => hex::decode(digits).ok(),
        Some(("0s" | "0S", digits)) => {
            base64::engine::general_purpose::STANDARD.decode(digits).ok()
        }
        _ => Some(text.as_bytes().to_vec()),
    }
}

/// Whether `name` has a namespace, something behind it, and at most 255 bytes.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let behind = NAMESPACES.iter().find_map(|space| name.strip_prefix(space));
    behind.is_some_and(|rest| !rest.is_empty()) && name.len() <= 255 && !name.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_names() {
        assert_eq!(value("text"), Some(b"text".to_vec()));
        assert_eq!(value("0x00ff"), Some(vec![0, 255]));
        assert_eq!(value("0sAP8="), Some(vec![0, 255]));
        assert_eq!(value("0"), Some(b"0".to_vec()));
        assert_eq!((value("0x0"), value("0s!"), value("é")), (None, None, Some("é".into())));
        assert!(is_name("user.a") && is_name("security.capability"));
        assert!(!is_name("user.") && !is_name("a") && !is_name("user.a\0"));
    }
}
