//! What an initramfs needs beside programs and modules: device nodes, directories, files that are
//! given.
//!
//! Decides no name by itself but those of `Extra::Devices`. Invariant: what is there already is
//! replaced, as everywhere in trees.

use crate::engine::base::tree::{Device, Kind, Meta, Missing, Time, Tree, TreePath};
use crate::engine::base::{Content, Error, Kind as ErrorKind, Origin};

/// Something to be placed.
#[derive(Clone, Debug)]
pub enum Extra {
    /// /dev with what a program may need before devtmpfs is mounted: console, null, zero, full,
    /// random, urandom, tty, kmsg.
    Devices,
    /// A directory, 0755; its parents, too.
    Directory(TreePath),
    /// A file with its mode: a program, a CA bundle, a configuration.
    File {
        /// Where it lies.
        path: TreePath,
        /// Its bytes.
        content: Content,
        /// Its permissions.
        mode: u16,
    },
    /// A symbolic link.
    Symlink {
        /// Where it lies.
        path: TreePath,
        /// Where it leads.
        target: Box<[u8]>,
    },
}

/// Where certificates are looked for by OpenSSL, GnuTLS and Go on Debian; Go, curl and rustls' loader
/// look there on other systems, too.
pub const CA_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// Name, mode and numbers (Linux: Documentation/admin-guide/devices.txt).
const DEVICES: [(&str, u16, u32, u32); 8] = [
    ("console", 0o600, 5, 1),
    ("full", 0o666, 1, 7),
    ("kmsg", 0o644, 1, 11),
    ("null", 0o666, 1, 3),
    ("random", 0o666, 1, 8),
    ("tty", 0o666, 5, 0),
    ("urandom", 0o666, 1, 9),
    ("zero", 0o666, 1, 5),
];

/// Places `extra`, all of root, changed at `time`.
pub fn place(tree: &mut Tree, extra: Extra, time: Time, origin: &Origin) -> Result<(), Error> {
    let directory = Meta::directory(time);
    match extra {
        Extra::Devices => {
            for (name, mode, major, minor) in DEVICES {
                let path = TreePath::new(format!("dev/{name}").as_bytes())?;
                let kind = Kind::CharDevice(Device { major, minor });
                put(tree, &path, kind, Meta { mode, ..directory }, origin)?;
            }
            Ok(())
        }
        Extra::Directory(path) => {
            tree.directory_at(&path, Missing::Make(directory), origin).map(|_| ())
        }
        Extra::File { path, content, mode } => {
            put(tree, &path, Kind::File(content), Meta { mode, ..directory }, origin)
        }
        Extra::Symlink { path, target } => {
            put(tree, &path, Kind::Symlink(target), Meta { mode: 0o777, ..directory }, origin)
        }
    }
}

/// Puts a node; directories on the way are made.
pub(super) fn put(
    tree: &mut Tree,
    path: &TreePath,
    kind: Kind,
    meta: Meta,
    origin: &Origin,
) -> Result<(), Error> {
    let Some((parent, name)) = path.split() else {
        let message = "the root of an initramfs cannot be replaced";
        return Err(Error::new(ErrorKind::Document, message).at(origin));
    };
    let directory = Meta::directory(meta.modified);
    let parent = tree.directory_at(&parent, Missing::Make(directory), origin)?;
    tree.put(parent, name.clone(), kind, meta, origin)?;
    Ok(())
}
