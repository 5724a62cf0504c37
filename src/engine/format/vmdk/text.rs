//! The descriptor of a VMDK as text.
//!
//! Reads nothing (see `descriptor`). Source: "Virtual Disk Format 5.0", section "The Descriptor
//! File"; the lines are those of QEMU in its order, since all readers know them. Invariant: the
//! text depends on the arguments alone; the content id comes from the label, never from contents.

use uuid::Uuid;

use super::{Adapter, Params, Subformat};
use crate::engine::base::{Error, Kind};
use crate::engine::format::Label;

/// What the line `# Disk DescriptorFile` begins with; VirtualBox insists on it.
pub(super) const FIRST_LINE: &str = "# Disk DescriptorFile";

/// The content id of "no parent", which a disk of its own must not have.
const NO_PARENT: u32 = u32::MAX;

/// Sectors of a track, whatever the adapter.
const TRACK: u64 = 63;

/// The content id of the file with this label.
pub(super) fn content_id(id: Uuid) -> u32 {
    let derived = Uuid::new_v5(&id, b"vmdk content id");
    let [a, b, c, d, ..] = *derived.as_bytes();
    match u32::from_be_bytes([a, b, c, d]) {
        // 0xfffffffe is what VMware's programs give a disk that nobody wrote to.
        NO_PARENT => NO_PARENT - 1,
        id => id,
    }
}

/// The descriptor of a disk of `capacity` sectors whose data lies in the file `extent`.
pub(super) fn descriptor(
    label: &Label<'_>,
    extent: &str,
    capacity: u64,
    params: &Params,
) -> Result<String, Error> {
    if extent.is_empty() || extent.contains(['"', '/', '\\']) || extent.contains(char::is_control) {
        let message = format!(
            "a vmdk file cannot be called \"{}\": its descriptor quotes the name",
            extent.escape_debug()
        );
        return Err(Error::new(Kind::Document, message));
    }
    let (create_type, kind, offset) = match params.subformat {
        Subformat::MonolithicSparse => ("monolithicSparse", "SPARSE", ""),
        Subformat::MonolithicFlat => ("monolithicFlat", "FLAT", " 0"),
        Subformat::StreamOptimized => ("streamOptimized", "SPARSE", ""),
    };
    let (adapter, heads) = match params.adapter {
        Adapter::Ide => ("ide", 16),
        Adapter::BusLogic => ("buslogic", 255),
        Adapter::LsiLogic => ("lsilogic", 255),
    };
    let cid = content_id(label.id);
    let cylinders = capacity / (TRACK * heads);
    let version = params.hardware_version;
    Ok(format!(
        "{FIRST_LINE}\n\
         version=1\n\
         CID={cid:08x}\n\
         parentCID=ffffffff\n\
         encoding=\"UTF-8\"\n\
         createType=\"{create_type}\"\n\
         \n\
         # Extent description\n\
         RW {capacity} {kind} \"{extent}\"{offset}\n\
         \n\
         # The Disk Data Base\n\
         #DDB\n\
         \n\
         ddb.virtualHWVersion = \"{version}\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"{heads}\"\n\
         ddb.geometry.sectors = \"{TRACK}\"\n\
         ddb.adapterType = \"{adapter}\"\n\
         ddb.toolsVersion = \"2147483647\"\n"
    ))
}

/// The descriptor, filled with zeros to `room` bytes.
pub(super) fn embedded(text: &str, room: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = text.as_bytes().to_vec();
    // One zero must follow: it ends the text.
    if bytes.len() >= room {
        let message =
            format!("a vmdk descriptor of {} bytes; there is room for {room}", text.len());
        return Err(Error::new(Kind::Document, message));
    }
    bytes.resize(room, 0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_the_text_are_refused() {
        let label = Label { name: "a", id: Uuid::nil() };
        for name in ["", "a\"b", "a/b", "a\\b", "a\nb", "a\0"] {
            let error = descriptor(&label, name, 1, &Params::default()).unwrap_err();
            assert!(error.to_string().contains("cannot be called"), "{error}");
        }
        assert!(descriptor(&label, "a b-ä.vmdk", 1, &Params::default()).is_ok());
        assert!(embedded("0123", 4).is_err());
        assert_eq!(embedded("012", 4).unwrap(), b"012\0");
    }

    #[test]
    fn the_content_id_is_derived_and_none_of_the_reserved() {
        let ids: Vec<u32> = (0..50).map(|n| content_id(Uuid::from_u128(n))).collect();
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids, (0..50).map(|n| content_id(Uuid::from_u128(n))).collect::<Vec<_>>());
    }
}
