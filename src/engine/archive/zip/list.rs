//! Lists an untrusted zip archive by its directory.
//!
//! Unpacks only the texts of links. Invariants: as many entries as the directory says, no two
//! bodies overlap, and an entry takes at least the bytes of its header, so memory is bounded by the
//! archive's length.

use std::sync::Arc;

use zerocopy::FromBytes;

use super::ondisk::{CENTRAL, Central, END, END64, End, End64, LOCAL, LOCATOR64, Local, Locator64};
use super::{Packed, extra, packed};
use crate::engine::archive::{Entry, Form, Part};
use crate::engine::base::tree::{Meta, Time};
use crate::engine::base::{Error, Kind, MemorySink, SectorSource};

/// The longest comment behind the directory.
const MOST_COMMENT: u64 = 0xffff;

/// The largest directory: one of 4 million entries with short names.
const MOST_DIRECTORY: u64 = 256 << 20;

/// The longest text of a link.
const MOST_TARGET: u64 = 4096;

/// Goes through an archive.
#[derive(Debug)]
pub struct Entries {
    source: Arc<dyn SectorSource>,
    directory: Vec<u8>,
    /// Where the directory lies, for messages.
    base: u64,
    at: usize,
    left: u64,
    /// Where bodies lie that were seen, in order.
    taken: Vec<(u64, u64)>,
}

/// An entry of the directory.
struct Member<'a> {
    header: Central,
    name: &'a [u8],
    size: u64,
    packed: u64,
    extra: extra::Extra,
    at: u64,
    local: u64,
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Damaged, format!("zip: {what}"))
}

fn read<T: FromBytes>(source: &dyn SectorSource, at: u64) -> Result<T, Error> {
    let mut bytes = vec![0; size_of::<T>()];
    source.read_at(at, &mut bytes)?;
    T::read_from_bytes(&bytes).map_err(|_| damaged("a structure has the wrong length"))
}

/// Where the directory's end lies: the last place that holds one with a comment up to the end.
fn find_end(source: &dyn SectorSource) -> Result<(u64, End), Error> {
    let len = source.len();
    let from = len.saturating_sub(MOST_COMMENT + size_of::<End>() as u64);
    let mut tail = vec![0; usize::try_from(len - from).unwrap_or(0)];
    source.read_at(from, &mut tail)?;
    for at in (0..tail.len()).rev() {
        let Some((end, rest)) = tail.get(at..).and_then(|t| End::read_from_prefix(t).ok()) else {
            continue;
        };
        if end.signature.get() == END && rest.len() == usize::from(end.comment_len.get()) {
            return Ok((from + at as u64, end));
        }
    }
    Err(damaged("there is no directory: the archive is cut off"))
}

impl Entries {
    /// Reads the directory of `source`.
    pub fn open(source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let (at, end) = find_end(source.as_ref())?;
        let mut count = u64::from(end.count.get());
        let mut len = u64::from(end.len.get());
        let mut base = u64::from(end.offset.get());
        let mut disks = u64::from(end.disk.get()) | u64::from(end.first_disk.get());
        let mut behind = at;
        let locator = at.checked_sub(size_of::<Locator64>() as u64);
        if let Some(before) = locator
            && let Ok(locator) = read::<Locator64>(source.as_ref(), before)
            && locator.signature.get() == LOCATOR64
        {
            behind = locator.offset.get();
            let end: End64 = read(source.as_ref(), behind)?;
            if end.signature.get() != END64 {
                return Err(damaged(format_args!("there is no directory's end at {behind}")));
            }
            (count, len, base) = (end.count.get(), end.len.get(), end.offset.get());
            disks = u64::from(end.disk.get() | end.first_disk.get());
        }
        if disks != 0 {
            return Err(damaged("it is split over several files; one is allowed"));
        }
        if base.checked_add(len).is_none_or(|end| end != behind) {
            let what = "bytes; it ends at";
            return Err(damaged(format_args!(
                "the directory at {base} says {len} {what} {behind}"
            )));
        }
        if len > MOST_DIRECTORY || count > len / size_of::<Central>() as u64 {
            return Err(damaged(format_args!(
                "a directory of {count} entries in {len} bytes; at most {MOST_DIRECTORY} bytes with \
                 46 for each entry are allowed"
            )));
        }
        let mut directory = vec![0; usize::try_from(len).unwrap_or(0)];
        source.read_at(base, &mut directory)?;
        Ok(Self { source, directory, base, at: 0, left: count, taken: Vec::new() })
    }

