//! Goes through an untrusted archive with everything that a tar can hold.
//!
//! Judges no path. Where readers of tar disagree on what follows (sizes of entries that have no
//! body, two names for one member, a lone block of zeros), the archive is refused: nobody shall see
//! other files than we do. Invariants: an extension counts for the next member alone; a body lies
//! inside of the archive; an extension is read only up to `MOST_EXTENSION`.

use std::sync::Arc;

use zerocopy::FromBytes as _;

use super::ondisk::{Header, POSIX, PREFIX, number, text};
use super::pax::Pax;
use super::{BLOCK, sparse};
use crate::engine::archive::{Entry, Form, Part};
use crate::engine::base::tree::{Device, Meta, Time};
use crate::engine::base::{Content, Error, Kind, SectorSource, is_zero};

/// The longest extended header or long name: room for the attributes of one file.
const MOST_EXTENSION: u64 = 2 << 20;

/// Goes through an archive.
#[derive(Debug)]
pub struct Entries {
    source: Arc<dyn SectorSource>,
    at: u64,
    /// What global headers said so far.
    global: Pax,
    done: bool,
}

/// What was said about the next member.
#[derive(Debug, Default)]
struct Said {
    pax: Option<Pax>,
    name: Option<Box<[u8]>>,
    link: Option<Box<[u8]>>,
}

/// A member's header with its place.
struct Member<'a> {
    header: &'a Header,
    at: u64,
    /// The header's own size.
    size: u64,
    pax: Pax,
    path: Box<[u8]>,
    link: Box<[u8]>,
}

fn damaged(at: u64, what: &str) -> Error {
    Error::new(Kind::Damaged, format!("tar: the header at {at} {what}"))
}

