//! Places: of the files, and of all that lies around them.
//!
//! Reads no content. Invariant: what does not fit the tree's own metadata into an image is refused
//! here, with its path.

use super::geometry::{Hierarchy, NONE};
use super::ondisk::{FIRST_DESCRIPTOR, SECTOR};
use super::records::{is_split, path};
use super::volume::PathTables;
use super::{BootImage, Level, Params};
use crate::engine::base::tree::{Kind, Node, NodeId, Tree};
use crate::engine::base::{Error, Kind as ErrorKind};
use crate::engine::filesystem::Room;

/// The files of a tree.
#[derive(Debug)]
pub(super) struct Files {
    /// The first sector of each node's content.
    pub(super) starts: Vec<u32>,
    /// The serial number of each node: its place in the tree's order.
    pub(super) serials: Vec<u32>,
    /// Files with bytes, in the tree's order.
    pub(super) order: Vec<NodeId>,
}

impl Files {
    /// What the tree holds, without places. Refuses what has no place in an image.
    pub(super) fn new(tree: &Tree, params: &Params) -> Result<Self, Error> {
        let rows = tree.rows();
        let mut files = Self { starts: vec![0; rows], serials: vec![0; rows], order: Vec::new() };
        let mut next = 1;
        let mut open = vec![Tree::ROOT];
        while let Some(id) = open.pop() {
            let Some(serial) = files.serials.get_mut(id.index()) else { continue };
            if *serial != 0 {
                continue;
            }
            *serial = next;
            next += 1;
            let node = tree.node(id);
            if let Some(why) = refusal(node, params) {
                let message = format!("\"{}\" {why}", path(tree, id));
                return Err(Error::new(ErrorKind::Document, message).at(tree.origin(id)));
            }
            if matches!(node.kind, Kind::File(_)) && !node.is_empty() {
                files.order.push(id);
            }
            open.extend(node.entries().into_iter().flatten().rev().map(|(_, id)| *id));
        }
        Ok(files)
    }

    pub(super) fn start(&self, node: NodeId) -> u32 {
        self.starts.get(node.index()).copied().unwrap_or_default()
    }
}

/// Why a node has no place in an image.
fn refusal(node: &Node, params: &Params) -> Option<String> {
    if !params.drop_attributes
        && let Some(name) = node.attributes.as_deref().and_then(|all| all.keys().next())
    {
        let name = name.escape_ascii();
        return Some(format!("has the extended attribute {name}, which ISO 9660 cannot hold"));
    }
    match &node.kind {
        Kind::Directory(_) => None,
        Kind::File(content) if is_split(content.len()) && params.level != Level::Three => {
            Some(format!("has {} bytes: files of 4 GiB and more need level 3", content.len()))
        }
        Kind::File(_) => None,
        kind if !params.rock_ridge => Some(format!("is a {}, which needs Rock Ridge", kind.word())),
        // Linux takes such numbers for 16 bits of an old kind: major and minor in one.
        Kind::CharDevice(device) | Kind::BlockDevice(device)
            if device.major == 0 && device.minor > 0xff =>
        {
            Some(format!("is the device 0:{}, which Rock Ridge cannot tell", device.minor))
        }
        _ => None,
    }
}

/// Where all lies beside files and directories, whose places are with them.
#[derive(Debug)]
pub(super) struct Layout {
    /// Of the trees in order.
    pub(super) tables: Vec<PathTables>,
    pub(super) catalog: Option<u32>,
    /// Of boot images without a name, in their order.
    pub(super) boot: Vec<u32>,
    /// In bytes.
    pub(super) appended: Vec<u64>,
    /// Bytes of the filesystem.
    pub(super) volume: u64,
    /// Bytes of all.
    pub(super) len: u64,
}

/// Gives out sectors one after the other.
#[derive(Debug)]
struct Cursor(u64);

impl Cursor {
    fn take(&mut self, bytes: u64, align: u64) -> u32 {
        let align = align.div_ceil(SECTOR).max(1);
        let at = self.0.next_multiple_of(align);
        self.0 = at.saturating_add(bytes.div_ceil(SECTOR));
        // Checked at the end, for all.
        u32::try_from(at).unwrap_or(NONE)
    }
}

