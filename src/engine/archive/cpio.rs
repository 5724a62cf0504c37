//! cpio: newc (070701), newc with sums (070702) and odc (070707).
//!
//! Linux: Documentation/driver-api/early-userspace/buffer-format.rst; POSIX.1-1988 "cpio archive
//! format" for odc. The old binary form is not read. Names of one inode become one file: the first
//! is the file, with the body that any of them has; the others are links to it. As a kernel does,
//! archives that follow each other are read as one. Invariants: a body lies inside of the archive;
//! a sum that is wrong is an error; only inodes with several names take memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{Entry, Form, Part};
use crate::engine::base::tree::{Device, Meta, Time};
use crate::engine::base::{Error, Kind, SectorSource, is_zero};

/// A header of newc: each field is 8 hexadecimal digits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Newc {
    magic: [u8; 6],
    inode: [u8; 8],
    mode: [u8; 8],
    uid: [u8; 8],
    gid: [u8; 8],
    names: [u8; 8],
    modified: [u8; 8],
    size: [u8; 8],
    device: [[u8; 8]; 2],
    special: [[u8; 8]; 2],
    name_size: [u8; 8],
    sum: [u8; 8],
}

/// A header of odc: octal digits.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Odc {
    magic: [u8; 6],
    device: [u8; 6],
    inode: [u8; 6],
    mode: [u8; 6],
    uid: [u8; 6],
    gid: [u8; 6],
    names: [u8; 6],
    special: [u8; 6],
    modified: [u8; 11],
    name_size: [u8; 6],
    size: [u8; 11],
}

const NEWC: &[u8; 6] = b"070701";
const CRC: &[u8; 6] = b"070702";
const ODC: &[u8; 6] = b"070707";

/// What the last entry is called.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The longest name: PATH_MAX with its zero.
const MOST_NAME: u64 = 4097;

/// An inode: the archive it is in, the device, the number, and the kind of file.
type Inode = (u32, u64, u64, u64);

/// What is known about an inode with several names.
#[derive(Debug, Default)]
struct Shared {
    /// Where its body lies.
    body: Option<Member>,
    /// The name that came first.
    first: Option<Box<[u8]>>,
}

/// A header in numbers.
#[derive(Clone, Copy, Debug)]
struct Member {
    at: u64,
    mode: u64,
    uid: u32,
    gid: u32,
    seconds: i64,
    special: Device,
    inode: Inode,
    names: u64,
    name: (u64, u64),
    body: u64,
    size: u64,
    /// Of `CRC`: the sum of all bytes of the body.
    sum: Option<u32>,
    next: u64,
}

/// A header with its name.
type Named = (Member, Box<[u8]>);

/// Goes through an archive.
#[derive(Debug)]
pub struct Entries {
    source: Arc<dyn SectorSource>,
    at: u64,
    /// Counts the archives that follow each other.
    part: u32,
    shared: BTreeMap<Inode, Shared>,
    done: bool,
}

/// Whether a file of these first bytes is a cpio archive of a form that is read.
pub(super) fn is_magic(first: &[u8]) -> bool {
    [NEWC, CRC, ODC].iter().any(|magic| first.starts_with(*magic))
}

fn damaged(at: u64, what: &str) -> Error {
    Error::new(Kind::Damaged, format!("cpio: the header at {at} {what}"))
}

fn digits(field: &[u8], radix: u32) -> Option<u64> {
    field.iter().try_fold(0u64, |n, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        n.checked_mul(radix.into())?.checked_add(digit.into())
    })
}