    fn step(&mut self) -> Result<Entry, Error> {
        let (member, behind) = self.member()?;
        let flags = member.header.flags.get();
        if flags & 0x41 != 0 {
            return Err(damaged(format_args!("the entry at {} is encrypted", member.at)));
        }
        let (part, local) = self.body(&member)?;
        let mut said = member.extra;
        // The directory's own owner fields are empty: they stand at the body.
        said.take(&local);
        let entry = entry(&member, &part, said)?;
        if member.packed > 0 {
            let end = member.local.saturating_add(member.packed);
            self.take_place(member.local, end)?;
        }
        self.at = behind;
        Ok(entry)
    }

    /// The next entry of the directory, and where the one behind it begins.
    fn member(&self) -> Result<(Member<'_>, usize), Error> {
        let at = self.base + self.at as u64;
        let wrong = || damaged(format_args!("the directory has no entry at {at}"));
        let rest = self.directory.get(self.at..).unwrap_or_default();
        let (header, rest) = Central::read_from_prefix(rest).map_err(|_| wrong())?;
        if header.signature.get() != CENTRAL {
            return Err(wrong());
        }
        let cut = |rest, len: u16| -> Result<(&[u8], &[u8]), Error> {
            <[u8]>::split_at_checked(rest, usize::from(len)).ok_or_else(wrong)
        };
        let (name, rest) = cut(rest, header.name_len.get())?;
        let (fields, rest) = cut(rest, header.extra_len.get())?;
        let (_, rest) = cut(rest, header.comment_len.get())?;
        let mut size = u64::from(header.size.get());
        let mut packed = u64::from(header.packed.get());
        let mut local = u64::from(header.offset.get());
        extra::large(fields, [&mut size, &mut packed, &mut local]).ok_or_else(wrong)?;
        let mut said = extra::Extra::default();
        said.take(fields);
        let behind = self.directory.len() - rest.len();
        Ok((Member { header, name, size, packed, extra: said, at, local }, behind))
    }

    /// The body of an entry, and the extra fields that stand before it.
    fn body(&self, member: &Member<'_>) -> Result<(Part, Vec<u8>), Error> {
        let (at, offset) = (member.at, member.local);
        let head = size_of::<Local>() as u64;
        let wrong = |what: &str| damaged(format_args!("the entry at {at} {what}"));
        let limit = self.base;
        let fits = |end: Option<u64>| end.filter(|end| *end <= limit);
        let names =
            fits(offset.checked_add(head)).ok_or_else(|| wrong("points behind all bodies"))?;
        let local: Local = read(self.source.as_ref(), offset)?;
        if local.signature.get() != LOCAL {
            return Err(wrong(&format!("points to {offset}, where there is no header")));
        }
        let (name_len, extra_len) = (local.name_len.get(), local.extra_len.get());
        let body = names + u64::from(name_len) + u64::from(extra_len);
        let end = fits(body.checked_add(member.packed));
        end.ok_or_else(|| wrong(&format!("says {} bytes; bodies end at {limit}", member.packed)))?;
        let mut bytes = vec![0; usize::from(name_len) + usize::from(extra_len)];
        self.source.read_at(names, &mut bytes)?;
        let extra = bytes.split_off(usize::from(name_len));
        if bytes != member.name || local.method != member.header.method {
            return Err(wrong("has another name or method before its body"));
        }
        Ok((Part::new(Arc::clone(&self.source), body, member.packed)?, extra))
    }

    /// Notes that the bytes from `start` to `end` belong to an entry. Those of another are refused:
    /// one body for many entries is how small archives become large ones.
    fn take_place(&mut self, start: u64, end: u64) -> Result<(), Error> {
        let next = self.taken.partition_point(|(other, _)| *other < start);
        let before = next.checked_sub(1).and_then(|before| self.taken.get(before));
        let overlaps = before.is_some_and(|(_, other)| *other > start)
            || self.taken.get(next).is_some_and(|(other, _)| *other < end);
        if overlaps {
            return Err(damaged(format_args!("two entries share the bytes at {start}")));
        }
        self.taken.insert(next, (start, end));
        Ok(())
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let next = self.step();
        if next.is_err() {
            self.left = 0;
        }
        Some(next)
    }
}

