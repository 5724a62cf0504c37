//! What a differencing disk says about its parent, to name it in the refusal.
//!
//! Opens nothing. Invariant: reads at most 1 KiB for each of eight locators; the text is escaped.

use std::fmt::Write as _;

use zerocopy::IntoBytes as _;

use super::ondisk::{DynamicHeader, ParentLocator};
use crate::engine::base::{Error, Kind, SectorSource};

/// The most bytes of a path that are read.
const MOST: u32 = 1024;

/// The refusal of a differencing disk. `header` is None where it cannot be read.
pub(super) fn refusal(source: &dyn SectorSource, header: Option<&DynamicHeader>) -> Error {
    let mut message: String =
        "disk type 4: a differencing disk, whose contents need its parent; merge them first; "
            .into();
    let Some(header) = header else {
        message += "the parent is not readable";
        return Error::new(Kind::Unsupported, message);
    };
    let name = &header.parent_unicode_name;
    let units = name.chunks_exact(2).map(|pair| match *pair {
        [high, low] => u16::from_be_bytes([high, low]),
        _ => 0,
    });
    // Writing to a String does not fail.
    let _ = write!(message, "the parent is \"{}\"", text(units));
    for locator in header.parent_locators.iter().filter(|one| one.platform_code != [0; 4]) {
        let code = locator.platform_code.escape_ascii();
        match path(source, locator) {
            Some(path) => _ = write!(message, ", {code} \"{path}\""),
            None => _ = write!(message, ", {code} not readable"),
        }
    }
    Error::new(Kind::Unsupported, message)
}

/// The path of a locator: UTF-16 in Windows', bytes in others'.
fn path(source: &dyn SectorSource, locator: &ParentLocator) -> Option<String> {
    let len = locator.platform_data_length.get().min(MOST) as usize;
    let mut bytes = vec![0; len];
    source.read_at(locator.platform_data_offset.get(), bytes.as_mut_bytes()).ok()?;
    if matches!(&locator.platform_code, b"W2ru" | b"W2ku") {
        let (pairs, _) = bytes.as_chunks::<2>();
        return Some(text(pairs.iter().map(|pair| u16::from_le_bytes(*pair))));
    }
    Some(bytes.escape_ascii().to_string())
}

/// UTF-16 up to the first zero, escaped.
fn text(units: impl Iterator<Item = u16>) -> String {
    let characters = char::decode_utf16(units.take_while(|unit| *unit != 0));
    let text: String = characters.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.escape_debug().to_string()
}
