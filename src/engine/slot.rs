//! A partition's entry in a table: type, attributes, name.
//!
//! Pure; places nothing. Invariant: a type or attribute that a table cannot hold is an error of its
//! field.

use uuid::Uuid;

use super::base::{Error, Kind, Origin};
use super::partition::{GptSlot, MbrSlot, Place};
use crate::manifest::partition_types::{Known, bit, named, suggested};
use crate::manifest::types::{Architecture, Partition};

/// What is added to the type of a hidden partition in a master boot record.
const HIDDEN: u8 = 0x10;

/// The entry of `partition` in a master boot record.
pub(super) fn mbr(
    partition: &Partition,
    architecture: Architecture,
    place: Place,
    origin: &Origin,
) -> Result<MbrSlot, Error> {
    let text = kind(partition);
    let refused = |message: String| Error::new(Kind::Document, message).at(&field(origin, "type"));
    let byte = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => known(partition, architecture).and_then(|known| known.byte),
    };
    let byte = byte.ok_or_else(|| {
        refused(format!("type {text:?} has no byte in an MBR; write the byte, such as 0x83"))
    })?;
    let has = |name: &str| partition.attributes.iter().any(|attribute| attribute == name);
    let kind = if has("hidden") { byte | HIDDEN } else { byte };
    Ok(MbrSlot { place, kind, active: has("active") })
}

/// The entry of `partition` in a GPT.
pub(super) fn gpt(
    partition: &Partition,
    architecture: Architecture,
    id: Uuid,
    place: Place,
    origin: &Origin,
) -> Result<GptSlot, Error> {
    let text = kind(partition);
    let guid = known(partition, architecture).map_or(text, |known| known.guid);
    let kind = Uuid::parse_str(guid).map_err(|_| {
        let message = format!("type {text:?} is no name and no GUID that a GPT can hold");
        Error::new(Kind::Document, message).at(&field(origin, "type"))
    })?;
    let mut attributes = 0;
    for attribute in &partition.attributes {
        let bit = bit(attribute).ok_or_else(|| {
            let message = format!("{attribute:?} is no attribute of a GPT");
            Error::new(Kind::Document, message).at(&field(origin, "attributes"))
        })?;
        attributes |= 1 << bit;
    }
    Ok(GptSlot { place, kind, id, name: partition.name.clone(), attributes })
}

fn kind(partition: &Partition) -> &str {
    let filesystem = partition.filesystem.as_ref().map(|filesystem| filesystem.kind);
    partition.kind.as_deref().unwrap_or_else(|| suggested(filesystem))
}

fn known(partition: &Partition, architecture: Architecture) -> Option<Known> {
    named(kind(partition), architecture)
}

fn field(origin: &Origin, name: &str) -> Origin {
    Origin::new(&format!("{origin}.{name}"))
}