fn entry(member: &Member<'_>, part: &Part, said: extra::Extra) -> Result<Entry, Error> {
    let header = &member.header;
    let system = header.made_by.get() >> 8;
    // OK to cast: the upper half.
    let mode = (header.external.get() >> 16) as u16;
    let unix = matches!(system, 3 | 19) && mode != 0;
    let mut path = member.name.to_vec();
    // Writers for DOS and Windows should not do that, and do.
    if system == 0 && !path.contains(&b'/') {
        path.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    }
    let directory = path.ends_with(b"/") || unix && mode & 0o170_000 == 0o040_000;
    let (uid, gid) = said.owner.unwrap_or((0, 0));
    let time: Time =
        said.modified.unwrap_or_else(|| extra::dos(header.dos_date.get(), header.dos_time.get()));
    let plain = if directory { Meta::directory(time) } else { Meta::file(time) };
    let mode = if unix { mode } else { plain.mode | if directory { 0o040_000 } else { 0o100_000 } };
    let form = if directory { Form::Directory } else { form(member, part, mode)? };
    let meta = Meta { mode: mode & 0o7777, uid, gid, modified: time };
    Ok(Entry { path: path.into(), form, meta, attributes: None, at: member.at })
}

fn form(member: &Member<'_>, part: &Part, mode: u16) -> Result<Form, Error> {
    let header = &member.header;
    let crc = header.crc.get();
    let at = member.at;
    let packed = Packed { part: part.clone(), size: member.size, crc };
    match (header.method.get(), mode & 0o170_000) {
        (0, _) if member.packed != member.size => {
            let (size, packed) = (member.size, member.packed);
            Err(damaged(format_args!("the entry at {at} is stored in {packed} of {size} bytes")))
        }
        (0 | 8, 0o120_000) if member.size > MOST_TARGET => Err(damaged(format_args!(
            "the entry at {at} is a link to a path of more than 4096 bytes"
        ))),
        (0, 0o120_000) => Ok(Form::Symlink(checked(part, crc)?.into())),
        (8, 0o120_000) => {
            let sink = MemorySink::default();
            packed.unpack(&sink, 0)?;
            Ok(Form::Symlink(sink.into_bytes().into()))
        }
        (0, 0 | 0o100_000) => {
            checked(part, crc)?;
            Ok(Form::File(part.clone().content()))
        }
        (8, 0 | 0o100_000) => Ok(Form::Packed(packed)),
        (0 | 8, 0o010_000) => Ok(Form::Fifo),
        (0 | 8, 0o140_000) => Ok(Form::Socket),
        (0 | 8, mode) => Err(damaged(format_args!(
            "the entry at {at} has the mode {mode:o}, which is of no file"
        ))),
        (method, _) => {
            let message = format!(
                "zip: the entry at {at} is compressed by method {method}; 0 (stored) and 8 \
                 (deflate) are allowed"
            );
            Err(Error::new(Kind::Unsupported, message))
        }
    }
}

/// Judges the sum of a stored body; returns its first bytes.
fn checked(part: &Part, wanted: u32) -> Result<Vec<u8>, Error> {
    let mut buffer = vec![0; usize::try_from(part.len().min(256 << 10)).unwrap_or(0)];
    let (mut at, mut crc) = (0, crc32fast::Hasher::new());
    let mut first = Vec::new();
    while at < part.len() {
        let len = (part.len() - at).min(buffer.len() as u64);
        let now = buffer.get_mut(..usize::try_from(len).unwrap_or(0)).unwrap_or_default();
        part.read_at(at, now)?;
        crc.update(now);
        if at == 0 {
            first = now.get(..now.len().min(MOST_TARGET as usize)).unwrap_or_default().to_vec();
        }
        at += len;
    }
    packed::judge(at, part.len(), crc.finalize(), wanted)?;
    Ok(first)
}
