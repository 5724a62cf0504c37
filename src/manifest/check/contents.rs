//! The rows about steps: members, paths, times, attributes and references.
//!
//! Pure. Invariant: a function here says the same as the CEL rule with its message, where it has
//! one.

use super::super::reference::{Id, Reference, references};
use super::super::types::{DeviceKind, FilesystemKind, PartitionTable, Path, Spec, Step};
use super::super::{FieldPath, source, xattr};
use super::table::Found;

/// The steps for which `wrong` finds a member, with the values at hand.
fn each(
    spec: &Spec,
    wrong: impl Fn(&Step) -> Option<(&'static str, Option<String>)>,
) -> Vec<Found> {
    let found = source::steps(spec).filter_map(|(path, step)| {
        let (member, detail) = wrong(step)?;
        let names = member.split('.').filter(|name| !name.is_empty());
        Some(Found { path: names.fold(path, |path: FieldPath, name| path.member(name)), detail })
    });
    found.collect()
}

pub(super) fn step_member(spec: &Spec) -> Vec<Found> {
    each(spec, |step| (step.members().len() != 1).then_some(("", None)))
}

pub(super) fn file_member(spec: &Spec) -> Vec<Found> {
    each(spec, |step| {
        let file = step.file.as_ref()?;
        (file.text.is_some() == file.source.is_some()).then_some(("file", None))
    })
}

pub(super) fn paths(spec: &Spec) -> Vec<Found> {
    let wrong = |path: &Option<Path>, paths: &[Path]| path.is_some() != paths.is_empty();
    each(spec, |step| {
        let directory = step.directory.as_ref().is_some_and(|d| wrong(&d.path, &d.paths));
        let symlink = step.symlink.as_ref().is_some_and(|s| wrong(&s.path, &s.paths));
        let hardlink = step.hardlink.as_ref().is_some_and(|h| wrong(&h.path, &h.paths));
        match () {
            () if directory => Some(("directory", None)),
            () if symlink => Some(("symlink", None)),
            () if hardlink => Some(("hardlink", None)),
            () => None,
        }
    })
}

pub(super) fn device(spec: &Spec) -> Vec<Found> {
    each(spec, |step| {
        let device = step.device.as_ref()?;
        let numbers = [device.major.is_some(), device.minor.is_some()];
        let wanted = matches!(device.kind, DeviceKind::Char | DeviceKind::Block);
        (numbers != [wanted; 2]).then_some(("device", None))
    })
}

/// Every path inside a tree, with whether it may be the root.
fn places(spec: &Spec) -> Vec<(FieldPath, &Path, bool)> {
    let mut found = Vec::new();
    for (path, partition) in source::partitions(spec) {
        found.extend(
            partition.mount_path.iter().map(|mount| (path.member("mountPath"), mount, true)),
        );
    }
    for (path, step) in source::steps(spec) {
        of_step(&path, step, &mut found);
    }
    found
}

fn of_step<'a>(path: &FieldPath, step: &'a Step, found: &mut Vec<(FieldPath, &'a Path, bool)>) {
    let mut one = |name: &str, member: &str, place: Option<&'a Path>, root: bool| {
        found.extend(place.map(|place| (path.member(name).member(member), place, root)));
    };
    one("archive", "path", step.archive.as_ref().map(|a| &a.path), true);
    one("image", "path", step.image.as_ref().map(|i| &i.path), true);
    one("fromImage", "from", step.from_image.as_ref().map(|i| &i.from), true);
    one("fromImage", "path", step.from_image.as_ref().map(|i| &i.path), true);
    one("file", "path", step.file.as_ref().map(|f| &f.path), false);
    one("directory", "path", step.directory.as_ref().and_then(|d| d.path.as_ref()), true);
    one("symlink", "path", step.symlink.as_ref().and_then(|s| s.path.as_ref()), false);
    one("hardlink", "path", step.hardlink.as_ref().and_then(|h| h.path.as_ref()), false);
    one("hardlink", "target", step.hardlink.as_ref().map(|h| &h.target), false);
    one("device", "path", step.device.as_ref().map(|d| &d.path), false);
    one("deviceSet", "path", step.device_set.as_ref().map(|d| &d.path), true);
    one("fstab", "path", step.fstab.as_ref().map(|f| &f.path), false);
    let mut many = |name: &str, places: Option<&'a Vec<Path>>, root: bool| {
        let path = path.member(name).member("paths");
        let places = places.into_iter().flatten().enumerate();
        found.extend(places.map(|(at, place)| (path.index(at), place, root)));
    };
    many("directory", step.directory.as_ref().map(|d| &d.paths), true);
    many("symlink", step.symlink.as_ref().map(|s| &s.paths), false);
    many("hardlink", step.hardlink.as_ref().map(|h| &h.paths), false);
    many("remove", step.remove.as_ref().map(|r| &r.paths), false);
}

