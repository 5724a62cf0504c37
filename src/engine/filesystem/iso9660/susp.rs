//! System use entries of Rock Ridge: made for a node, and packed behind its directory record.
//!
//! Invariants: an entry is never split over two areas; a continuation area never crosses a sector.

use zerocopy::IntoBytes as _;

use super::ondisk::{
    Both32, CONTINUE, CURRENT, Continuation, Date7, DeviceNumbers, ENTRY, ER_DESCRIPTOR, ER_ID,
    ER_SOURCE, PARENT, Posix, ROOT, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK,
    SECTOR, SP, TF_ACCESS, TF_ATTRIBUTES, TF_MODIFY,
};
use crate::engine::base::tree::{Device, Kind, Meta};

/// Bytes of a CE entry.
const CE: usize = ENTRY + size_of::<Continuation>();

/// Bytes of one entry's own part: its length is a byte.
const MOST: usize = 250;

/// Entries of one directory record, in order.
#[derive(Debug, Default)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Entries {
    fn push(&mut self, signature: [u8; 2], parts: &[&[u8]]) {
        let len = ENTRY + parts.iter().map(|part| part.len()).sum::<usize>();
        self.bytes.extend(signature);
        // At most 255: every caller cuts what can be long.
        self.bytes.extend([u8::try_from(len).unwrap_or(u8::MAX), 1]);
        parts.iter().for_each(|part| self.bytes.extend(*part));
        self.ends.push(self.bytes.len());
    }

    /// SUSP 5.3: on the root's own record.
    pub(super) fn sharing(&mut self) {
        self.push(*b"SP", &[&SP]);
    }

    /// RRIP 4.3: names the extension.
    pub(super) fn extension(&mut self) {
        let lens = [ER_ID, ER_DESCRIPTOR, ER_SOURCE].map(|text| text.len().to_le_bytes()[0]);
        self.push(*b"ER", &[&lens, &[1], ER_ID, ER_DESCRIPTOR, ER_SOURCE]);
    }

    /// RRIP 4.1.1.
    pub(super) fn posix(&mut self, kind: u32, meta: &Meta, links: u32, serial: u32) {
        let posix = Posix {
            mode: Both32::new(kind | u32::from(meta.mode)),
            links: Both32::new(links),
            uid: Both32::new(meta.uid),
            gid: Both32::new(meta.gid),
            serial: Both32::new(serial),
        };
        self.push(*b"PX", &[posix.as_bytes()]);
    }

    /// RRIP 4.1.6: all three times are the one that is known.
    pub(super) fn times(&mut self, date: Date7) {
        let date = date.as_bytes();
        self.push(*b"TF", &[&[TF_MODIFY | TF_ACCESS | TF_ATTRIBUTES], date, date, date]);
    }

    /// RRIP 4.1.2: the major number is the high one, as Linux has it.
    pub(super) fn device(&mut self, device: Device) {
        let numbers =
            DeviceNumbers { high: Both32::new(device.major), low: Both32::new(device.minor) };
        self.push(*b"PN", &[numbers.as_bytes()]);
    }

    /// RRIP 4.1.4.
    pub(super) fn name(&mut self, name: &[u8]) {
        let mut parts = name.chunks(MOST).peekable();
        while let Some(part) = parts.next() {
            let more = if parts.peek().is_some() { CONTINUE } else { 0 };
            self.push(*b"NM", &[&[more], part]);
        }
    }

    /// RRIP 4.1.3: components between slashes. An empty one keeps two slashes in a row, and one at
    /// the end, as they were.
    pub(super) fn link(&mut self, target: &[u8]) {
        let mut entry: Vec<u8> = Vec::new();
        let mut rest = target;
        if let Some(behind) = target.strip_prefix(b"/") {
            entry.extend([ROOT, 0]);
            rest = behind;
        }
        let mut parts = rest.split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next().filter(|_| !rest.is_empty()) {
            self.component(&mut entry, part, parts.peek().is_none());
        }
        self.push(*b"SL", &[&[0], &entry]);
    }

    /// Puts a component behind those of `entry`. An entry ends inside of a component where it can:
    /// libarchive forgets the slash between two entries.
    fn component(&mut self, entry: &mut Vec<u8>, part: &[u8], last: bool) {
        let kind = match part {
            b"." => CURRENT,
            b".." => PARENT,
            _ => 0,
        };
        let mut part = if kind == 0 { part } else { b"" };
        loop {
            let room = MOST - entry.len();
            let fits = part.len() + 2 <= room;
            let leaves_room = part.len() + 5 <= room;
            if fits && (last || leaves_room || part.len() < 2) {
                entry.extend([kind, part.len().to_le_bytes()[0]]);
                entry.extend(part);
                return;
            }
            if room >= 3 && part.len() >= 2 {
                let (now, later) = part.split_at((room - 2).min(part.len() - 1));
                entry.extend([CONTINUE, now.len().to_le_bytes()[0]]);
                entry.extend(now);
                part = later;
            }
            self.push(*b"SL", &[&[CONTINUE], entry]);
            entry.clear();
        }
    }

    /// RRIP 4.1.5: CL and PL with a directory's place, RE without.
    pub(super) fn child(&mut self, block: u32) {
        self.push(*b"CL", &[Both32::new(block).as_bytes()]);
    }

    pub(super) fn parent(&mut self, block: u32) {
        self.push(*b"PL", &[Both32::new(block).as_bytes()]);
    }

    pub(super) fn relocated(&mut self) {
        self.push(*b"RE", &[]);
    }
}

