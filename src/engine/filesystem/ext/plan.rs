//! What is decided before a byte is made: features, block size, number of inodes, size.
//!
//! Reads no content. Invariants: a size that was measured is accepted when it is asked for, and one
//! block less is not; the same tree and parameters give the same plan.

use std::sync::Arc;

use uuid::Uuid;

use super::dir::Style;
use super::features::{B64, CSUM, DIR_INDEX, FILETYPE, Features, JOURNAL};
use super::geometry::Geometry;
use super::hash::NameHash;
use super::rows::{Rows, Rules};
use super::shape::Shape;
use super::{Base, Inodes, Params};
use crate::engine::base::tree::{Kind as NodeKind, Time, Tree};
use crate::engine::base::{Error, Kind};
use crate::engine::filesystem::{BootCode, Identity, Request, Room};

/// Below so many bytes a block has 1024, as mke2fs has it.
const SMALL: u64 = 512 << 20;
/// Bytes for each inode that mke2fs takes from 512 MiB on, and a measured size has at least.
const RATIO: u64 = 16384;
/// Sizes below which fewer or more bytes for each inode are usual (mke2fs.conf: floppy, small,
/// default, big, huge).
const RATIOS: &[(u64, u64)] =
    &[(3 << 20, 8192), (SMALL, 4096), (4 << 40, RATIO), (16 << 40, 32768), (u64::MAX, 65536)];
/// Blocks below which a journal has so many, as in mke2fs; below the first none.
const JOURNALS: &[(u64, u64)] = &[
    (2048, 0),
    (32768, 1024),
    (256 << 10, 4096),
    (512 << 10, 8192),
    (4096 << 10, 16384),
    (8192 << 10, 32768),
    (16384 << 10, 65536),
    (32768 << 10, 131_072),
    (u64::MAX, 262_144),
];
/// Inodes that can be asked for: with those of groups that are filled up, numbers have 32 bits.
const MOST_INODES: u64 = u32::MAX as u64 - (1 << 24);
/// The least journal that Linux takes.
const LEAST_JOURNAL: u64 = 1024;
/// Names are hashed as mke2fs does on x86: bytes above 127 are negative.
pub(super) const SIGNED: bool = true;

/// Everything that is decided.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tree: Arc<Tree>,
    pub(super) rows: Rows,
    pub(super) rules: Rules,
    pub(super) geometry: Geometry,
    /// Blocks for contents that are in use.
    pub(super) used: u64,
    pub(super) journal: u64,
    pub(super) reserved: u64,
    pub(super) label: [u8; 16],
    pub(super) uuid: Uuid,
    pub(super) hash_seed: Uuid,
    pub(super) time: Time,
    pub(super) boot: Option<BootCode>,
    /// Bytes of the medium: of the filesystem, and what is behind it.
    pub(super) len: u64,
}

/// What stays the same while sizes are tried.
struct Trial<'a> {
    params: &'a Params,
    features: Features,
    inode_size: u16,
    block_size: u32,
    rows: Rows,
    rules: Rules,
    /// Inodes of the tree, and room for more.
    inodes: u64,
}

/// A size at which everything has its place.
struct Fitted {
    geometry: Geometry,
    used: u64,
    journal: u64,
}

impl Plan {
    pub(super) fn new(params: &Params, request: &Request<'_>) -> Result<Self, Error> {
        let inode_size = inode_size(params)?;
        let features = Features::of(params, inode_size)?;
        let hash_seed = Uuid::new_v5(&request.identity.seed, b"ext hash seed");
        let mut made = None;
        for block_size in block_sizes(params, request)? {
            let hash = NameHash::new(hash_seed.as_bytes(), SIGNED);
            let style = Style {
                block_size: block_size as usize,
                tail: features.has(CSUM),
                types: features.has(FILETYPE),
                hash: features.has(DIR_INDEX).then_some(hash),
            };
            let rules = Rules { features, style, inode_size };
            let rows = Rows::new(&request.tree, &rules)?;
            let inodes = rows.count();
            let mut trial = Trial { params, features, inode_size, block_size, rows, rules, inodes };
            let fitted = trial.fit(request.room)?;
            let len = fitted.geometry.blocks * u64::from(block_size);
            made = Some((trial, fitted));
            if len < SMALL {
                break;
            }
        }
        let (trial, fitted) = made.ok_or_else(|| refused("no block size".to_owned()))?;
        let blocks = fitted.geometry.blocks;
        let (percent, len) = match request.room {
            Room::Exactly(bytes) => (5, bytes),
            Room::Fit { .. } => (0, blocks * u64::from(trial.block_size)),
        };
        let percent = u64::from(params.reserved_percent.unwrap_or(percent));
        if percent > 50 {
            return Err(refused(format!("{percent}% of the blocks reserved, at most 50")));
        }
        Ok(Self {
            tree: Arc::clone(&request.tree),
            rows: trial.rows,
            rules: trial.rules,
            geometry: fitted.geometry,
            used: fitted.used,
            journal: fitted.journal,
            reserved: blocks * percent / 100,
            label: label(&request.identity)?,
            uuid: uuid(&request.identity)?,
            hash_seed,
            time: request.time,
            boot: params.boot.clone(),
            len,
        })
    }
}

