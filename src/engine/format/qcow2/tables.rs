//! The L1 table and the L2 table that is being filled.
//!
//! Allocates an L2 table when its first cluster comes, and writes it when the next one begins.
//! Invariant: guest clusters come in ascending order. Memory: the L1 table (8 bytes per 512 MiB
//! of virtual size) and one L2 table.

use zerocopy::IntoBytes as _;
use zerocopy::big_endian::U64;

use super::alloc::Alloc;
use super::geometry::{ENTRY, Geometry};
use super::ondisk::ENTRY_COPIED;
use crate::engine::base::{Error, PositionalSink};

/// The mapping of guest clusters to host clusters.
#[derive(Debug)]
pub(super) struct Tables {
    geometry: Geometry,
    l1: Vec<U64>,
    l2: Vec<U64>,
    /// Index and offset of the L2 table that is being filled.
    current: Option<(u64, u64)>,
    /// Entries of it that may be set.
    used: usize,
}

impl Tables {
    pub(super) fn new(geometry: Geometry) -> Self {
        let zeros = |count: u64| vec![U64::ZERO; count as usize];
        Self {
            geometry,
            l1: zeros(geometry.l1_entries()),
            l2: zeros(geometry.l2_entries()),
            current: None,
            used: 0,
        }
    }

    /// Makes the L2 table of the cluster `guest` the one that is being filled. Returns how many
    /// clusters from `guest` on it maps.
    pub(super) fn enter(
        &mut self,
        guest: u64,
        alloc: &mut Alloc<'_>,
        sink: &dyn PositionalSink,
    ) -> Result<u64, Error> {
        let entries = self.geometry.l2_entries();
        let index = guest / entries;
        if self.current.is_none_or(|(current, _)| current != index) {
            self.flush(sink)?;
            let offset = alloc.clusters(1)?;
            self.current = Some((index, offset));
            if let Some(entry) = self.l1.get_mut(index as usize) {
                *entry = (offset | ENTRY_COPIED).into();
            }
        }
        Ok(entries - guest % entries)
    }

    /// Sets the entry of the cluster `guest`, whose table is being filled.
    pub(super) fn set(&mut self, guest: u64, entry: u64) {
        let index = (guest % self.geometry.l2_entries()) as usize;
        if let Some(place) = self.l2.get_mut(index) {
            *place = entry.into();
            self.used = index + 1;
        }
    }

    /// Writes the L2 table that is being filled, without the unused entries behind.
    fn flush(&mut self, sink: &dyn PositionalSink) -> Result<(), Error> {
        let Some((_, offset)) = self.current.take() else { return Ok(()) };
        let used = self.l2.get_mut(..self.used).unwrap_or_default();
        sink.write_at(offset, used.as_bytes())?;
        used.fill(U64::ZERO);
        self.used = 0;
        Ok(())
    }

    /// Writes what is left: the last L2 table, and the L1 table to `l1_offset`.
    pub(super) fn finish(mut self, l1_offset: u64, sink: &dyn PositionalSink) -> Result<(), Error> {
        self.flush(sink)?;
        let used = self.l1.iter().rposition(|entry| entry.get() != 0).map_or(0, |last| last + 1);
        match self.l1.get(..used) {
            Some(entries) if used > 0 => sink.write_at(l1_offset, entries.as_bytes()),
            _ => Ok(()),
        }
    }
}

/// Bytes of the L1 table. An empty disk has none, and no place for one.
pub(super) fn l1_bytes(geometry: Geometry) -> u64 {
    geometry.l1_entries() * ENTRY
}
