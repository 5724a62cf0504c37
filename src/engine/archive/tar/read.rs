//! Lists an untrusted archive.
//!
//! Copies no body. Invariants: at most `MOST_MEMBERS` members, no two of one name, each inside of
//! the archive; what is neither a file nor a directory is refused; memory is bounded by that.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::BLOCK;
use super::name::judge;
use crate::engine::archive::Part;
use crate::engine::base::{Error, Kind, SectorSource, is_zero};

/// More members than any package has.
const MOST_MEMBERS: usize = 4096;

/// The longest extended header or long name that is read.
const MOST_EXTENSION: u64 = 64 << 10;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name: a relative path.
    pub name: String,
    /// Where its bytes begin in the archive.
    pub offset: u64,
    /// How many there are.
    pub size: u64,
}

/// A listed archive.
#[derive(Debug)]
pub struct Archive {
    source: Arc<dyn SectorSource>,
    members: Vec<Member>,
}

/// What extensions say about the next member.
#[derive(Debug, Default)]
struct Extended {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

fn damaged(offset: u64, what: &str) -> Error {
    Error::new(Kind::Damaged, format!("tar: the header at {offset} {what}"))
}

impl Archive {
    /// Judges all headers of `source`.
    pub fn open(source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let mut listing = Listing {
            source: &*source,
            at: 0,
            members: Vec::new(),
            names: BTreeSet::new(),
            extended: Extended::default(),
        };
        while listing.next()? {}
        let members = listing.members;
        Ok(Self { source, members })
    }

    /// The files in it, in order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The file of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The bytes of a member as a medium.
    #[must_use]
    pub fn body(&self, member: &Member) -> Arc<dyn SectorSource> {
        let source = Arc::clone(&self.source);
        Arc::new(Part::listed(source, member.offset, member.size))
    }

    /// The bytes of a member that has at most `limit` of them.
    pub fn read(&self, member: &Member, limit: u64) -> Result<Vec<u8>, Error> {
        if member.size > limit {
            let message = format!(
                "\"{}\" has {} bytes; at most {limit} are allowed",
                member.name, member.size
            );
            return Err(Error::new(Kind::Damaged, message));
        }
        let mut bytes = vec![0; usize::try_from(member.size).unwrap_or(0)];
        self.source.read_at(member.offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// An archive being listed.
struct Listing<'a> {
    source: &'a dyn SectorSource,
    at: u64,
    members: Vec<Member>,
    names: BTreeSet<String>,
    extended: Extended,
}

impl Listing<'_> {
    /// Takes the next header; false at the end mark.
    fn next(&mut self) -> Result<bool, Error> {
        let at = self.at;
        if at.checked_add(BLOCK).is_none_or(|end| end > self.source.len()) {
            let message = format!("tar: the archive ends at {at} without an end mark");
            return Err(Error::new(Kind::Damaged, message));
        }
        let mut block = [0; BLOCK as usize];
        self.source.read_at(at, &mut block)?;
        if is_zero(&block) {
            return Ok(false);
        }
        let header = tar::Header::from_byte_slice(&block);
        checksum(&block, header, at)?;
        let kind = header.entry_type();
        let said = header.entry_size().map_err(|e| damaged(at, &format!("has no size: {e}")))?;
        let extension = kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions()
            || kind.is_gnu_longname()
            || kind.is_gnu_longlink();
        let size = match self.extended.size {
            Some(size) if !extension => size,
            _ => said,
        };
        let body = at + BLOCK;
        let end = body.checked_add(size).filter(|end| *end <= self.source.len());
        let Some(end) = end else {
            let len = self.source.len();
            return Err(damaged(at, &format!("says {size} bytes; the archive ends at {len}")));
        };
        if extension {
            self.extend(kind, body, size)?;
        } else {
            self.member(header, body, size)?;
        }
        self.at = end.next_multiple_of(BLOCK);
        Ok(true)
    }

    /// Takes an extended header or a long name.
    fn extend(&mut self, kind: tar::EntryType, body: u64, size: u64) -> Result<(), Error> {
        let at = self.at;
        if size > MOST_EXTENSION {
            let what =
                format!("is an extension of {size} bytes; at most {MOST_EXTENSION} are allowed");
            return Err(damaged(at, &what));
        }
        let mut bytes = vec![0; size as usize];
        self.source.read_at(body, &mut bytes)?;
        if kind.is_gnu_longname() {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            bytes.truncate(end);
            self.extended.name = Some(bytes);
            return Ok(());
        }
        if kind.is_gnu_longlink() {
            return Err(damaged(at, "is a link; only files and directories are allowed"));
        }
        let global = kind.is_pax_global_extensions();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let record = pax_record(rest);
            let Some((key, value, behind)) = record else {
                return Err(damaged(at, "is an extension without \"LENGTH KEY=VALUE\" records"));
            };
            self.extend_by(key, value, global)?;
            rest = behind;
        }
        Ok(())
    }

    fn extend_by(&mut self, key: &[u8], value: &[u8], global: bool) -> Result<(), Error> {
        let at = self.at;
        match key {
            b"path" | b"size" if global => {
                return Err(damaged(at, "gives all members one name or size"));
            }
            b"path" => self.extended.name = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                let what = "has an extended size that is no number";
                self.extended.size = Some(size.ok_or_else(|| damaged(at, what))?);
            }
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(damaged(at, "is a sparse file; only plain files are allowed"));
            }
            _ => {}
        }
        Ok(())
    }

    fn member(&mut self, header: &tar::Header, offset: u64, size: u64) -> Result<(), Error> {
        let at = self.at;
        let extended = std::mem::take(&mut self.extended);
        let name = extended.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let name = judge(&name, at)?;
        let kind = header.entry_type();
        if kind.is_dir() {
            return Ok(());
        }
        if !(kind.is_file() || kind.is_contiguous()) {
            let what = format!(
                "is of type {:?}; only files and directories are allowed",
                char::from(kind.as_byte())
            );
            return Err(damaged(at, &what));
        }
        if name.is_empty() {
            return Err(damaged(at, "has no name"));
        }
        if self.members.len() >= MOST_MEMBERS {
            return Err(damaged(at, &format!("is one more than the {MOST_MEMBERS} allowed")));
        }
        if !self.names.insert(name.clone()) {
            return Err(damaged(at, &format!("names \"{name}\", which was there before")));
        }
        self.members.push(Member { name, offset, size });
        Ok(())
    }
}

/// The first record of an extended header (POSIX.1-2001, pax): `LENGTH KEY=VALUE` and a line feed,
/// where the length counts itself. Also what is behind it.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let len: usize = std::str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, bytes.get(len..)?))
}

/// POSIX.1-1988: the sum of all bytes, those of the sum itself taken as spaces.
fn checksum(block: &[u8; 512], header: &tar::Header, at: u64) -> Result<(), Error> {
    let sum = |range: std::ops::Range<usize>| -> u32 {
        block.get(range).unwrap_or_default().iter().map(|byte| u32::from(*byte)).sum()
    };
    let real = sum(0..148) + sum(156..512) + 8 * u32::from(b' ');
    match header.cksum() {
        Ok(said) if said == real => Ok(()),
        Ok(said) => Err(damaged(at, &format!("has the checksum {said} instead of {real}"))),
        Err(_) => Err(damaged(at, "is none: it has no checksum")),
    }
}