impl Trial<'_> {
    fn fit(&mut self, room: Room) -> Result<Fitted, Error> {
        match room {
            Room::Exactly(bytes) => self.exactly(bytes),
            Room::Fit { percent, bytes } => {
                let more = self.inodes.saturating_mul(u64::from(percent)) / 100;
                self.inodes += more;
                self.smallest(percent, bytes)
            }
        }
    }

    fn exactly(&mut self, bytes: u64) -> Result<Fitted, Error> {
        let blocks = bytes / u64::from(self.block_size);
        let usual = RATIOS.iter().find(|(below, _)| bytes < *below).map_or(RATIO, |(_, r)| *r);
        // More inodes than a measured size has only if there is room for them.
        for ratio in [usual, RATIO] {
            if let Ok(fitted) = self.at(blocks, ratio)? {
                return Ok(fitted);
            }
        }
        let needed = self.smallest(0, 0)?.geometry.blocks * u64::from(self.block_size);
        Err(Error::new(
            Kind::NoSpace,
            format!("ext: the tree needs {needed} bytes, the filesystem has {bytes}"),
        ))
    }

    fn smallest(&mut self, percent: u32, bytes: u64) -> Result<Fitted, Error> {
        let limit = self.limit();
        let mut blocks = self.wanted(self.rows.least(), (percent, bytes)).max(64);
        let headroom = (percent, bytes);
        loop {
            if blocks > limit {
                let message = format!("{blocks} blocks, at most {limit} without the feature 64bit");
                return Err(refused(message));
            }
            match self.with_room(blocks, headroom)? {
                Ok(fitted) => return self.smaller(fitted, headroom),
                // One block more is one block more for contents at most.
                Err(short) => blocks = blocks.saturating_add(short.max(1)),
            }
        }
    }

    /// One block less, as long as that is enough, too: numbers of inodes and journals jump.
    fn smaller(&mut self, mut fitted: Fitted, headroom: (u32, u64)) -> Result<Fitted, Error> {
        loop {
            let blocks = fitted.geometry.blocks;
            match self.with_room(blocks - 1, headroom)? {
                Ok(less) if less.geometry.blocks < blocks => fitted = less,
                _ => {
                    // The rows still hold the last trial.
                    return self.with_room(blocks, headroom)?.map_err(|short| {
                        refused(format!("{short} blocks are missing that were there before"))
                    });
                }
            }
        }
    }

    fn with_room(
        &mut self,
        blocks: u64,
        (percent, bytes): (u32, u64),
    ) -> Result<Result<Fitted, u64>, Error> {
        let fitted = match self.at(blocks, RATIO)? {
            Ok(fitted) => fitted,
            Err(short) => return Ok(Err(short)),
        };
        let wanted = self.wanted(fitted.used, (percent, bytes));
        let short = wanted.saturating_sub(fitted.geometry.contents());
        Ok(if short > 0 { Err(short) } else { Ok(fitted) })
    }

    /// Blocks that are used, with those that are to be free.
    fn wanted(&self, used: u64, (percent, bytes): (u32, u64)) -> u64 {
        let more = used.saturating_mul(u64::from(percent)).div_ceil(100);
        used.saturating_add(more).saturating_add(bytes.div_ceil(u64::from(self.block_size)))
    }

    /// Everything at a size; how many blocks are missing if it has no place.
    fn at(&mut self, blocks: u64, ratio: u64) -> Result<Result<Fitted, u64>, Error> {
        if blocks > self.limit() {
            let limit = self.limit();
            let message = format!("{blocks} blocks, at most {limit} without the feature 64bit");
            return Err(refused(message));
        }
        let bytes = blocks * u64::from(self.block_size);
        let usual = match self.params.inodes {
            Some(Inodes::Count(count)) => count,
            Some(Inodes::Ratio(ratio)) => bytes / ratio.max(1024),
            None => bytes / ratio,
        };
        if let Some(Inodes::Count(count)) = self.params.inodes
            && count > MOST_INODES
        {
            return Err(refused(format!("{count} inodes, at most {MOST_INODES}")));
        }
        let inodes = self.inodes.max(usual.min(MOST_INODES));
        let (features, inode_size) = (self.features, self.inode_size);
        let mut shape = Shape { features, block_size: self.block_size, inode_size, inodes, blocks };
        let journal = self.journal(blocks)?;
        shape.features.set(JOURNAL, journal > 0);
        let Some(geometry) = Geometry::new(shape) else {
            return Ok(Err(shape.least().saturating_sub(blocks).max(1)));
        };
        let used = self.rows.place(&geometry, journal);
        let short = used.saturating_sub(geometry.contents());
        Ok(if short > 0 { Err(short) } else { Ok(Fitted { geometry, used, journal }) })
    }

    fn limit(&self) -> u64 {
        if self.features.has(B64) { 1 << 48 } else { u64::from(u32::MAX) }
    }

    /// Blocks of the journal.
    fn journal(&self, blocks: u64) -> Result<u64, Error> {
        if !self.features.has(JOURNAL) {
            return match self.params.journal {
                None | Some(0) => Ok(0),
                Some(_) => Err(refused("a journal's size without has_journal".to_owned())),
            };
        }
        let usual = JOURNALS.iter().find(|(below, _)| blocks < *below).map_or(0, |(_, n)| *n);
        let Some(bytes) = self.params.journal else { return Ok(usual) };
        let wanted = bytes / u64::from(self.block_size);
        // What jbd2 takes at least, and e2fsck at most.
        if !(LEAST_JOURNAL..=10_240_000).contains(&wanted) {
            let message = format!(
                "a journal of {bytes} bytes is {wanted} blocks, allowed are {LEAST_JOURNAL} to \
                 10240000"
            );
            return Err(refused(message));
        }
        Ok(wanted)
    }
}

