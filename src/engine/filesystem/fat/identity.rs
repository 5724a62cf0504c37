//! Label and serial number of a FAT volume.
//!
//! Reads no clock. Invariant: what nobody gave comes out of the seed.

use uuid::Uuid;

use crate::engine::base::{Error, Kind};
use crate::engine::filesystem::Identity;

/// The label: up to eleven characters that a short name may have, and spaces inside.
pub(super) fn label(identity: &Identity) -> Result<Option<[u8; 11]>, Error> {
    let Some(label) = &identity.label else { return Ok(None) };
    let refused = |why: String| {
        Err(Error::new(Kind::Document, format!("the label \"{label}\" cannot be on FAT: {why}")))
    };
    let bytes = label.as_bytes();
    if bytes.is_empty() || bytes.len() > 11 {
        return refused(format!("it has {} bytes, 1 to 11 can be", bytes.len()));
    }
    if bytes.starts_with(b" ") || bytes.ends_with(b" ") {
        return refused("it begins or ends with a space".to_owned());
    }
    if let Some(bad) =
        label.chars().find(|c| !matches!(c, ' '..='~') || "\"*+,./:;<=>?[\\]|".contains(*c))
    {
        return refused(format!("it holds {bad:?}"));
    }
    let mut found = [b' '; 11];
    found.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Ok(Some(found))
}

/// The serial number: `ABCD-1234`, or out of the seed.
pub(super) fn serial(identity: &Identity) -> Result<u32, Error> {
    let Some(text) = &identity.uuid else {
        let [a, b, c, d, ..] = *Uuid::new_v5(&identity.seed, b"fat serial").as_bytes();
        return Ok(u32::from_be_bytes([a, b, c, d]));
    };
    let digits = match text.as_bytes() {
        [high @ .., b'-', _, _, _, _] if high.len() == 4 => text.replace('-', ""),
        _ => text.clone(),
    };
    let hex = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let serial = u32::from_str_radix(&digits, 16).ok().filter(|_| hex);
    serial.ok_or_else(|| {
        let message =
            format!("the serial number of a FAT volume is like ABCD-1234, not \"{text}\"");
        Error::new(Kind::Document, message)
    })
}
