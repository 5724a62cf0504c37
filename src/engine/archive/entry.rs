//! What an entry of any archive is, and going through an archive.
//!
//! Judges no name: whoever puts entries into a tree does. Invariant: entries come in the archive's
//! order, and memory does not grow with their number (zip: with its directory).

use std::fmt;
use std::sync::Arc;

use super::{ar, cpio, tar, zip};
use crate::engine::base::tree::{Attributes, Device, Meta};
use crate::engine::base::{Content, Error, Kind, SectorSource};

/// What an entry is.
#[derive(Clone, Debug)]
pub enum Form {
    /// A directory.
    Directory,
    /// A file whose bytes lie in the archive.
    File(Content),
    /// A file that is compressed by itself.
    Packed(zip::Packed),
    /// One more name of the entry with this path.
    HardLink(Box<[u8]>),
    /// A symbolic link to this path.
    Symlink(Box<[u8]>),
    /// A device that is read in bytes.
    CharDevice(Device),
    /// A device that is read in blocks.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// An entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its path as the archive has it.
    pub path: Box<[u8]>,
    /// What it is.
    pub form: Form,
    /// Mode, owner and time.
    pub meta: Meta,
    /// Extended attributes by their full name.
    pub attributes: Option<Box<Attributes>>,
    /// Where its header lies, for messages.
    pub at: u64,
}

/// Which archive it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// tar: ustar, GNU, pax.
    Tar,
    /// cpio: newc, crc, odc.
    Cpio,
    /// zip.
    Zip,
    /// A Debian package: its data.
    Deb,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tar, Self::Cpio, Self::Zip, Self::Deb];

    /// The name, as documents spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Cpio => "cpio",
            Self::Zip => "zip",
            Self::Deb => "deb",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// What `source` says it is; none if it is no archive that we know.
    pub fn detect(source: &dyn SectorSource) -> Result<Option<Self>, Error> {
        let mut first = vec![0; usize::try_from(source.len().min(tar::BLOCK)).unwrap_or(0)];
        source.read_at(0, &mut first)?;
        Ok(if first.starts_with(ar::MAGIC) {
            Some(Self::Deb)
        } else if cpio::is_magic(&first) {
            Some(Self::Cpio)
        } else if zip::is_magic(&first) {
            Some(Self::Zip)
        } else if tar::is_header(&first) {
            Some(Self::Tar)
        } else {
            None
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Goes through an archive. After an error there is nothing more.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is named after its archive")]
pub enum Entries {
    Tar(tar::Entries),
    Cpio(cpio::Entries),
    Zip(zip::Entries),
}

impl Entries {
    /// The entries of `source`. Of a Debian package its data member must be taken first.
    pub fn open(format: Format, source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        match format {
            Format::Tar => Ok(Self::Tar(tar::Entries::new(source))),
            Format::Cpio => cpio::Entries::open(source).map(Self::Cpio),
            Format::Zip => zip::Entries::open(source).map(Self::Zip),
            Format::Deb => {
                let message = "a Debian package is opened by its data member";
                Err(Error::new(Kind::Input, message))
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Tar(entries) => entries.next(),
            Self::Cpio(entries) => entries.next(),
            Self::Zip(entries) => entries.next(),
        }
    }
}
