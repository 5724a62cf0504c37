//! An image from a tree: every place decided before a byte is made.
//!
//! Makes no directory and no descriptor itself. Invariants: all places are multiples of a sector;
//! `len` is known before contents are; the order of places is that of the file: descriptors, path
//! tables, directories, boot catalog, files in the order of the tree, boot images, what is appended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::boot::{self, Placed};
use super::geometry::Hierarchy;
use super::image::Image;
use super::layout::{Files, Layout};
use super::names::Naming;
use super::ondisk::{Date17, FIRST_DESCRIPTOR, SECTOR};
use super::records::root;
use super::volume::{PathTables, Texts, boot_record, descriptor, path_tables, terminator};
use super::{BootImage, Params, Places};
use crate::engine::base::tree::{Kind, NodeId, Tree, TreePath};
use crate::engine::base::{
    Content, Error, Extent, Kind as ErrorKind, Patch, Placement, SectorSource,
};
use crate::engine::filesystem::{Planned, Request};

/// Bytes before the first descriptor: ECMA-119 7.2.1.
const SYSTEM_AREA: u64 = FIRST_DESCRIPTOR * SECTOR;

/// Characters of a Joliet name, as specified and as read by all that matter.
const JOLIET: usize = 64;
const JOLIET_LONG: usize = 103;

/// An image whose places are known.
#[derive(Debug)]
pub(super) struct Plan {
    tree: Arc<Tree>,
    params: Params,
    texts: Texts,
    /// The primary tree, and Joliet's.
    trees: Vec<Hierarchy>,
    files: Files,
    /// The node of each boot image that has a name.
    boot: Vec<Option<NodeId>>,
    layout: Layout,
}

impl Plan {
    pub(super) fn new(params: &Params, request: &Request<'_>) -> Result<Self, Error> {
        let tree = Arc::clone(&request.tree);
        let date = match &request.identity.uuid {
            None => Date17::new(request.time),
            Some(text) => Date17::parse(text).ok_or_else(|| {
                let message = format!(
                    "\"{text}\" is no UUID of ISO 9660, which is a time: YYYY-MM-DD-HH-MM-SS-hh"
                );
                Error::new(ErrorKind::Document, message)
            })?,
        };
        let texts = Texts::new(params, request.identity.label.as_deref(), date)?;
        let mut trees =
            vec![Hierarchy::new(Naming::Primary(params.level), params.rock_ridge, &tree)?];
        if params.joliet {
            let most = if params.joliet_long { JOLIET_LONG } else { JOLIET };
            trees.push(Hierarchy::new(Naming::Joliet(most), false, &tree)?);
        }
        let mut files = Files::new(&tree, params)?;
        let boot = boot_nodes(params, &tree)?;
        let lens: Vec<u64> = params
            .boot
            .iter()
            .zip(&boot)
            .map(|(entry, node)| match (&entry.image, node) {
                (BootImage::Content(content), _) => content.len(),
                (_, node) => node.map_or(0, |node| tree.node(node).len()),
            })
            .collect();
        boot::check(&params.boot, &lens)?;
        let layout = Layout::new(params, &mut trees, &mut files, &tree, request.room)?;
        Ok(Self { tree, params: params.clone(), texts, trees, files, boot, layout })
    }

    /// Boot images with their places, settled, with what is written into them.
    fn boot_images(&self, base: u64, medium: u64) -> Result<Vec<Placed>, Error> {
        let mut images = Vec::new();
        let mut unnamed = self.layout.boot.iter();
        for (entry, node) in self.params.boot.iter().zip(&self.boot) {
            let (sector, content) = match (&entry.image, node) {
                (BootImage::Content(content), _) => {
                    (unnamed.next().copied().unwrap_or_default(), content.clone())
                }
                (_, Some(node)) => match &self.tree.node(*node).kind {
                    Kind::File(content) => (self.files.start(*node), content.clone()),
                    _ => continue,
                },
                _ => continue,
            };
            let content = settle(content, base + u64::from(sector) * SECTOR, medium)?;
            let content = boot::patched(entry, &Placed { sector, content })?;
            images.push(Placed { sector, content });
        }
        Ok(images)
    }

