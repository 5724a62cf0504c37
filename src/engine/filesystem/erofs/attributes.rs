//! Extended attributes as they lie behind an inode.
//!
//! Invariant: an attribute whose name erofs has no prefix for is refused, never dropped.

use zerocopy::IntoBytes as _;

use super::ondisk::{Attribute, AttributesHead, PREFIXES};
use crate::engine::base::tree::Attributes;
use crate::engine::base::{Error, Kind};

/// Units of 4 bytes that an inode can count.
const MAX_UNITS: usize = 65_535;

/// Bytes that the attributes take behind an inode; 0 without any.
pub(super) fn len(attributes: Option<&Attributes>) -> Result<usize, Error> {
    let Some(attributes) = attributes.filter(|attributes| !attributes.is_empty()) else {
        return Ok(0);
    };
    let mut len = size_of::<AttributesHead>();
    for (name, value) in attributes {
        let (_, rest) = split(name)?;
        if rest.len() > 255 || value.len() > 65_535 {
            let message = format!(
                "the extended attribute \"{}\" has a name of {} and a value of {} bytes: 255 and \
                 65535 are allowed",
                name.escape_ascii(),
                rest.len(),
                value.len()
            );
            return Err(Error::new(Kind::Document, message));
        }
        len += (size_of::<Attribute>() + rest.len() + value.len()).next_multiple_of(4);
    }
    if units(len) > MAX_UNITS {
        let message =
            format!("the extended attributes of a file take {len} bytes: 262148 are allowed");
        return Err(Error::new(Kind::Document, message));
    }
    Ok(len)
}

/// What an inode says about attributes of so many bytes.
pub(super) const fn units(len: usize) -> usize {
    if len == 0 { 0 } else { (len - size_of::<AttributesHead>()) / 4 + 1 }
}

/// The number of the prefix, and what is behind it.
fn split(name: &[u8]) -> Result<(u8, &[u8]), Error> {
    let whole = |prefix: &[u8]| !prefix.ends_with(b".");
    let found = PREFIXES.iter().find_map(|(number, prefix)| {
        let rest = name.strip_prefix(*prefix)?;
        // A list's name ends there, others go on.
        (rest.is_empty() == whole(prefix)).then_some((*number, rest))
    });
    found.ok_or_else(|| {
        let message = format!(
            "the extended attribute \"{}\" cannot be stored in an erofs: it has names that begin \
             with user., trusted. or security., and POSIX ACLs",
            name.escape_ascii()
        );
        Error::new(Kind::Document, message)
    })
}

/// Appends the attributes: as many bytes as `len` said.
pub(super) fn put(attributes: &Attributes, into: &mut Vec<u8>) -> Result<(), Error> {
    let head = AttributesHead { filter: 0.into(), shared: 0, reserved: [0; 7] };
    into.extend_from_slice(head.as_bytes());
    for (name, value) in attributes {
        let (prefix, rest) = split(name)?;
        // OK to cast: `len` has refused what is longer.
        let head = Attribute { name: rest.len() as u8, prefix, value: (value.len() as u16).into() };
        into.extend_from_slice(head.as_bytes());
        into.extend_from_slice(rest);
        into.extend_from_slice(value);
        into.resize(into.len().next_multiple_of(4), 0);
    }
    Ok(())
}
