//! What a small NetBSD gets beside its sets: the files of a service, what services share, and the
//! links into `/rescue`.
//!
//! As smolBSD lays a root out. Runs nothing. Invariant: files keep their modes and belong to root.

use super::etc::Place;
use crate::engine::base::tree::{Kind, Meta, Missing, NodeId, Time, Tree, TreePath};
use crate::engine::base::{Error, Kind as ErrorKind, Origin};

/// A service's directory and what goes with it.
#[derive(Debug)]
pub struct Service<'a> {
    /// A tree with the service's directory at its root: `etc/rc` and others.
    pub service: &'a Tree,
    /// A tree of the files that services share; they go to `/etc/include`.
    pub common: Option<&'a Tree>,
    /// Whether `init`, `mount_ext2fs` and `sh` are links into `/rescue`.
    pub rescue: bool,
    /// The time of what is made.
    pub time: Time,
}

/// Directories that a root needs.
const DIRECTORIES: [&str; 5] = ["bin", "dev", "etc", "etc/include", "sbin"];

/// Links into `/rescue`.
const RESCUE: [(&str, &str); 3] = [
    ("bin/sh", "/rescue/sh"),
    ("sbin/init", "/rescue/init"),
    ("sbin/mount_ext2fs", "/rescue/mount_ext2fs"),
];

fn path(text: &str) -> Result<TreePath, Error> {
    TreePath::new(text.as_bytes())
}

/// Lays a service over `tree`, which has its sets already. Of the service's `etc` and of the shared
/// files, directories are not taken.
pub fn overlay(tree: &mut Tree, service: &Service<'_>, origin: &Origin) -> Result<(), Error> {
    let implied = Missing::Make(Meta::directory(service.time));
    for directory in DIRECTORIES {
        tree.directory_at(&path(directory)?, implied, origin)?;
    }
    let rc = service.service.resolve(&path("etc/rc")?);
    if !rc.is_some_and(|rc| matches!(service.service.node(rc).kind, Kind::File(_))) {
        let message = "the service has no file \"etc/rc\": it would start nothing";
        return Err(Error::new(ErrorKind::Input, message).at(origin));
    }
    if let Some(etc) = service.service.directory(&path("etc")?) {
        files(service.service, etc, tree, &path("etc")?, origin)?;
    }
    if let Some(common) = service.common {
        files(common, Tree::ROOT, tree, &path("etc/include")?, origin)?;
    }
    if service.rescue {
        let place = Place { time: service.time, origin };
        for (at, target) in RESCUE {
            place.node(tree, &path(at)?, Kind::Symlink(target.as_bytes().into()), 0o777)?;
        }
    }
    Ok(())
}

/// Copies the files of one directory.
fn files(
    from: &Tree,
    directory: NodeId,
    into: &mut Tree,
    at: &TreePath,
    origin: &Origin,
) -> Result<(), Error> {
    let goal = into.directory_at(at, Missing::Refuse, origin)?;
    for (name, id) in from.node(directory).entries().into_iter().flatten() {
        let node = from.node(*id);
        if matches!(node.kind, Kind::File(_) | Kind::Symlink(_)) {
            let meta = Meta { uid: 0, gid: 0, ..node.meta };
            into.put(goal, name.clone(), node.kind.clone(), meta, origin)
                .map_err(|e| e.at(origin))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_lies_over_its_sets() {
        let origin = Origin::new("test");
        let time = Time::default();
        let empty = || Tree::new(Meta::directory(time), origin.clone());
        let place = Place { time, origin: &origin };
        let (mut tree, mut service, mut common) = (empty(), empty(), empty());
        let overlaid = |tree: &mut Tree, service: &Tree, common: &Tree| {
            let service = Service { service, common: Some(common), rescue: true, time };
            overlay(tree, &service, &origin)
        };
        place.text(&mut service, &path("etc/deep/file").unwrap(), "x").unwrap();
        let error = overlaid(&mut tree, &service, &common).unwrap_err();
        assert!(error.to_string().contains("etc/rc"), "{error}");
        place.text(&mut service, &path("etc/rc").unwrap(), "#!/bin/sh\n").unwrap();
        place.text(&mut common, &path("basicrc").unwrap(), "true\n").unwrap();
        overlaid(&mut tree, &service, &common).unwrap();
        let paths: Vec<_> = tree.walk().map(|step| step.path.to_string()).collect();
        let wanted = [
            "/",
            "/bin",
            "/bin/sh",
            "/dev",
            "/etc",
            "/etc/include",
            "/etc/include/basicrc",
            "/etc/rc",
            "/sbin",
            "/sbin/init",
            "/sbin/mount_ext2fs",
        ];
        assert_eq!(paths, wanted);
    }
}
