//! Reads an untrusted VMDK as a medium.
//!
//! Opens other files through the gate only. Invariants: never panics; memory is bounded whatever
//! the file says: all directories together 16 MiB, all kept tables 8 MiB, and what `inflate` says.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::descriptor::{CreateType, Data, Descriptor, MAX_BYTES, damaged, quoted, unsupported};
use super::inflate::Inflater;
use super::ondisk::{ESX_MAGIC, MAGIC, MAX_DIRECTORY};
use super::parse::parse;
use super::sparse::Sparse;
use super::{Adapter, HARDWARE_VERSIONS, Params, Subformat, census, check};
use crate::engine::base::{Error, Extent, Gate, Kind, Role, SectorSource, Work, within};
use crate::engine::format::{self, Census, Findings, FormatName, image};
use crate::units::SECTOR;

/// Grain tables that are kept, of all extents together; at least one of each.
const KEPT_TABLES: usize = 256;

/// Extents that `details` lists.
const MOST_LISTED: usize = 64;

/// An open VMDK: its virtual disk as a medium.
pub struct Image {
    descriptor: Descriptor,
    parts: Vec<Part>,
    len: u64,
    inflater: Inflater,
}

/// What an extent holds of the disk.
pub(super) struct Part {
    /// The bytes of the disk.
    pub(super) disk: Extent,
    pub(super) data: PartData,
}

