//! File contents on their way to the disk: blocks, fragments and duplicates.
//!
//! Knows no inode. Invariants: contents are read in the order of the files by one thread and
//! compressed by many, so the bytes never depend on their number; a duplicate is one because its
//! bytes were compared; memory is a few blocks and some words for each file.

use std::collections::HashMap;

use super::Params;
use super::codec::Packer;
use super::ondisk::{Fragment, NONE32, STORED};
use crate::engine::base::tree::{Kind as NodeKind, NodeId, Tree};
use crate::engine::base::{
    Content, Error, Kind, PositionalSink as _, Spool, Work, is_zero, read_exact_at,
};
use crate::engine::codec::ordered;

/// Where the bytes of a file came to lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) start: u64,
    /// Its first number in the list of blocks.
    pub(super) first: usize,
    /// Bytes in blocks that are not stored.
    pub(super) sparse: u64,
    pub(super) fragment: u32,
    pub(super) offset: u32,
    /// The file that it is a duplicate of: a number in the list of files.
    same: u32,
}

const NOWHERE: Stored =
    Stored { start: 0, first: 0, sparse: 0, fragment: NONE32, offset: 0, same: NONE32 };

/// All files' places.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// In the order of the files.
    files: Vec<Stored>,
    /// The lengths of all blocks of all files.
    blocks: Vec<u32>,
    pub(super) fragments: Vec<Fragment>,
    /// Where the next table begins.
    pub(super) end: u64,
}

impl Data {
    /// The place of the file with this number, and the lengths of its `blocks`.
    pub(super) fn place(&self, file: usize, blocks: usize) -> Option<(Stored, &[u32])> {
        let stored = *self.files.get(file)?;
        let real = match stored.same {
            NONE32 => stored,
            same => *self.files.get(same as usize)?,
        };
        if real.fragment != NONE32 {
            return Some((real, &[]));
        }
        Some((real, self.blocks.get(real.first..real.first.checked_add(blocks)?)?))
    }
}

/// What is compressed.
enum Job {
    Block { file: usize, bytes: Vec<u8> },
    Holes { file: usize, count: u64, bytes: u64 },
    Fragment { bytes: Vec<u8> },
}

/// What is written. `len` is that of the block, with its flag; no bytes are a hole.
enum Done {
    Block { file: usize, bytes: Vec<u8>, len: u32, of: u64 },
    Holes { file: usize, count: u64, bytes: u64 },
    Fragment { bytes: Vec<u8>, len: u32, of: u64 },
}

/// Writes the contents of `files` into `spool` from `start` on.
pub(super) fn write(
    params: &Params,
    tree: &Tree,
    files: &[NodeId],
    work: Work<'_>,
    (spool, start): (&Spool, u64),
) -> Result<Data, Error> {
    let total = files.iter().map(|id| tree.node(*id).len()).sum();
    work.progress.begin("compressing squashfs", total);
    let mut feeder = Feeder::new(params, tree, files);
    let mut sink = Sink {
        spool,
        data: Data { files: vec![NOWHERE; files.len()], end: start, ..Data::default() },
    };
    ordered(
        work.threads(),
        &mut feeder,
        || Packer::new(params.compression, params.block_size),
        |packer, job| pack(packer, job?),
        |done| {
            let bytes = match &done {
                Done::Block { of, .. } | Done::Fragment { of, .. } => *of,
                Done::Holes { bytes, .. } => *bytes,
            };
            sink.take(done)?;
            work.progress.advance(bytes)
        },
    )?;
    let mut data = sink.data;
    for (stored, seen) in data.files.iter_mut().zip(&feeder.seen) {
        (stored.fragment, stored.offset, stored.same) = (seen.fragment, seen.offset, seen.same);
    }
    Ok(data)
}

fn pack(packer: &mut Packer, job: Job) -> Result<Done, Error> {
    let packed = |packer: &mut Packer, bytes: Vec<u8>| {
        // OK to cast: at most 1 MiB.
        let raw = bytes.len() as u32 | STORED;
        let packed = packer.pack(&bytes)?.map(<[u8]>::to_vec);
        Ok::<_, Error>(packed.map_or((bytes, raw), |packed| {
            let len = packed.len() as u32;
            (packed, len)
        }))
    };
    Ok(match job {
        Job::Holes { file, count, bytes } => Done::Holes { file, count, bytes },
        Job::Block { file, bytes } if is_zero(&bytes) => {
            Done::Holes { file, count: 1, bytes: bytes.len() as u64 }
        }
        Job::Block { file, bytes } => {
            let of = bytes.len() as u64;
            let (bytes, len) = packed(packer, bytes)?;
            Done::Block { file, bytes, len, of }
        }
        Job::Fragment { bytes } => {
            let of = bytes.len() as u64;
            let (bytes, len) = packed(packer, bytes)?;
            Done::Fragment { bytes, len, of }
        }
    })
}