impl Layout {
    /// Decides all places.
    pub(super) fn new(
        params: &Params,
        trees: &mut [Hierarchy],
        files: &mut Files,
        tree: &Tree,
        room: Room,
    ) -> Result<Self, Error> {
        let mut cursor = Cursor(FIRST_DESCRIPTOR);
        // One for each tree, the terminator, and El Torito's.
        let descriptors = trees.len() + 1 + usize::from(!params.boot.is_empty());
        cursor.take(descriptors as u64 * SECTOR, 1);
        let mut tables = Vec::new();
        for tree in &*trees {
            let len = u64::from(tree.path_table);
            tables.push(PathTables { little: cursor.take(len, 1), big: cursor.take(len, 1) });
        }
        for tree in trees {
            let first = cursor.take(u64::from(tree.sectors) * SECTOR, 1);
            tree.place(first);
        }
        let catalog = (!params.boot.is_empty()).then(|| cursor.take(SECTOR, 1));
        for node in &files.order {
            if let (Some(start), Kind::File(content)) =
                (files.starts.get_mut(node.index()), &tree.node(*node).kind)
            {
                *start = cursor.take(content.len(), content.align());
            }
        }
        let mut boot = Vec::new();
        for entry in &params.boot {
            if let BootImage::Content(content) = &entry.image {
                boot.push(cursor.take(content.len(), content.align()));
            }
        }
        cursor.0 = cursor.0.saturating_add(u64::from(params.padding));
        if cursor.0 > u64::from(u32::MAX) {
            let message = format!("{} sectors of 2048 bytes; ISO 9660 has 2^32 - 1", cursor.0);
            return Err(Error::new(ErrorKind::Document, message));
        }
        let mut layout =
            Self { tables, catalog, boot, appended: Vec::new(), volume: cursor.0 * SECTOR, len: 0 };
        layout.end(params, room)?;
        Ok(layout)
    }

    /// Places what is appended, and decides the length.
    fn end(&mut self, params: &Params, room: Room) -> Result<(), Error> {
        let too_long =
            || Error::new(ErrorKind::Document, "the image would be longer than 2^64 bytes");
        if let Room::Fit { percent, bytes } = room {
            let more = u128::from(self.volume) * u128::from(percent) / 100 + u128::from(bytes);
            let more = u64::try_from(more).map_err(|_| too_long())?;
            let volume = self.volume.checked_add(more).ok_or_else(too_long)?;
            self.volume = volume.checked_next_multiple_of(SECTOR).ok_or_else(too_long)?;
        }
        let mut at = self.volume;
        for appended in &params.appended {
            let align = appended.align.max(appended.content.align()).max(SECTOR);
            let place = at.checked_next_multiple_of(align).filter(|_| align.is_multiple_of(SECTOR));
            self.appended.push(place.ok_or_else(|| {
                let message =
                    format!("{align} is no multiple of {SECTOR}: what is appended must lie at one");
                Error::new(ErrorKind::Document, message)
            })?);
            at = place
                .and_then(|place| place.checked_add(appended.content.len()))
                .and_then(|end| end.checked_next_multiple_of(SECTOR))
                .ok_or_else(too_long)?;
        }
        let least = at
            .checked_add(params.tail)
            .and_then(|end| end.checked_next_multiple_of(SECTOR))
            .ok_or_else(too_long)?;
        self.len = match room {
            Room::Fit { .. } => least,
            Room::Exactly(len) if len < least => {
                let message = format!("the ISO 9660 image needs {least} bytes, has {len}");
                return Err(Error::new(ErrorKind::Document, message));
            }
            Room::Exactly(len) => len,
        };
        if params.appended.is_empty() {
            self.volume = (self.len - params.tail) / SECTOR * SECTOR;
        }
        if self.volume / SECTOR > u64::from(u32::MAX) {
            return Err(Error::new(
                ErrorKind::Document,
                format!("{} bytes; ISO 9660 has 2^32 - 1 sectors of 2048", self.volume),
            ));
        }
        Ok(())
    }
}
