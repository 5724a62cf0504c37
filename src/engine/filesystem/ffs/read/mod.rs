//! Reads an FFS of either version and byte order: its facts, and the tree in it.
//!
//! Untrusted bytes. Extended attributes are not read. Invariants: every fragment belongs to at most
//! one file, so nothing runs in a circle; a directory has one name.

mod blocks;
mod volume;

use std::collections::HashMap;
use std::sync::Arc;

use self::blocks::Claims;
use self::volume::{Inode, Volume};
use super::ondisk::{DIR_BLOCK, ROOT};
use crate::engine::base::tree::{Device, Kind as NodeKind, Limits, Name, NodeId, Tree};
use crate::engine::base::{Content, Error, Kind, Origin, SectorSource, read_exact_at};
use crate::engine::filesystem::Facts;

/// Bytes of the largest directory.
const MAX_DIRECTORY: u64 = 1 << 28;
/// Bytes of the longest link's text.
const MAX_LINK: u64 = 1 << 16;

/// What volume `medium` holds.
pub(super) fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    let volume = Volume::open(medium)?;
    Ok(volume.map(|volume| Facts {
        kind: "ufs",
        label: volume.label(),
        uuid: volume.uuid(),
        block_size: volume.block,
        size: volume.total.saturating_mul(volume.fragment),
        free: volume.free(),
        features: vec![
            if volume.wide { "UFS2" } else { "UFS1" }.to_owned(),
            if volume.big { "big-endian" } else { "little-endian" }.to_owned(),
        ],
    }))
}

/// Reads the tree.
struct Reader<'a> {
    medium: Arc<dyn SectorSource>,
    volume: Volume,
    claims: Claims,
    tree: Tree,
    origin: Origin,
    /// What has an inode already.
    known: HashMap<u64, NodeId>,
    limits: &'a Limits,
    left: u64,
}

/// The tree in `medium`.
pub(super) fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    let volume = Volume::open(medium.as_ref())?;
    let volume = volume.ok_or_else(|| Error::new(Kind::Damaged, "there is no FFS"))?;
    let root = volume.inode(medium.as_ref(), ROOT.into())?;
    if root.format() != 0o040_000 {
        return Err(Error::new(Kind::Damaged, "the root of the FFS is no directory"));
    }
    let origin = Origin::new("FFS");
    let mut reader = Reader {
        claims: Claims::default(),
        tree: Tree::new(root.meta(), origin.clone()),
        origin,
        known: HashMap::from([(u64::from(ROOT), Tree::ROOT)]),
        limits,
        left: limits.total,
        medium,
        volume,
    };
    let mut open = vec![(Tree::ROOT, root, String::new(), 0)];
    while let Some((node, inode, path, depth)) = open.pop() {
        for (name, child, inode) in reader.directory(node, &inode, &path)? {
            let path = format!("{path}/{name}");
            if depth >= limits.depth {
                let message = format!("{path} lies deeper than {} directories", limits.depth);
                return Err(Error::new(Kind::Damaged, message));
            }
            open.push((child, inode, path, depth + 1));
        }
    }
    Ok(reader.tree)
}

