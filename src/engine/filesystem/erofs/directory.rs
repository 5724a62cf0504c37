//! Directories' blocks: entries, then their names, sorted by bytes, `.` and `..` among them.
//!
//! Invariant: `len` is exactly what `bytes` yields.

use zerocopy::IntoBytes as _;

use super::ondisk::{
    BLOCK_DEVICE, BLOCK_LEN, CHAR_DEVICE, DIRECTORY, Entry, FIFO, FILE, SOCKET, SYMLINK,
};
use crate::engine::base::tree::{Kind, NodeId, Tree};

/// Names of a directory in the order of their bytes: its own and its parent's are among them.
fn names(tree: &Tree, id: NodeId, parent: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
    let mut own = [(&b"."[..], id), (&b".."[..], parent)].into_iter().peekable();
    let entries = tree.node(id).entries().into_iter().flatten();
    let mut entries = entries.map(|(name, child)| (name.as_bytes(), *child)).peekable();
    std::iter::from_fn(move || match (own.peek(), entries.peek()) {
        (Some((dots, _)), Some((name, _))) if name < dots => entries.next(),
        (Some(_), _) => own.next(),
        (None, _) => entries.next(),
    })
}

/// Bytes of the whole directory.
pub(super) fn len(tree: &Tree, id: NodeId) -> u64 {
    let (mut blocks, mut used) = (0, 0);
    for (name, _) in names(tree, id, id) {
        let more = size_of::<Entry>() + name.len();
        if used + more > BLOCK_LEN {
            blocks += 1;
            used = 0;
        }
        used += more;
    }
    blocks * BLOCK_LEN as u64 + used as u64
}

/// The whole directory; `slot` says where a node's inode lies.
pub(super) fn bytes(
    tree: &Tree,
    (id, parent): (NodeId, NodeId),
    slot: impl Fn(NodeId) -> u64,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut block: Vec<(&[u8], NodeId)> = Vec::new();
    let mut used = 0;
    for (name, child) in names(tree, id, parent) {
        let more = size_of::<Entry>() + name.len();
        if used + more > BLOCK_LEN {
            close(tree, &mut block, &slot, &mut bytes);
            bytes.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
            used = 0;
        }
        used += more;
        block.push((name, child));
    }
    close(tree, &mut block, &slot, &mut bytes);
    bytes
}

fn close(
    tree: &Tree,
    block: &mut Vec<(&[u8], NodeId)>,
    slot: &impl Fn(NodeId) -> u64,
    bytes: &mut Vec<u8>,
) {
    let mut at = block.len() * size_of::<Entry>();
    for (name, child) in block.iter() {
        let kind = kind(&tree.node(*child).kind);
        // OK to cast: within a block.
        let entry =
            Entry { slot: slot(*child).into(), name: (at as u16).into(), kind, reserved: 0 };
        bytes.extend_from_slice(entry.as_bytes());
        at += name.len();
    }
    block.drain(..).for_each(|(name, _)| bytes.extend_from_slice(name));
}

/// What an entry says that its inode is.
pub(super) const fn kind(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => FILE,
        Kind::Directory(_) => DIRECTORY,
        Kind::Symlink(_) => SYMLINK,
        Kind::CharDevice(_) => CHAR_DEVICE,
        Kind::BlockDevice(_) => BLOCK_DEVICE,
        Kind::Fifo => FIFO,
        Kind::Socket => SOCKET,
    }
}
