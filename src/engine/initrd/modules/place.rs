//! Chosen modules in the tree of an initramfs, with the list by which they are loaded, and firmware.
//!
//! Invariants: modules lie where the kernel's package has them, below `lib/modules/VERSION`; the list
//! names exactly them, in their order.

use super::kernel::File;
use super::{Module, Selection};
use crate::engine::base::tree::{Kind, Meta, Name, Time, Tree, TreePath};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin};
use crate::engine::initrd::extras::put;

/// The list: the path of one module in each line, in the order in which they are loaded.
pub const LOAD_ORDER: &str = "etc/modules-load";

/// Bytes of all modules that are unpacked for one tree, which holds them in memory.
const MOST: u64 = 1 << 30;

/// What becomes of compressed modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// They are unpacked: the whole archive is compressed better without them, and every kernel loads
    /// them.
    #[default]
    Unpack,
    /// They stay as they are: a kernel with CONFIG_MODULE_DECOMPRESS loads them, if it is told to.
    Keep,
}

/// What firmware may be compressed with (CONFIG_FW_LOADER_COMPRESS).
const FIRMWARE_SUFFIXES: [&str; 3] = ["", ".zst", ".xz"];

/// Places the modules of `selection` and their list. Files are of root, changed at `time`.
pub fn place(
    selection: &Selection,
    packing: Packing,
    tree: &mut Tree,
    time: Time,
    origin: &Origin,
) -> Result<(), Error> {
    let directory = TreePath::new(format!("lib/modules/{}", selection.version).as_bytes())?;
    let (mut list, mut held) = (Vec::new(), 0);
    for module in &selection.modules {
        let (path, content) = module.file(packing).map_err(|e| e.at(origin))?;
        if module.packed.is_some() && packing == Packing::Unpack {
            held = together(held, content.len(), &path).map_err(|e| e.at(origin))?;
        }
        let path = directory.append(&path);
        if path.names().iter().any(|name| name.as_bytes().contains(&b'\n')) {
            let message = format!("the module's path {path} holds a line break");
            return Err(Error::new(ErrorKind::Input, message).at(origin));
        }
        for name in path.names() {
            list.push(b'/');
            list.extend_from_slice(name.as_bytes());
        }
        list.push(b'\n');
        put(tree, &path, Kind::File(content), Meta::file(time), origin)?;
    }
    let path = TreePath::new(LOAD_ORDER.as_bytes())?;
    put(tree, &path, Kind::File(Content::Bytes(list.into())), Meta::file(time), origin)
}

/// Bytes that are held with those of one more module.
fn together(held: u64, more: u64, path: &TreePath) -> Result<u64, Error> {
    held.checked_add(more).filter(|held| *held <= MOST).ok_or_else(|| {
        let message =
            format!("the modules up to {path} unpack to more than {MOST} bytes: choose fewer");
        Error::new(ErrorKind::Input, message)
    })
}

impl Module {
    /// Where it comes to lie in the kernel's directory, and its bytes.
    fn file(&self, packing: Packing) -> Result<(TreePath, Content), Error> {
        let (Some(wrap), Packing::Unpack) = (self.packed, packing) else {
            return Ok((self.path.clone(), self.content.clone()));
        };
        let (path, content) = (self.path.clone(), self.content.clone());
        let file = File { path, content, packed: Some(wrap), order: 0 };
        let content = file.unpacked()?;
        let Some((parent, name)) = self.path.split() else { return Ok((file.path, content)) };
        let suffix = format!(".{}", wrap.suffix());
        let plain = name.as_bytes().strip_suffix(suffix.as_bytes()).unwrap_or(name.as_bytes());
        Ok((parent.join(&Name::new(plain)?), content))
    }
}

/// Places the firmware that the modules of `selection` may ask for below `lib/firmware`, out of the
/// directory `root` of `from` (`lib/firmware` of a package); returns the names of what is not there:
/// drivers name files for all devices that ever were.
pub fn firmware(
    selection: &Selection,
    (from, root): (&Tree, &TreePath),
    tree: &mut Tree,
    time: Time,
    origin: &Origin,
) -> Result<Vec<String>, Error> {
    let into = TreePath::new(b"lib/firmware")?;
    let mut names: Vec<&String> = selection.modules.iter().flat_map(|m| &m.firmware).collect();
    names.sort();
    names.dedup();
    let mut missing = Vec::new();
    for name in names {
        let mut found = false;
        for suffix in FIRMWARE_SUFFIXES {
            let path =
                TreePath::new(format!("{name}{suffix}").as_bytes()).map_err(|e| e.at(origin))?;
            let node = from.resolve(&root.append(&path)).map(|id| &from.node(id).kind);
            if let Some(Kind::File(content)) = node {
                let file = Kind::File(content.clone());
                put(tree, &into.append(&path), file, Meta::file(time), origin)?;
                found = true;
                break;
            }
        }
        if !found {
            missing.push(name.clone());
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_modules_unpack_to_is_bounded_together() {
        let path = TreePath::new(b"kernel/a.ko.xz").unwrap();
        // Four of 256 MiB each, which one may have, and no byte more.
        let four = (0..4).try_fold(0, |held, _| together(held, 256 << 20, &path)).unwrap();
        assert_eq!(four, 1 << 30);
        let error = together(four, 1, &path).unwrap_err().to_string();
        assert!(error.contains("kernel/a.ko.xz unpack to more than 1073741824 bytes"), "{error}");
    }
}