/// Whether a file of these first bytes is a tar: its first header is sound, or it is empty.
pub(in crate::engine::archive) fn is_header(first: &[u8]) -> bool {
    let Ok(header) = Header::read_from_bytes(first) else { return false };
    is_zero(first) || header.is_sound()
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.step();
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl Entries {
    /// Goes through `source` from its first byte.
    #[must_use]
    pub fn new(source: Arc<dyn SectorSource>) -> Self {
        Self { source, at: 0, global: Pax::default(), done: false }
    }

    fn step(&mut self) -> Result<Option<Entry>, Error> {
        let mut said = Said::default();
        loop {
            let at = self.at;
            let Some(header) = self.header(said.is_some())? else { return Ok(None) };
            let size = number(&header.size).and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| damaged(at, "has a size that is none"))?;
            match header.kind {
                b'x' | b'X' | b'g' | b'L' | b'K' => {
                    self.extend(&mut said, header.kind, at, size)?
                }
                // A volume's label says nothing about files.
                b'V' => self.at = self.behind(at, at + BLOCK, size)?,
                _ => return self.member(&header, at, size, said).map(Some),
            }
        }
    }

    /// The header at the current place, which is then behind it; none at the end.
    fn header(&mut self, said: bool) -> Result<Option<Header>, Error> {
        let (at, len) = (self.at, self.source.len());
        if at >= len && !said && at > 0 {
            // Without an end mark: as writers leave it that only append.
            return Ok(None);
        }
        let mut block = [0; BLOCK as usize];
        if at.checked_add(BLOCK).is_none_or(|end| end > len) {
            let message = format!("tar: the archive ends at {len} inside of the header at {at}");
            return Err(Error::new(Kind::Damaged, message));
        }
        self.source.read_at(at, &mut block)?;
        if is_zero(&block) {
            if said {
                return Err(damaged(at, "is the end mark, but an extension announced a member"));
            }
            if at + 2 * BLOCK <= len {
                self.source.read_at(at + BLOCK, &mut block)?;
                if !is_zero(&block) {
                    return Err(damaged(at, "is one block of zeros; two are the end mark"));
                }
            }
            return Ok(None);
        }
        let header = Header::read_from_bytes(&block).ok().filter(Header::is_sound);
        let header = header.ok_or_else(|| damaged(at, "is none: its checksum is wrong"))?;
        self.at = at + BLOCK;
        Ok(Some(header))
    }

    /// Where the next header lies behind a body.
    fn behind(&self, at: u64, body: u64, size: u64) -> Result<u64, Error> {
        let len = self.source.len();
        let end = body.checked_add(size).filter(|end| *end <= len);
        end.and_then(|end| end.checked_next_multiple_of(BLOCK))
            // Some writers do not fill the last block.
            .map(|next| next.min(len.max(body)))
            .ok_or_else(|| damaged(at, &format!("says {size} bytes; the archive ends at {len}")))
    }

    /// Takes an extended header or a long name.
    fn extend(&mut self, said: &mut Said, kind: u8, at: u64, size: u64) -> Result<(), Error> {
        if size > MOST_EXTENSION {
            let what =
                format!("is an extension of {size} bytes; at most {MOST_EXTENSION} are allowed");
            return Err(damaged(at, &what));
        }
        let body = self.at;
        self.at = self.behind(at, body, size)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.source.read_at(body, &mut bytes)?;
        let twice = |there: bool| match there {
            true => Err(damaged(at, "says a second time what the next member is")),
            false => Ok(()),
        };
        match kind {
            b'g' => self.global.extend(&bytes, true).map_err(|what| damaged(at, &what))?,
            b'L' => {
                twice(said.name.is_some())?;
                said.name = Some(text(&bytes).into());
            }
            b'K' => {
                twice(said.link.is_some())?;
                said.link = Some(text(&bytes).into());
            }
            _ => {
                twice(said.pax.is_some())?;
                let mut pax = self.global.clone();
                pax.extend(&bytes, false).map_err(|what| damaged(at, &what))?;
                said.pax = Some(pax);
            }
        }
        Ok(())
    }

    fn member(&mut self, header: &Header, at: u64, size: u64, said: Said) -> Result<Entry, Error> {
        let pax = said.pax.unwrap_or_else(|| self.global.clone());
        let sparse = pax.sparse.name.clone();
        let path = agreed(at, "name", pax.path.clone(), said.name)?;
        let path = sparse.or(path).unwrap_or_else(|| plain_path(header));
        let link = agreed(at, "link", pax.link.clone(), said.link)?;
        let link = link.unwrap_or_else(|| text(&header.link).into());
        let member = Member { header, at, size, pax, path, link };
        let form = self.form(&member)?;
        let meta = meta(&member)?;
        if [&member.path, &member.link].iter().any(|name| name.contains(&0)) {
            return Err(damaged(at, "has a name with a zero byte"));
        }
        let attributes = member.pax.attributes;
        let attributes = (!attributes.is_empty()).then(|| Box::new(attributes));
        Ok(Entry { path: member.path, form, meta, attributes, at })
    }

    fn form(&mut self, member: &Member<'_>) -> Result<Form, Error> {
        let (header, at) = (member.header, member.at);
        let size = member.pax.size.unwrap_or(member.size);
        let directory = member.path.ends_with(b"/");
        match header.kind {
            b'0' | b'7' | 0 if directory && size == 0 => Ok(Form::Directory),
            b'0' | b'7' | 0 if directory => {
                Err(damaged(at, "has a directory's name and the body of a file"))
            }
            b'0' | b'7' | 0 | b'S' => self.file(member, size).map(Form::File),
            // The size of a link is that of the file in old archives: it has no body.
            b'1' if member.pax.size.unwrap_or(0) == 0 => Ok(Form::HardLink(member.link.clone())),
            b'1'..=b'6' if size != 0 => {
                let kind = char::from(header.kind);
                let what = format!("is of type '{kind}' and says {size} bytes; 0 are allowed");
                Err(damaged(at, &what))
            }
            b'2' => Ok(Form::Symlink(member.link.clone())),
            b'3' => device(member).map(Form::CharDevice),
            b'4' => device(member).map(Form::BlockDevice),
            b'5' => Ok(Form::Directory),
            b'6' => Ok(Form::Fifo),
            kind => {
                let kind = kind.escape_ascii();
                let what = format!(
                    "is of type '{kind}'; files, directories, links, devices and FIFOs are allowed"
                );
                Err(Error::new(Kind::Unsupported, damaged(at, &what).to_string()))
            }
        }
    }

    /// The content of a file; the next header is then behind it.
    fn file(&mut self, member: &Member<'_>, size: u64) -> Result<Content, Error> {
        let (at, said) = (member.at, &member.pax.sparse);
        let wrong = || damaged(at, "has a map of a sparse file that does not fit its body");
        if member.header.kind == b'S' {
            if said.is_some() {
                return Err(damaged(at, "is a sparse file in two ways"));
            }
            let rest = &member.header.rest;
            let map = sparse::of_header(self.source.as_ref(), rest, self.at)?;
            let (real, map, body) = map.ok_or_else(wrong)?;
            self.at = self.behind(at, body, size)?;
            return sparse::content(&self.source, (body, size), real, &map).ok_or_else(wrong);
        }
        let body = self.at;
        self.at = self.behind(at, body, size)?;
        if !said.is_some() {
            return Ok(Part::new(Arc::clone(&self.source), body, size)?.content());
        }
        let real = said.real_size.ok_or_else(wrong)?;
        match (said.major.unwrap_or(0), said.minor.unwrap_or(0)) {
            (1, 0) => {
                let map = sparse::of_body(self.source.as_ref(), body, size)?;
                let (map, taken) = map.ok_or_else(wrong)?;
                let stored = (body + taken, size.checked_sub(taken).ok_or_else(wrong)?);
                sparse::content(&self.source, stored, real, &map).ok_or_else(wrong)
            }
            (0, 0 | 1) => {
                if said.count.is_some_and(|count| count != said.map.len() as u64) {
                    return Err(wrong());
                }
                sparse::content(&self.source, (body, size), real, &said.map).ok_or_else(wrong)
            }
            (major, minor) => {
                let what = format!("is a sparse file of format {major}.{minor}; 0.0 to 1.0 are");
                Err(damaged(at, &format!("{what} allowed")))
            }
        }
    }
}