/// Writes what was compressed, in order.
struct Sink<'a> {
    spool: &'a Spool,
    data: Data,
}

impl Sink<'_> {
    fn take(&mut self, done: Done) -> Result<(), Error> {
        let Data { files, blocks, fragments, end } = &mut self.data;
        let mut open = |file: usize, first: usize, start: u64, holes: u64| {
            if let Some(stored) = files.get_mut(file) {
                if stored.start == 0 {
                    (stored.start, stored.first) = (start, first);
                }
                stored.sparse += holes;
            }
        };
        let bytes = match done {
            Done::Holes { file, count, bytes } => {
                open(file, blocks.len(), *end, bytes);
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                blocks.resize(blocks.len().saturating_add(count), 0);
                return Ok(());
            }
            Done::Block { file, bytes, len, .. } => {
                open(file, blocks.len(), *end, 0);
                blocks.push(len);
                bytes
            }
            Done::Fragment { bytes, len, .. } => {
                let (start, unused) = ((*end).into(), 0.into());
                fragments.push(Fragment { start, size: len.into(), unused });
                bytes
            }
        };
        self.spool.write_at(*end, &bytes)?;
        *end += bytes.len() as u64;
        Ok(())
    }
}

/// What the reading side knows about a file.
#[derive(Clone, Copy)]
struct Seen {
    fragment: u32,
    offset: u32,
    same: u32,
}

/// Reads files one after the other, and cuts them into jobs.
struct Feeder<'a> {
    tree: &'a Tree,
    files: &'a [NodeId],
    block: usize,
    fragments: bool,
    /// The lengths that several files have, sorted; none if duplicates are not looked for.
    shared: Vec<u64>,
    /// The first file with this length and checksum.
    known: HashMap<(u64, u32), u32>,
    seen: Vec<Seen>,
    /// The file that is being cut, and how far it is.
    open: Option<(usize, u64)>,
    /// The fragment block that is being filled.
    fragment: Vec<u8>,
    fragment_count: u32,
    failed: bool,
}

impl<'a> Feeder<'a> {
    fn new(params: &Params, tree: &'a Tree, files: &'a [NodeId]) -> Self {
        let mut shared: Vec<u64> = Vec::new();
        if params.duplicates {
            let mut lengths: Vec<u64> = files.iter().map(|id| tree.node(*id).len()).collect();
            lengths.sort_unstable();
            shared = lengths.array_windows().filter(|[a, b]| a == b).map(|[a, _]| *a).collect();
            shared.dedup();
        }
        Self {
            tree,
            files,
            block: params.block_size as usize,
            fragments: params.fragments,
            shared,
            known: HashMap::new(),
            seen: Vec::with_capacity(files.len()),
            open: None,
            fragment: Vec::new(),
            fragment_count: 0,
            failed: false,
        }
    }

