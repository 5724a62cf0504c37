//! Directories of kernel modules, of any bytes.
//!
//! Invariants judged here: a module is chosen once, and what was chosen is placed.

use vmimage::engine::base::tree::{Kind, Meta, Missing, Time, Tree, TreePath};
use vmimage::engine::base::{Content, Origin, Silent, Work};
use vmimage::engine::initrd::modules::{Kernel, Packing, place};

use crate::pieces;

/// How the file of the first module may end; the second is never packed.
pub const SUFFIXES: [&str; 4] = ["", ".gz", ".xz", ".zst"];

/// The pieces behind the first byte: two modules, and the lists beside them.
const FILES: [&str; 5] = [
    "kernel/a.ko",
    "updates/b-c.ko",
    "modules.builtin",
    "modules.builtin.modinfo",
    "modules.order",
];

/// Chooses modules by name, by alias and by pattern, and places them; how often that went well.
pub fn run(data: &[u8]) -> usize {
    let Some((kind, rest)) = data.split_first() else { return 0 };
    let suffix = SUFFIXES[usize::from(*kind) % SUFFIXES.len()];
    let mut tree = Tree::new(Meta::directory(Time::default()), Origin::new("fuzz"));
    for (number, (name, bytes)) in FILES.iter().zip(pieces(rest, FILES.len())).enumerate() {
        let name = format!("lib/modules/6/{name}{}", if number == 0 { suffix } else { "" });
        put(&mut tree, &name, bytes);
    }
    let root = TreePath::new(b"lib/modules").expect("a path");
    let Ok(kernel) = Kernel::open(&tree, &root, None) else { return 0 };
    let mut chosen = 0;
    let work = Work { threads: 1, progress: &Silent };
    for wanted in [&["a"][..], &["b_c", "a"], &["fs-fuzz"], &["pci:*", "b-c"]] {
        let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let Ok(selection) = kernel.select(&wanted, &work) else { continue };
        let mut names: Vec<_> = selection.modules.iter().map(|module| &module.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), selection.modules.len(), "a module is chosen twice");
        let origin = Origin::new("fuzz");
        let mut into = Tree::new(Meta::directory(Time::default()), origin.clone());
        place(&selection, Packing::Unpack, &mut into, Time::default(), &origin)
            .expect("a module that was read is placed");
        chosen += 1;
    }
    chosen
}

fn put(tree: &mut Tree, path: &str, bytes: &[u8]) {
    let origin = Origin::new("fuzz");
    let path = TreePath::new(path.as_bytes()).expect("a path");
    let (parent, name) = path.split().expect("a name");
    let missing = Missing::Make(Meta::directory(Time::default()));
    let parent = tree.directory_at(&parent, missing, &origin).expect("a directory");
    let file = Kind::File(Content::Bytes(bytes.into()));
    tree.put(parent, name.clone(), file, Meta::file(Time::default()), &origin).expect("a node");
}
