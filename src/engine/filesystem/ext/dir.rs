//! Directories: how many blocks one takes, and its bytes, with a hash tree or without.
//!
//! Places nothing. Invariants: `blocks` says what `build` makes; entries are in the order of their
//! names, or of their hashes; each block is made once.

use zerocopy::IntoBytes as _;

use super::bytes::put;
use super::hash::{NameHash, crc};
use super::ondisk::{
    DIR_ENTRY, DIR_TAIL, DIR_TAIL_TYPE, DX_ENTRY, DX_NODE, DX_ROOT, DirEntry, DirTail, DxEntry,
    DxRootInfo, HASH_HALF_MD4,
};

/// How directories of a filesystem look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) block_size: usize,
    /// Whether blocks end with a checksum.
    pub(super) tail: bool,
    /// Whether entries say what they name.
    pub(super) types: bool,
    /// How names are hashed, where big directories have a tree.
    pub(super) hash: Option<NameHash>,
}

/// An entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) ino: u32,
    pub(super) kind: u8,
}

/// Which entries lie in which block.
enum Packed {
    /// The first entry of each block, as they come; `.` and `..` lie in the first.
    Linear(Vec<usize>),
    /// Entries by hash, the first of each leaf, and the number of nodes between root and leaves.
    Hashed { order: Vec<(u32, u32)>, leaves: Vec<usize>, nodes: usize },
}

/// Bytes of an entry.
const fn entry_len(name: &[u8]) -> usize {
    (DIR_ENTRY + name.len()).next_multiple_of(4)
}

impl Style {
    const fn room(&self) -> usize {
        self.block_size - if self.tail { DIR_TAIL } else { 0 }
    }

    /// Entries that a node of the tree holds behind its first bytes.
    const fn fan(&self, head: usize) -> usize {
        (self.block_size - head) / DX_ENTRY - if self.tail { 1 } else { 0 }
    }

