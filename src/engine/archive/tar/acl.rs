//! Access control lists as pax archives write them, made the attributes that Linux keeps.
//!
//! Knows no names of users: a list that names one without its number is refused. The text is that
//! of acl(5) with an optional number at each entry's end (star, bsdtar); the attribute is that of
//! linux/posix_acl_xattr.h, version 2. Invariant: entries lie in the order that Linux asks for.

/// Its version, and the number of an entry that has none.
const VERSION: u32 = 2;
const NOBODY: u32 = u32::MAX;

/// The attribute of this text. An error says what is wrong.
pub(super) fn attribute(text: &[u8]) -> Result<Box<[u8]>, String> {
    let Ok(text) = std::str::from_utf8(text) else { return Err("is not UTF-8".into()) };
    let lines = text.split([',', '\n']);
    let parts = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut entries = Vec::new();
    for part in parts.filter(|part| !part.is_empty()) {
        entries.push(entry(part).ok_or_else(|| {
            format!("has the entry \"{}\"; \"user:1000:rw-\" is allowed", part.escape_debug())
        })?);
    }
    entries.sort_unstable();
    entries.dedup();
    let numbers = entries.iter().flat_map(|(tag, id, bits)| {
        [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
    });
    Ok(VERSION.to_le_bytes().into_iter().chain(numbers).collect())
}

/// Tag, number and permissions of an entry.
fn entry(text: &str) -> Option<(u16, u32, u16)> {
    let mut fields = text.split(':');
    let (kind, who, bits) = (fields.next()?, fields.next()?, fields.next()?);
    let (plain, named) = match kind {
        "user" | "u" => (0x01, 0x02),
        "group" | "g" => (0x04, 0x08),
        "mask" | "m" => (0x10, 0x10),
        "other" | "o" => (0x20, 0x20),
        _ => return None,
    };
    let mut mode = 0;
    for (letter, bit) in bits.chars().zip([4, 2, 1]) {
        match letter {
            'r' if bit == 4 => mode |= 4,
            'w' if bit == 2 => mode |= 2,
            'x' if bit == 1 => mode |= 1,
            '-' => {}
            _ => return None,
        }
    }
    let number = fields.next().filter(|number| !number.is_empty());
    let valid = bits.len() == 3 && fields.next().is_none();
    match (who, plain == named) {
        ("", _) => valid.then_some((plain, NOBODY, mode)),
        (_, true) => None,
        (who, false) => {
            let id = number.unwrap_or(who).parse().ok().filter(|id| *id != NOBODY)?;
            valid.then_some((named, id, mode))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_what_setfacl_makes() {
        // setfacl -m u:1000:rw-,g:100:r-x; getfattr -e hex -n system.posix_acl_access
        let text =
            "user::rw-\nuser:jane:rw-:1000\ngroup::r--\ngroup:100:r-x\nmask::rwx\nother::r--";
        let wanted = "0200000001000600ffffffff02000600e803000004000400ffffffff0800050064000000\
                      10000700ffffffff20000400ffffffff";
        assert_eq!(hex::encode(attribute(text.as_bytes()).unwrap()), wanted);
        for bad in ["user:jane:rw-", "user::rwz", "user::rw", "all::rwx", "mask:1:rwx", "user"] {
            assert!(attribute(bad.as_bytes()).unwrap_err().contains(bad), "{bad}");
        }
    }
}