impl Reader<'_> {
    /// Adds a directory's entries; the directories among them are what comes back.
    fn directory(
        &mut self,
        node: NodeId,
        inode: &Inode,
        path: &str,
    ) -> Result<Vec<(Name, NodeId, Inode)>, Error> {
        let shown = format!("{path}/");
        if inode.size > MAX_DIRECTORY || !inode.size.is_multiple_of(DIR_BLOCK as u64) {
            let message = format!("the directory {shown} has {} bytes", inode.size);
            return Err(Error::new(Kind::Damaged, message));
        }
        let bytes = self.bytes(inode, &shown)?;
        let mut below = Vec::new();
        for (name, number) in entries(&self.volume, &bytes, &shown)? {
            let path = format!("{shown}{}", name.escape_ascii());
            let damaged = |why: &str| Error::new(Kind::Damaged, format!("{path}: {why}"));
            let name = Name::new(name).map_err(|error| damaged(&error.to_string()))?;
            if self.tree.node(node).entries().is_some_and(|all| all.contains_key(&name)) {
                return Err(damaged("the name is there twice"));
            }
            if let Some(known) = self.known.get(&number).copied() {
                if self.tree.node(known).kind.is_directory() {
                    return Err(damaged("it is a second name of a directory"));
                }
                self.tree.link(node, name, known)?;
                continue;
            }
            if self.known.len() > self.limits.nodes {
                return Err(damaged(&format!("more than {} files", self.limits.nodes)));
            }
            let inode = self.volume.inode(self.medium.as_ref(), number)?;
            let kind = self.kind(&inode, &path)?;
            let directory = kind.is_directory();
            let id = self.tree.put(node, name.clone(), kind, inode.meta(), &self.origin)?;
            self.known.insert(number, id);
            if directory {
                below.push((name, id, inode));
            }
        }
        Ok(below)
    }

    fn kind(&mut self, inode: &Inode, path: &str) -> Result<NodeKind, Error> {
        let damaged = |why: String| Err(Error::new(Kind::Damaged, format!("{path}: {why}")));
        let device = Device {
            major: inode.device >> 8 & 0xFFF,
            minor: inode.device >> 12 & 0x000F_FF00 | inode.device & 0xFF,
        };
        Ok(match inode.format() {
            0o010_000 => NodeKind::Fifo,
            0o020_000 => NodeKind::CharDevice(device),
            0o040_000 => NodeKind::directory(),
            0o060_000 => NodeKind::BlockDevice(device),
            0o100_000 => {
                if inode.size > self.limits.file {
                    return damaged(format!("{} bytes, {} can be", inode.size, self.limits.file));
                }
                let Some(left) = self.left.checked_sub(inode.size) else {
                    return damaged(format!(
                        "all files have more than {} bytes",
                        self.limits.total
                    ));
                };
                self.left = left;
                let medium = Arc::clone(&self.medium);
                let found = self.claims.file(&medium, &self.volume, inode, path)?;
                NodeKind::File(Content::Sectors(Arc::new(found)))
            }
            0o120_000 if inode.size < self.volume.links => {
                let len = usize::try_from(inode.size).unwrap_or(usize::MAX);
                match inode.inline.get(..len) {
                    Some(target) => NodeKind::Symlink(target.into()),
                    None => return damaged(format!("its text has {len} bytes")),
                }
            }
            0o120_000 if inode.size > MAX_LINK => {
                return damaged(format!("its text has {} bytes", inode.size));
            }
            0o120_000 => NodeKind::Symlink(self.bytes(inode, path)?.into()),
            0o140_000 => NodeKind::Socket,
            other => return damaged(format!("its mode is of no known kind: {other:o}")),
        })
    }

    /// All bytes of a small thing.
    fn bytes(&mut self, inode: &Inode, path: &str) -> Result<Vec<u8>, Error> {
        let medium = Arc::clone(&self.medium);
        let source = self.claims.file(&medium, &self.volume, inode, path)?;
        let mut bytes = vec![0; usize::try_from(inode.size).unwrap_or_default()];
        source.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// The names in a directory with their inodes, `.` and `..` left out.
fn entries<'a>(
    volume: &Volume,
    bytes: &'a [u8],
    path: &str,
) -> Result<Vec<(&'a [u8], u64)>, Error> {
    let mut found = Vec::new();
    for block in bytes.chunks(DIR_BLOCK) {
        let mut at = 0;
        while at < block.len() {
            let mut head = [0; 8];
            let fits = read_exact_at(block, at as u64, &mut head);
            let len = usize::from(volume.u16(&head, 4));
            // Before 4.4BSD there was no type, and the length had 16 bits.
            let name =
                if volume.typed { head[7].into() } else { usize::from(volume.u16(&head, 6)) };
            let end = at + len;
            let text = block.get(at + 8..at + 8 + name);
            let sound =
                fits.is_ok() && len >= 8 + name && len.is_multiple_of(4) && end <= block.len();
            let Some(text) = text.filter(|_| sound) else {
                let message = format!("{path} has an entry of {len} bytes with a name of {name}");
                return Err(Error::new(Kind::Damaged, message));
            };
            let inode = volume.u32(&head, 0);
            if inode != 0 && !matches!(text, b"." | b"..") {
                found.push((text, u64::from(inode)));
            }
            at = end;
        }
    }
    Ok(found)
}