impl Said {
    const fn is_some(&self) -> bool {
        self.pax.is_some() || self.name.is_some() || self.link.is_some()
    }
}

/// The one name there is; two that differ are refused.
fn agreed(
    at: u64,
    what: &str,
    pax: Option<Box<[u8]>>,
    gnu: Option<Box<[u8]>>,
) -> Result<Option<Box<[u8]>>, Error> {
    match (&pax, &gnu) {
        (Some(one), Some(other)) if one != other => {
            Err(damaged(at, &format!("has two {what}s in its extensions")))
        }
        _ => Ok(pax.or(gnu)),
    }
}

/// The path that the header itself has.
fn plain_path(header: &Header) -> Box<[u8]> {
    let name = text(&header.name);
    // star ends its headers with "tar" and has a shorter prefix.
    let star = header.rest.ends_with(b"tar\0");
    let prefix = header.rest.get(..if star { 131 } else { PREFIX }).unwrap_or_default();
    let prefix = if header.magic == *POSIX { text(prefix) } else { &[] };
    match prefix {
        [] => name.into(),
        prefix => [prefix, b"/", name].concat().into(),
    }
}

fn meta(member: &Member<'_>) -> Result<Meta, Error> {
    let (header, at) = (member.header, member.at);
    let no = |what: &str| damaged(at, &format!("has {what} that is none"));
    let mode = number(&header.mode).filter(|mode| *mode >= 0).ok_or_else(|| no("a mode"))?;
    let owner = |said: Option<u32>, field: &[u8], what| match said {
        Some(id) => Ok(id),
        None => number(field).and_then(|id| u32::try_from(id).ok()).ok_or_else(|| no(what)),
    };
    let seconds = number(&header.mtime).ok_or_else(|| no("a time"));
    let modified = match member.pax.modified {
        Some(time) => time,
        None => Time { seconds: seconds?, nanos: 0 },
    };
    Ok(Meta {
        // OK to cast: 12 bits.
        mode: (mode & 0o7777) as u16,
        uid: owner(member.pax.uid, &header.uid, "an owner")?,
        gid: owner(member.pax.gid, &header.gid, "a group")?,
        modified,
    })
}

fn device(member: &Member<'_>) -> Result<Device, Error> {
    let of = |field| number(field).and_then(|n| u32::try_from(n).ok());
    match (of(&member.header.major), of(&member.header.minor)) {
        (Some(major), Some(minor)) => Ok(Device { major, minor }),
        _ => Err(damaged(member.at, "is a device without numbers")),
    }
}