/// A device number as Linux packs it in 32 bits (linux/kdev_t.h, `new_encode_dev`).
fn unpacked(number: u64) -> Device {
    let number = u32::try_from(number).unwrap_or(0);
    Device { major: (number >> 8) & 0xfff, minor: (number & 0xff) | ((number >> 12) & 0xfff00) }
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
    pub fn open(source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let mut entries = Self { source, at: 0, part: 0, shared: BTreeMap::new(), done: false };
        // A body may come with any of an inode's names.
        while let Some((member, _)) = entries.member()? {
            if member.is_shared() {
                let shared = entries.shared.entry(member.inode).or_default();
                if member.size > 0 || shared.body.is_none() {
                    shared.body = Some(member);
                }
            }
        }
        (entries.at, entries.part) = (0, 0);
        Ok(entries)
    }

    /// The next header and name; none at the end.
    fn member(&mut self) -> Result<Option<Named>, Error> {
        loop {
            let mut magic = [0; 6];
            if self.at + magic.len() as u64 > self.source.len() {
                return Err(damaged(self.at, "is not there: no entry TRAILER!!! came before"));
            }
            self.source.read_at(self.at, &mut magic)?;
            let member = match &magic {
                NEWC | CRC => self.newc()?,
                ODC => self.odc()?,
                [0o307, 0o161, ..] | [0o161, 0o307, ..] => {
                    let what = "is of the old binary form; newc, crc and odc are allowed";
                    return Err(damaged(self.at, what));
                }
                other => {
                    let what = format!("begins with \"{}\"", other.escape_ascii());
                    return Err(damaged(self.at, &what));
                }
            };
            let name = self.name(&member)?;
            self.at = member.next;
            if *name != *TRAILER {
                return Ok(Some((member, name)));
            }
            self.part += 1;
            if !self.skip_zeros()? {
                return Ok(None);
            }
        }
    }

    /// Goes on behind zeros to the next archive; false if there is none.
    fn skip_zeros(&mut self) -> Result<bool, Error> {
        let mut block = [0; 512];
        while let Some(extent) = self.source.next_extent(self.at) {
            self.at = extent.start().max(self.at);
            let left = self.source.len().saturating_sub(self.at);
            let len = usize::try_from(left.min(512)).unwrap_or(512);
            let now = block.get_mut(..len).unwrap_or_default();
            if now.is_empty() {
                break;
            }
            self.source.read_at(self.at, now)?;
            if let Some(found) = now.iter().position(|byte| *byte != 0) {
                self.at += found as u64;
                return Ok(true);
            }
            self.at += len as u64;
        }
        Ok(false)
    }

    fn header<const N: usize>(&self) -> Result<[u8; N], Error> {
        let mut header = [0; N];
        let end = self.at.checked_add(N as u64).filter(|end| *end <= self.source.len());
        end.ok_or_else(|| damaged(self.at, "is cut off"))?;
        self.source.read_at(self.at, &mut header)?;
        Ok(header)
    }

    fn newc(&self) -> Result<Member, Error> {
        let at = self.at;
        let no = || damaged(at, "has a field that is no hexadecimal number");
        let header: [u8; size_of::<Newc>()] = self.header()?;
        let header = Newc::read_from_bytes(&header).map_err(|_| no())?;
        let hex = |field: &[u8; 8]| digits(field, 16).ok_or_else(no);
        let small = |field: &[u8; 8]| hex(field).and_then(|n| u32::try_from(n).map_err(|_| no()));
        let [major, minor] = &header.special;
        let device = (hex(&header.device[0])? << 32) | hex(&header.device[1])?;
        let name_size = hex(&header.name_size)?;
        let name = at + size_of::<Newc>() as u64;
        // Relative to the archive's first byte, as GNU cpio and kernels have it.
        let body = (name + name_size).next_multiple_of(4);
        let size = hex(&header.size)?;
        let mode = hex(&header.mode)?;
        Ok(Member {
            at,
            mode,
            uid: small(&header.uid)?,
            gid: small(&header.gid)?,
            // Kernels take it as unsigned, too.
            seconds: i64::from(small(&header.modified)?),
            special: Device { major: small(major)?, minor: small(minor)? },
            inode: (self.part, device, hex(&header.inode)?, mode & 0o170_000),
            names: hex(&header.names)?,
            name: (name, name_size),
            body,
            size,
            sum: (header.magic == *CRC).then_some(small(&header.sum)?),
            next: (body + size).next_multiple_of(4),
        })
    }

    fn odc(&self) -> Result<Member, Error> {
        let at = self.at;
        let no = || damaged(at, "has a field that is no octal number");
        let header: [u8; size_of::<Odc>()] = self.header()?;
        let header = Odc::read_from_bytes(&header).map_err(|_| no())?;
        let octal = |field: &[u8]| digits(field, 8).ok_or_else(no);
        let small = |field: &[u8]| octal(field).and_then(|n| u32::try_from(n).map_err(|_| no()));
        let name_size = octal(&header.name_size)?;
        let name = at + size_of::<Odc>() as u64;
        let (body, size) = (name + name_size, octal(&header.size)?);
        let mode = octal(&header.mode)?;
        Ok(Member {
            at,
            mode,
            uid: small(&header.uid)?,
            gid: small(&header.gid)?,
            seconds: i64::try_from(octal(&header.modified)?).unwrap_or(i64::MAX),
            special: unpacked(octal(&header.special)?),
            inode: (self.part, octal(&header.device)?, octal(&header.inode)?, mode & 0o170_000),
            names: octal(&header.names)?,
            name: (name, name_size),
            body,
            size,
            sum: None,
            next: body + size,
        })
    }

    /// The name without its zero byte.
    fn name(&self, member: &Member) -> Result<Box<[u8]>, Error> {
        let (offset, len) = member.name;
        let at = member.at;
        if !(1..=MOST_NAME).contains(&len) {
            let what = format!("has a name of {len} bytes; 1 to {MOST_NAME} are allowed");
            return Err(damaged(at, &what));
        }
        let end = self.source.len();
        if member.body.saturating_add(member.size) > end && offset + len + member.size > end {
            let size = member.size;
            return Err(damaged(at, &format!("says {size} bytes; the archive ends at {end}")));
        }
        let mut name = vec![0; usize::try_from(len).unwrap_or(0)];
        self.source.read_at(offset, &mut name)?;
        // More zeros than one align the body: Linux' gen_init_cpio writes them with `-a`.
        let end = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if name.drain(end..).len() == 0 || name.contains(&0) {
            return Err(damaged(at, "has a name with a zero byte inside, or none at its end"));
        }
        Ok(name.into())
    }

    fn step(&mut self) -> Result<Option<Entry>, Error> {
        let Some((member, path)) = self.member()? else {
            return Ok(None);
        };
        let mut body = member;
        if member.is_shared()
            && let Some(shared) = self.shared.get_mut(&member.inode)
        {
            if let Some(first) = &shared.first {
                let form = Form::HardLink(first.clone());
                return Ok(Some(member.entry(path, form)));
            }
            shared.first = Some(path.clone());
            body = shared.body.unwrap_or(member);
        }
        let form = self.form(&body)?;
        Ok(Some(member.entry(path, form)))
    }

    fn form(&self, member: &Member) -> Result<Form, Error> {
        let at = member.at;
        let no_body = |form| match member.size {
            0 => Ok(form),
            size => Err(damaged(at, &format!("says {size} bytes of what has none"))),
        };
        match member.mode & 0o170_000 {
            0o040_000 => no_body(Form::Directory),
            0o100_000 => {
                let part = self.part(member)?;
                if let Some(wanted) = member.sum.filter(|_| member.size > 0) {
                    let sum = sum(&part)?;
                    if sum != wanted {
                        let what = format!("has the sum {wanted:08x}; its body's is {sum:08x}");
                        return Err(damaged(at, &what));
                    }
                }
                Ok(Form::File(part.content()))
            }
            0o120_000 if member.size <= MOST_NAME => {
                let mut target = vec![0; usize::try_from(member.size).unwrap_or(0)];
                self.source.read_at(member.body, &mut target)?;
                // Some writers count a zero byte at the end.
                if target.last() == Some(&0) {
                    target.pop();
                }
                Ok(Form::Symlink(target.into()))
            }
            0o120_000 => Err(damaged(at, "is a link to a path of more than 4096 bytes")),
            0o020_000 => no_body(Form::CharDevice(member.special)),
            0o060_000 => no_body(Form::BlockDevice(member.special)),
            0o010_000 => no_body(Form::Fifo),
            0o140_000 => no_body(Form::Socket),
            _ => Err(damaged(at, &format!("has the mode {:o}, which is of no file", member.mode))),
        }
    }

    fn part(&self, member: &Member) -> Result<Part, Error> {
        let part = Part::new(Arc::clone(&self.source), member.body, member.size);
        part.map_err(|e| damaged(member.at, &e.to_string()))
    }
}

impl Member {
    /// Whether other names of it are expected. A directory has but one.
    const fn is_shared(&self) -> bool {
        self.names > 1 && self.mode & 0o170_000 != 0o040_000
    }

    fn entry(&self, path: Box<[u8]>, form: Form) -> Entry {
        let modified = Time { seconds: self.seconds, nanos: 0 };
        // OK to cast: 12 bits.
        let mode = (self.mode & 0o7777) as u16;
        let meta = Meta { mode, uid: self.uid, gid: self.gid, modified };
        Entry { path, form, meta, attributes: None, at: self.at }
    }
}

/// The sum of all bytes, cut to 32 bits.
fn sum(source: &dyn SectorSource) -> Result<u32, Error> {
    let mut buffer = vec![0; 64 << 10];
    let (mut sum, mut at) = (0u32, 0);
    while at < source.len() {
        let len = (source.len() - at).min(buffer.len() as u64);
        let now = buffer.get_mut(..usize::try_from(len).unwrap_or(0)).unwrap_or_default();
        source.read_at(at, now)?;
        if !is_zero(now) {
            sum = now.iter().fold(sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        }
        at += len;
    }
    Ok(sum)
}
