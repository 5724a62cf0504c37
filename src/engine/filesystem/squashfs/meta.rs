//! Metadata blocks: tables are cut into blocks of 8 KiB, each compressed for itself.
//!
//! Knows no table. Invariant: a place that was told stays where it is.

use zerocopy::{Immutable, IntoBytes};

use super::codec::Packer;
use super::ondisk::{META, META_STORED};
use crate::engine::base::{Error, Kind};

/// A table on its way to the disk.
#[derive(Debug)]
pub(super) struct MetaWriter {
    packer: Packer,
    open: Vec<u8>,
    done: Vec<u8>,
    /// Where each block begins.
    blocks: Vec<u64>,
}

impl MetaWriter {
    pub(super) fn new(packer: Packer) -> Self {
        Self { packer, open: Vec::with_capacity(META), done: Vec::new(), blocks: Vec::new() }
    }

    /// Where the next byte will lie: the block from the table's begin on, and the offset in it.
    pub(super) fn place(&self) -> Result<(u32, u16), Error> {
        let block = u32::try_from(self.done.len()).map_err(|_| {
            let len = self.done.len();
            let message = format!("a table of squashfs takes {len} bytes: 4 GiB are allowed");
            Error::new(Kind::Document, message)
        })?;
        // OK to cast: less than a metadata block.
        Ok((block, self.open.len() as u16))
    }

    /// The same in one number, as inodes are found.
    pub(super) fn reference(&self) -> Result<u64, Error> {
        let (block, offset) = self.place()?;
        Ok(u64::from(block) << 16 | u64::from(offset))
    }

    pub(super) fn put(
        &mut self,
        item: &(impl IntoBytes + Immutable + ?Sized),
    ) -> Result<(), Error> {
        let mut bytes = item.as_bytes();
        while !bytes.is_empty() {
            let room = (META - self.open.len()).min(bytes.len());
            let (now, rest) = bytes.split_at(room);
            self.open.extend_from_slice(now);
            bytes = rest;
            if self.open.len() == META {
                self.close()?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.blocks.push(self.done.len() as u64);
        let packed = self.packer.pack(&self.open)?;
        let (bytes, flag) = packed.map_or((self.open.as_slice(), META_STORED), |p| (p, 0));
        // OK to cast: at most a metadata block.
        self.done.extend_from_slice(&(bytes.len() as u16 | flag).to_le_bytes());
        self.done.extend_from_slice(bytes);
        self.open.clear();
        Ok(())
    }

    /// The table, and where each of its blocks begins.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Vec<u64>), Error> {
        if !self.open.is_empty() {
            self.close()?;
        }
        Ok((self.done, self.blocks))
    }
}
