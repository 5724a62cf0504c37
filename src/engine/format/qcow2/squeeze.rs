//! Compresses the clusters of a batch, before they have places.
//!
//! Writes nothing but what it is told to. Invariant: the bytes depend on those of the batch alone.

use super::geometry::Geometry;
use crate::engine::base::{Error, Extent, PositionalSink, SectorSource, is_zero};
use crate::engine::codec::Compressor;

/// A batch whose clusters are compressed but have no place yet.
pub(super) struct Squeezed {
    pub(super) extent: Extent,
    pub(super) pieces: Vec<Piece>,
    /// The bytes of all pieces in order.
    pub(super) bytes: Vec<u8>,
}

/// A cluster that is not zero.
pub(super) struct Piece {
    pub(super) guest: u64,
    pub(super) len: usize,
    pub(super) packed: bool,
}

/// Reads a batch and compresses its clusters. The last cluster of a medium is filled with zeros.
pub(super) fn squeeze(
    source: &dyn SectorSource,
    geometry: Geometry,
    extent: Extent,
    compressor: &mut Compressor,
    buffer: &mut Vec<u8>,
) -> Result<Squeezed, Error> {
    let whole = geometry.clusters_of(extent.len()) * geometry.cluster();
    buffer.resize(whole as usize, 0);
    let (read, padding) = buffer.split_at_mut(extent.len() as usize);
    source.read_at(extent.start(), read)?;
    padding.fill(0);
    let mut squeezed = Squeezed { extent, pieces: Vec::new(), bytes: Vec::new() };
    let first = extent.start() / geometry.cluster();
    for (guest, block) in (first..).zip(buffer.chunks_exact(geometry.cluster_len())) {
        if is_zero(block) {
            continue;
        }
        let packed = compressor.compress(block)?;
        let bytes = packed.unwrap_or(block);
        squeezed.bytes.extend_from_slice(bytes);
        let packed = packed.is_some();
        squeezed.pieces.push(Piece { guest, len: bytes.len(), packed });
    }
    Ok(squeezed)
}

/// Pieces that are neighbours in the file as well as in their batch.
#[derive(Default)]
pub(super) struct Run {
    pub(super) host: u64,
    pub(super) from: usize,
    pub(super) len: usize,
}

impl Run {
    pub(super) fn write(&self, bytes: &[u8], sink: &dyn PositionalSink) -> Result<(), Error> {
        match bytes.get(self.from..self.from + self.len) {
            Some(bytes) if self.len > 0 => sink.write_at(self.host, bytes),
            _ => Ok(()),
        }
    }
}
