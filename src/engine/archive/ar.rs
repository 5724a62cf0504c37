//! ar, as Debian packages use it: finds the member with the files.
//!
//! deb(5) and ar(5): a magic, then members with a header of 60 bytes each, at even offsets. Unpacks
//! nothing. Invariant: the member that is returned lies inside of the archive.

use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::Part;
use crate::engine::base::{Error, Kind, SectorSource};

/// What an archive begins with.
pub(super) const MAGIC: &[u8] = b"!<arch>\n";

/// A package has three members; more are allowed behind them.
const MOST_MEMBERS: usize = 16;

/// A member's header.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    /// Filled with spaces; System V puts a slash behind it.
    name: [u8; 16],
    numbers: [u8; 32],
    size: [u8; 10],
    end: [u8; 2],
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Damaged, format!("deb: {what}"))
}

/// The files of a Debian package: a tar, mostly compressed.
pub fn data_of_deb(source: &Arc<dyn SectorSource>) -> Result<Part, Error> {
    let mut magic = [0; MAGIC.len()];
    if source.len() < MAGIC.len() as u64 {
        return Err(damaged("it is shorter than its magic"));
    }
    source.read_at(0, &mut magic)?;
    if magic != MAGIC {
        return Err(damaged(format_args!("it begins with \"{}\"", magic.escape_ascii())));
    }
    let mut at = MAGIC.len() as u64;
    for number in 0..MOST_MEMBERS {
        let mut header = [0; size_of::<Header>()];
        if at.checked_add(header.len() as u64).is_none_or(|end| end > source.len()) {
            break;
        }
        source.read_at(at, &mut header)?;
        let Ok(header) = Header::read_from_bytes(&header) else { break };
        if header.end != *b"`\n" {
            return Err(damaged(format_args!("there is no member at offset {at}")));
        }
        let size = std::str::from_utf8(header.size.trim_ascii()).ok();
        let size: Option<u64> = size.and_then(|size| size.parse().ok());
        let Some(size) = size else {
            return Err(damaged(format_args!("the member at offset {at} has no size")));
        };
        let body = at + size_of::<Header>() as u64;
        let part = Part::new(Arc::clone(source), body, size)
            .map_err(|e| damaged(format_args!("the member at offset {at}: {e}")))?;
        let name = header.name.trim_ascii();
        let name = name.strip_suffix(b"/").unwrap_or(name);
        if number == 0 && name != b"debian-binary" {
            let name = name.escape_ascii();
            return Err(damaged(format_args!(
                "the first member is \"{name}\" instead of \"debian-binary\": it is no package"
            )));
        }
        if name.starts_with(b"data.tar") {
            return Ok(part);
        }
        // Inside of the source: it was just judged.
        at = (body + size).next_multiple_of(2);
    }
    Err(damaged("there is no member data.tar"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    fn member(name: &str, size: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100_644);
        let fill: &[u8] = if body.len() % 2 == 1 { b"\n" } else { b"" };
        [head.as_bytes(), body, fill].concat()
    }

    fn data(members: &[Vec<u8>]) -> Result<Vec<u8>, String> {
        let bytes = [MAGIC, &members.concat()].concat();
        let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(bytes));
        let part = data_of_deb(&source).map_err(|e| e.to_string())?;
        let mut bytes = vec![0; usize::try_from(part.len()).unwrap()];
        part.read_at(0, &mut bytes).unwrap();
        Ok(bytes)
    }

    #[test]
    fn the_data_is_found() {
        let first = || member("debian-binary", "4", b"2.0\n");
        let control = || member("control.tar.gz/", "3", b"abc");
        let data_of = |size| member("data.tar.xz", size, b"files");
        assert_eq!(data(&[first(), control(), data_of("5")]).unwrap(), b"files");
        for (members, why) in [
            (vec![control(), data_of("5")], "instead of \"debian-binary\""),
            (vec![first(), control()], "no member data.tar"),
            (vec![first(), data_of("500")], "beyond the archive's end"),
            (vec![first(), data_of("-5")], "no size"),
            (vec![first(), control(), b"x".repeat(60)], "no member at"),
            (vec![], "no member data.tar"),
        ] {
            let error = data(&members).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
