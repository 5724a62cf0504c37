//! Steps that put single nodes: files, directories, links, devices; and what takes them away.
//!
//! Invariant: a path is followed as in a root directory of its own.

use std::collections::BTreeMap;

use super::Context;
use crate::engine::base::tree::{
    Attributes, Device as Numbers, Kind, Meta, Name, NodeId, Time, Tree, TreePath,
};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin};
use crate::manifest::types::{
    Device, DeviceKind, Directory, File, Hardlink, Id, Mode, Moment, Path, Symlink,
};
use crate::manifest::{FieldPath, xattr};

/// A node that is to be put.
struct Wanted<'a> {
    kind: Kind,
    meta: Meta,
    xattrs: &'a BTreeMap<String, String>,
}

pub(super) fn file(
    tree: &mut Tree,
    file: &File,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let content = match &file.text {
        Some(text) => Content::Bytes(context.fill(text)?.into_bytes().into()),
        None => context.given.content(&path.member("source"))?,
    };
    let meta = meta(file.mode, file.uid, file.gid, file.modified.as_ref(), context)?;
    let wanted = Wanted { kind: Kind::File(content), meta, xattrs: &file.xattrs };
    put(tree, &file.path, wanted, path, context)?;
    Ok(())
}

pub(super) fn directory(
    tree: &mut Tree,
    directory: &Directory,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let Directory { mode, uid, gid, modified, xattrs, .. } = directory;
    let meta = meta(*mode, *uid, *gid, modified.as_ref(), context)?;
    for at in directory.all() {
        put(tree, at, Wanted { kind: Kind::directory(), meta, xattrs }, path, context)?;
    }
    Ok(())
}

pub(super) fn symlink(
    tree: &mut Tree,
    link: &Symlink,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    // Linux shows 0777 for every symbolic link and looks at no mode of them.
    let meta = meta(Mode(0o777), link.uid, link.gid, link.modified.as_ref(), context)?;
    for at in link.path.iter().chain(&link.paths) {
        let kind = Kind::Symlink(link.target.as_bytes().into());
        put(tree, at, Wanted { kind, meta, xattrs: &BTreeMap::new() }, path, context)?;
    }
    Ok(())
}

pub(super) fn hardlink(
    tree: &mut Tree,
    link: &Hardlink,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let origin = Origin::new(path.as_str());
    let target = TreePath::new(link.target.as_bytes())?;
    let node = tree.find(&target).ok_or_else(|| {
        Error::new(ErrorKind::Document, format!("{target} is not there, so it gets no second name"))
    })?;
    for at in link.path.iter().chain(&link.paths) {
        let (parent, name) = place(tree, at, &origin, context)?;
        tree.link(parent, name, node)?;
    }
    Ok(())
}

pub(super) fn device(
    tree: &mut Tree,
    device: &Device,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let numbers = || {
        let missing = || Error::new(ErrorKind::Document, "a device needs major and minor");
        let (major, minor) = device.major.zip(device.minor).ok_or_else(missing)?;
        Ok::<_, Error>(Numbers { major, minor })
    };
    let kind = match device.kind {
        DeviceKind::Char => Kind::CharDevice(numbers()?),
        DeviceKind::Block => Kind::BlockDevice(numbers()?),
        DeviceKind::Fifo => Kind::Fifo,
        DeviceKind::Socket => Kind::Socket,
    };
    let meta = meta(device.mode, device.uid, device.gid, None, context)?;
    put(tree, &device.path, Wanted { kind, meta, xattrs: &BTreeMap::new() }, path, context)?;
    Ok(())
}

fn put(
    tree: &mut Tree,
    at: &Path,
    wanted: Wanted<'_>,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<NodeId, Error> {
    let origin = Origin::new(path.as_str());
    let Wanted { kind, meta, xattrs } = wanted;
    let node = if at.is_root() {
        if !kind.is_directory() {
            let message = format!("the top of the tree is a directory, not a {}", kind.word());
            return Err(Error::new(ErrorKind::Document, message));
        }
        *tree.meta_mut(Tree::ROOT).0 = meta;
        Tree::ROOT
    } else {
        let (parent, name) = place(tree, at, &origin, context)?;
        tree.put(parent, name, kind, meta, &origin)?
    };
    let attributes = attributes(xattrs, path)?;
    if !attributes.is_empty() {
        *tree.meta_mut(node).1 = Some(Box::new(attributes));
    }
    Ok(node)
}

/// The directory that holds `at`, made where it is missing, and the last name.
fn place(
    tree: &mut Tree,
    at: &Path,
    origin: &Origin,
    context: &Context<'_>,
) -> Result<(NodeId, Name), Error> {
    let at = TreePath::new(at.as_bytes())?;
    let Some((parent, name)) = at.split() else {
        return Err(Error::new(ErrorKind::Document, "the top of the tree has no other name"));
    };
    Ok((tree.directory_at(&parent, context.missing(), origin)?, name.clone()))
}

fn meta(
    mode: Mode,
    uid: Id,
    gid: Id,
    modified: Option<&Moment>,
    context: &Context<'_>,
) -> Result<Meta, Error> {
    let modified = match modified {
        None => context.env.time,
        Some(moment) => {
            let (seconds, nanos) = moment.since_epoch().ok_or_else(|| {
                let message = format!("{:?} is no time such as 2026-01-31T12:00:00Z", moment.0);
                Error::new(ErrorKind::Document, message)
            })?;
            Time { seconds, nanos }
        }
    };
    Ok(Meta { mode: mode.0, uid: uid.0, gid: gid.0, modified })
}

/// The attributes that a document names.
fn attributes(given: &BTreeMap<String, String>, path: &FieldPath) -> Result<Attributes, Error> {
    let value = |name: &str, text: &str| {
        xattr::value(text).ok_or_else(|| {
            let origin = Origin::new(path.member("xattrs").as_str());
            let message = format!(
                "{name}: {text:?} is neither text nor hexadecimal behind 0x nor base64 behind 0s"
            );
            Error::new(ErrorKind::Document, message).at(&origin)
        })
    };
    given
        .iter()
        .map(|(name, text)| Ok((name.as_bytes().into(), value(name, text)?.into_boxed_slice())))
        .collect()
}
