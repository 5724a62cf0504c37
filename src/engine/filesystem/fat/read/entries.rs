//! The entries of a directory, with their long names.
//!
//! Source: FAT 1.03, "FAT Directory Structure" and "FAT Long Directory Entries". Invariant: a long
//! name counts only if all its parts are there in order and belong to the short name behind them.

use zerocopy::FromBytes as _;

use super::super::ondisk::{
    DIRECTORY, END, ENTRY, Entry, FREE, KANJI, LAST_LONG, LONG, LONG_MASK, LONG_UNITS, LOWER_BASE,
    LOWER_EXTENSION, Long, READ_ONLY, VOLUME, checksum,
};
use super::super::time::Stamp;
use super::volume::Volume;
use crate::engine::base::tree::{Meta, Time};
use crate::engine::base::{Error, Kind};

/// What stands in a directory.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) label: Option<[u8; 11]>,
    pub(super) entries: Vec<Found>,
}

/// A file or a directory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) directory: bool,
    pub(super) start: u32,
    pub(super) len: u64,
    read_only: bool,
    modified: Time,
}

impl Found {
    /// What FAT does not know is what everybody gets.
    pub(super) fn meta(&self) -> Meta {
        let meta =
            if self.directory { Meta::directory(self.modified) } else { Meta::file(self.modified) };
        Meta { mode: if self.read_only { meta.mode & !0o222 } else { meta.mode }, ..meta }
    }
}

/// A long name whose parts are being gathered, the last one first.
#[derive(Debug, Default)]
struct Gathered {
    units: Vec<u16>,
    /// Number of the part that came last.
    number: u8,
    checksum: u8,
}

/// The entries in `bytes`; `path` is for messages.
pub(super) fn parse(bytes: &[u8], volume: &Volume, path: &str) -> Result<Parsed, Error> {
    let mut parsed = Parsed::default();
    let mut long = Gathered::default();
    for bytes in bytes.as_chunks::<ENTRY>().0 {
        let Ok(entry) = Entry::read_from_bytes(bytes) else { break };
        match entry.name[0] {
            END => break,
            FREE => long = Gathered::default(),
            _ if entry.attributes & LONG_MASK == LONG => {
                if let Ok(part) = Long::read_from_bytes(bytes) {
                    long.add(&part);
                }
            }
            _ => {
                let name = std::mem::take(&mut long).finish(&entry.name);
                if entry.attributes & VOLUME != 0 {
                    parsed.label.get_or_insert(entry.name);
                } else if !matches!(&entry.name, b".          " | b"..         ") {
                    parsed.entries.push(found(&entry, name, volume, path)?);
                }
            }
        }
    }
    Ok(parsed)
}

impl Gathered {
    fn add(&mut self, part: &Long) {
        let number = part.order & (LAST_LONG - 1);
        let first = part.order & LAST_LONG != 0;
        let follows = self.number == number + 1 && self.checksum == part.checksum;
        // At most 20 parts: 255 characters.
        if !(1..=20).contains(&number) || !(first || follows) {
            *self = Self::default();
            return;
        }
        if first {
            *self = Self { checksum: part.checksum, ..Self::default() };
        }
        self.number = number;
        self.units.splice(0..0, part.units());
        debug_assert!(self.units.len() <= 20 * LONG_UNITS);
    }

    /// The name, if all of it came.
    fn finish(self, short: &[u8; 11]) -> Option<Vec<u16>> {
        let whole = self.number == 1 && self.checksum == checksum(short);
        let end = self.units.iter().position(|unit| *unit == 0).unwrap_or(self.units.len());
        whole.then(|| self.units.get(..end).unwrap_or_default().to_vec())
    }
}

fn found(
    entry: &Entry,
    long: Option<Vec<u16>>,
    volume: &Volume,
    path: &str,
) -> Result<Found, Error> {
    let name = match long {
        Some(units) => String::from_utf16(&units).map_err(|_| {
            let shown = String::from_utf16_lossy(&units);
            let message = format!("in {path}/ the name {shown:?} is no UTF-16");
            Error::new(Kind::Damaged, message)
        })?,
        None => short(entry),
    };
    let high = if volume.bits == 32 { u32::from(entry.high.get()) << 16 } else { 0 };
    let directory = entry.attributes & DIRECTORY != 0;
    let stamp = Stamp { date: entry.date.get(), time: entry.time.get(), fine: 0 };
    Ok(Found {
        name,
        directory,
        start: high | u32::from(entry.low.get()),
        len: if directory { 0 } else { u64::from(entry.len.get()) },
        read_only: entry.attributes & READ_ONLY != 0,
        modified: stamp.time(),
    })
}

/// A short name as people see it.
fn short(entry: &Entry) -> String {
    let text = decoded(&entry.name);
    let part = |from: usize, count: usize, lower: bool| {
        let part: String = text.chars().skip(from).take(count).collect();
        let part = part.trim_end().to_owned();
        if lower { part.to_lowercase() } else { part }
    };
    let base = part(0, 8, entry.case & LOWER_BASE != 0);
    match part(8, 3, entry.case & LOWER_EXTENSION != 0) {
        extension if extension.is_empty() => base,
        extension => format!("{base}.{extension}"),
    }
}

/// The bytes of a short name as Linux takes them if nobody says otherwise: code page 437.
pub(super) fn decoded(name: &[u8; 11]) -> String {
    const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
                         └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
    let letters = name.iter().enumerate().map(|(at, byte)| match byte {
        &KANJI if at == 0 => FREE,
        byte => *byte,
    });
    let upper = |byte: u8| UPPER.chars().nth(usize::from(byte & 0x7F)).unwrap_or('_');
    letters.map(|byte| if byte < 0x80 { char::from(byte) } else { upper(byte) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_half_of_code_page_437_is_whole() {
        // `printf '\x80\xe1\xff' | iconv -f CP437` shows these.
        assert_eq!(decoded(b"\x80\xe1\xff\x05\xb0\xdb\xfe    "), "Çß\u{a0}\u{5}░█■    ");
        assert_eq!(decoded(b"\x05BC        ").chars().next(), Some('σ'));
        for byte in 0x80..=0xFFu8 {
            assert_ne!(decoded(&[byte; 11]).chars().nth(1), Some('_'));
        }
    }
}