    fn content(&self, file: usize) -> Result<&'a Content, Error> {
        let id = self.files.get(file).copied().unwrap_or(Tree::ROOT);
        match &self.tree.node(id).kind {
            NodeKind::File(Content::Late(_)) => {
                let message = "bytes that must know their place cannot lie in a squashfs, which \
                               is compressed";
                Err(Error::new(Kind::Document, message).at(self.tree.origin(id)))
            }
            NodeKind::File(content) => Ok(content),
            other => Err(Error::new(Kind::Io, format!("a {} has no bytes", other.word()))),
        }
    }

    /// The next block of a file, or how many blocks from `at` on are holes.
    fn piece(&self, content: &Content, at: u64) -> Result<Piece, Error> {
        let left = content.len().saturating_sub(at);
        let block = self.block as u64;
        if let Content::Sectors(source) = content {
            let next = source.next_extent(at).map_or(u64::MAX, |extent| extent.start());
            let holes = next.saturating_sub(at).min(left);
            // The end of the file ends a block, too.
            let whole = if holes == left { holes.div_ceil(block) } else { holes / block };
            if whole > 0 {
                return Ok(Piece::Holes(whole, left.min(whole * block)));
            }
        }
        // OK to cast: at most a block.
        let mut bytes = vec![0; left.min(block) as usize];
        match content {
            Content::Bytes(all) => read_exact_at(all, at, &mut bytes)?,
            Content::Sectors(source) => source.read_at(at, &mut bytes)?,
            Content::Late(_) => {}
        }
        Ok(Piece::Bytes(bytes))
    }

    /// The checksum of a file: blocks of zeros count as holes do.
    fn checksum(&self, content: &Content) -> Result<u32, Error> {
        let (mut at, mut crc) = (0, 0);
        while at < content.len() {
            match self.piece(content, at)? {
                Piece::Holes(_, len) => at += len,
                Piece::Bytes(bytes) => {
                    if !is_zero(&bytes) {
                        crc = crc32c::crc32c_append(crc, &at.to_le_bytes());
                        crc = crc32c::crc32c_append(crc, &bytes);
                    }
                    at += bytes.len() as u64;
                }
            }
        }
        Ok(crc)
    }

    /// Whether two files of one length have the same bytes.
    fn equal(&self, one: &Content, two: &Content) -> Result<bool, Error> {
        let mut at = 0;
        while at < one.len() {
            at += match (self.piece(one, at)?, self.piece(two, at)?) {
                (Piece::Holes(_, a), Piece::Holes(_, b)) => a.min(b),
                (Piece::Bytes(a), Piece::Bytes(b)) if a == b => a.len() as u64,
                (Piece::Holes(..), Piece::Bytes(b)) | (Piece::Bytes(b), Piece::Holes(..))
                    if is_zero(&b) =>
                {
                    b.len() as u64
                }
                _ => return Ok(false),
            };
        }
        Ok(true)
    }

    /// The file before this one that has the same bytes.
    fn duplicate(&mut self, file: usize, content: &Content) -> Result<Option<u32>, Error> {
        if self.shared.binary_search(&content.len()).is_err() {
            return Ok(None);
        }
        let key = (content.len(), self.checksum(content)?);
        let Some(first) = self.known.get(&key).copied() else {
            // OK to cast: a tree has fewer nodes than that.
            self.known.insert(key, file as u32);
            return Ok(None);
        };
        Ok(self.equal(self.content(first as usize)?, content)?.then_some(first))
    }

    /// Opens the next file: a short one goes into the fragment block right away, and fills it
    /// where a job comes back.
    fn begin(&mut self) -> Result<Option<Job>, Error> {
        let file = self.seen.len();
        let content = self.content(file)?;
        let mut seen = Seen { fragment: NONE32, offset: 0, same: NONE32 };
        let mut job = None;
        if content.is_empty() {
        } else if let Some(same) = self.duplicate(file, content)? {
            seen.same = same;
        } else if !self.fragments || content.len() >= self.block as u64 {
            self.open = Some((file, 0));
        } else if let Piece::Bytes(bytes) = self.piece(content, 0)? {
            if self.fragment.len() + bytes.len() > self.block {
                job = self.flush();
            }
            // OK to cast: less than a block.
            (seen.fragment, seen.offset) = (self.fragment_count, self.fragment.len() as u32);
            self.fragment.extend_from_slice(&bytes);
        } else {
            self.open = Some((file, 0));
        }
        self.seen.push(seen);
        Ok(job)
    }

    /// The fragment block, if there is something in it.
    fn flush(&mut self) -> Option<Job> {
        if self.fragment.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.fragment);
        self.fragment_count += 1;
        Some(Job::Fragment { bytes })
    }

    fn step(&mut self) -> Result<Option<Job>, Error> {
        loop {
            if let Some((file, at)) = self.open {
                let content = self.content(file)?;
                let (job, len) = match self.piece(content, at)? {
                    Piece::Holes(count, bytes) => (Job::Holes { file, count, bytes }, bytes),
                    Piece::Bytes(bytes) => {
                        let len = bytes.len() as u64;
                        (Job::Block { file, bytes }, len)
                    }
                };
                self.open = Some((file, at + len)).filter(|_| at + len < content.len());
                return Ok(Some(job));
            }
            if self.seen.len() == self.files.len() {
                return Ok(self.flush());
            }
            if let Some(job) = self.begin().map_err(|e| self.named(e))? {
                return Ok(Some(job));
            }
        }
    }

    /// The error, about the file that was being opened.
    fn named(&self, error: Error) -> Error {
        match self.files.get(self.seen.len()) {
            Some(id) => error.at(self.tree.origin(*id)),
            None => error,
        }
    }
}

enum Piece {
    Bytes(Vec<u8>),
    /// Blocks and bytes.
    Holes(u64, u64),
}

impl Iterator for Feeder<'_> {
    type Item = Result<Job, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
