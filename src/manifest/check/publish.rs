//! The rows about targets.
//!
//! Pure. Invariant: a function here says the same as the CEL rule with its message.

use std::collections::BTreeSet;

use super::super::types::{AccessMode, Pvc, Spec, Target, VolumeMode};
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
    let kinds = |target: &Target| {
        let Target { pvc, files, container_disk, kernel_boot, .. } = target;
        [pvc.is_some(), files.is_some(), container_disk.is_some(), kernel_boot.is_some()]
    };
    let wrong = targets(spec)
        .filter(|(_, target)| kinds(target).into_iter().filter(|given| *given).count() != 1);
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

/// The domains whose keys are set by operators.
const OWNED: [&str; 4] = ["kubernetes.io", "k8s.io", "kubevirt.io", "vmimage.dev"];

/// All claims with the keys of their labels and annotations.
fn keys(spec: &Spec) -> Vec<(FieldPath, String)> {
    let mut keys = Vec::new();
    for (path, pvc) in disks(spec).chain(directories(spec)) {
        let labels = pvc.labels.keys().map(|key| (path.member("labels"), key.clone()));
        keys.extend(labels);
        let annotations = pvc.annotations.keys();
        keys.extend(annotations.map(|key| (path.member("annotations"), key.clone())));
    }
    keys
}

fn refused_keys(spec: &Spec, wrong: impl Fn(&str) -> bool) -> Vec<Found> {
    let wrong = keys(spec).into_iter().filter(|(_, key)| wrong(key));
    wrong.map(|(path, key)| Found { path, detail: Some(key) }).collect()
}

pub(super) fn own_keys(spec: &Spec) -> Vec<Found> {
    let within = |prefix: &str, domain: &str| {
        prefix.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    refused_keys(spec, |key| {
        let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
        OWNED.iter().any(|domain| within(prefix, domain))
    })
}

pub(super) fn label_keys(spec: &Spec) -> Vec<Found> {
    refused_keys(spec, |key| {
        let (prefix, name) = match key.split_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, key),
        };
        let ends = |text: &str, good: fn(u8) -> bool| {
            let bytes = text.as_bytes();
            bytes.first().copied().is_some_and(good) && bytes.last().copied().is_some_and(good)
        };
        let word = |b: u8| b.is_ascii_alphanumeric();
        let good = name.len() <= 63
            && ends(name, |b| b.is_ascii_alphanumeric())
            && name.bytes().all(|b| word(b) || b"-_.".contains(&b));
        let part = |part: &str| {
            let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            ends(part, |b| b.is_ascii_lowercase() || b.is_ascii_digit())
                && part.bytes().all(|b| lower(b) || b == b'-')
        };
        let domain = prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(part));
        !good || !domain
    })
}

pub(super) fn data_volume_name(spec: &Spec) -> Vec<Found> {
    let wrong = disks(spec).chain(directories(spec));
    let wrong = wrong.filter(|(_, pvc)| pvc.data_volume.is_some() && pvc.name.is_none());
    wrong.map(|(path, _)| Found { path, detail: None }).collect()
}

pub(super) fn files_claim(spec: &Spec) -> Vec<Found> {
    let about_a_disk = |pvc: &Pvc| {
        pvc.volume_mode == VolumeMode::Block
            || pvc.data_volume.is_some()
            || pvc.data_source.is_some()
            || pvc.defaults != Default::default()
    };
    let wrong = targets(spec)
        .filter(|(_, target)| target.files.as_ref().is_some_and(|files| about_a_disk(&files.pvc)));
    wrong.map(|(path, _)| Found { path: path.member("files"), detail: None }).collect()
}

pub(super) fn data_sources(spec: &Spec) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    let named = disks(spec).filter_map(|(path, pvc)| Some((path, pvc.data_source.as_ref()?)));
    let again = named.filter(|(_, source)| !seen.insert(source.name.as_str()));
    again
        .map(|(path, source)| Found {
            path: path.member("dataSource").member("name"),
            detail: Some(format!("{} is used twice", source.name)),
        })
        .collect()
}

pub(super) fn image_tags(spec: &Spec) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (path, target) in targets(spec) {
        let Some(push) = target.push() else { continue };
        let mine: BTreeSet<_> = push.tags().map(|tag| (push.image.as_str(), tag)).collect();
        if let Some((image, tag)) = mine.iter().find(|name| seen.contains(*name)) {
            let detail = Some(format!("{image}:{tag} is used twice"));
            found.push(Found { path: path.member(target.kind()).member("tags"), detail });
        }
        seen.extend(mine);
    }
    found
}

pub(super) fn kernel_boot(spec: &Spec) -> Vec<Found> {
    if spec.boot.as_ref().is_some_and(|boot| boot.direct.is_some()) {
        return Vec::new();
    }
    let wrong = targets(spec).filter(|(_, target)| target.kernel_boot.is_some());
    wrong.map(|(path, _)| Found { path: path.member("kernelBoot"), detail: None }).collect()
}

pub(super) fn kernel_boot_defaults(spec: &Spec) -> Vec<Found> {
    let given = |target: &Target| {
        target.kernel_boot.as_ref().is_some_and(|push| push.defaults != Default::default())
    };
    let wrong = targets(spec).filter(|(_, target)| given(target));
    wrong
        .map(|(path, _)| Found { path: path.member("kernelBoot").member("defaults"), detail: None })
        .collect()
}

pub(super) fn push_defaults(spec: &Spec) -> Vec<Found> {
    let wrong = targets(spec).filter(|(_, target)| {
        let defaults = target.container_disk.as_ref().map(|push| &push.defaults);
        let given = defaults.map(|defaults| [&defaults.instancetype, &defaults.preference]);
        given.into_iter().flatten().flatten().any(|reference| reference.kind.is_some())
    });
    wrong
        .map(|(path, _)| Found {
            path: path.member("containerDisk").member("defaults"),
            detail: None,
        })
        .collect()
}
