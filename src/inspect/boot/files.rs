//! What boots among the files of a filesystem: programs, menus, kernels, initial archives.
//!
//! Looks into directories where such files are usual, not into all. Invariants: at most 512 files of
//! a filesystem are opened; links are not followed.

use std::sync::Arc;

use super::bytes::{self, Bytes};
use super::found::{Boot, Initrd, Kernel, Menu, Program};
use super::{grub, kernel, menu, pe, record};
use crate::engine::base::SectorSource;
use crate::engine::base::tree::{Kind as NodeKind, NodeId, Tree, TreePath};

/// Directories below the root that are looked into, with those in them.
const PLACES: [&str; 11] = [
    "boot",
    "casper",
    "efi",
    "extlinux",
    "install.amd",
    "isolinux",
    "live",
    "loader",
    "slax",
    "syslinux",
    "images",
];

/// Files opened, and how deep.
const FILES: usize = 512;
const DEPTH: usize = 5;

/// Of each kind, in all filesystems together.
const TOLD: usize = 64;

/// What was seen beside the lists.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Machines for which there is a default EFI program.
    pub(super) uefi: Vec<&'static str>,
    /// The version of `ldlinux.sys`, if it is there.
    pub(super) syslinux: Option<String>,
    /// The version of GRUB's modules, if they are there: for BIOS, for UEFI.
    pub(super) grub: [Option<String>; 2],
}

/// A file to be looked at.
struct File<'a> {
    place: &'a str,
    /// Its directories and its name, in lower case.
    directories: &'a [String],
    name: String,
    path: String,
    source: Arc<dyn SectorSource>,
}

/// Adds what `tree` has to `boot`.
pub(super) fn collect(tree: &Tree, place: &str, boot: &mut Boot) -> Seen {
    let mut seen = Seen::default();
    let mut files = 0;
    let mut open = vec![(TreePath::default(), Vec::<String>::new(), Tree::ROOT)];
    while let Some((path, directories, directory)) = open.pop() {
        let Some(entries) = tree.node(directory).entries() else { continue };
        for (name, node) in entries {
            let lower = String::from_utf8_lossy(name.as_bytes()).to_lowercase();
            if tree.node(*node).kind.is_directory() {
                if enters(&directories, &lower) {
                    let inner = [directories.as_slice(), &[lower]].concat();
                    open.push((path.join(name), inner, *node));
                }
                continue;
            }
            let Some(source) = content(tree, *node) else { continue };
            if files >= FILES {
                boot.problems.push(format!("{place}: only {FILES} files were looked at"));
                return seen;
            }
            if is_module(&directories) {
                let last = directories.last().map(String::as_str).unwrap_or_default();
                let [bios, uefi] = &mut seen.grub;
                let version = if last == "i386-pc" { bios } else { uefi };
                if lower == "normal.mod" && (last == "i386-pc" || last.ends_with("-efi")) {
                    *version = grub::version(&Bytes(source.as_ref()).some(0, 1 << 20));
                }
                continue;
            }
            files += 1;
            let path = path.join(name).to_string();
            look(
                &File { place, directories: &directories, name: lower, path, source },
                boot,
                &mut seen,
            );
        }
    }
    seen
}

fn enters(directories: &[String], name: &str) -> bool {
    match directories {
        [] => PLACES.contains(&name),
        _ => directories.len() < DEPTH && !["locale", "fonts", "themes"].contains(&name),
    }
}

/// Whether it is a directory of GRUB's modules: i386-pc, x86_64-efi.
fn is_module(directories: &[String]) -> bool {
    let last = directories.last().map(String::as_str).unwrap_or_default();
    last.ends_with("-pc") || last.ends_with("-efi") || last.ends_with("-multiboot")
}

fn content(tree: &Tree, node: NodeId) -> Option<Arc<dyn SectorSource>> {
    match &tree.node(node).kind {
        NodeKind::File(content) => bytes::of(content),
        _ => None,
    }
}

fn look(file: &File<'_>, boot: &mut Boot, seen: &mut Seen) {
    let bytes = Bytes(file.source.as_ref());
    let (place, path) = (file.place.to_owned(), file.path.clone());
    if file.name == "ldlinux.sys" {
        seen.syslinux = record::banner(&bytes.some(0, 4096), b"LINUX ");
    } else if let Some(menu) = menu::look(file.directories, &file.name, bytes) {
        add(&mut boot.menus, Menu { place, path, ..menu });
    } else if file.name.contains(".efi") {
        let Some(program) = pe::program(bytes) else { return };
        let default = format!("boot{}.efi", program.machine);
        if file.directories == ["efi", "boot"] && file.name == default {
            seen.uefi.push(program.machine);
        }
        add(&mut boot.programs, Program { place, path, ..program });
    } else if let Some(kernel) = kernel::look(&file.source) {
        add(&mut boot.kernels, Kernel { place, path, ..kernel });
    } else {
        let parts = kernel::initrd(bytes);
        // Anything may be packed; an archive that is not needs no name.
        if parts.first() == Some(&"cpio") || (!parts.is_empty() && file.name.starts_with("init")) {
            add(&mut boot.initrds, Initrd { place, path, parts });
        }
    }
}

fn add<T>(list: &mut Vec<T>, one: T) {
    if list.len() < TOLD {
        list.push(one);
    }
}