fn inode_size(params: &Params) -> Result<u16, Error> {
    let usual = if params.features == Base::None { 128 } else { 256 };
    match params.inode_size.unwrap_or(usual) {
        size @ (128 | 256) => Ok(size),
        other => Err(refused(format!("inodes of {other} bytes, allowed are 128 and 256"))),
    }
}

/// Block sizes in the order in which they are tried: a larger one where the result is not small.
fn block_sizes(params: &Params, request: &Request<'_>) -> Result<Vec<u32>, Error> {
    if let Some(size) = params.block_size {
        if ![1024, 2048, 4096].contains(&size) {
            let message = format!("blocks of {size} bytes, allowed are 1024, 2048 and 4096");
            return Err(refused(message));
        }
        if u64::from(size) < request.sector {
            let message = format!("blocks of {size} bytes on sectors of {}", request.sector);
            return Err(refused(message));
        }
        return Ok(vec![size]);
    }
    let large = match request.room {
        Room::Exactly(bytes) => bytes >= SMALL,
        Room::Fit { .. } => false,
    };
    let long_link = |tree: &Tree| {
        tree.walk().any(|step| {
            matches!(&tree.node(step.node).kind, NodeKind::Symlink(text) if text.len() >= 1024)
        })
    };
    if large || request.sector > 1024 || long_link(&request.tree) {
        return Ok(vec![4096]);
    }
    Ok(match request.room {
        Room::Exactly(_) => vec![1024],
        Room::Fit { .. } => vec![1024, 4096],
    })
}

fn label(identity: &Identity) -> Result<[u8; 16], Error> {
    let text = identity.label.as_deref().unwrap_or_default().as_bytes();
    let mut label = [0; 16];
    match label.get_mut(..text.len()) {
        Some(place) if !text.contains(&0) => place.copy_from_slice(text),
        _ => {
            let message = format!(
                "the label \"{}\" has {} bytes, at most 16 without a zero",
                text.escape_ascii(),
                text.len()
            );
            return Err(refused(message));
        }
    }
    Ok(label)
}

fn uuid(identity: &Identity) -> Result<Uuid, Error> {
    let Some(text) = &identity.uuid else {
        return Ok(Uuid::new_v5(&identity.seed, b"ext uuid"));
    };
    Uuid::parse_str(text).map_err(|_| refused(format!("\"{text}\" is no UUID")))
}

fn refused(message: String) -> Error {
    Error::new(Kind::Document, format!("ext: {message}"))
}
