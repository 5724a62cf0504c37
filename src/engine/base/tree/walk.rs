//! Going through a tree: every name once, directories before what lies in them.
//!
//! Invariant: the order depends on the names alone.

use std::collections::btree_map;

use super::{Name, NodeId, Tree, TreePath};

/// One name in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it is.
    pub path: TreePath,
    /// The directory it lies in; the root lies in itself.
    pub parent: NodeId,
    /// What has the name.
    pub node: NodeId,
}

/// Goes through a tree.
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a Tree,
    /// Directories that are not done, each with its path and what is left of it.
    open: Vec<(TreePath, NodeId, btree_map::Iter<'a, Name, NodeId>)>,
    began: bool,
}

impl Tree {
    /// All names, the root first, in the order of their bytes.
    #[must_use]
    pub const fn walk(&self) -> Walk<'_> {
        Walk { tree: self, open: Vec::new(), began: false }
    }
}

impl Walk<'_> {
    fn enter(&mut self, step: &Step) {
        if let Some(entries) = self.tree.node(step.node).entries() {
            self.open.push((step.path.clone(), step.node, entries.iter()));
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if !self.began {
            self.began = true;
            let root = Step { path: TreePath::default(), parent: Tree::ROOT, node: Tree::ROOT };
            self.enter(&root);
            return Some(root);
        }
        loop {
            let (path, parent, entries) = self.open.last_mut()?;
            let Some((name, node)) = entries.next() else {
                self.open.pop();
                continue;
            };
            let step = Step { path: path.join(name), parent: *parent, node: *node };
            self.enter(&step);
            return Some(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Meta, Time};
    use super::*;
    use crate::engine::base::Origin;

    #[test]
    fn every_name_is_seen_once_in_order() {
        let meta = Meta::directory(Time::default());
        let origin = Origin::new("test");
        let mut tree = Tree::new(meta, origin.clone());
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let mut put =
            |parent, text: &str, kind| tree.put(parent, name(text), kind, meta, &origin).unwrap();
        let b = put(Tree::ROOT, "b", Kind::directory());
        put(b, "z", Kind::Fifo);
        let inner = put(b, "c", Kind::directory());
        let pipe = put(inner, "pipe", Kind::Fifo);
        put(Tree::ROOT, "b.", Kind::Fifo);
        put(Tree::ROOT, "a", Kind::directory());
        tree.link(Tree::ROOT, name("again"), pipe).unwrap();
        let paths: Vec<_> = tree.walk().map(|step| step.path.to_string()).collect();
        assert_eq!(paths, ["/", "/a", "/again", "/b", "/b/c", "/b/c/pipe", "/b/z", "/b."]);
        let parents: Vec<_> = tree.walk().filter(|step| step.node == pipe).collect();
        assert_eq!((parents[0].parent, parents[1].parent), (Tree::ROOT, inner));
    }
}