    /// Blocks of a directory with these names, and whether they are a hash tree.
    pub(super) fn blocks<'a>(&self, names: impl Iterator<Item = &'a [u8]> + Clone) -> (u64, bool) {
        match self.pack(names) {
            Packed::Linear(firsts) => (firsts.len() as u64, false),
            Packed::Hashed { leaves, nodes, .. } => ((1 + nodes + leaves.len()) as u64, true),
        }
    }

    fn pack<'a>(&self, names: impl Iterator<Item = &'a [u8]> + Clone) -> Packed {
        let dots = 2 * entry_len(b"..");
        let linear = self.fill(names.clone().map(entry_len), dots);
        let Some(hash) = self.hash.filter(|_| linear.len() > 1) else {
            return Packed::Linear(linear);
        };
        let mut lens = Vec::new();
        let mut order = Vec::new();
        for (at, name) in names.enumerate() {
            // OK to cast: less than 2^32 inodes have names.
            order.push((hash.of(name).0, at as u32));
            lens.push(entry_len(name) as u16);
        }
        order.sort_unstable();
        let len = |(_, at): &(u32, u32)| usize::from(lens.get(*at as usize).copied().unwrap_or(0));
        let leaves = self.fill(order.iter().map(len), 0);
        let nodes = if leaves.len() > self.fan(DX_ROOT) {
            leaves.len().div_ceil(self.fan(DX_NODE))
        } else {
            0
        };
        // A third level needs `large_dir`, which old kernels do not know: a list has no limit.
        if nodes > self.fan(DX_ROOT) {
            return Packed::Linear(linear);
        }
        Packed::Hashed { order, leaves, nodes }
    }

    /// The number of the first entry of each block.
    fn fill(&self, lens: impl Iterator<Item = usize>, first: usize) -> Vec<usize> {
        let mut firsts = vec![0];
        let mut used = first;
        for (at, len) in lens.enumerate() {
            if used + len > self.room() {
                firsts.push(at);
                used = 0;
            }
            used += len;
        }
        firsts
    }

    /// The bytes of the directory `ino` that lies in `parent`; `seed` is what checksums of its
    /// inode go on from.
    pub(super) fn build(
        &self,
        (ino, parent): (u32, u32),
        entries: &[Entry<'_>],
        seed: u32,
    ) -> Vec<u8> {
        let dots =
            [Entry { name: b".", ino, kind: 2 }, Entry { name: b"..", ino: parent, kind: 2 }];
        let mut bytes = Vec::new();
        match self.pack(entries.iter().map(|entry| entry.name)) {
            Packed::Linear(firsts) => {
                for (n, range) in ranges(&firsts, entries.len()).enumerate() {
                    let dots = dots.iter().filter(|_| n == 0);
                    let own = entries.get(range).unwrap_or_default().iter();
                    self.leaf(&mut bytes, dots.chain(own).copied(), seed);
                }
            }
            Packed::Hashed { order, leaves, nodes } => {
                self.index(&mut bytes, dots, &order, (&leaves, nodes), seed);
                for range in ranges(&leaves, order.len()) {
                    let own = order.get(range).unwrap_or_default().iter();
                    let own = own.filter_map(|(_, at)| entries.get(*at as usize).copied());
                    self.leaf(&mut bytes, own, seed);
                }
            }
        }
        bytes
    }

    fn leaf<'a>(&self, bytes: &mut Vec<u8>, entries: impl Iterator<Item = Entry<'a>>, seed: u32) {
        let start = bytes.len();
        let end = start + self.room();
        let mut last = start;
        for entry in entries {
            last = bytes.len();
            self.entry(bytes, entry, entry_len(entry.name));
        }
        if bytes.len() == start {
            self.entry(bytes, Entry { name: b"", ino: 0, kind: 0 }, DIR_ENTRY);
        }
        // The last entry takes what is left.
        bytes.resize(end, 0);
        put(bytes, last + 4, &((end - last) as u16).to_le_bytes());
        if self.tail {
            let sum = crc(seed, bytes.get(start..).unwrap_or_default());
            let tail = DirTail {
                inode: 0.into(),
                rec_len: (DIR_TAIL as u16).into(),
                name_len: 0,
                file_type: DIR_TAIL_TYPE,
                checksum: sum.into(),
            };
            bytes.extend_from_slice(tail.as_bytes());
        }
    }

    fn entry(&self, bytes: &mut Vec<u8>, entry: Entry<'_>, len: usize) {
        let head = DirEntry {
            inode: entry.ino.into(),
            rec_len: (len as u16).into(),
            name_len: entry.name.len() as u8,
            file_type: if self.types { entry.kind } else { 0 },
        };
        let end = bytes.len() + len;
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(entry.name);
        bytes.resize(end, 0);
    }

    /// The root, and the nodes below it.
    fn index(
        &self,
        bytes: &mut Vec<u8>,
        dots: [Entry<'_>; 2],
        order: &[(u32, u32)],
        (leaves, nodes): (&[usize], usize),
        seed: u32,
    ) {
        let first_leaf = 1 + nodes;
        let pointers: Vec<DxEntry> = leaves
            .iter()
            .enumerate()
            .map(|(n, first)| DxEntry {
                hash: hash_of_leaf(order, *first).into(),
                block: ((first_leaf + n) as u32).into(),
            })
            .collect();
        let mut root = Vec::with_capacity(self.block_size);
        let [own, up] = dots;
        let own_len = entry_len(own.name);
        self.entry(&mut root, own, own_len);
        self.entry(&mut root, up, entry_len(up.name));
        put(&mut root, own_len + 4, &((self.block_size - own_len) as u16).to_le_bytes());
        let info = DxRootInfo {
            reserved: 0.into(),
            hash_version: HASH_HALF_MD4,
            info_length: 8,
            indirect_levels: u8::from(nodes > 0),
            unused_flags: 0,
        };
        root.extend_from_slice(info.as_bytes());
        if nodes == 0 {
            bytes.extend(self.node(root, &pointers, seed));
            return;
        }
        let chunks = pointers.chunks(self.fan(DX_NODE));
        let above: Vec<DxEntry> = chunks
            .clone()
            .zip(1u32..)
            .filter_map(|(chunk, block)| {
                Some(DxEntry { hash: chunk.first()?.hash, block: block.into() })
            })
            .collect();
        bytes.extend(self.node(root, &above, seed));
        for chunk in chunks {
            let mut head = Vec::with_capacity(self.block_size);
            self.entry(&mut head, Entry { name: b"", ino: 0, kind: 0 }, DX_NODE);
            put(&mut head, 4, &(self.block_size as u16).to_le_bytes());
            bytes.extend(self.node(head, chunk, seed));
        }
    }

    /// A node: its first bytes, then entries, of which the first has limit and count for a hash.
    fn node(&self, mut block: Vec<u8>, entries: &[DxEntry], seed: u32) -> Vec<u8> {
        let head = block.len();
        let limit = self.fan(head);
        for entry in entries {
            block.extend_from_slice(entry.as_bytes());
        }
        let end = block.len();
        block.resize(self.block_size, 0);
        put(&mut block, head, &(limit as u16).to_le_bytes());
        put(&mut block, head + 2, &(entries.len() as u16).to_le_bytes());
        if self.tail {
            // Over the entries in use, then the tail with zero for itself.
            let sum = crc(seed, block.get(..end).unwrap_or_default());
            put(&mut block, head + limit * DX_ENTRY + 4, &crc(sum, &[0; 8]).to_le_bytes());
        }
        block
    }
}

/// What the tree says of a leaf: the hash of its first name, odd if the leaf before ends with the
/// same one. The first leaf has no limit.
fn hash_of_leaf(order: &[(u32, u32)], first: usize) -> u32 {
    let hash = |at: usize| order.get(at).map(|(hash, _)| *hash);
    let Some(before) = first.checked_sub(1).and_then(hash) else { return 0 };
    let own = hash(first).unwrap_or(0);
    own | u32::from(own == before)
}

fn ranges(firsts: &[usize], len: usize) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let ends = firsts.iter().skip(1).copied().chain([len]);
    firsts.iter().zip(ends).map(|(first, end)| *first..end)
}
