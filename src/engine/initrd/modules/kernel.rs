//! The modules of one kernel: what lies in its directory.
//!
//! Opens a module only when it is asked about. Invariants: every module has one file: that in
//! `updates/` where there are two, as depmod has it; nothing outside of the tree is read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;

use super::elf;
use super::info::{Info, canonical};
use crate::engine::base::tree::{Kind, NodeId, Tree, TreePath};
use crate::engine::base::{
    ByteSource, Content, Error, Kind as ErrorKind, SectorSource, SourceReader,
};
use crate::engine::codec::wrap::{Wrap, unwrap};

/// Bytes of a module that was compressed, and of a list of kernels.
const MOST: u64 = 256 << 20;

/// What a module's file name may end with.
const SUFFIXES: [(&str, Option<Wrap>); 4] = [
    (".ko", None),
    (".ko.gz", Some(Wrap::Gzip)),
    (".ko.xz", Some(Wrap::Xz)),
    (".ko.zst", Some(Wrap::Zstd)),
];

/// A module's file.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// In the kernel's directory.
    pub(super) path: TreePath,
    pub(super) content: Content,
    pub(super) packed: Option<Wrap>,
    /// Its line in `modules.order`: of several that answer to an alias the first comes first.
    pub(super) order: usize,
}

/// The modules of a kernel.
#[derive(Debug)]
pub struct Kernel {
    pub(super) version: String,
    /// Where they were looked for, for messages.
    pub(super) directory: TreePath,
    pub(super) files: BTreeMap<String, File>,
    /// Names of what is part of the kernel.
    pub(super) built_in: BTreeSet<String>,
    /// Patterns that parts of the kernel answer to.
    pub(super) built_in_aliases: Vec<String>,
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Input, message)
}

impl Kernel {
    /// The kernel whose modules lie in `root` (`lib/modules`), or of which `root` is the directory
    /// (`lib/modules/6.1.0`). Of several, `version` says which.
    pub fn open(tree: &Tree, root: &TreePath, version: Option<&str>) -> Result<Self, Error> {
        let top = tree.directory(root);
        let top = top.ok_or_else(|| refused(format!("{root} is no directory of the tree")))?;
        let found = kernels(tree, root, top);
        let names: Vec<&str> = found.iter().map(|(name, _, _)| name.as_str()).collect();
        let all = names.join(", ");
        let chosen = match (version, found.as_slice()) {
            (_, []) => {
                let message = format!(
                    "no kernel modules in {root}: a directory with kernel/ and modules.* is \
                     expected there, or one for each kernel"
                );
                return Err(refused(message));
            }
            (None, [only]) => only,
            (None, _) => {
                let message =
                    format!("{root} has the modules of several kernels: {all}; say which");
                return Err(refused(message));
            }
            (Some(wanted), _) => found
                .iter()
                .find(|(name, _, _)| name == wanted)
                .ok_or_else(|| refused(format!("{root} has no kernel {wanted}, but {all}")))?,
        };
        let (version, directory, node) = chosen.clone();
        let mut kernel = Self {
            version,
            directory,
            files: BTreeMap::new(),
            built_in: BTreeSet::new(),
            built_in_aliases: Vec::new(),
        };
        kernel.lists(tree, node)?;
        kernel.survey(tree, node)?;
        kernel.ordered(tree, node)?;
        Ok(kernel)
    }

