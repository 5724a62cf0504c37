//! Directories into a tree.
//!
//! Invariants: a directory's sector is read once; what a tree cannot hold is an error that names it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::ondisk::{
    FLAG_ASSOCIATED, FLAG_DIRECTORY, FLAG_MULTI_EXTENT, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO,
    S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, SECTOR, Volume,
};
use super::directory::{Found, Records};
use super::rock::{self, Rock};
use super::span::span;
use super::volume::Descriptors;
use crate::engine::base::tree::{Kind, Limits, Meta, Name, NodeId, Tree, TreePath};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin, SectorSource};

/// Which names are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// Rock Ridge's; its entries begin behind so many bytes.
    Rock(usize),
    Joliet,
    Plain,
}

/// A directory to be read.
#[derive(Debug)]
struct Open {
    node: NodeId,
    path: TreePath,
    sector: u64,
    len: u32,
}

/// What tells whether two records are the same file: serial number, place, length, type.
type Same = (u32, u64, u64, u32);

/// Reads an image.
pub(super) struct Reader {
    medium: Arc<dyn SectorSource>,
    limits: Limits,
    names: Names,
    root: Volume,
    origin: Origin,
    seen: HashSet<u64>,
    files: HashMap<Same, NodeId>,
    nodes: usize,
    total: u64,
    /// Bytes of directories that may still be read.
    budget: u64,
    /// Whether the directory that is read holds some that belong elsewhere.
    relocated: bool,
}

/// What writers call the directory that relocated ones are put into.
const MOVED: [&[u8]; 2] = [b"rr_moved", b".rr_moved"];

impl Reader {
    pub(super) fn new(medium: Arc<dyn SectorSource>, limits: Limits) -> Result<Self, Error> {
        let found = Descriptors::find(medium.as_ref())?
            .ok_or_else(|| Error::new(ErrorKind::Damaged, "no ISO 9660 volume descriptor"))?;
        let (names, root) = match (rock::prefix(medium.as_ref(), &found.primary)?, found.joliet) {
            (Some(prefix), _) => (Names::Rock(prefix), found.primary),
            (None, Some(joliet)) => (Names::Joliet, joliet),
            (None, None) => (Names::Plain, found.primary),
        };
        // Directories that lie apart from each other are not longer than the medium.
        let most = (limits.nodes as u64).saturating_mul(1024).saturating_add(64 << 20);
        let budget = medium.len().saturating_mul(2).min(most);
        Ok(Self {
            medium,
            limits,
            names,
            root,
            origin: Origin::new("the ISO 9660 image"),
            seen: HashSet::new(),
            files: HashMap::new(),
            nodes: 1,
            total: 0,
            budget,
            relocated: false,
        })
    }

    pub(super) fn tree(mut self) -> Result<Tree, Error> {
        let sector = u64::from(self.root.root.extent.get());
        let (len, meta) = self.directory(sector)?;
        let mut tree = Tree::new(meta, self.origin.clone());
        let root = Open { node: Tree::ROOT, path: TreePath::default(), sector, len };
        let mut open = vec![root];
        while let Some(directory) = open.pop() {
            self.entries(&mut tree, &directory, &mut open).map_err(|error| {
                let message = format!("{}: {error}", directory.path);
                Error::new(error.kind(), message)
            })?;
        }
        Ok(tree)
    }

    /// Length of the directory at `sector` and what is known about it: of its own record.
    fn directory(&self, sector: u64) -> Result<(u32, Meta), Error> {
        let first =
            Records::new(self.medium.as_ref(), sector, SECTOR as u32)?.next().transpose()?;
        let dot = first.filter(|found| found.id == [0]).ok_or_else(|| {
            let message = format!("no directory at sector {sector}");
            Error::new(ErrorKind::Damaged, message)
        })?;
        let rock = self.rock(&dot)?;
        Ok((dot.head.data_len.get(), meta(&dot, &rock, true)))
    }

    fn rock(&self, found: &Found) -> Result<Rock, Error> {
        match self.names {
            Names::Rock(prefix) => Rock::of(self.medium.as_ref(), found, prefix),
            Names::Joliet | Names::Plain => Ok(Rock::default()),
        }
    }

