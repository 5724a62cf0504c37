//! From an opened disk to the filesystems on it: the whole disk, or the partitions of its table.
//!
//! Opens nothing and writes nothing. Invariants: a partition never reaches beyond its disk; what is
//! looked at is bounded by the number of partitions that a table can have.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::engine::archive::Part;
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, Kind, SectorSource};
use crate::engine::filesystem::{self, Facts};
use crate::engine::partition::{self, Partition, Table};

/// Filesystems that hold no files.
const WITHOUT_FILES: [&str; 1] = ["swap"];

/// Types of master boot records that hold other partitions: CHS, LBA, Linux.
const EXTENDED: [&str; 3] = ["05", "0f", "85"];

/// A place that may hold a filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// The partition's number; none: the whole disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// The partition's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// The filesystem; none if it is none that we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Facts>,
    /// Why the filesystem cannot be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The partition table.
    pub table: Option<Table>,
    /// The whole disk first, then the partitions by number.
    pub volumes: Vec<Volume>,
}

/// Which place of a disk is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The whole disk if it holds a filesystem, else the only partition that holds one.
    #[default]
    Only,
    /// The partition with this number.
    Number(u32),
    /// The partition with this name, else the one whose filesystem has this label.
    Name(String),
}

impl Choice {
    /// A number if the text is one; nothing at all is `Only`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match (text, text.parse()) {
            ("", _) => Self::Only,
            (_, Ok(number)) => Self::Number(number),
            (name, Err(_)) => Self::Name(name.to_owned()),
        }
    }
}

impl Volume {
    /// Whether files can be read from it.
    fn has_files(&self) -> bool {
        self.filesystem.as_ref().is_some_and(|facts| !WITHOUT_FILES.contains(&facts.kind))
    }

    fn label(&self) -> Option<&str> {
        self.filesystem.as_ref()?.label.as_deref()
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(number) => write!(f, "{number}")?,
            None => f.write_str("the whole disk")?,
        }
        if !self.name.is_empty() {
            write!(f, " {:?}", self.name)?;
        }
        let Some(facts) = &self.filesystem else { return f.write_str(" (no known filesystem)") };
        write!(f, " ({}", facts.kind)?;
        if let Some(label) = &facts.label {
            write!(f, " {label:?}")?;
        }
        f.write_str(")")
    }
}

/// The table of `medium` and the filesystems on it.
pub fn look(medium: &Arc<dyn SectorSource>) -> Result<View, Error> {
    let table = partition::read(medium.as_ref())?;
    let whole = Volume {
        partition: None,
        name: String::new(),
        start: 0,
        end: medium.len(),
        filesystem: None,
        problem: None,
    };
    let mut volumes = vec![seen(whole, medium)];
    let partitions = table.iter().flat_map(|table| &table.partitions);
    for partition in partitions.filter(|one| !EXTENDED.contains(&one.kind.as_str())) {
        let Partition { number, name, start, end, .. } = partition;
        let volume = Volume {
            partition: Some(*number),
            name: name.clone(),
            start: *start,
            end: *end,
            filesystem: None,
            problem: None,
        };
        volumes.push(match cut(medium, *start, *end) {
            Ok(part) => seen(volume, &part),
            Err(error) => Volume { problem: Some(error.to_string()), ..volume },
        });
    }
    Ok(View { table, volumes })
}

/// `volume` with the filesystem in `source`.
fn seen(volume: Volume, source: &Arc<dyn SectorSource>) -> Volume {
    match filesystem::look(source.as_ref()) {
        Ok(facts) => Volume { filesystem: facts, ..volume },
        Err(error) => Volume { problem: Some(error.to_string()), ..volume },
    }
}

/// The bytes from `start` to `end`.
fn cut(
    medium: &Arc<dyn SectorSource>,
    start: u64,
    end: u64,
) -> Result<Arc<dyn SectorSource>, Error> {
    if start >= end || end > medium.len() {
        let message =
            format!("it has the bytes {start} to {end}; the disk has {} bytes", medium.len());
        return Err(Error::new(Kind::Damaged, message));
    }
    Ok(Arc::new(Part::new(Arc::clone(medium), start, end - start)?))
}

/// The place that is meant.
pub fn volume(
    medium: &Arc<dyn SectorSource>,
    choice: &Choice,
) -> Result<(Volume, Arc<dyn SectorSource>), Error> {
    let view = look(medium)?;
    let volume = chosen(&view, choice)?;
    let source = match volume.partition {
        None => Arc::clone(medium),
        Some(number) => cut(medium, volume.start, volume.end).map_err(|e| {
            Error::new(e.kind(), format!("partition {number} is not in the disk: {e}"))
        })?,
    };
    Ok((volume, source))
}

/// The tree of the filesystem at the place that is meant.
pub fn tree(
    medium: &Arc<dyn SectorSource>,
    choice: &Choice,
    limits: &Limits,
) -> Result<(Volume, Tree), Error> {
    let (volume, source) = volume(medium, choice)?;
    if !volume.has_files() {
        let found = match (&volume.problem, &volume.filesystem) {
            (Some(problem), _) => problem.clone(),
            (None, Some(facts)) => format!("a {} area holds no files", facts.kind),
            (None, None) => "no filesystem that can be read".to_owned(),
        };
        let place = volume.partition.map_or("the disk".to_owned(), |n| format!("partition {n}"));
        return Err(Error::new(Kind::Input, format!("{place} holds no files: {found}")));
    }
    let tree = filesystem::read(&source, limits)?;
    let tree = tree.ok_or_else(|| Error::new(Kind::Input, "there is no filesystem"))?;
    Ok((volume, tree))
}

fn chosen(view: &View, choice: &Choice) -> Result<Volume, Error> {
    let volumes = &view.volumes;
    let parts = || volumes.iter().filter(|volume| volume.partition.is_some());
    let one = |found: Vec<&Volume>, what: &str| match found.as_slice() {
        [only] => Ok((*only).clone()),
        [] => Err(refused(view, &format!("no partition {what}"))),
        _ => Err(refused(view, &format!("{} partitions {what}", found.len()))),
    };
    match choice {
        Choice::Only => {
            let whole = volumes.iter().find(|volume| volume.partition.is_none());
            if let Some(whole) = whole.filter(|whole| whole.has_files() || view.table.is_none()) {
                return Ok(whole.clone());
            }
            one(parts().filter(|volume| volume.has_files()).collect(), "with files")
        }
        Choice::Number(number) => {
            let found = parts().filter(|volume| volume.partition == Some(*number));
            one(found.collect(), &format!("has the number {number}"))
        }
        Choice::Name(name) => {
            let named: Vec<_> = parts().filter(|volume| volume.name == *name).collect();
            let labelled = || parts().filter(|volume| volume.label() == Some(name)).collect();
            let found = if named.is_empty() { labelled() } else { named };
            one(found, &format!("with the name or label {name:?}"))
        }
    }
}

fn refused(view: &View, what: &str) -> Error {
    let listed: Vec<_> = view
        .volumes
        .iter()
        .filter(|volume| volume.partition.is_some() || volume.filesystem.is_some())
        .map(Volume::to_string)
        .collect();
    let listed = match listed.as_slice() {
        [] => "there is neither a partition table nor a filesystem".to_owned(),
        listed => format!("there is: {}", listed.join(", ")),
    };
    Error::new(Kind::Input, format!("{what}; {listed}"))
}