pub(super) fn path_form(spec: &Spec) -> Vec<Found> {
    let places = places(spec).into_iter().filter(|(_, place, _)| place.starts_with('/'));
    let odd = places.filter(|(_, place, root)| !place.is_plain() || (place.is_root() && !root));
    odd.map(|(path, place, _)| Found { path, detail: Some(format!("{:?}", place.0)) }).collect()
}

pub(super) fn moment(spec: &Spec) -> Vec<Found> {
    each(spec, |step| {
        let given = [
            ("file.modified", step.file.as_ref().and_then(|f| f.modified.as_ref())),
            ("directory.modified", step.directory.as_ref().and_then(|d| d.modified.as_ref())),
            ("symlink.modified", step.symlink.as_ref().and_then(|s| s.modified.as_ref())),
        ];
        let (member, moment) = given.into_iter().find_map(|(name, time)| Some((name, time?)))?;
        moment.since_epoch().is_none().then(|| (member, Some(moment.0.clone())))
    })
}

pub(super) fn xattrs(spec: &Spec) -> Vec<Found> {
    each(spec, |step| {
        let lists = [
            ("file.xattrs", step.file.as_ref().map(|f| &f.xattrs)),
            ("directory.xattrs", step.directory.as_ref().map(|d| &d.xattrs)),
        ];
        let (member, list) = lists.into_iter().find_map(|(name, list)| Some((name, list?)))?;
        let odd = list.iter().find(|(name, value)| {
            !xattr::is_name(name) || xattr::value(value).is_none_or(|value| value.len() > 65_536)
        })?;
        Some((member, Some(odd.0.clone())))
    })
}

/// Every text in which references are replaced.
fn texts(spec: &Spec) -> Vec<(FieldPath, &str)> {
    let mut found: Vec<(FieldPath, &str)> = Vec::new();
    for (path, step) in source::steps(spec) {
        let text = step.file.as_ref().and_then(|file| file.text.as_deref());
        found.extend(text.map(|text| (path.member("file").member("text"), text)));
        let entries = step.fstab.iter().flat_map(|fstab| fstab.entries.iter().enumerate());
        let path = path.member("fstab").member("entries");
        found.extend(entries.map(|(at, e)| (path.index(at).member("device"), e.device.as_str())));
    }
    found
}

/// Why a reference means nothing.
fn broken(spec: &Spec, reference: &Reference<'_>) -> Option<String> {
    let name = reference.partition;
    let disk = spec.disk.as_ref();
    let partitions = disk.map(|disk| disk.partitions.as_slice()).unwrap_or_default();
    let Some(partition) = partitions.iter().find(|partition| partition.name == name) else {
        let names: Vec<&str> = partitions.iter().map(|p| p.name.as_str()).collect();
        return Some(format!("there is no partition {name:?}; known: {}", names.join(", ")));
    };
    match reference.id {
        Id::Partition => disk
            .is_some_and(|disk| disk.partition_table == PartitionTable::None)
            .then(|| format!("{name} has no id without a partition table")),
        Id::Filesystem => match partition.filesystem.as_ref().map(|filesystem| filesystem.kind) {
            None => Some(format!("{name} has no filesystem")),
            Some(FilesystemKind::Squashfs) => Some("a squashfs has no UUID".to_owned()),
            Some(_) => None,
        },
    }
}

pub(super) fn reference(spec: &Spec) -> Vec<Found> {
    let found = texts(spec).into_iter().filter_map(|(path, text)| {
        let wrong = references(text).iter().find_map(|reference| broken(spec, reference))?;
        Some(Found { path, detail: Some(wrong) })
    });
    found.collect()
}

/// Why a path below a volume or in an archive could leave it.
pub(super) fn beneath(spec: &Spec) -> Vec<Found> {
    let leaves = |path: &str| path.contains('\0') || path.split('/').any(|part| part == "..");
    let found = source::sources(spec).into_iter().filter_map(|(path, source)| {
        let claim = source.pvc.as_ref().is_some_and(|claim| leaves(&claim.path));
        let image = source.oci.as_ref().and_then(|oci| oci.path.as_deref()).is_some_and(leaves);
        match () {
            () if claim => Some(path.member("pvc").member("path")),
            () if image => Some(path.member("oci").member("path")),
            () if source.member.as_deref().is_some_and(leaves) => Some(path.member("member")),
            () => None,
        }
    });
    found.map(|path| Found { path, detail: None }).collect()
}
