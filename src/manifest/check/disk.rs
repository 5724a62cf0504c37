//! The rows about the disk, its partitions and which medium a file holds.
//!
//! Pure. Invariant: a function here says the same as the CEL rule with its message.

use std::collections::BTreeSet;

use super::super::partition_types::{self, NO_BYTE};
use super::super::types::{
    Architecture, Disk, FilesystemKind, FormatKind, Medium, Partition, PartitionTable, Spec,
};
use super::super::{FieldPath, Size, source};
use super::table::Found;
use crate::units::{ByteSize, SECTOR};

const LARGE_SECTOR: u64 = 4096;
const MOST_ALIGNMENT: u64 = 1 << 30;
/// Entries of a master boot record.
const PRIMARY: usize = 4;

fn at(path: FieldPath) -> Found {
    Found { path, detail: None }
}

fn field(name: &str) -> FieldPath {
    FieldPath::new("spec.disk").member(name)
}

fn bytes(path: FieldPath, size: Size) -> Found {
    Found { path, detail: Some(format!("it is {} bytes", size.0.get())) }
}

/// What is wrong with the disk, if there is one.
fn on(spec: &Spec, wrong: impl Fn(&Disk) -> Vec<Found>) -> Vec<Found> {
    spec.disk.as_ref().map(wrong).unwrap_or_default()
}

