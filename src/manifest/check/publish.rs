//! The rows about targets.
//!
//! Pure. Invariant: a function here says the same as the CEL rule with its message.

use std::collections::BTreeSet;

use super::super::types::{AccessMode, Pvc, Spec, Target};
use super::super::{FieldPath, disk_size};
use super::table::Found;
use crate::units::ByteSize;

/// A volume's disk is padded to whole MiB.
const MIB: u64 = 1 << 20;

fn targets(spec: &Spec) -> impl Iterator<Item = (FieldPath, &Target)> {
    let path = |at| FieldPath::new("spec.publish").index(at);
    spec.publish.iter().enumerate().map(move |(at, target)| (path(at), target))
}

/// The claims of `pvc` targets.
fn disks(spec: &Spec) -> impl Iterator<Item = (FieldPath, &Pvc)> {
    targets(spec).filter_map(|(path, target)| Some((path.member("pvc"), target.pvc.as_ref()?)))
}

/// The claims of `files` targets.
fn directories(spec: &Spec) -> impl Iterator<Item = (FieldPath, &Pvc)> {
    targets(spec).filter_map(|(path, target)| {
        Some((path.member("files").member("pvc"), &target.files.as_ref()?.pvc))
    })
}

pub(super) fn target_member(spec: &Spec) -> Vec<Found> {
    let wrong = targets(spec).filter(|(_, target)| target.pvc.is_some() == target.files.is_some());
    wrong.map(|(path, _)| Found { path, detail: None }).collect()
}

pub(super) fn claim_names(spec: &Spec) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    let named = targets(spec).filter_map(|(path, target)| {
        let path = if target.pvc.is_some() { path } else { path.member("files") };
        Some((path.member("pvc"), target.claim()?.name.as_deref()?))
    });
    let again = named.filter(|(_, name)| !seen.insert(*name));
    again
        .map(|(path, name)| Found {
            path: path.member("name"),
            detail: Some(format!("{name} is used twice")),
        })
        .collect()
}

pub(super) fn pod_access(spec: &Spec) -> Vec<Found> {
    let wrong = disks(spec).chain(directories(spec)).filter(|(_, pvc)| {
        pvc.access_modes.len() > 1 && pvc.access_modes.contains(&AccessMode::ReadWriteOncePod)
    });
    wrong.map(|(path, _)| Found { path: path.member("accessModes"), detail: None }).collect()
}

pub(super) fn request(spec: &Spec) -> Vec<Found> {
    let Ok(disk) = disk_size(spec).round_up(MIB) else { return Vec::new() };
    let requests = disks(spec).filter_map(|(path, pvc)| Some((path, pvc.request?.0)));
    let small = requests.filter(|(_, request)| *request < disk);
    small
        .map(|(path, request)| Found {
            path: path.member("request"),
            detail: Some(format!("{} bytes requested, {} needed", request.get(), disk.get())),
        })
        .collect()
}

pub(super) fn files_request(spec: &Spec) -> Vec<Found> {
    let zero = |pvc: &Pvc| pvc.request.is_some_and(|request| request.0 == ByteSize::ZERO);
    let wrong = directories(spec).filter(|(_, pvc)| zero(pvc));
    wrong.map(|(path, _)| Found { path: path.member("request"), detail: None }).collect()
}