pub(super) enum PartData {
    Zero,
    /// A raw file from this byte on.
    Flat(Arc<dyn SectorSource>, u64),
    Sparse(Box<Sparse>),
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl Image {
    /// Judges the headers of `source`, and of the extents that it names and `gate` opens.
    pub fn open(source: Arc<dyn SectorSource>, gate: &dyn Gate) -> Result<Self, Error> {
        let mut magic = [0; 4];
        let enough = source.len() >= magic.len() as u64;
        if enough {
            source.read_at(0, &mut magic)?;
        }
        if magic == ESX_MAGIC {
            return Err(unsupported("the magic COWD: ESXi's own sparse type, which is not read"));
        }
        if magic == MAGIC.to_le_bytes() { embedded(source) } else { separate(&*source, gate) }
    }

    fn new(descriptor: Descriptor, data: Vec<(u64, PartData)>) -> Result<Self, Error> {
        let (mut parts, mut len) = (Vec::with_capacity(data.len()), 0u64);
        for (sectors, data) in data {
            let bytes = sectors.checked_mul(SECTOR);
            let end = bytes.and_then(|bytes| len.checked_add(bytes));
            let disk = end.filter(|end| i64::try_from(*end).is_ok());
            let Some(disk) = disk.and_then(|end| Extent::new(len, end)) else {
                return Err(damaged(format!("an extent of {sectors} sectors behind {len} bytes")));
            };
            len = disk.end();
            parts.push(Part { disk, data });
        }
        Ok(Self { descriptor, parts, len, inflater: Inflater::default() })
    }

    /// The sparse extents, each with its part of the disk and what the descriptor says of it.
    fn sparse(&self) -> impl Iterator<Item = &Sparse> {
        self.parts.iter().filter_map(|part| match &part.data {
            PartData::Sparse(extent) => Some(&**extent),
            PartData::Zero | PartData::Flat(..) => None,
        })
    }

    fn extent_details(&self) -> Vec<Value> {
        let both = self.descriptor.extents.iter().zip(&self.parts).take(MOST_LISTED);
        both.map(|(named, part)| {
            let (kind, name) = match &named.data {
                Data::Zero => ("ZERO", None),
                Data::Flat(name, _) => ("FLAT", Some(name)),
                Data::Sparse(name) => ("SPARSE", Some(name)),
            };
            let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
            json!({ "type": kind, "file": name, "size": part.disk.len() })
        })
        .collect()
    }
}

/// A file that is its own and only extent.
fn embedded(source: Arc<dyn SectorSource>) -> Result<Image, Error> {
    let header = parse(&*source)?;
    let Some((at, sectors)) = header.descriptor else {
        let what = "no descriptor: one extent of a disk; its descriptor, another file, is the disk";
        return Err(unsupported(what));
    };
    let mut text = vec![0; (sectors * SECTOR).min(source.len() - at * SECTOR) as usize];
    source.read_at(at * SECTOR, &mut text)?;
    let descriptor = Descriptor::parse(&text)?;
    let [only] = &*descriptor.extents else {
        let count = descriptor.extents.len();
        return Err(damaged(format!("an embedded descriptor that names {count} extents, not 1")));
    };
    if !descriptor.kind.is_embedded() || !matches!(only.data, Data::Sparse(_)) {
        let kind = descriptor.kind.as_str();
        return Err(damaged(format!("an embedded descriptor of createType {kind}")));
    }
    let extent = Sparse::new(source, header, KEPT_TABLES)?;
    Image::new(descriptor, vec![(header.capacity, PartData::Sparse(Box::new(extent)))])
}

/// A descriptor whose extents are other files.
fn separate(source: &dyn SectorSource, gate: &dyn Gate) -> Result<Image, Error> {
    let len = source.len();
    if len > MAX_BYTES {
        // A raw disk is long as well, and has no first line.
        let mut start = [0; 32];
        source.read_at(0, &mut start)?;
        let message = format!(
            "{len} bytes that begin with {}; a descriptor has at most {MAX_BYTES}",
            quoted(&start)
        );
        return Err(damaged(message));
    }
    let mut text = vec![0; len as usize];
    source.read_at(0, &mut text)?;
    let descriptor = Descriptor::parse(&text)?;
    let kept = KEPT_TABLES / descriptor.extents.len().max(1);
    let mut directories = 0;
    let mut parts = Vec::with_capacity(descriptor.extents.len());
    for extent in &descriptor.extents {
        let data = match &extent.data {
            Data::Zero => PartData::Zero,
            Data::Flat(name, offset) => flat(name, *offset, extent.sectors, gate)?,
            Data::Sparse(name) => {
                let source = gate.open(Role::Extent, name)?;
                let header = parse(&*source).map_err(|e| of(name, &e))?;
                directories += header.tables;
                if directories > MAX_DIRECTORY {
                    return Err(damaged(format!("more than {MAX_DIRECTORY} grain tables")));
                }
                if header.capacity < extent.sectors {
                    return Err(damaged(format!(
                        "the extent {} has {} sectors; the descriptor says {}",
                        quoted(name),
                        header.capacity,
                        extent.sectors
                    )));
                }
                let sparse = Sparse::new(source, header, kept).map_err(|e| of(name, &e))?;
                PartData::Sparse(Box::new(sparse))
            }
        };
        parts.push((extent.sectors, data));
    }
    Image::new(descriptor, parts)
}

fn flat(name: &[u8], offset: u64, sectors: u64, gate: &dyn Gate) -> Result<PartData, Error> {
    let source = gate.open(Role::Extent, name)?;
    let end = offset.checked_add(sectors).and_then(|end| end.checked_mul(SECTOR));
    if end.is_none_or(|end| end > source.len()) {
        return Err(damaged(format!(
            "the extent {} of {} bytes does not hold {sectors} sectors from sector {offset} on",
            quoted(name),
            source.len()
        )));
    }
    Ok(PartData::Flat(source, offset * SECTOR))
}

/// The same failure, of this extent.
fn of(name: &[u8], error: &Error) -> Error {
    Error::new(error.kind(), format!("extent {}: {error}", quoted(name)))
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len, offset, buffer.len(), Kind::Io)?;
        let (mut at, mut rest) = (offset, buffer);
        let first = self.parts.partition_point(|part| part.disk.end() <= offset);
        for part in self.parts.get(first..).unwrap_or_default() {
            if rest.is_empty() {
                break;
            }
            let len = (part.disk.end() - at).min(rest.len() as u64);
            let (now, behind) = rest.split_at_mut(len as usize);
            let inside = at - part.disk.start();
            match &part.data {
                PartData::Zero => now.fill(0),
                PartData::Flat(source, start) => source.read_at(start + inside, now)?,
                PartData::Sparse(extent) => extent.read(inside, now, &self.inflater)?,
            }
            rest = behind;
            at += len;
        }
        Ok(())
    }

    /// One extent ends where its grain table or its file does, even if data goes on.
    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let first = self.parts.partition_point(|part| part.disk.end() <= offset);
        self.parts.get(first..)?.iter().find_map(|part| {
            let inside = offset.saturating_sub(part.disk.start());
            let (found, start) = match &part.data {
                PartData::Zero => return None,
                PartData::Sparse(extent) => (extent.next_extent(inside)?, 0),
                PartData::Flat(source, start) => (source.next_extent(start + inside)?, *start),
            };
            let on_disk = |at: u64| (at.max(start) - start).saturating_add(part.disk.start());
            let wanted = Extent::new(offset, self.len)?;
            Extent::new(on_disk(found.start()), on_disk(found.end()))?
                .intersect(part.disk)?
                .intersect(wanted)
        })
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        let part = self.parts.iter().find(|part| part.disk.range().contains(&offset))?;
        let PartData::Flat(source, start) = &part.data else { return None };
        let (path, at, len) = source.file_range_at(start + offset - part.disk.start())?;
        Some((path, at, len.min(part.disk.end() - offset)))
    }
}

