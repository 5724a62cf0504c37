//! The rows about scripts.
//!
//! Pure. Invariant: as of `disk`.

use super::super::FieldPath;
use super::super::types::{Disk, Script, Spec};
use super::table::Found;

fn each(
    spec: &Spec,
    wrong: impl Fn(&Disk, &Script) -> Option<(&'static str, Option<String>)>,
) -> Vec<Found> {
    let Some(disk) = &spec.disk else { return Vec::new() };
    let found = disk.scripts.iter().enumerate().filter_map(|(at, script)| {
        let (member, detail) = wrong(disk, script)?;
        let path = FieldPath::new("spec.disk.scripts").index(at);
        Some(Found { path: if member.is_empty() { path } else { path.member(member) }, detail })
    });
    found.collect()
}

pub(super) fn partition(spec: &Spec) -> Vec<Found> {
    // One rule of the disk says so for all scripts, so one place is enough.
    let found = each(spec, |disk, script| {
        let place = if script.partition.is_some() { "partition" } else { "" };
        disk.changed_by(script).is_none().then_some((place, None))
    });
    found.into_iter().take(1).collect()
}

pub(super) fn env(spec: &Spec) -> Vec<Found> {
    let plain = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
            && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
    };
    each(spec, |_, script| {
        let odd = script.env.keys().find(|name| !plain(name))?;
        Some(("env", Some(format!("{odd:?}"))))
    })
}

pub(super) fn nul(spec: &Spec) -> Vec<Found> {
    each(spec, |_, script| match () {
        () if script.text.contains('\0') => Some(("text", None)),
        () if !script.shell.is_plain() || script.shell.is_root() => Some(("shell", None)),
        () if script.env.values().any(|value| value.contains('\0')) => Some(("env", None)),
        () => None,
    })
}
