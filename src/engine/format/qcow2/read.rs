//! Reads an untrusted qcow2 file as a medium.
//!
//! Opens other files through its gate only; reads no snapshot and no reference count. Invariants:
//! never panics, every offset is checked before it is used; memory is the L1 table (at most
//! 32 MiB), a few L2 tables and twice `WINDOW`, whatever the file says.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map as Members, Value, json};

use super::check::{Subject, check};
use super::details::Details;
use super::map::{Map, Piece, What};
use super::names::{open_backing, open_data_file};
use super::parse::{Layout, parse};
use super::unpack::{Unpacker, Wanted};
use super::{Compat, Compression, Params};
use crate::engine::base::{Deny, Error, Extent, Gate, Kind, SectorSource, Work, within};
use crate::engine::codec::Method;
use crate::engine::format::image;
use crate::engine::format::{self, Census, Findings, FormatName};

/// Bytes of the virtual disk that are read at once: two of the largest clusters.
const WINDOW: usize = 4 << 20;

/// An extent is not looked for further than this, so that asking for all takes linear time.
const LONGEST_EXTENT: u64 = 512 << 20;

/// An open qcow2 file: its virtual disk as a medium.
pub struct Image {
    source: Arc<dyn SectorSource>,
    /// The external data file.
    data: Option<Arc<dyn SectorSource>>,
    backing: Option<Arc<dyn SectorSource>>,
    details: Details,
    layout: Layout,
    map: Map,
    unpacker: Unpacker,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("details", &self.details).finish_non_exhaustive()
    }
}

impl Image {
    /// Judges the header of `source` and reads the L1 table. A file that names others is refused.
    pub fn open(source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        Self::open_with(source, &Deny)
    }

    /// As `open`; files that the header names go through `gate`.
    pub fn open_with(source: Arc<dyn SectorSource>, gate: &dyn Gate) -> Result<Self, Error> {
        Self::open_below(source, gate, 0)
    }

    /// As `open_with`, as the backing file number `depth` of a chain.
    pub(super) fn open_below(
        source: Arc<dyn SectorSource>,
        gate: &dyn Gate,
        depth: usize,
    ) -> Result<Self, Error> {
        let parsed = parse(&*source)?;
        let data = open_data_file(&parsed, gate)?;
        let backing = open_backing(&parsed, gate, depth)?;
        let map = Map::open(Arc::clone(&source), &parsed, data.as_ref().map(|data| data.len()))?;
        let method = match parsed.details.compression {
            Compression::Zstd => Method::Zstd,
            Compression::Zlib | Compression::None => Method::Deflate,
        };
        let unpacker = Unpacker::new(parsed.geometry, method);
        let (details, layout) = (parsed.details, parsed.layout);
        Ok(Self { source, data, backing, details, layout, map, unpacker })
    }

    /// What the header says.
    #[must_use]
    pub const fn header(&self) -> &Details {
        &self.details
    }

    /// Reads from the file that holds the data; what lies behind its end is zero, as the last
    /// cluster need not be whole.
    fn read_host(&self, at: u64, part: &mut [u8]) -> Result<(), Error> {
        read_or_zero(&**self.data.as_ref().unwrap_or(&self.source), at, part)
    }

    /// Reads what lies below: zeros without a backing file.
    fn read_below(&self, at: u64, part: &mut [u8]) -> Result<(), Error> {
        match &self.backing {
            Some(backing) => read_or_zero(&**backing, at, part),
            None => {
                part.fill(0);
                Ok(())
            }
        }
    }

    /// Fills `buffer`, at most `WINDOW` bytes from `offset`.
    fn read_window(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let cluster = self.details.cluster_size;
        let mut at = offset;
        let mut rest = buffer;
        let mut packed = Vec::new();
        for (what, len) in self.plan(offset, rest.len() as u64)? {
            let (part, behind) = rest.split_at_mut(len as usize);
            rest = behind;
            match what {
                What::Zero => part.fill(0),
                What::Below => self.read_below(at, part)?,
                What::Host(host) => self.read_host(host, part)?,
                What::Packed(place) => {
                    packed.push(Wanted { place, from: (at % cluster) as usize, part });
                }
            }
            at += len;
        }
        self.unpacker.fill(&*self.source, packed)
    }

