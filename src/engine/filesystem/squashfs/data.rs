//! File contents on their way to the disk: blocks, fragments and duplicates.
//!
//! Knows no inode. Invariants: contents are read in the order of the files by one thread and
//! compressed by many, so the bytes never depend on their number; a duplicate is one because its
//! bytes were compared; memory is a few blocks and some words for each file.

use super::Params;
use super::codec::Packer;
use super::feed::{Feeder, Job};
use super::ondisk::{Fragment, NONE32, STORED};
use crate::engine::base::tree::{NodeId, Tree};
use crate::engine::base::{Error, PositionalSink as _, Spool, Work, is_zero};
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