/// The type's bits of a mode.
pub(super) const fn type_bits(kind: &Kind) -> u32 {
    match kind {
        Kind::Directory(_) => S_IFDIR,
        Kind::File(_) => S_IFREG,
        Kind::Symlink(_) => S_IFLNK,
        Kind::CharDevice(_) => S_IFCHR,
        Kind::BlockDevice(_) => S_IFBLK,
        Kind::Fifo => S_IFIFO,
        Kind::Socket => S_IFSOCK,
    }
}

/// The continuation areas of one directory: bytes behind its records.
#[derive(Debug)]
pub(super) struct Overflow {
    /// Sector of the first byte.
    pub(super) sector: u32,
    pub(super) bytes: Vec<u8>,
}

impl Overflow {
    /// Bytes left in the sector where the next area begins.
    const fn left(&self) -> usize {
        SECTOR as usize - self.bytes.len() % SECTOR as usize
    }

    /// The system use field of a record that has `room` bytes for it; what does not fit goes here.
    pub(super) fn pack(&mut self, entries: &Entries, room: usize) -> Vec<u8> {
        let mut ends = entries.ends.as_slice();
        let fits = fitting(ends, 0, room);
        let mut from = part_end(ends, fits, 0);
        ends = ends.get(fits..).unwrap_or_default();
        let mut own = entries.bytes.get(..from).unwrap_or_default().to_vec();
        // Where the CE entry lies that names the next area: in the record, or here.
        let mut before = None;
        while !ends.is_empty() {
            // The longest entry fits, and a CE entry behind it; otherwise the next sector is begun.
            if self.left() < 256 + CE {
                self.bytes.resize(self.bytes.len().next_multiple_of(SECTOR as usize), 0);
            }
            let at = self.bytes.len();
            let fits = fitting(ends, from, self.left());
            let end = part_end(ends, fits, from);
            ends = ends.get(fits..).unwrap_or_default();
            self.bytes.extend(entries.bytes.get(from..end).unwrap_or_default());
            from = end;
            let reserved = self.bytes.len();
            self.bytes.resize(reserved + if ends.is_empty() { 0 } else { CE }, 0);
            let link = self.continuation(at, self.bytes.len() - at);
            match before.replace(reserved) {
                None => own.extend(link),
                Some(place) => {
                    let to = self.bytes.get_mut(place..place + CE).unwrap_or_default();
                    to.copy_from_slice(&link);
                }
            }
        }
        own
    }

    fn continuation(&self, at: usize, len: usize) -> Vec<u8> {
        let number = |value: usize| Both32::new(u32::try_from(value).unwrap_or(u32::MAX));
        let sectors = u32::try_from(at / SECTOR as usize).unwrap_or(u32::MAX);
        let area = Continuation {
            block: Both32::new(self.sector.saturating_add(sectors)),
            offset: number(at % SECTOR as usize),
            len: number(len),
        };
        let mut entries = Entries::default();
        entries.push(*b"CE", &[area.as_bytes()]);
        entries.bytes
    }
}

/// Where the first `count` entries end.
fn part_end(ends: &[usize], count: usize, from: usize) -> usize {
    count.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(from)
}

/// How many entries fit into `room`, with a CE entry behind them if there are more.
fn fitting(ends: &[usize], from: usize, room: usize) -> usize {
    if ends.last().is_none_or(|end| end - from <= room) {
        return ends.len();
    }
    ends.iter().take_while(|end| **end - from + CE <= room).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_goes_on_elsewhere() {
        let mut overflow = Overflow { sector: 100, bytes: Vec::new() };
        let mut entries = Entries::default();
        entries.name(&[b'a'; 255]);
        entries.link(&b"x/".repeat(2000));
        let total = entries.bytes.len();
        let own = overflow.pack(&entries, 120);
        // Nothing but a CE entry fits.
        assert_eq!((own.len(), &own[..2]), (CE, &b"CE"[..]));
        assert_eq!(own[4..8], 100_u32.to_le_bytes());
        // Every byte lies in one of the areas, beside one CE entry in each but the last.
        let areas = overflow.bytes.len() / SECTOR as usize + 1;
        assert!(overflow.bytes.len() >= total + CE * (areas - 1));
        let before = overflow.bytes.len();
        let mut small = Entries::default();
        small.name(b"fits");
        assert_eq!(overflow.pack(&small, 120).len(), 9);
        assert_eq!(overflow.bytes.len(), before);
    }

    #[test]
    fn links_keep_their_slashes() {
        let mut entries = Entries::default();
        entries.link(b"/a//../b/");
        let fields = [8, 0, 0, 1, b'a', 0, 0, 4, 0, 0, 1, b'b', 0, 0];
        assert_eq!(entries.bytes[5..], fields);
    }
}