/// The partitions for which `wrong` finds a member; "" stands for the partition itself.
fn each(
    spec: &Spec,
    wrong: impl Fn(&Partition) -> Option<(&'static str, Option<String>)>,
) -> Vec<Found> {
    let found = source::partitions(spec).filter_map(|(path, partition)| {
        let (member, detail) = wrong(partition)?;
        let path = if member.is_empty() { path } else { path.member(member) };
        Some(Found { path, detail })
    });
    found.collect()
}

/// As `each`, with this partition table.
fn with(
    spec: &Spec,
    table: PartitionTable,
    wrong: impl Fn(&Partition) -> Option<&'static str>,
) -> Vec<Found> {
    let has = spec.disk.as_ref().is_some_and(|disk| disk.partition_table == table);
    if has { each(spec, |partition| Some((wrong(partition)?, None))) } else { Vec::new() }
}

pub(super) fn sector_size(spec: &Spec) -> Vec<Found> {
    on(spec, |disk| {
        let wrong = !matches!(disk.sector_size.0, 512 | 4096);
        wrong.then(|| at(field("sectorSize"))).into_iter().collect()
    })
}

pub(super) fn large_sectors(spec: &Spec) -> Vec<Found> {
    let large = spec.disk.as_ref().filter(|disk| u64::from(disk.sector_size.0) == LARGE_SECTOR);
    let Some(disk) = large else { return Vec::new() };
    let sizes = source::partitions(spec).map(|(path, p)| (path.member("size"), p.size));
    let sizes = std::iter::once((field("size"), disk.size)).chain(sizes);
    let odd = sizes.filter_map(|(path, size)| Some((path, size?)));
    odd.filter(|(_, size)| !size.0.is_multiple_of(LARGE_SECTOR))
        .map(|(path, size)| bytes(path, size))
        .collect()
}

pub(super) fn alignment(spec: &Spec) -> Vec<Found> {
    on(spec, |disk| {
        let size = disk.alignment.0;
        let fits = (1..=MOST_ALIGNMENT).contains(&size.get())
            && size.is_multiple_of(u64::from(disk.sector_size.0.max(1)));
        (!fits).then(|| bytes(field("alignment"), disk.alignment)).into_iter().collect()
    })
}

pub(super) fn no_table(spec: &Spec) -> Vec<Found> {
    on(spec, |disk| {
        let wrong = disk.partition_table == PartitionTable::None && disk.partitions.len() > 1;
        wrong.then(|| at(field("partitions"))).into_iter().collect()
    })
}

pub(super) fn no_table_fields(spec: &Spec) -> Vec<Found> {
    let mut found = on(spec, |disk| {
        let none = disk.partition_table == PartitionTable::None;
        let given = [("diskId", disk.disk_id.is_some()), ("hybrid", !disk.hybrid.is_empty())];
        let given = given.into_iter().filter(|(_, given)| *given && none);
        given.map(|(name, _)| at(field(name))).collect()
    });
    found.extend(with(spec, PartitionTable::None, |partition| {
        let given = [
            ("type", partition.kind.is_some()),
            ("size", partition.size.is_some()),
            ("id", partition.id.is_some()),
            ("attributes", !partition.attributes.is_empty()),
            ("grow", partition.grow),
            ("logical", partition.logical),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }));
    found
}

pub(super) fn disk_id(spec: &Spec) -> Vec<Found> {
    on(spec, |disk| {
        let signature = disk.disk_id.as_ref().map(|id| id.starts_with("0x"));
        let wrong = match disk.partition_table {
            PartitionTable::None => false,
            PartitionTable::Mbr => signature == Some(false),
            PartitionTable::Gpt => signature == Some(true),
        };
        wrong.then(|| at(field("diskId"))).into_iter().collect()
    })
}

pub(super) fn hybrid(spec: &Spec) -> Vec<Found> {
    on(spec, |disk| {
        let known = |name: &String| disk.partitions.iter().any(|p| p.name == *name);
        let gpt = disk.partition_table == PartitionTable::Gpt;
        let none = disk.partition_table == PartitionTable::None;
        let names = disk.hybrid.iter().enumerate();
        let odd = names.filter(|(_, name)| !(none || gpt && known(name)));
        odd.map(|(index, _)| at(field("hybrid").index(index))).collect()
    })
}

pub(super) fn mbr_fields(spec: &Spec) -> Vec<Found> {
    with(spec, PartitionTable::Mbr, |partition| {
        let foreign = |kind: &str| kind.contains('-') || NO_BYTE.contains(&kind);
        let odd = |name: &String| !matches!(name.as_str(), "active" | "hidden");
        match () {
            () if partition.id.is_some() => Some("id"),
            () if partition.kind.as_deref().is_some_and(foreign) => Some("type"),
            () if partition.attributes.iter().any(odd) => Some("attributes"),
            () => None,
        }
    })
}

pub(super) fn gpt_fields(spec: &Spec) -> Vec<Found> {
    with(spec, PartitionTable::Gpt, |partition| match () {
        () if partition.logical => Some("logical"),
        () if partition.kind.as_deref().is_some_and(|kind| kind.starts_with("0x")) => Some("type"),
        () if partition.attributes.iter().any(|name| name == "active") => Some("attributes"),
        () => None,
    })
}

pub(super) fn mbr_count(spec: &Spec) -> Vec<Found> {
    on(spec, |disk| {
        let logical = disk.partitions.iter().filter(|partition| partition.logical).count();
        let entries = disk.partitions.len() - logical + usize::from(logical > 0);
        let wrong = disk.partition_table == PartitionTable::Mbr && entries > PRIMARY;
        let detail = Some(format!("these need {entries}"));
        wrong.then(|| Found { path: field("partitions"), detail }).into_iter().collect()
    })
}

/// The partitions after the first for which `is` holds.
fn further(spec: &Spec, member: &str, is: impl Fn(&Partition) -> bool) -> Vec<Found> {
    let partitions = source::partitions(spec).filter(|(_, partition)| is(partition));
    partitions.skip(1).map(|(path, _)| at(path.member(member))).take(1).collect()
}

pub(super) fn one_active(spec: &Spec) -> Vec<Found> {
    let mbr = spec.disk.as_ref().is_some_and(|disk| disk.partition_table == PartitionTable::Mbr);
    further(spec, "attributes", |p| mbr && p.attributes.iter().any(|name| name == "active"))
}

pub(super) fn one_grow(spec: &Spec) -> Vec<Found> {
    further(spec, "grow", |partition| partition.grow)
}

pub(super) fn grow_size(spec: &Spec) -> Vec<Found> {
    let room = |disk: &Disk| {
        disk.size.is_some() || disk.headroom.size.is_some() || disk.headroom.percent.is_some()
    };
    let without = spec.disk.as_ref().is_some_and(|disk| !room(disk));
    let found = each(spec, |partition| (without && partition.grow).then_some(("grow", None)));
    found.into_iter().take(1).collect()
}

pub(super) fn mount_paths(spec: &Spec) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    let again = source::partitions(spec).filter_map(|(path, partition)| {
        let mount = partition.mount_path.as_ref()?;
        let detail = Some(format!("{mount} is used twice"));
        (!seen.insert(mount)).then(|| Found { path: path.member("mountPath"), detail })
    });
    again.collect()
}

pub(super) fn partition_member(spec: &Spec) -> Vec<Found> {
    each(spec, |partition| {
        (partition.filesystem.is_some() && partition.source.is_some()).then_some(("", None))
    })
}

pub(super) fn contents(spec: &Spec) -> Vec<Found> {
    each(spec, |partition| {
        let kind = partition.filesystem.as_ref().map(|filesystem| filesystem.kind);
        let holds = kind.is_some_and(|kind| kind != FilesystemKind::Swap);
        match () {
            () if holds => None,
            () if !partition.contents.is_empty() => Some(("contents", None)),
            () => partition.mount_path.as_ref().map(|_| ("mountPath", None)),
        }
    })
}

pub(super) fn partition_sectors(spec: &Spec) -> Vec<Found> {
    let sizes = source::partitions(spec).filter_map(|(path, partition)| {
        let size = partition.size?;
        let fits = size.0 != ByteSize::ZERO && size.0.is_multiple_of(SECTOR);
        (!fits).then(|| bytes(path.member("size"), size))
    });
    sizes.collect()
}

pub(super) fn partition_type(spec: &Spec) -> Vec<Found> {
    each(spec, |partition| {
        let kind = partition.kind.as_deref()?;
        let known = kind.contains('-')
            || kind.starts_with("0x")
            || partition_types::named(kind, Architecture::Amd64).is_some();
        (!known).then(|| ("type", Some(kind.to_owned())))
    })
}

pub(super) fn attribute(spec: &Spec) -> Vec<Found> {
    each(spec, |partition| {
        let known =
            |name: &&String| name.as_str() == "active" || partition_types::bit(name).is_some();
        let odd = partition.attributes.iter().find(|name| !known(name))?;
        Some(("attributes", Some(odd.clone())))
    })
}

pub(super) fn sector_beside(spec: &Spec) -> Vec<Found> {
    let sector = spec.boot.as_ref().is_some_and(|boot| boot.sector.is_some());
    let fat = |partition: &Partition| {
        partition.filesystem.as_ref().is_some_and(|f| f.kind == FilesystemKind::Vfat)
    };
    let taken = |disk: &Disk| {
        disk.partition_table != PartitionTable::None || !disk.partitions.iter().all(fat)
    };
    let wrong = sector && spec.disk.as_ref().is_some_and(taken);
    wrong.then(|| at(FieldPath::new("spec.boot.sector"))).into_iter().collect()
}

/// The formats for which `wrong` names a member.
fn formats(
    spec: &Spec,
    wrong: impl Fn(FormatKind, Option<Medium>) -> Option<&'static str>,
) -> Vec<Found> {
    let path = |index| FieldPath::new("spec.formats").index(index);
    let formats = spec.formats.iter().enumerate();
    let odd = formats.filter_map(|(index, f)| Some(path(index).member(wrong(f.kind, f.of)?)));
    odd.map(at).collect()
}

pub(super) fn iso_type(spec: &Spec) -> Vec<Found> {
    let sector = spec.boot.as_ref().is_some_and(|boot| boot.sector.is_some());
    let fits = |of| (spec.iso.is_some() || sector) && of != Some(Medium::Disk);
    formats(spec, |kind, of| (kind == FormatKind::Iso && !fits(of)).then_some("type"))
}

pub(super) fn iso_package(spec: &Spec) -> Vec<Found> {
    let iso = |of| of == Some(Medium::Iso) || (!spec.has_disk() && spec.iso.is_some());
    formats(spec, |kind, of| {
        (matches!(kind, FormatKind::Ova | FormatKind::Box) && iso(of)).then_some("type")
    })
}

pub(super) fn of_missing(spec: &Spec) -> Vec<Found> {
    let both = spec.has_disk() && spec.iso.is_some();
    formats(spec, |kind, of| (both && of.is_none() && kind != FormatKind::Iso).then_some("of"))
}

pub(super) fn of_without(spec: &Spec) -> Vec<Found> {
    formats(spec, |kind, of| {
        let there = match of {
            _ if kind == FormatKind::Iso => true,
            None => true,
            Some(Medium::Disk) => spec.has_disk(),
            Some(Medium::Iso) => spec.iso.is_some(),
        };
        (!there).then_some("of")
    })
}

pub(super) fn fit_request(spec: &Spec) -> Vec<Found> {
    let disk =
        spec.disk.as_ref().is_some_and(|disk| disk.size.is_none() && !disk.partitions.is_empty());
    let iso = spec.iso.as_ref().is_some_and(|iso| iso.size.is_none());
    let one = if spec.has_disk() { disk } else { iso };
    let targets = spec.publish.iter().enumerate();
    let found = targets.filter_map(|(index, target)| {
        let path = FieldPath::new("spec.publish").index(index);
        let lacks = |pvc: &super::super::types::Pvc| pvc.request.is_none();
        match (&target.pvc, &target.files) {
            (Some(pvc), _) if one && lacks(pvc) => Some(at(path.member("pvc"))),
            (None, Some(files)) if (disk || iso) && lacks(&files.pvc) => {
                Some(at(path.member("files").member("pvc")))
            }
            _ => None,
        }
    });
    found.collect()
}
