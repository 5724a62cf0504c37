//! Steps that write what most systems need: devices, fstab, hosts, hostname.
//!
//! Invariant: each changes one file or one directory, which belongs to root.

use super::Context;
use super::sets::medium;
use crate::engine::base::tree::{Kind as NodeKind, Tree, TreePath};
use crate::engine::base::{Error, Kind, Origin};
use crate::engine::payload::devices::DeviceSet as Set;
use crate::engine::payload::etc::{self, Host, Mount, Place};
use crate::manifest::FieldPath;
use crate::manifest::types::{DeviceSet, DeviceSetName, Fstab, FstabEntry, HostEntry, Hosts, Path};

/// A file that lines are added to is no longer than this.
const MAX_TEXT: u64 = 1 << 20;

pub(super) fn devices(
    tree: &mut Tree,
    set: &DeviceSet,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let which = match set.name {
        DeviceSetName::Linux => Set::Linux,
        DeviceSetName::Netbsd => Set::NetBsd,
    };
    let at = TreePath::new(set.path.as_bytes())?;
    which.make(tree, &at, context.env.time, &Origin::new(path.as_str()))
}

pub(super) fn fstab(
    tree: &mut Tree,
    fstab: &Fstab,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let entries = path.member("entries");
    let line = |(index, entry): (usize, &FstabEntry)| {
        let origin = Origin::new(entries.index(index).as_str());
        mount(entry, context).map_err(|e| e.at(&origin))
    };
    let mounts = fstab.entries.iter().enumerate().map(line).collect::<Result<Vec<_>, _>>()?;
    let before = if fstab.append { text_at(tree, &fstab.path)? } else { String::new() };
    let text = before + &etc::fstab(&mounts)?;
    put(tree, &fstab.path, &text, path, context)
}

fn mount(entry: &FstabEntry, context: &Context<'_>) -> Result<Mount, Error> {
    let digit = |number: u32, field: &str| {
        u8::try_from(number).map_err(|_| {
            Error::new(Kind::Document, format!("{field} is {number}; it must be 0 to 9"))
        })
    };
    Ok(Mount {
        device: context.fill(&entry.device)?,
        at: entry.path.clone(),
        kind: entry.kind.clone(),
        options: entry.options.split(',').map(ToOwned::to_owned).collect(),
        dump: digit(entry.dump, "dump")?,
        pass: digit(entry.pass, "pass")?,
    })
}

/// What a file has already, with a line break at its end; nothing if it is not there.
fn text_at(tree: &Tree, at: &Path) -> Result<String, Error> {
    let at = TreePath::new(at.as_bytes())?;
    let Some(node) = tree.find(&at) else { return Ok(String::new()) };
    let NodeKind::File(content) = &tree.node(node).kind else {
        let message = format!("{at} is a {}, no file", tree.node(node).kind.word());
        return Err(Error::new(Kind::Document, message));
    };
    if content.len() > MAX_TEXT {
        let message = format!("{at} has {} bytes, at most {MAX_TEXT} are read", content.len());
        return Err(Error::new(Kind::Document, message));
    }
    let mut bytes = vec![0; content.len() as usize];
    medium(content.clone(), &FieldPath::new("spec"))?.read_at(0, &mut bytes)?;
    let mut text = String::from_utf8(bytes)
        .map_err(|e| Error::new(Kind::Document, format!("{at} is no text: {e}")))?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

pub(super) fn hosts(
    tree: &mut Tree,
    hosts: &Hosts,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let line = |entry: &HostEntry| {
        let address = entry.address.parse().map_err(|_| {
            Error::new(Kind::Document, format!("{:?} is no IP address", entry.address))
        })?;
        Ok(Host { address, names: entry.names.clone() })
    };
    let lines = hosts.entries.iter().map(line).collect::<Result<Vec<_>, Error>>()?;
    put(tree, &Path::new("/etc/hosts"), &etc::hosts(&lines)?, path, context)
}

pub(super) fn hostname(
    tree: &mut Tree,
    name: &str,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    put(tree, &Path::new("/etc/hostname"), &etc::hostname(name)?, path, context)
}

fn put(
    tree: &mut Tree,
    at: &Path,
    text: &str,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let place = Place { time: context.env.time, origin: &Origin::new(path.as_str()) };
    place.text(tree, &TreePath::new(at.as_bytes())?, text)?;
    Ok(())
}
