//! What a directory cannot hold of a tree, and how its files looked when they were written.
//!
//! On disk a line of JSON for each name, bytes in hexadecimal. It lies where no script can reach
//! it. Invariant: entries are in the order of the tree, so a directory stands before what is in it.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::engine::base::tree::{Attributes, Device, Meta, Time};
use crate::engine::base::{Error, Kind as ErrorKind, Origin};

/// The version of the lines.
const VERSION: u32 = 1;

/// What a staged tree was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    pub(super) entries: Vec<Entry>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it was, without the first slash; empty for the root.
    pub(super) path: Box<[u8]>,
    pub(super) what: What,
    pub(super) meta: Meta,
    pub(super) attributes: Option<Box<Attributes>>,
    pub(super) origin: Origin,
    /// How it looked in the directory; none for what was not put there.
    pub(super) stamp: Option<Stamp>,
}

/// What it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Directory,
    File([u8; 32]),
    Symlink(Box<[u8]>),
    Char(Device),
    Block(Device),
    Fifo,
    Socket,
    /// Another name of the entry with this number.
    Again(usize),
}

/// How a file looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) mode: u16,
    pub(super) modified: (i64, u32),
    pub(super) changed: (i64, u32),
    /// When it was made, where the filesystem knows: inodes are used again.
    pub(super) born: Option<(i64, u32)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    entries: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    path: String,
    what: char,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    bytes: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    numbers: Vec<u64>,
    mode: u16,
    owner: (u32, u32),
    time: (i64, u32),
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<(String, String)>,
    origin: String,
    stamp: Option<Stamp>,
}

impl Journal {
    /// Writes it to a new file.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let context = |e| Error::io(format!("writing the journal {}", path.display()), e);
        let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
        let mut file = BufWriter::new(file.map_err(context)?);
        let head = Head { version: VERSION, entries: self.entries.len() };
        line(&mut file, &head).map_err(context)?;
        for entry in &self.entries {
            line(&mut file, &Row::from(entry)).map_err(context)?;
        }
        file.flush().map_err(context)
    }

    /// Reads it back.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let context = |e| Error::io(format!("reading the journal {}", path.display()), e);
        let wrong = |number: usize, why: &str| {
            let message = format!("line {} of the journal {}: {why}", number + 1, path.display());
            Error::new(ErrorKind::Damaged, message)
        };
        let mut lines = BufReader::new(fs::File::open(path).map_err(context)?).lines();
        let head = lines.next().transpose().map_err(context)?.unwrap_or_default();
        let head: Head = serde_json::from_str(&head).map_err(|e| wrong(0, &e.to_string()))?;
        if head.version != VERSION {
            return Err(wrong(0, &format!("version {}, known is {VERSION}", head.version)));
        }
        let mut entries = Vec::new();
        for (number, line) in lines.enumerate() {
            let line = line.map_err(context)?;
            let row: Row =
                serde_json::from_str(&line).map_err(|e| wrong(number + 1, &e.to_string()))?;
            let entry = row.entry(entries.len()).ok_or_else(|| wrong(number + 1, "no entry"))?;
            entries.push(entry);
        }
        if entries.len() != head.entries {
            let why = format!("{} entries, {} were written", entries.len(), head.entries);
            return Err(wrong(entries.len(), &why));
        }
        Ok(Self { entries })
    }
}

fn line(file: &mut impl std::io::Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}

impl From<&Entry> for Row {
    fn from(entry: &Entry) -> Self {
        let device = |d: &Device| vec![u64::from(d.major), u64::from(d.minor)];
        let (what, bytes, numbers) = match &entry.what {
            What::Directory => ('d', String::new(), Vec::new()),
            What::File(sum) => ('f', hex::encode(sum), Vec::new()),
            What::Symlink(target) => ('l', hex::encode(target), Vec::new()),
            What::Char(d) => ('c', String::new(), device(d)),
            What::Block(d) => ('b', String::new(), device(d)),
            What::Fifo => ('p', String::new(), Vec::new()),
            What::Socket => ('s', String::new(), Vec::new()),
            What::Again(entry) => ('=', String::new(), vec![*entry as u64]),
        };
        let attributes = entry.attributes.iter().flat_map(|all| all.iter());
        Self {
            path: hex::encode(&entry.path),
            what,
            bytes,
            numbers,
            mode: entry.meta.mode,
            owner: (entry.meta.uid, entry.meta.gid),
            time: (entry.meta.modified.seconds, entry.meta.modified.nanos),
            attributes: attributes.map(|(n, v)| (hex::encode(n), hex::encode(v))).collect(),
            origin: entry.origin.as_str().to_owned(),
            stamp: entry.stamp,
        }
    }
}

impl Row {
    /// The entry, if the row is one that can stand behind `before` others.
    fn entry(self, before: usize) -> Option<Entry> {
        let bytes = hex::decode(&self.bytes).ok()?;
        let device = || {
            let [major, minor] = *self.numbers.as_slice() else { return None };
            Some(Device { major: major.try_into().ok()?, minor: minor.try_into().ok()? })
        };
        let what = match self.what {
            'd' => What::Directory,
            'f' => What::File(bytes.as_slice().try_into().ok()?),
            'l' => What::Symlink(bytes.into()),
            'c' => What::Char(device()?),
            'b' => What::Block(device()?),
            'p' => What::Fifo,
            's' => What::Socket,
            '=' => {
                let first = usize::try_from(*self.numbers.first()?).ok()?;
                What::Again(Some(first).filter(|first| *first < before)?)
            }
            _ => return None,
        };
        let attribute = |(name, value): &(String, String)| {
            let pair = hex::decode(name).ok().zip(hex::decode(value).ok());
            pair.map(|(name, value)| (name.into_boxed_slice(), value.into_boxed_slice()))
        };
        let attributes = self.attributes.iter().map(attribute).collect::<Option<Attributes>>()?;
        let (seconds, nanos) = self.time;
        Some(Entry {
            path: hex::decode(&self.path).ok()?.into(),
            what,
            meta: Meta {
                mode: self.mode & 0o7777,
                uid: self.owner.0,
                gid: self.owner.1,
                modified: Time { seconds, nanos },
            },
            attributes: (!attributes.is_empty()).then(|| Box::new(attributes)),
            origin: Origin::new(&self.origin),
            stamp: self.stamp,
        })
    }
}