    fn entries(&mut self, tree: &mut Tree, here: &Open, open: &mut Vec<Open>) -> Result<(), Error> {
        let damaged = |message: String| Err(Error::new(ErrorKind::Damaged, message));
        if !self.seen.insert(here.sector) {
            return damaged(format!("the directory at sector {} has a second name", here.sector));
        }
        self.budget = self.budget.checked_sub(u64::from(here.len)).ok_or_else(|| {
            Error::new(ErrorKind::Damaged, "the directories are longer than the image")
        })?;
        let medium = Arc::clone(&self.medium);
        let mut sections: Vec<(u64, u64)> = Vec::new();
        let mut first: Option<Found> = None;
        for found in Records::new(medium.as_ref(), here.sector, here.len)? {
            let found = found?;
            if found.is_dot() || found.head.flags & FLAG_ASSOCIATED != 0 {
                continue;
            }
            if found.head.unit_size != 0 || found.head.gap_size != 0 {
                let message = format!("the record at offset {} is interleaved", found.offset);
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            if first.as_ref().is_some_and(|first| first.id != found.id) {
                return damaged(format!("sections of a file end before offset {}", found.offset));
            }
            sections.push((found.sector() * SECTOR, u64::from(found.head.data_len.get())));
            let more = found.head.flags & FLAG_MULTI_EXTENT != 0;
            let found = first.take().unwrap_or(found);
            if more {
                first = Some(found);
                continue;
            }
            self.entry(tree, here, &found, &std::mem::take(&mut sections), open)?;
        }
        self.forget(tree, here);
        if first.is_some() {
            return damaged("the last file's sections do not end".to_owned());
        }
        Ok(())
    }

    /// Drops the directory that relocated ones were put into, if it held nothing else: it is no part
    /// of what was written.
    fn forget(&mut self, tree: &mut Tree, here: &Open) {
        let held = std::mem::take(&mut self.relocated);
        if let [name] = here.path.names()
            && held
            && MOVED.contains(&name.as_bytes())
            && tree.node(here.node).entries().is_some_and(BTreeMap::is_empty)
        {
            tree.remove(Tree::ROOT, name);
        }
    }

    /// Puts one entry into the tree.
    fn entry(
        &mut self,
        tree: &mut Tree,
        here: &Open,
        found: &Found,
        sections: &[(u64, u64)],
        open: &mut Vec<Open>,
    ) -> Result<(), Error> {
        let rock = self.rock(found)?;
        if rock.relocated {
            self.relocated = true;
            return Ok(());
        }
        let (name, version) = self.name(found, &rock)?;
        if tree.node(here.node).entries().is_some_and(|entries| entries.contains_key(&name)) {
            // Of several versions the first is the last one: ECMA-119 10.3.
            if version.is_some_and(|version| version != 1) || self.names == Names::Plain {
                return Ok(());
            }
            return Err(Error::new(ErrorKind::Damaged, format!("\"{name}\" is there twice")));
        }
        let about = |error: Error| Error::new(error.kind(), format!("\"{name}\": {error}"));
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let message = format!("the image has more than {} files", self.limits.nodes);
            return Err(Error::new(ErrorKind::Input, message));
        }
        if rock.child.is_some() || found.head.flags & FLAG_DIRECTORY != 0 {
            let sector = rock.child.map_or_else(|| found.sector(), u64::from);
            let (len, meta) = self.directory(sector).map_err(about)?;
            let path = here.path.join(&name);
            if path.names().len() > self.limits.depth {
                let message = format!("more than {} directories deep", self.limits.depth);
                return Err(about(Error::new(ErrorKind::Input, message)));
            }
            let node = tree.put(here.node, name, Kind::directory(), meta, &self.origin)?;
            open.push(Open { node, path, sector, len });
            return Ok(());
        }
        let kind = self.kind(found, &rock, sections).map_err(about)?;
        let same = same(found, &rock, &kind, sections);
        if let Some(before) = same.and_then(|same| self.files.get(&same)) {
            return tree.link(here.node, name, *before);
        }
        self.count(&kind).map_err(about)?;
        let node = tree.put(here.node, name, kind, meta(found, &rock, false), &self.origin)?;
        if let Some(same) = same {
            self.files.insert(same, node);
        }
        Ok(())
    }

