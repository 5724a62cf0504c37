//! The records of one directory, sector by sector.
//!
//! Interprets no system use field. Invariants: a record lies in one sector; what is not one is an
//! error with its place.

use zerocopy::FromBytes as _;

use super::super::ondisk::{RECORD, Record, SECTOR};
use crate::engine::base::{Error, Kind, SectorSource};

/// A record.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) head: Record,
    pub(super) id: Vec<u8>,
    /// The system use field.
    pub(super) system: Vec<u8>,
    /// Where it lies on the medium, for messages.
    pub(super) offset: u64,
}

impl Found {
    /// The first sector of the data, behind an extended attribute record.
    pub(super) fn sector(&self) -> u64 {
        u64::from(self.head.extent.get()) + u64::from(self.head.attribute_len)
    }

    /// Whether it is `.` or `..`.
    pub(super) fn is_dot(&self) -> bool {
        matches!(self.id.as_slice(), [0 | 1])
    }
}

/// Goes through a directory.
pub(super) struct Records<'a> {
    medium: &'a dyn SectorSource,
    /// Where the next sector lies, and the end.
    next: u64,
    end: u64,
    sector: Vec<u8>,
    at: usize,
}

impl<'a> Records<'a> {
    /// The directory of `len` bytes at a sector.
    pub(super) fn new(medium: &'a dyn SectorSource, sector: u64, len: u32) -> Result<Self, Error> {
        let next = sector * SECTOR;
        let end = next + u64::from(len).next_multiple_of(SECTOR);
        if end > medium.len() {
            let message = format!(
                "a directory of {len} bytes at sector {sector} goes beyond the end at {}",
                medium.len()
            );
            return Err(Error::new(Kind::Damaged, message));
        }
        Ok(Self { medium, next, end, sector: Vec::new(), at: 0 })
    }

    fn record(&mut self) -> Result<Option<Found>, Error> {
        loop {
            let rest = self.sector.get(self.at..).unwrap_or_default();
            let len = usize::from(rest.first().copied().unwrap_or(0));
            if len > 0 {
                let offset = self.next - SECTOR + self.at as u64;
                let found = rest.get(..len).and_then(|bytes| parse(bytes, offset));
                self.at += len;
                return found.map(Some).ok_or_else(|| {
                    let message = format!("no directory record of {len} bytes at offset {offset}");
                    Error::new(Kind::Damaged, message)
                });
            }
            if self.next >= self.end {
                return Ok(None);
            }
            self.sector.resize(SECTOR as usize, 0);
            self.medium.read_at(self.next, &mut self.sector)?;
            self.next += SECTOR;
            self.at = 0;
        }
    }
}

fn parse(bytes: &[u8], offset: u64) -> Option<Found> {
    let (head, rest) = Record::read_from_prefix(bytes).ok()?;
    let id_len = usize::from(head.id_len);
    let id = rest.get(..id_len).filter(|id| !id.is_empty())?;
    // A byte follows the identifier where its length is even.
    let system = bytes.get((RECORD + id_len).next_multiple_of(2)..).unwrap_or_default();
    Some(Found { head, id: id.to_vec(), system: system.to_vec(), offset })
}

impl Iterator for Records<'_> {
    type Item = Result<Found, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.record();
        if found.is_err() {
            // Nothing behind it can be trusted.
            self.next = self.end;
            self.sector.clear();
        }
        found.transpose()
    }
}
