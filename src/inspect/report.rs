//! What `inspect` found, as data and as text.
//!
//! Finds nothing itself. Invariant: numbers are exact bytes in both forms; the JSON names are a
//! contract with scripts.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::{Map, Value};

use super::boot::Boot;
use super::drawing;
use crate::engine::format::{Census, FormatName};
use crate::engine::partition::{Kind, Table};
use crate::engine::view::Volume;
use crate::units::ByteSize;

/// Columns of the names in front of a text's lines.
pub const NAMES: usize = 18;

/// What an image file is, and what lies in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The file's format.
    pub format: FormatName,
    /// Length of the file.
    pub file_size: u64,
    /// Length of the disk.
    pub virtual_size: u64,
    /// Bytes of the file that are not holes.
    pub allocated: u64,
    /// What the file's headers say.
    pub details: Map<String, Value>,
    /// How the units of the disk are stored.
    pub units: Census,
    /// What lies on the disk.
    pub content: Content,
    /// The partition table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Table>,
    /// The filesystems, and partitions where one cannot be looked at: of the whole disk first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filesystems: Vec<Volume>,
    /// How it boots.
    pub boot: Boot,
}

/// What lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// SHA-256 of the disk's bytes; none if the disk is too large to be hashed in reasonable time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether the first sector ends 55 AA.
    pub boot_signature: bool,
    /// What the first sector is; none without the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_sector: Option<BootSector>,
    /// Bytes of the sectors that are not all zero.
    pub data_bytes: u64,
    /// The first runs of sectors that are not all zero.
    pub data: Vec<Range>,
    /// How many runs there are beside them.
    pub more: u64,
    /// For every column of the map: how many of its thousandths are not zero, rounded up.
    #[serde(skip)]
    pub cells: Vec<u16>,
}

/// What a first sector with the signature 55 AA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BootSector {
    /// The protective table in front of a GPT.
    Gpt,
    /// A table of MBR partitions.
    Mbr,
    /// The first sector of a FAT filesystem.
    Fat,
    /// The first sector of an NTFS filesystem.
    Ntfs,
    /// A program without a table.
    Program,
}

impl BootSector {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gpt => "GPT partition table",
            Self::Mbr => "MBR partition table",
            Self::Fat => "FAT filesystem",
            Self::Ntfs => "NTFS filesystem",
            Self::Program => "program",
        }
    }
}

/// A run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// A range of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub length: u64,
    /// Whether it may hold something other than zeros.
    pub data: bool,
}

impl fmt::Display for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, length, data } = self;
        write!(f, "{start}\t{length}\t{}", if *data { "data" } else { "zero" })
    }
}

impl Report {
    /// The report as lines for people. The map is drawn with block characters, or in ASCII.
    #[must_use]
    pub fn text(&self, unicode: bool) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<NAMES$}{value}");
        };
        line("format", self.format.as_str());
        let allocated = self.allocated;
        line("file size", &format!("{} bytes, {allocated} allocated", self.file_size));
        let short = ByteSize::bytes(self.virtual_size);
        line("virtual size", &format!("{} bytes ({short})", self.virtual_size));
        for (name, value) in &self.details {
            if let Some(value) = plain(value) {
                line(&words(name), &value);
            }
        }
        line("units", &units(&self.units));
        self.content.lines(&mut line);
        if let Some(table) = &self.partitions {
            partitions(table, &mut line);
        }
        for (number, volume) in self.filesystems.iter().enumerate() {
            line(if number == 0 { "filesystems" } else { "" }, &filesystem(volume));
        }
        self.boot.lines(|name, value| {
            line(name, &plain(&Value::String(value.to_owned())).unwrap_or_default());
        });
        let (drawn, legend) = drawing::draw(&self.content.cells, unicode);
        if !drawn.is_empty() {
            line("map", &drawn);
            line("", &legend);
        }
        text
    }
}

/// A name as people read it: `clusterSize` is `cluster size`.
fn words(name: &str) -> String {
    let word = |c: char| match c.is_uppercase() {
        true => format!(" {}", c.to_lowercase()),
        false => c.to_string(),
    };
    name.chars().map(word).collect()
}

/// A value as people read it, without what could harm a terminal; nothing for an empty one.
fn plain(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().filter_map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let harmless = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    Some(text.chars().map(harmless).collect()).filter(|text: &String| !text.is_empty())
}

fn units(census: &Census) -> String {
    let Census { unit, data, compressed, zero, unallocated } = *census;
    let counts =
        [(data, "data"), (compressed, "compressed"), (zero, "zero"), (unallocated, "unallocated")];
    let counts: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    format!("{unit} bytes each: {}", counts.join(", "))
}

fn partitions(table: &Table, line: &mut impl FnMut(&str, &str)) {
    let kind = match table.kind {
        Kind::Mbr => "MBR",
        Kind::Gpt => "GPT",
    };
    let sectors = match table.sector_size {
        512 => String::new(),
        size => format!(", sectors of {size} bytes"),
    };
    line("partitions", &format!("{kind}, id {}{sectors}", table.id));
    for one in &table.partitions {
        let boots = if one.bootable { ", bootable" } else { "" };
        let purpose = one.purpose.unwrap_or(&one.kind);
        let name = match plain(&Value::String(one.name.clone())) {
            Some(name) => format!(", {name:?}"),
            None => String::new(),
        };
        let (number, start, end) = (one.number, one.start, one.end);
        line("", &format!("{number}: {start}..{end} {purpose}{name}{boots}"));
    }
    for problem in &table.problems {
        line("", &format!("problem: {problem}"));
    }
}

/// A filesystem in one line: where it lies, what it is, its names, its room.
fn filesystem(volume: &Volume) -> String {
    let place = volume.partition.map_or_else(|| "disk".to_owned(), |number| number.to_string());
    let Some(facts) = &volume.filesystem else {
        let problem = volume.problem.clone().unwrap_or_default();
        let problem = plain(&Value::String(problem)).unwrap_or_default();
        return format!("{place}: problem: {problem}");
    };
    let mut text = format!("{place}: {}", facts.kind);
    if let Some(label) = facts.label.clone().and_then(|label| plain(&Value::String(label))) {
        let _ = write!(text, ", label {label:?}");
    }
    if let Some(uuid) = &facts.uuid {
        let _ = write!(text, ", UUID {uuid}");
    }
    let _ = write!(text, ", {} bytes", facts.size);
    if let Some(free) = facts.free {
        let _ = write!(text, ", {free} free");
    }
    let _ = write!(text, ", blocks of {}", facts.block_size);
    if !facts.features.is_empty() {
        let features = Value::from(facts.features.join(" "));
        let _ = write!(text, ", {}", plain(&features).unwrap_or_default());
    }
    text
}

impl Content {
    fn lines(&self, line: &mut impl FnMut(&str, &str)) {
        line("digest", self.digest.as_deref().unwrap_or("not computed: the disk is too large"));
        match self.boot_sector {
            None => line("boot sector", "none (no signature 55 AA)"),
            Some(kind) => {
                line("boot sector", &format!("{} (signature 55 AA)", kind.as_str()));
            }
        }
        let runs = self.data.len() as u64 + self.more;
        line("data", &format!("{} bytes in {runs} runs", self.data_bytes));
        for Range { start, end } in &self.data {
            line("", &format!("{start}..{end}"));
        }
        if self.more > 0 {
            line("", &format!("and {} more", self.more));
        }
    }
}