    fn count(&mut self, kind: &Kind) -> Result<(), Error> {
        let Kind::File(content) = kind else { return Ok(()) };
        self.total = self.total.saturating_add(content.len());
        for (what, len, most) in [
            ("the file", content.len(), self.limits.file),
            ("all files", self.total, self.limits.total),
        ] {
            if len > most {
                let message = format!("{what} would have {len} bytes, {most} are allowed");
                return Err(Error::new(ErrorKind::Input, message));
            }
        }
        Ok(())
    }

    /// The name, and the version that stood behind it.
    fn name(&self, found: &Found, rock: &Rock) -> Result<(Name, Option<u32>), Error> {
        let text = match (self.names, &rock.name) {
            (Names::Rock(_), Some(name)) => return Ok((Name::new(name)?, None)),
            (Names::Joliet, _) => {
                let units = found.id.chunks_exact(2).filter_map(|pair| pair.try_into().ok());
                let units: Vec<u16> = units.map(u16::from_be_bytes).collect();
                String::from_utf16_lossy(&units).into_bytes()
            }
            _ => found.id.clone(),
        };
        let semicolon = text.iter().rposition(|byte| *byte == b';');
        let split = semicolon.map(|at| text.split_at(at)).and_then(|(name, version)| {
            let digits = std::str::from_utf8(version.get(1..)?).ok()?;
            Some((name, digits.parse::<u32>().ok()?))
        });
        let (name, version) = match split {
            Some((name, version)) => (name, Some(version)),
            None => (text.as_slice(), None),
        };
        // The dot before an extension that is not there: ECMA-119 7.5.1.
        let bare = name
            .strip_suffix(b".")
            .filter(|bare| self.names != Names::Joliet && !bare.is_empty() && version.is_some());
        Ok((Name::new(bare.unwrap_or(name))?, version))
    }

    fn kind(&self, found: &Found, rock: &Rock, sections: &[(u64, u64)]) -> Result<Kind, Error> {
        let mode = rock.posix.map_or(S_IFREG, |posix| posix.mode.get());
        let damaged = |message: String| Err(Error::new(ErrorKind::Damaged, message));
        let device = || {
            let missing = || Error::new(ErrorKind::Damaged, "a device without numbers");
            rock.device.ok_or_else(missing)
        };
        match mode & S_IFMT {
            S_IFREG => Ok(Kind::File(Content::Sectors(Arc::new(span(&self.medium, sections)?)))),
            S_IFLNK => match &rock.link {
                Some(target) if !target.is_empty() => Ok(Kind::Symlink(target.as_slice().into())),
                _ => damaged("a symbolic link without a text".to_owned()),
            },
            S_IFCHR => Ok(Kind::CharDevice(device()?)),
            S_IFBLK => Ok(Kind::BlockDevice(device()?)),
            S_IFIFO => Ok(Kind::Fifo),
            S_IFSOCK => Ok(Kind::Socket),
            S_IFDIR => damaged(format!("the record at offset {} is no directory's", found.offset)),
            other => damaged(format!("a file of type {other:#o}")),
        }
    }
}

/// What is known about a record's file.
fn meta(found: &Found, rock: &Rock, directory: bool) -> Meta {
    let modified = rock.modified.unwrap_or_else(|| found.head.date.time());
    let plain = if directory { Meta::directory(modified) } else { Meta::file(modified) };
    let Some(posix) = rock.posix else { return plain };
    let mode = u16::try_from(posix.mode.get() & 0o7777).unwrap_or_default();
    Meta { mode, uid: posix.uid.get(), gid: posix.gid.get(), modified }
}

/// What tells that a record is a second name: none where it says that it has one name. Without serial
/// numbers it is the place of the bytes, so empty files are apart.
fn same(found: &Found, rock: &Rock, kind: &Kind, sections: &[(u64, u64)]) -> Option<Same> {
    let posix = rock.posix.filter(|posix| posix.links.get() > 1)?;
    let len = sections.iter().map(|(_, len)| *len).sum();
    let is_file = matches!(kind, Kind::File(_)) && len > 0;
    if !is_file && !rock.serial {
        return None;
    }
    let serial = if rock.serial { posix.serial.get() } else { 0 };
    let place = if is_file { found.sector() } else { 0 };
    Some((serial, place, len, posix.mode.get() & S_IFMT))
}
