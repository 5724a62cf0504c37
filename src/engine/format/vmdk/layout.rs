//! Where the tables of a sparse extent lie, as QEMU and VMware's programs lay them out.
//!
//! Writes nothing. Invariant: all numbers are sectors; a place is known from the capacity alone.

use super::check_len;
use super::ondisk::{DESCRIPTOR_SECTORS, GRAIN, GTES, MAX_DIRECTORY};
use crate::engine::base::{Error, Kind};
use crate::units::SECTOR;

/// Bytes of a grain.
pub(super) const GRAIN_BYTES: u64 = GRAIN * SECTOR;

/// Sectors of a grain table.
pub(super) const TABLE_SECTORS: u64 = GTES as u64 * 4 / SECTOR;

/// Entries of tables count sectors with 32 bits.
pub(super) const MAX_SECTORS: u64 = u32::MAX as u64;

/// The tables of a sparse extent of this capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) capacity: u64,
    /// Number of grain tables.
    pub(super) tables: u64,
    /// Sectors of the grain directory.
    pub(super) directory: u64,
}

impl Layout {
    /// The layout for a medium of `len` bytes, which must be whole sectors and not none.
    pub(super) fn new(len: u64) -> Result<Self, Error> {
        let capacity = check_len(len)?;
        let tables = capacity.div_ceil(GRAIN * u64::from(GTES));
        if tables > MAX_DIRECTORY {
            let message = format!(
                "a vmdk disk of {len} bytes needs {tables} grain tables; at most {MAX_DIRECTORY} \
                 are allowed"
            );
            return Err(Error::new(Kind::Document, message));
        }
        let directory = (tables * 4).div_ceil(SECTOR);
        Ok(Self { capacity, tables, directory })
    }

    /// As `new`, for a file that a guest may fill: all of it must be within reach.
    pub(super) fn growing(len: u64) -> Result<Self, Error> {
        let layout = Self::new(len)?;
        let end = layout.over_head() + layout.capacity.next_multiple_of(GRAIN);
        if end > MAX_SECTORS {
            let message = format!(
                "a vmdk disk of {len} bytes needs {end} sectors in subformat monolithicSparse; \
                 its tables reach {MAX_SECTORS} (2 TiB): monolithicFlat or streamOptimized can"
            );
            return Err(Error::new(Kind::Document, message));
        }
        Ok(layout)
    }

    /// The redundant directory, which its tables follow.
    pub(super) const fn redundant(self) -> u64 {
        1 + DESCRIPTOR_SECTORS
    }

    /// The directory, which its tables follow.
    pub(super) const fn main(self) -> u64 {
        self.redundant() + self.directory + self.tables * TABLE_SECTORS
    }

    /// The first table behind a directory at `directory`.
    pub(super) const fn first_table(self, directory: u64) -> u64 {
        directory + self.directory
    }

    /// Sectors before the first grain.
    pub(super) const fn over_head(self) -> u64 {
        (self.first_table(self.main()) + self.tables * TABLE_SECTORS).next_multiple_of(GRAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_lie_where_qemu_puts_them() {
        // 40 MiB and a sector, as qemu-img 7.2 lays it out.
        let layout = Layout::growing((40 << 20) + 512).unwrap();
        assert_eq!((layout.tables, layout.directory), (2, 1));
        assert_eq!((layout.redundant(), layout.main(), layout.over_head()), (21, 30, 128));
        // 1 TiB: a file of 134 545 408 bytes.
        assert_eq!(Layout::growing(1 << 40).unwrap().over_head() * SECTOR, 134_545_408);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (len, says) in [(0, "0 bytes"), (513, "513 bytes are not whole sectors")] {
            assert!(Layout::new(len).unwrap_err().to_string().contains(says));
        }
        let most = (MAX_SECTORS - (MAX_SECTORS % GRAIN)) * SECTOR;
        let error = Layout::growing(most).unwrap_err();
        assert!(error.to_string().contains("streamOptimized can"), "{error}");
        assert!(Layout::growing(most - (512 << 20)).is_ok());
        assert!(Layout::new(128 << 40).is_ok());
        let error = Layout::new((128 << 40) + 512).unwrap_err();
        assert!(error.to_string().contains("4194305 grain tables"), "{error}");
    }
}
