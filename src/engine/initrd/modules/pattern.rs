//! Patterns of aliases: `*`, `?` and `[…]`, as fnmatch(3) reads them without flags.
//!
//! Knows no module. Invariants: time is bounded by the product of both lengths; `-` and `_` are the
//! same outside of brackets, as kmod has it.

/// Whether `text` is what `pattern` describes.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Behind the last `*`, and from where on the text is tried next.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(_) => {
                if let Some(next) = one(pattern, p, *byte) {
                    (p, t) = (next, t + 1);
                    continue;
                }
            }
            None => {}
        }
        let Some((behind, from)) = retry else { return false };
        retry = Some((behind, from + 1));
        (p, t) = (behind, from + 1);
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Where the pattern goes on, if its part at `at` describes `byte`.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => bracket(pattern, at, byte),
        b'\\' => {
            let escaped = pattern.get(at + 1)?;
            same(*escaped, byte).then_some(at + 2)
        }
        plain => same(*plain, byte).then_some(at + 1),
    }
}

fn same(a: u8, b: u8) -> bool {
    let plain = |byte| if byte == b'-' { b'_' } else { byte };
    plain(a) == plain(b)
}

/// `[0-9a]`, `[!x]`. A bracket without an end describes nothing.
fn bracket(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    let mut from = at + 1;
    let not = matches!(pattern.get(from), Some(b'!' | b'^'));
    from += usize::from(not);
    let rest = pattern.get(from..)?;
    // A `]` in the first place is one of the characters.
    let len = 1 + rest.get(1..)?.iter().position(|byte| *byte == b']')?;
    let set = rest.get(..len)?;
    let (mut within, mut i) = (false, 0);
    while let Some(low) = set.get(i) {
        match (set.get(i + 1), set.get(i + 2)) {
            (Some(b'-'), Some(high)) => {
                within |= (*low..=*high).contains(&byte);
                i += 3;
            }
            _ => {
                within |= *low == byte;
                i += 1;
            }
        }
    }
    (within != not).then_some(from + len + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_describe_what_fnmatch_says() {
        for (pattern, text, wanted) in [
            ("pci:v00001AF4d*sv*sd*bc*sc*i*", "pci:v00001AF4d00001000sv00sd00bc01sc00i00", true),
            ("pci:v00001AF4d*", "pci:v00001AF5d0", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("?b", "ab", true),
            ("?b", "b", false),
            ("input:b[0-3]x", "input:b2x", true),
            ("input:b[0-3]x", "input:b4x", false),
            ("[!a-c]", "d", true),
            ("[!a-c]", "b", false),
            ("[]a]x", "]x", true),
            ("[a", "a", false),
            ("fs_btrfs", "fs-btrfs", true),
            ("a[x-z]", "a_", false),
            ("**a", "bba", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
        let many = "*a".repeat(30);
        assert!(!matches(&many, &format!("{}b", "a".repeat(3000))));
    }
}
