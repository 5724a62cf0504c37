//! File contents cut into blocks: what is read, one file after the other, by one thread.
//!
//! Compresses nothing. Invariants: a duplicate is one because its bytes were compared; a block and a
//! fragment block are held at most, and some words for each file.

use std::collections::HashMap;

use super::Params;
use super::ondisk::NONE32;
use crate::engine::base::tree::{Kind as NodeKind, NodeId, Tree};
use crate::engine::base::{Content, Error, Kind, is_zero, read_exact_at};

/// What is compressed.
pub(super) enum Job {
    Block { file: usize, bytes: Vec<u8> },
    Holes { file: usize, count: u64, bytes: u64 },
    Fragment { bytes: Vec<u8> },
}

/// What the reading side knows about a file.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) fragment: u32,
    pub(super) offset: u32,
    pub(super) same: u32,
}

/// Reads files one after the other, and cuts them into jobs.
pub(super) struct Feeder<'a> {
    tree: &'a Tree,
    files: &'a [NodeId],
    block: usize,
    fragments: bool,
    /// The lengths that several files have, sorted; none if duplicates are not looked for.
    shared: Vec<u64>,
    /// The first file with this length and checksum.
    known: HashMap<(u64, u32), u32>,
    pub(super) seen: Vec<Seen>,
    /// The file that is being cut, and how far it is.
    open: Option<(usize, u64)>,
    /// The fragment block that is being filled.
    fragment: Vec<u8>,
    fragment_count: u32,
    failed: bool,
}

impl<'a> Feeder<'a> {
    pub(super) fn new(params: &Params, tree: &'a Tree, files: &'a [NodeId]) -> Self {
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
                    crc = add(crc, at, &bytes);
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

    /// The file before this one that has the same bytes. Of a short file these are `whole`, so
    /// that it is read once.
    fn duplicate(
        &mut self,
        file: usize,
        content: &Content,
        whole: Option<&[u8]>,
    ) -> Result<Option<u32>, Error> {
        if self.shared.binary_search(&content.len()).is_err() {
            return Ok(None);
        }
        let sum = match whole {
            Some(bytes) => add(0, 0, bytes),
            None => self.checksum(content)?,
        };
        let key = (content.len(), sum);
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
        let short = !content.is_empty() && content.len() < self.block as u64;
        let whole = match short.then(|| self.piece(content, 0)).transpose()? {
            Some(Piece::Bytes(bytes)) => Some(bytes),
            _ => None,
        };
        if content.is_empty() {
        } else if let Some(same) = self.duplicate(file, content, whole.as_deref())? {
            seen.same = same;
        } else if let Some(bytes) = whole.filter(|_| self.fragments) {
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
        let bytes = std::mem::replace(&mut self.fragment, Vec::with_capacity(self.block));
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

/// The checksum that goes on with the block at `at`.
fn add(crc: u32, at: u64, bytes: &[u8]) -> u32 {
    if is_zero(bytes) {
        return crc;
    }
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &at.to_le_bytes()), bytes)
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