    /// What the bytes are, with neighbours of one sort put together.
    fn plan(&self, offset: u64, len: u64) -> Result<Vec<(What, u64)>, Error> {
        let mut plan: Vec<(What, u64)> = Vec::new();
        for Piece { len, what, .. } in self.map.pieces(offset, offset + len) {
            let what = what?;
            match (plan.last_mut(), what) {
                (Some((What::Zero, so_far)), What::Zero)
                | (Some((What::Below, so_far)), What::Below) => *so_far += len,
                (Some((What::Host(from), so_far)), What::Host(host)) if *from + *so_far == host => {
                    *so_far += len;
                }
                _ => plan.push((what, len)),
            }
        }
        Ok(plan)
    }

    /// The part of a piece that may hold something other than zeros. What cannot be told may: the
    /// error then comes when it is read.
    fn data_in(&self, piece: &Piece) -> Option<Extent> {
        let whole = Extent::new(piece.start, piece.start + piece.len)?;
        match piece.what {
            Ok(What::Zero) => None,
            Ok(What::Below) => self.backing.as_ref()?.next_extent(whole.start())?.intersect(whole),
            Ok(What::Host(_) | What::Packed(_)) | Err(_) => Some(whole),
        }
    }
}

/// Reads what is there; the rest is zero.
fn read_or_zero(source: &dyn SectorSource, at: u64, part: &mut [u8]) -> Result<(), Error> {
    let there = source.len().saturating_sub(at).min(part.len() as u64);
    let (read, behind) = part.split_at_mut(there as usize);
    behind.fill(0);
    if read.is_empty() { Ok(()) } else { source.read_at(at, read) }
}

impl SectorSource for Image {
    fn len(&self) -> u64 {
        self.details.virtual_size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        within(self.len(), offset, buffer.len(), Kind::Io)?;
        let mut at = offset;
        for window in buffer.chunks_mut(WINDOW) {
            self.read_window(at, window)?;
            at += window.len() as u64;
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let mut found: Option<Extent> = None;
        for piece in self.map.pieces(offset, self.len()) {
            let data = self.data_in(&piece);
            found = match (found, data) {
                (None, data) => data,
                (Some(found), Some(data)) if data.start() == found.end() => {
                    Extent::new(found.start(), data.end())
                }
                (Some(_), _) => break,
            };
            if found.is_some_and(|found| found.len() >= LONGEST_EXTENT) {
                break;
            }
        }
        found
    }
}

impl image::Image for Image {
    fn format(&self) -> FormatName {
        FormatName::Qcow2
    }

    fn details(&self) -> Members<String, Value> {
        let details = &self.details;
        let zstd = details.compression == Compression::Zstd;
        let mut members: Members<String, Value> = [
            ("version", json!(details.version)),
            ("clusterSize", json!(details.cluster_size)),
            ("compressionType", json!(if zstd { "zstd" } else { "zlib" })),
            ("refcountBits", json!(details.refcount_bits)),
            ("features", json!(details.features())),
            ("snapshots", json!(details.snapshots)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        let named = [("backingFile", &details.backing_file), ("dataFile", &details.data_file)];
        for (name, file) in named {
            if let Some(file) = file {
                members.insert(name.to_owned(), json!(file));
            }
        }
        members
    }

    /// As compressed as the file is: with its method if it has compressed clusters.
    fn params(&self) -> format::Params {
        let details = &self.details;
        let packed = self.map.census().is_ok_and(|census| census.compressed > 0);
        format::Params::Qcow2(Params {
            compat: if details.version == 2 { Compat::V2 } else { Compat::V3 },
            cluster_size: details.cluster_size,
            compression: if packed { details.compression } else { Compression::None },
            lazy_refcounts: details.lazy_refcounts,
            ..Params::default()
        })
    }

    fn census(&self) -> Result<Census, Error> {
        self.map.census()
    }

    fn check(&self, work: &Work<'_>) -> Result<Findings, Error> {
        check(
            &Subject { source: &*self.source, rules: self.map.rules(), layout: &self.layout },
            work,
        )
    }
}
