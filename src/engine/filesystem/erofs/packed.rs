//! Files in packed clusters, and the full index into each.
//!
//! Knows no inode. Invariants: segments of a file are packed apart, by many threads, and written in
//! order; a file that does not become shorter is left to be stored as it is.

use zerocopy::IntoBytes as _;

use super::lz4::{CLUSTER, Filler};
use super::ondisk::{BLOCK, BLOCKS, Cluster, HEAD, INSIDE, STORED};
use super::{Compression, Params};
use crate::engine::base::tree::{Kind, NodeId, Tree};
use crate::engine::base::{
    Content, Error, Kind as ErrorKind, PositionalSink as _, Spool, read_exact_at,
};
use crate::engine::codec::ordered;
use crate::engine::filesystem::Request;

/// Bytes of a file that are packed at once.
const SEGMENT: u64 = 1 << 20;

/// Where the packed bytes of a file lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedFile {
    pub(super) node: NodeId,
    pub(super) blocks: u32,
    /// Where its index lies in the spool of them.
    pub(super) index: u64,
}

/// All packed files.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Sorted by node.
    files: Vec<PackedFile>,
    /// Blocks from block 1 on.
    pub(super) blocks: u64,
    pub(super) data: Option<Spool>,
    pub(super) index: Option<Spool>,
}

impl Packed {
    pub(super) fn file(&self, id: NodeId) -> Option<PackedFile> {
        let found = self.files.binary_search_by_key(&id, |file| file.node).ok()?;
        self.files.get(found).copied()
    }
}

/// A segment on its way through a thread.
struct Job {
    file: usize,
    last: bool,
    bytes: Vec<u8>,
}

/// Its clusters: how many bytes of the file each holds, and whether they are stored.
struct Done {
    file: usize,
    last: bool,
    clusters: Vec<(u32, bool)>,
    bytes: Vec<u8>,
    of: u64,
}

/// Packs the files of the tree.
pub(super) fn write(params: &Params, request: &Request<'_>) -> Result<Packed, Error> {
    let mut packed = Packed::default();
    if params.compression == Compression::None {
        return Ok(packed);
    }
    let tree: &Tree = &request.tree;
    let files = files(tree);
    if let Some(id) =
        files.iter().find(|id| matches!(&tree.node(**id).kind, Kind::File(Content::Late(_))))
    {
        let message = "bytes that must know their place cannot lie in a compressed erofs";
        return Err(Error::new(ErrorKind::Document, message).at(tree.origin(*id)));
    }
    let work = request.work;
    work.progress.begin("compressing erofs", files.iter().map(|id| tree.node(*id).len()).sum());
    let segments = files.iter().enumerate().flat_map(|(file, id)| {
        let len = tree.node(*id).len();
        (0..len.div_ceil(SEGMENT)).map(move |n| (file, *id, n * SEGMENT, len))
    });
    let jobs = segments.map(|(file, id, at, len)| {
        let bytes = segment(tree, id, at, len).map_err(|e| e.at(tree.origin(id)))?;
        Ok(Job { file, last: at + SEGMENT >= len, bytes })
    });
    let mut sink = Sink {
        data: request.scratch.spool()?,
        indexes: request.scratch.spool()?,
        files: Vec::new(),
        blocks: 0,
        index: Index::default(),
        began: (0, 0),
        len: 0,
    };
    ordered(
        work.threads(),
        jobs,
        || Ok(Filler::new()),
        |filler, job: Result<Job, Error>| Ok(pack(filler, job?)),
        |done| {
            let of = done.of;
            let node = files.get(done.file).copied().unwrap_or(Tree::ROOT);
            sink.take(node, done)?;
            work.progress.advance(of)
        },
    )?;
    sink.data.set_len(sink.blocks * BLOCK)?;
    packed.blocks = sink.blocks;
    packed.files = sink.files;
    packed.files.sort_unstable_by_key(|file| file.node);
    (packed.data, packed.index) = (Some(sink.data), Some(sink.indexes));
    Ok(packed)
}

/// Files that might become shorter, in the order of their names.
fn files(tree: &Tree) -> Vec<NodeId> {
    let mut seen = vec![false; tree.rows()];
    let mut files = Vec::new();
    let mut open = vec![Tree::ROOT];
    while let Some(id) = open.pop() {
        for child in tree.node(id).entries().into_iter().flat_map(|entries| entries.values()) {
            let node = tree.node(*child);
            let Some(seen) = seen.get_mut(child.index()).filter(|seen| !**seen) else { continue };
            *seen = true;
            match &node.kind {
                Kind::Directory(_) => open.push(*child),
                Kind::File(_) if node.len() > BLOCK => files.push(*child),
                _ => {}
            }
        }
    }
    files
}

