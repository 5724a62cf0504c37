//! Copying a part of one tree into another.
//!
//! Copies no contents: both trees read the same bytes. Invariants: what had several names inside of
//! the part has them in the copy; origins stay.

use std::collections::BTreeMap;

use super::{Kind, NodeId, Tree};
use crate::engine::base::Error;

impl Tree {
    /// Puts what lies in the directory `from` of `other` into `directory`, which gets its
    /// permissions, owner and attributes, too. What is there already is replaced as `put` does it.
    pub fn graft(&mut self, other: &Self, from: NodeId, directory: NodeId) -> Result<(), Error> {
        let mut copies = BTreeMap::new();
        self.describe(other, from, directory);
        let mut open = vec![(from, directory)];
        while let Some((from, into)) = open.pop() {
            let Some(entries) = other.node(from).entries() else { continue };
            for (name, id) in entries {
                if let Some(copy) = copies.get(id) {
                    self.link(into, name.clone(), *copy)?;
                    continue;
                }
                let node = other.node(*id);
                let kind = match &node.kind {
                    Kind::Directory(_) => Kind::directory(),
                    other => other.clone(),
                };
                let copy = self.put(into, name.clone(), kind, node.meta, other.origin(*id))?;
                self.describe(other, *id, copy);
                if node.kind.is_directory() {
                    open.push((*id, copy));
                } else if node.names() > 1 {
                    copies.insert(*id, copy);
                }
            }
        }
        Ok(())
    }

    fn describe(&mut self, other: &Self, from: NodeId, to: NodeId) {
        let node = other.node(from);
        let (meta, attributes) = self.meta_mut(to);
        *meta = node.meta;
        attributes.clone_from(&node.attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Meta, Missing, Name, Time, TreePath};
    use super::*;
    use crate::engine::base::Origin;

    #[test]
    fn a_part_keeps_names_origins_and_what_is_beside_it() {
        let meta = Meta::directory(Time::default());
        let mut from = Tree::new(meta, Origin::new("from"));
        let path = TreePath::new(b"boot/efi").unwrap();
        let origin = Origin::new("step");
        let inner = from.directory_at(&path, Missing::Make(meta), &origin).unwrap();
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let pipe = from.put(inner, name("pipe"), Kind::Fifo, meta, &origin).unwrap();
        from.link(inner, name("again"), pipe).unwrap();
        from.meta_mut(inner).0.mode = 0o700;
        let mut into = Tree::new(meta, Origin::new("into"));
        into.put(Tree::ROOT, name("own"), Kind::Socket, meta, &origin).unwrap();
        let boot = from.find(&TreePath::new(b"boot").unwrap()).unwrap();
        into.graft(&from, boot, Tree::ROOT).unwrap();
        let paths: Vec<_> = into.walk().map(|step| step.path.to_string()).collect();
        assert_eq!(paths, ["/", "/efi", "/efi/again", "/efi/pipe", "/own"]);
        let found = |path: &str| into.find(&TreePath::new(path.as_bytes()).unwrap()).unwrap();
        assert_eq!(found("efi/pipe"), found("efi/again"));
        assert_eq!(into.node(found("efi/pipe")).names(), 2);
        assert_eq!(into.node(found("efi")).meta.mode, 0o700);
        assert_eq!(into.origin(found("efi/pipe")).as_str(), "step");
    }
}
