//! Changing a tree: finding places, putting nodes there, second names, removing.
//!
//! Invariants: a path is followed as in a root directory of its own, so `..` of a link's text at the
//! root is the root; at most `MAX_LINKS` links are followed for one path.

use super::{Kind, Meta, Name, Node, NodeId, Tree, TreePath};
use crate::engine::base::{Error, Kind as ErrorKind, Origin};

/// Links that are followed for one path: what Linux follows.
const MAX_LINKS: usize = 40;

/// Nodes of one tree: room for all the files that any archive should hold.
const MAX_NODES: usize = 1 << 24;

/// What becomes of directories that are missing on the way.
#[derive(Clone, Copy, Debug)]
pub enum Missing {
    /// They are made, and look so.
    Make(Meta),
    /// The path is refused.
    Refuse,
}

impl Tree {
    /// The node at `path`; links on the way are followed, one at the end is not.
    #[must_use]
    pub fn find(&self, path: &TreePath) -> Option<NodeId> {
        let Some((parent, name)) = path.split() else { return Some(Self::ROOT) };
        let parent = self.directory(&parent)?;
        self.node(parent).entries()?.get(name).copied()
    }

    /// The directory at `path`; all links are followed.
    #[must_use]
    pub fn directory(&self, path: &TreePath) -> Option<NodeId> {
        self.resolve(path).filter(|found| self.node(*found).kind.is_directory())
    }

    /// The node at `path`; all links are followed, so it is none.
    #[must_use]
    pub fn resolve(&self, path: &TreePath) -> Option<NodeId> {
        let mut left = MAX_LINKS;
        let steps = path.names().iter().map(|name| name.as_bytes().to_vec()).collect();
        let (found, rest) = self.follow(steps, &mut left).ok()?;
        rest.is_empty().then_some(found)
    }

    /// The directory at `path`, made where it is missing.
    pub fn directory_at(
        &mut self,
        path: &TreePath,
        missing: Missing,
        origin: &Origin,
    ) -> Result<NodeId, Error> {
        let mut left = MAX_LINKS;
        let steps = path.names().iter().map(|name| name.as_bytes().to_vec()).collect();
        let refused = |why: &str| {
            let message = format!("{path} is no directory: {why}");
            Error::new(ErrorKind::Input, message).at(origin)
        };
        let (mut at, rest) = self.follow(steps, &mut left).map_err(refused)?;
        if !self.node(at).kind.is_directory() {
            return Err(refused(&format!("a {} is on the way", self.node(at).kind.word())));
        }
        for step in rest {
            let Missing::Make(meta) = missing else { return Err(refused("it is not there")) };
            at = self.put(at, Name::new(&step)?, Kind::directory(), meta, origin)?;
        }
        Ok(at)
    }

    /// Follows `steps` from the root: the last node that is there, and the steps that are not.
    /// Where a step is left, the node is a directory without it, or no directory.
    fn follow(
        &self,
        steps: Vec<Vec<u8>>,
        links: &mut usize,
    ) -> Result<(NodeId, Vec<Vec<u8>>), &'static str> {
        // From the root to where we are; `..` goes back.
        let mut way = vec![Self::ROOT];
        let mut steps: Vec<Vec<u8>> = steps.into_iter().rev().collect();
        while let Some(step) = steps.pop() {
            let at = way.last().copied().unwrap_or(Self::ROOT);
            match step.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    if way.len() > 1 {
                        way.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let Some(entries) = self.node(at).entries() else {
                steps.push(step);
                return Ok((at, forwards(steps)));
            };
            let found = Name::new(&step).ok().and_then(|name| entries.get(&name).copied());
            let Some(found) = found else {
                steps.push(step);
                return Ok((at, forwards(steps)));
            };
            let Kind::Symlink(target) = &self.node(found).kind else {
                way.push(found);
                continue;
            };
            *links = links.checked_sub(1).ok_or("more than 40 symbolic links are on the way")?;
            if target.starts_with(b"/") {
                way.truncate(1);
            }
            steps.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
        }
        Ok((way.last().copied().unwrap_or(Self::ROOT), Vec::new()))
    }