    /// Contents of the tree that are not what the tree has: settled, or boot images.
    fn replaced(
        &self,
        images: &[Placed],
        base: u64,
        medium: u64,
    ) -> Result<HashMap<NodeId, Content>, Error> {
        let mut replaced = HashMap::new();
        for node in &self.files.order {
            if let Kind::File(content @ Content::Late(_)) = &self.tree.node(*node).kind {
                let at = base + u64::from(self.files.start(*node)) * SECTOR;
                let settled = settle(content.clone(), at, medium);
                let settled = settled.map_err(|e| e.at(self.tree.origin(*node)))?;
                replaced.insert(*node, settled);
            }
        }
        for (node, image) in self.boot.iter().zip(images) {
            if let Some(node) = node {
                replaced.insert(*node, image.content.clone());
            }
        }
        Ok(replaced)
    }

    /// Descriptors and path tables by offset.
    fn head(&self, images: &[Placed]) -> Result<Vec<(u64, Content)>, Error> {
        let mut sectors = Vec::new();
        let space = u32::try_from(self.layout.volume / SECTOR).unwrap_or(u32::MAX);
        let mut tables = Vec::new();
        for (number, tree) in self.trees.iter().enumerate() {
            let places = self.layout.tables.get(number).copied().unwrap_or_default();
            let root = root(&self.tree, tree);
            sectors.push(descriptor(&self.texts, tree, root, places, space));
            // El Torito 2.0: the boot record is the second descriptor.
            if let (0, Some(catalog)) = (number, self.layout.catalog) {
                sectors.push(boot_record(catalog));
            }
            let PathTables { little, big } = places;
            tables.extend([little, big].into_iter().zip(path_tables(tree)));
        }
        sectors.push(terminator());
        let mut head = vec![(SYSTEM_AREA, Content::Bytes(sectors.concat().into()))];
        for (sector, table) in tables {
            head.push((u64::from(sector) * SECTOR, Content::Bytes(table.into())));
        }
        if let Some(catalog) = self.layout.catalog {
            let bytes = boot::catalog(&self.params.boot, images)?;
            head.push((u64::from(catalog) * SECTOR, Content::Bytes(bytes.into())));
        }
        Ok(head)
    }

    /// What the system area wants to know.
    fn places(&self, images: &[Placed], wanted: &[TreePath]) -> Result<Places, Error> {
        let mut places = Places {
            len: self.layout.len,
            volume: self.layout.volume,
            catalog: self.layout.catalog.map(|sector| u64::from(sector) * SECTOR),
            ..Places::default()
        };
        let place = |image: &Placed| (u64::from(image.sector) * SECTOR, image.content.len());
        places.boot = images.iter().map(place).collect();
        let lens = self.params.appended.iter().map(|appended| appended.content.len());
        places.appended = self.layout.appended.iter().copied().zip(lens).collect();
        for path in wanted {
            let node = file(&self.tree, path)?;
            let at = u64::from(self.files.start(node)) * SECTOR;
            places.files.insert(path.clone(), (at, self.tree.node(node).len()));
        }
        Ok(places)
    }

    /// The bytes of the system area.
    fn system_area(&self, images: &[Placed]) -> Result<Vec<Patch>, Error> {
        let Some(area) = &self.params.system_area else { return Ok(Vec::new()) };
        let patches = (area.make)(&self.places(images, &area.files)?)?;
        let (len, tail) = (self.layout.len, self.params.tail);
        for patch in &patches {
            let end = patch.offset.saturating_add(patch.bytes.len() as u64);
            if end > SYSTEM_AREA && (patch.offset < len - tail || end > len) {
                let message = format!(
                    "{} bytes at {} are not in the system area, which has {SYSTEM_AREA} bytes and \
                     {tail} at the end of {len}",
                    patch.bytes.len(),
                    patch.offset
                );
                return Err(Error::new(ErrorKind::Document, message));
            }
        }
        Ok(patches)
    }
}

