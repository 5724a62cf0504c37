//! Which names a member may have.
//!
//! Opens nothing. Invariant: a name that is accepted is a relative path of at most `MOST` bytes
//! without `..`, and has one spelling only.

use crate::engine::base::{Error, Kind};

/// The longest name in bytes.
const MOST: usize = 255;

/// The name without `./` before it and `/` behind it; empty for the archive's own directory.
pub(super) fn judge(raw: &[u8], offset: u64) -> Result<String, Error> {
    let shown = String::from_utf8_lossy(raw.get(..raw.len().min(MOST)).unwrap_or_default());
    let refuse = |why: &str| {
        let message =
            format!("tar: the header at {offset} names \"{}\", {why}", shown.escape_debug());
        Err(Error::new(Kind::Damaged, message))
    };
    if raw.len() > MOST {
        return refuse(&format!("{} bytes long; at most {MOST} are allowed", raw.len()));
    }
    let Ok(name) = std::str::from_utf8(raw) else { return refuse("which is not UTF-8") };
    if name.starts_with('/') {
        return refuse("an absolute path; only names inside of the archive are allowed");
    }
    if name.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("with a control character or a backslash");
    }
    let mut name = name;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest.trim_start_matches('/');
    }
    let name = name.trim_end_matches('/');
    if name == "." || name.is_empty() {
        return Ok(String::new());
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse("with an empty, \".\" or \"..\" component; only plain ones are allowed");
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for (raw, name) in [
            (&b"box.img"[..], "box.img"),
            (b"./box.img", "box.img"),
            (b".//./box.img", "box.img"),
            (b"a/b/", "a/b"),
            (b"./", ""),
            (b".", ""),
            (b"..a", "..a"),
        ] {
            assert_eq!(judge(raw, 0).unwrap(), name);
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let long = [b'a'; 256];
        for raw in [
            &b"/etc/shadow"[..],
            b"../x",
            b"a/../x",
            b"a/..",
            b"..",
            b"./../x",
            b"a//b",
            b"a/./b",
            b"a\\..\\b",
            b"a\0b",
            b"a\nb",
            b"\xff",
            &long,
        ] {
            let error = judge(raw, 1024).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged);
            assert!(error.to_string().starts_with("tar: the header at 1024 names \""), "{error}");
        }
    }
}