    /// Puts a node into a directory. What has the name already loses it; of a directory that is
    /// replaced by a directory, the entries stay and only what is known about it changes.
    pub fn put(
        &mut self,
        directory: NodeId,
        name: Name,
        kind: Kind,
        meta: Meta,
        origin: &Origin,
    ) -> Result<NodeId, Error> {
        let origin = self.origin_number(origin);
        let before = self.node(directory).entries().and_then(|entries| entries.get(&name)).copied();
        if let Some(before) = before
            && kind.is_directory()
            && self.node(before).kind.is_directory()
        {
            let node = &mut self.nodes[before.0 as usize];
            (node.meta, node.origin) = (meta, origin);
            return Ok(before);
        }
        if self.nodes.len() >= MAX_NODES {
            let message = format!("a tree has at most {MAX_NODES} files");
            return Err(Error::new(ErrorKind::Input, message));
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node { kind, meta, attributes: None, origin, names: 0 });
        self.name(directory, name, id)?;
        Ok(id)
    }

    /// Gives a node that is no directory one more name.
    pub fn link(&mut self, directory: NodeId, name: Name, node: NodeId) -> Result<(), Error> {
        if self.node(node).kind.is_directory() {
            let message = format!("\"{name}\" would be a second name of a directory");
            return Err(Error::new(ErrorKind::Input, message));
        }
        self.name(directory, name, node)
    }

    fn name(&mut self, directory: NodeId, name: Name, node: NodeId) -> Result<(), Error> {
        let word = self.node(directory).kind.word();
        let Kind::Directory(entries) = &mut self.nodes[directory.0 as usize].kind else {
            let message = format!("\"{name}\" cannot lie in a {word}");
            return Err(Error::new(ErrorKind::Input, message));
        };
        let before = entries.insert(name, node);
        self.nodes[node.0 as usize].names += 1;
        if let Some(before) = before {
            self.unname(before);
        }
        Ok(())
    }

    /// Takes an entry out of a directory, with all that lies below it. Whether there was one.
    pub fn remove(&mut self, directory: NodeId, name: &Name) -> bool {
        let Kind::Directory(entries) = &mut self.nodes[directory.0 as usize].kind else {
            return false;
        };
        let Some(before) = entries.remove(name) else { return false };
        self.unname(before);
        true
    }

    /// A node has one name less; without one it is gone, and so is what lies below it.
    fn unname(&mut self, node: NodeId) {
        let mut gone = vec![node];
        while let Some(id) = gone.pop() {
            let node = &mut self.nodes[id.0 as usize];
            node.names = node.names.saturating_sub(1);
            if node.names > 0 {
                continue;
            }
            // Contents are dropped with their last name.
            if let Kind::Directory(entries) = std::mem::replace(&mut node.kind, Kind::Socket) {
                gone.extend(entries.into_values());
            }
        }
    }

    fn origin_number(&mut self, origin: &Origin) -> u32 {
        let known = self.origins.iter().rposition(|known| known == origin);
        known.unwrap_or_else(|| {
            self.origins.push(origin.clone());
            self.origins.len() - 1
        }) as u32
    }
}