    /// The kernel's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The names of all modules, in the order of their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// `modules.builtin` and `modules.builtin.modinfo` (Linux: Documentation/kbuild/kbuild.rst); either
    /// may be missing.
    fn lists(&mut self, tree: &Tree, node: NodeId) -> Result<(), Error> {
        for line in list(tree, node, "modules.builtin")?.split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            if let Some((name, _)) = line.rsplit('/').next().and_then(named) {
                self.built_in.insert(name);
            }
        }
        // `MODULE.KEY=VALUE`, each with a zero behind it.
        for field in list(tree, node, "modules.builtin.modinfo")?.split(|byte| *byte == 0) {
            let text = String::from_utf8_lossy(field);
            let alias = text.split_once('.').and_then(|(_, rest)| rest.strip_prefix("alias="));
            self.built_in_aliases.extend(alias.map(ToOwned::to_owned));
        }
        Ok(())
    }

    /// Finds all modules below the directory.
    fn survey(&mut self, tree: &Tree, top: NodeId) -> Result<(), Error> {
        let mut open = vec![(TreePath::default(), top)];
        while let Some((path, node)) = open.pop() {
            for (name, id) in tree.node(node).entries().into_iter().flatten() {
                let here = path.join(name);
                let mut found = tree.node(*id);
                if found.kind.is_directory() {
                    open.push((here, *id));
                    continue;
                }
                let text = String::from_utf8_lossy(name.as_bytes());
                let Some((module, packed)) = named(&text) else { continue };
                if let Kind::Symlink(_) = found.kind {
                    let Some(target) = tree.resolve(&self.directory.append(&here)) else {
                        continue;
                    };
                    found = tree.node(target);
                }
                let Kind::File(content) = &found.kind else { continue };
                let content = content.clone();
                self.add(module, File { path: here, content, packed, order: usize::MAX })?;
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, file: File) -> Result<(), Error> {
        let Some(other) = self.files.get(&name) else {
            self.files.insert(name, file);
            return Ok(());
        };
        let in_updates = |file: &File| {
            file.path.names().first().is_some_and(|first| first.as_bytes() == b"updates")
        };
        match (in_updates(&file), in_updates(other)) {
            (true, false) => {
                self.files.insert(name, file);
                Ok(())
            }
            (false, true) => Ok(()),
            _ => {
                let (one, two) =
                    (other.path.clone().min(file.path.clone()), other.path.clone().max(file.path));
                let directory = &self.directory;
                Err(refused(format!("{directory} has two modules {name}: {one} and {two}")))
            }
        }
    }

    fn ordered(&mut self, tree: &Tree, node: NodeId) -> Result<(), Error> {
        let order = list(tree, node, "modules.order")?;
        for (number, line) in order.split(|byte| *byte == b'\n').enumerate() {
            let line = String::from_utf8_lossy(line);
            let module = line.rsplit('/').next().and_then(named);
            if let Some(file) = module.and_then(|(name, _)| self.files.get_mut(&name)) {
                file.order = file.order.min(number);
            }
        }
        Ok(())
    }
}

/// A kernel: its version, its directory, and the node of that.
type Found = (String, TreePath, NodeId);

/// The kernels in a directory, or the one that it is of.
fn kernels(tree: &Tree, root: &TreePath, top: NodeId) -> Vec<Found> {
    let name = |path: &TreePath| {
        path.names().last().map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
    };
    if is_kernel(tree, top) {
        return name(root).map(|name| (name, root.clone(), top)).into_iter().collect();
    }
    let entries = tree.node(top).entries().into_iter().flatten();
    let kernel = |(entry, id): (_, &NodeId)| {
        let path = root.join(entry);
        is_kernel(tree, *id).then(|| Some((name(&path)?, path, *id))).flatten()
    };
    entries.filter_map(kernel).collect()
}

fn is_kernel(tree: &Tree, node: NodeId) -> bool {
    let mut names = tree.node(node).entries().into_iter().flatten().map(|(name, _)| name);
    names.any(|name| {
        let name = name.as_bytes();
        name == b"kernel"
            || name.starts_with(b"modules.")
            || named(&String::from_utf8_lossy(name)).is_some()
    })
}

/// The module that a file of this name holds.
fn named(file: &str) -> Option<(String, Option<Wrap>)> {
    let found =
        SUFFIXES.iter().find_map(|(suffix, wrap)| Some((file.strip_suffix(suffix)?, *wrap)));
    found.filter(|(name, _)| !name.is_empty()).map(|(name, wrap)| (canonical(name), wrap))
}

/// The bytes of a list beside the modules; none is an empty one.
fn list(tree: &Tree, node: NodeId, name: &str) -> Result<Vec<u8>, Error> {
    let is_it = |(found, _): &(&_, &NodeId)| {
        let found: &crate::engine::base::tree::Name = found;
        found.as_bytes() == name.as_bytes()
    };
    let found = tree.node(node).entries().into_iter().flatten().find(is_it);
    let Some(Kind::File(content)) = found.map(|(_, id)| &tree.node(*id).kind) else {
        return Ok(Vec::new());
    };
    let source = source(content)?;
    if source.len() > MOST {
        let len = source.len();
        return Err(refused(format!("{name} has {len} bytes; at most {MOST} are read")));
    }
    // OK to cast: at most `MOST`.
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes)?;
    Ok(bytes)
}

pub(super) fn source(content: &Content) -> Result<Arc<dyn SectorSource>, Error> {
    match content {
        Content::Bytes(bytes) => Ok(Arc::new(ByteSource::new(Arc::clone(bytes)))),
        Content::Sectors(source) => Ok(Arc::clone(source)),
        Content::Late(_) => Err(refused("a file that must know its place is no module".to_owned())),
    }
}

impl File {
    /// The module without compression.
    pub(super) fn unpacked(&self) -> Result<Content, Error> {
        let Some(wrap) = self.packed else { return Ok(self.content.clone()) };
        let reader = SourceReader::new(source(&self.content)?);
        let mut bytes = Vec::new();
        let mut inside = unwrap(wrap, Box::new(reader)).map_err(|e| self.about(&e))?;
        let read = inside.by_ref().take(MOST + 1).read_to_end(&mut bytes);
        read.map_err(|e| {
            let path = &self.path;
            Error::new(ErrorKind::Damaged, format!("the module {path} cannot be unpacked: {e}"))
        })?;
        if bytes.len() as u64 > MOST {
            let path = &self.path;
            let message = format!("the module {path} unpacks to more than {MOST} bytes");
            return Err(refused(message));
        }
        Ok(Content::Bytes(bytes.into()))
    }

    /// What the module says about itself.
    pub(super) fn info(&self) -> Result<Info, Error> {
        let content = self.unpacked()?;
        let found = elf::read(&*source(&content)?).map_err(|e| self.about(&e))?;
        Info::parse(&found.modinfo, found.machine).map_err(|e| self.about(&e))
    }

    fn about(&self, error: &Error) -> Error {
        Error::new(error.kind(), format!("the module {}: {error}", self.path))
    }
}