impl image::Image for Image {
    fn format(&self) -> FormatName {
        FormatName::Vmdk
    }

    fn details(&self) -> Map<String, Value> {
        let descriptor = &self.descriptor;
        let mut details: Map<String, Value> = [
            ("createType", json!(descriptor.kind.as_str())),
            ("contentId", json!(format!("{:08x}", descriptor.cid))),
            ("encoding", json!(descriptor.encoding.as_deref().unwrap_or("UTF-8"))),
            ("adapterType", json!(descriptor.adapter)),
            ("hardwareVersion", json!(descriptor.hardware)),
            ("extentCount", json!(self.parts.len())),
            ("extents", json!(self.extent_details())),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        if let Some(extent) = self.sparse().next() {
            let header = &extent.header;
            details.insert("version".to_owned(), json!(header.version));
            details.insert("grainSize".to_owned(), json!(header.grain_bytes()));
            details.insert("compressed".to_owned(), json!(header.compressed));
            let unclean = self.sparse().any(|extent| extent.header.unclean);
            details.insert("uncleanShutdown".to_owned(), json!(unclean));
        }
        details
    }

    fn params(&self) -> format::Params {
        let subformat = match self.descriptor.kind {
            CreateType::MonolithicSparse | CreateType::TwoGbMaxExtentSparse => {
                Subformat::MonolithicSparse
            }
            CreateType::MonolithicFlat | CreateType::TwoGbMaxExtentFlat => {
                Subformat::MonolithicFlat
            }
            CreateType::StreamOptimized => Subformat::StreamOptimized,
        };
        let adapter = match self.descriptor.adapter.as_deref() {
            Some("buslogic") => Adapter::BusLogic,
            // The others are SCSI as well.
            Some("lsilogic" | "legacyESX" | "pvscsi") => Adapter::LsiLogic,
            _ => Adapter::Ide,
        };
        let hardware = self.descriptor.hardware.as_deref().and_then(|text| text.parse().ok());
        let hardware = hardware.filter(|version| HARDWARE_VERSIONS.contains(version));
        let hardware_version = hardware.unwrap_or(Params::default().hardware_version);
        format::Params::Vmdk(Params { subformat, adapter, hardware_version })
    }

    fn census(&self) -> Result<Census, Error> {
        census::census(&self.parts)
    }

    fn check(&self, work: &Work<'_>) -> Result<Findings, Error> {
        check::check(&self.descriptor, &self.parts, work)
    }
}