fn forwards(steps: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    steps.into_iter().rev().filter(|step| !matches!(step.as_slice(), b"" | b".")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::Content;
    use crate::engine::base::tree::Time;

    const META: Meta = Meta::directory(Time { seconds: 0, nanos: 0 });

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    fn put(tree: &mut Tree, at: &str, kind: Kind) -> NodeId {
        let origin = Origin::new("test");
        let at = path(at);
        let (parent, name) = at.split().unwrap();
        let parent = tree.directory_at(&parent, Missing::Make(META), &origin).unwrap();
        tree.put(parent, name.clone(), kind, META, &origin).unwrap()
    }

    fn file() -> Kind {
        Kind::File(Content::Bytes(b"x"[..].into()))
    }

    fn link(target: &str) -> Kind {
        Kind::Symlink(target.as_bytes().into())
    }

    fn tree() -> Tree {
        Tree::new(META, Origin::new("root"))
    }

    #[test]
    fn links_are_followed_inside_of_the_tree_alone() {
        let mut tree = tree();
        put(&mut tree, "usr/bin/sh", file());
        put(&mut tree, "bin", link("usr/bin"));
        put(&mut tree, "out", link("../../../usr/../usr/bin"));
        put(&mut tree, "root", link("/"));
        let shell = tree.find(&path("usr/bin/sh"));
        for other in ["bin/sh", "out/sh", "root/bin/sh", "root/root/out/sh"] {
            assert_eq!(tree.find(&path(other)), shell, "{other}");
            assert_eq!(tree.resolve(&path(other)), shell, "{other}");
        }
        // What is put behind a link lies where it leads.
        put(&mut tree, "bin/new/tool", file());
        assert!(tree.find(&path("usr/bin/new/tool")).is_some());
        assert!(matches!(tree.node(tree.find(&path("bin")).unwrap()).kind, Kind::Symlink(_)));
        // A link to nowhere is made a directory where it leads.
        put(&mut tree, "lost", link("/not/there"));
        put(&mut tree, "lost/file", file());
        assert!(tree.find(&path("not/there/file")).is_some());
    }

    #[test]
    fn loops_and_files_on_the_way_are_refused() {
        let mut tree = tree();
        put(&mut tree, "a", link("b"));
        put(&mut tree, "b", link("a"));
        put(&mut tree, "file", file());
        let origin = Origin::new("field");
        let mut error = |at: &str, missing| {
            let error = tree.directory_at(&path(at), missing, &origin).unwrap_err();
            assert_eq!(error.origin(), Some(&origin));
            error.to_string()
        };
        assert!(error("a/x", Missing::Make(META)).contains("40 symbolic links"));
        assert!(error("file/x", Missing::Make(META)).contains("a file is on the way"));
        assert!(error("gone/x", Missing::Refuse).contains("not there"));
        assert_eq!(tree.directory(&path("a/x")), None);
    }

    #[test]
    fn names_are_counted_and_the_last_one_takes_the_node_along() {
        let mut tree = tree();
        let one = put(&mut tree, "d/one", file());
        let directory = tree.find(&path("d")).unwrap();
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        tree.link(directory, name("two"), one).unwrap();
        tree.link(Tree::ROOT, name("three"), one).unwrap();
        assert_eq!((tree.node(one).names(), tree.count()), (3, 3));
        assert!(tree.link(Tree::ROOT, name("no"), directory).is_err());
        // The same node under its own name again is still one name.
        tree.link(directory, name("two"), one).unwrap();
        assert_eq!(tree.node(one).names(), 3);
        assert!(tree.remove(Tree::ROOT, &name("d")));
        assert!(!tree.remove(Tree::ROOT, &name("d")));
        assert_eq!((tree.node(one).names(), tree.count()), (1, 2));
        put(&mut tree, "three", Kind::Fifo);
        assert_eq!((tree.node(one).names(), tree.count()), (0, 2));
    }

    #[test]
    fn a_directory_over_a_directory_keeps_its_entries() {
        let mut tree = tree();
        put(&mut tree, "d/one", file());
        let meta = Meta { mode: 0o700, ..META };
        let name = Name::new(b"d").unwrap();
        let id = tree
            .put(Tree::ROOT, name.clone(), Kind::directory(), meta, &Origin::new("later"))
            .unwrap();
        assert_eq!((tree.node(id).meta.mode, tree.origin(id).as_str()), (0o700, "later"));
        assert!(tree.find(&path("d/one")).is_some());
        tree.put(Tree::ROOT, name, file(), meta, &Origin::new("file")).unwrap();
        assert_eq!(tree.find(&path("d/one")), None);
        assert_eq!(tree.count(), 2);
    }
}