fn segment(tree: &Tree, id: NodeId, at: u64, len: u64) -> Result<Vec<u8>, Error> {
    // OK to cast: at most a segment.
    let mut bytes = vec![0; (len - at).min(SEGMENT) as usize];
    match &tree.node(id).kind {
        Kind::File(Content::Bytes(all)) => read_exact_at(all, at, &mut bytes)?,
        Kind::File(Content::Sectors(source)) => {
            let next = source.next_extent(at).map_or(u64::MAX, |extent| extent.start());
            if next < at + bytes.len() as u64 {
                source.read_at(at, &mut bytes)?;
            }
        }
        _ => {}
    }
    Ok(bytes)
}

fn pack(filler: &mut Filler, job: Job) -> Done {
    filler.reset();
    let mut done = Done {
        file: job.file,
        last: job.last,
        clusters: Vec::new(),
        bytes: Vec::new(),
        of: job.bytes.len() as u64,
    };
    let mut rest = job.bytes.as_slice();
    while !rest.is_empty() {
        let block = done.bytes.len() + CLUSTER;
        let taken = match filler.fill(rest) {
            Some((taken, packed)) => {
                // The packed bytes end with the block; zeros before them are skipped by readers.
                done.bytes.resize(block - packed.len(), 0);
                done.bytes.extend_from_slice(&packed);
                done.clusters.push((taken as u32, false));
                taken
            }
            None => {
                let taken = rest.len().min(CLUSTER);
                done.bytes.extend_from_slice(rest.get(..taken).unwrap_or_default());
                done.bytes.resize(block, 0);
                done.clusters.push((taken as u32, true));
                taken
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    done
}

/// Writes what was packed, in order.
struct Sink {
    data: Spool,
    indexes: Spool,
    files: Vec<PackedFile>,
    blocks: u64,
    /// The index of the file that is being written.
    index: Index,
    /// Blocks and bytes of indexes before that file.
    began: (u64, u64),
    len: u64,
}

impl Sink {
    fn take(&mut self, node: NodeId, done: Done) -> Result<(), Error> {
        self.len += done.of;
        self.data.write_at(self.blocks * BLOCK, &done.bytes)?;
        for (len, stored) in &done.clusters {
            // The packed blocks begin at block 1.
            self.index.extent(*len, *stored, self.blocks + 1)?;
            self.blocks += 1;
        }
        // OK to cast: segments are written one after the other, an index of one is short.
        let at = self.began.1 + self.index.written;
        self.indexes.write_at(at, &self.index.bytes)?;
        self.index.written += self.index.bytes.len() as u64;
        self.index.bytes.clear();
        if !done.last {
            return Ok(());
        }
        self.index.finish();
        let at = self.began.1 + self.index.written;
        self.indexes.write_at(at, &self.index.bytes)?;
        self.index.written += self.index.bytes.len() as u64;
        debug_assert_eq!(self.index.written, self.len.div_ceil(BLOCK) * 8);
        let blocks = self.blocks - self.began.0;
        if blocks < self.len.div_ceil(BLOCK) && self.blocks <= u64::from(u32::MAX) {
            // OK to cast: compared right above.
            let blocks = blocks as u32;
            self.files.push(PackedFile { node, blocks, index: self.began.1 });
            self.began = (self.blocks, self.began.1 + self.index.written);
        }
        // What did not become shorter is overwritten by the next one.
        self.blocks = self.began.0;
        self.index = Index::default();
        self.len = 0;
        Ok(())
    }
}

/// The full index of a file that is being written.
#[derive(Default)]
struct Index {
    bytes: Vec<u8>,
    written: u64,
    /// Where in its first cluster the next extent begins.
    offset: u32,
}

impl Index {
    fn put(&mut self, kind: u16, offset: u32, place: u32) {
        let cluster =
            // OK to cast: less than a cluster.
            Cluster { kind: kind.into(), offset: (offset as u16).into(), place: place.into() };
        self.bytes.extend_from_slice(cluster.as_bytes());
    }

    /// Adds `len` bytes that lie in one packed block.
    fn extent(&mut self, len: u32, stored: bool, block: u64) -> Result<(), Error> {
        let block = u32::try_from(block).map_err(|_| {
            Error::new(ErrorKind::Document, "the packed files of an erofs take more than 16 TiB")
        })?;
        let kind = if stored { STORED } else { HEAD };
        let cluster = CLUSTER as u32;
        let end = self.offset + len;
        // A file's last bytes may begin and end in one cluster: then they are its only entry.
        let entries = (end / cluster).max(1);
        for back in 0..entries {
            if back == 0 {
                self.put(kind, self.offset, block);
            } else {
                let distance = back.min(u32::from(BLOCKS) - 1);
                self.put(INSIDE, 0, distance | (entries - back) << 16);
            }
        }
        self.offset = if end < cluster { 0 } else { end % cluster };
        Ok(())
    }

    /// The last cluster, if an extent ends in it that began before.
    fn finish(&mut self) {
        if self.offset > 0 {
            self.put(STORED, self.offset, 0);
        }
    }
}
