//! Steps that bring many files, and the one that takes them away.
//!
//! Reads no network. Invariant: globs name paths without the first slash, and a directory stands
//! for what is below it.

use std::sync::Arc;

use super::Context;
use crate::engine::archive::Format;
use crate::engine::base::tree::{Meta, Tree, TreePath};
use crate::engine::base::{ByteSource, Content, Error, Kind, Origin, SectorSource};
use crate::engine::payload::{self, Glob, Part, Selection, Unpack};
use crate::manifest::FieldPath;
use crate::manifest::types::{Archive, ArchiveFormat, Image, Path, Remove, Service};

pub(super) fn archive(
    tree: &mut Tree,
    archive: &Archive,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let origin = Origin::new(path.as_str());
    let options = Unpack {
        format: match archive.format {
            ArchiveFormat::Auto => None,
            ArchiveFormat::Tar => Some(Format::Tar),
            ArchiveFormat::Cpio => Some(Format::Cpio),
            ArchiveFormat::Zip => Some(Format::Zip),
            ArchiveFormat::Deb => Some(Format::Deb),
        },
        selection: selection(&archive.include, &archive.exclude, path)?,
        strip: archive.strip_components as usize,
        target: TreePath::new(archive.path.as_bytes())?,
        owner: archive.owner.map(|owner| (owner.uid.0, owner.gid.0)),
        implied: context.env.time,
        limits: context.limits,
        ..Unpack::default()
    };
    let source = medium(context.given.content(&path.member("source"))?, path)?;
    payload::unpack(tree, source, &options, context.env.scratch, &origin)?;
    Ok(())
}

pub(super) fn image(
    tree: &mut Tree,
    image: &Image,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let origin = Origin::new(path.as_str());
    let part = Part {
        path: TreePath::default(),
        selection: selection(&image.include, &image.exclude, path)?,
        implied: context.env.time,
    };
    let input = context.given.input(&path.member("source"))?;
    let at = TreePath::new(image.path.as_bytes())?;
    payload::copy_tree(input.tree()?, &part, tree, &at, &origin)?;
    Ok(())
}

/// The bytes of an input that is gone through.
pub(super) fn medium(content: Content, path: &FieldPath) -> Result<Arc<dyn SectorSource>, Error> {
    match content {
        Content::Bytes(bytes) => Ok(Arc::new(ByteSource::new(bytes))),
        Content::Sectors(source) => Ok(source),
        Content::Late(_) => {
            let message = "an input has its bytes before it has a place";
            Err(Error::new(Kind::Document, message).at(&Origin::new(path.as_str())))
        }
    }
}

pub(super) fn selection(
    include: &[String],
    exclude: &[String],
    path: &FieldPath,
) -> Result<Selection, Error> {
    let globs = |texts: &[String], field: &str| {
        let origin = Origin::new(path.member(field).as_str());
        let glob = |text: &String| Glob::new(text).map_err(|e| e.at(&origin));
        texts.iter().map(glob).collect::<Result<Vec<_>, _>>()
    };
    Ok(Selection { include: globs(include, "include")?, exclude: globs(exclude, "exclude")? })
}

pub(super) fn remove(tree: &mut Tree, remove: &Remove, path: &FieldPath) -> Result<(), Error> {
    for (index, text) in remove.paths.iter().enumerate() {
        let origin = Origin::new(path.member("paths").index(index).as_str());
        taken(tree, text).map_err(|e| e.at(&origin))?;
    }
    Ok(())
}

/// Takes away what `text` names: a glob may name nothing, a path must name something.
fn taken(tree: &mut Tree, text: &Path) -> Result<(), Error> {
    if !text.contains(['*', '?', '[']) {
        let path = TreePath::new(text.as_bytes())?;
        let (parent, name) = path
            .split()
            .ok_or_else(|| Error::new(Kind::Document, "the top of the tree cannot be removed"))?;
        let parent = tree.directory(&parent);
        let gone = parent.is_some_and(|parent| tree.remove(parent, name));
        let message = || format!("{path} is not there");
        return gone.then_some(()).ok_or_else(|| Error::new(Kind::Document, message()));
    }
    let glob = Glob::new(text)?;
    let found = tree.walk().filter(|step| glob.matches(&step.path));
    let found: Vec<_> =
        found.filter_map(|step| Some((step.parent, step.path.split()?.1.clone()))).collect();
    for (parent, name) in found {
        tree.remove(parent, &name);
    }
    Ok(())
}

pub(super) fn service(
    tree: &mut Tree,
    service: &Service,
    path: &FieldPath,
    context: &Context<'_>,
) -> Result<(), Error> {
    let origin = Origin::new(path.as_str());
    let source = medium(context.given.content(&path.member("source"))?, path)?;
    let mut found = Tree::new(Meta::directory(context.env.time), origin.clone());
    let options = Unpack { implied: context.env.time, limits: context.limits, ..Unpack::default() };
    payload::unpack(&mut found, source, &options, context.env.scratch, &origin)?;
    let part = |name: &str| {
        let places = [format!("service/{name}"), name.to_owned()];
        let mut places = places.iter().filter_map(|place| TreePath::new(place.as_bytes()).ok());
        places.find(|place| found.directory(place).is_some())
    };
    let taken = |place: &TreePath| {
        let mut taken = Tree::new(Meta::directory(context.env.time), origin.clone());
        let part = payload::Part { path: place.clone(), ..payload::Part::default() };
        payload::copy_tree(&found, &part, &mut taken, &TreePath::default(), &origin)?;
        Ok::<_, Error>(taken)
    };
    let own = part(&service.name).ok_or_else(|| {
        let message = format!("the source has no directory {0} or service/{0}", service.name);
        Error::new(Kind::Input, message)
    })?;
    let own = taken(&own)?;
    let common = part("common").map(|place| taken(&place)).transpose()?;
    let overlay = payload::Service {
        service: &own,
        common: common.as_ref(),
        rescue: service.rescue_links,
        time: context.env.time,
    };
    payload::overlay(tree, &overlay, &origin)
}