/// The node of each boot entry's image; none of those without a name.
fn boot_nodes(params: &Params, tree: &Tree) -> Result<Vec<Option<NodeId>>, Error> {
    let mut nodes = Vec::new();
    for (number, entry) in params.boot.iter().enumerate() {
        let BootImage::Path(path) = &entry.image else {
            nodes.push(None);
            continue;
        };
        let node = file(tree, path)?;
        // Two tables in one image: only if they are the same.
        let before = nodes.iter().position(|before| *before == Some(node));
        let other = before.and_then(|before| params.boot.get(before));
        let tables = (entry.info_table, entry.grub2_info);
        if other.is_some_and(|other| (other.info_table, other.grub2_info) != tables) {
            let message =
                format!("boot entry {number} wants other tables in {path} than one before");
            return Err(Error::new(ErrorKind::Document, message));
        }
        nodes.push(Some(node));
    }
    Ok(nodes)
}

/// The file at `path`.
fn file(tree: &Tree, path: &TreePath) -> Result<NodeId, Error> {
    let found = tree.find(path);
    let is_file = |node: &NodeId| matches!(tree.node(*node).kind, Kind::File(_));
    found.filter(is_file).ok_or_else(|| {
        let word = found.map_or("nothing", |node| tree.node(node).kind.word());
        Error::new(ErrorKind::Document, format!("{path} is no file of the image: {word} is there"))
    })
}

/// The content for its place on the medium.
fn settle(content: Content, at: u64, medium: u64) -> Result<Content, Error> {
    if !at.is_multiple_of(content.align()) {
        let message =
            format!("a content at {at} must lie at a multiple of {} bytes", content.align());
        return Err(Error::new(ErrorKind::Document, message));
    }
    let extents = Extent::new(at, at.saturating_add(content.len())).into_iter().collect();
    content.settle(&Placement { extents, medium, volume: 0 })
}

impl Planned for Plan {
    fn len(&self) -> u64 {
        self.layout.len
    }

    fn uuid(&self) -> Option<String> {
        self.texts.created.text()
    }

    fn render(self: Box<Self>, place: &Placement) -> Result<Arc<dyn SectorSource>, Error> {
        let base = match place.extents.as_slice() {
            [one] if one.len() == self.layout.len => one.start(),
            _ => {
                let message =
                    format!("an image of {} bytes must lie in one piece", self.layout.len);
                return Err(Error::new(ErrorKind::Document, message));
            }
        };
        let images = self.boot_images(base, place.medium)?;
        let mut others = self.head(&images)?;
        for patch in self.system_area(&images)? {
            others.push((patch.offset, Content::Bytes(patch.bytes.into())));
        }
        for (node, image) in self.boot.iter().zip(&images) {
            if node.is_none() {
                others.push((u64::from(image.sector) * SECTOR, image.content.clone()));
            }
        }
        for (at, appended) in self.layout.appended.iter().zip(&self.params.appended) {
            let content = settle(appended.content.clone(), base + at, place.medium)?;
            others.push((*at, content));
        }
        others.retain(|(_, content)| !content.is_empty());
        others.sort_by_key(|(offset, _)| *offset);
        if !others.is_sorted_by(|one, other| one.0 + one.1.len() <= other.0) {
            return Err(Error::new(ErrorKind::Document, "parts of the system area overlap"));
        }
        let replaced = self.replaced(&images, base, place.medium)?;
        Ok(Arc::new(Image {
            len: self.layout.len,
            tree: self.tree,
            trees: self.trees,
            starts: self.files.starts,
            serials: self.files.serials,
            files: self.files.order,
            replaced,
            others,
            kept: Mutex::default(),
        }))
    }
}
