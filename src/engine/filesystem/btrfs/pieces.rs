//! Places for the data of files, one behind the other in the order of inodes.
//!
//! Reads no contents. Invariants: holes get no place; a piece never crosses a superblock or the end
//! of a chunk.

use std::sync::Arc;

use super::ondisk::FileExtent;
use super::shape::{Piece, Shape};
use super::space;
use crate::engine::base::tree::Kind;
use crate::engine::base::{Content, Error, Kind as ErrorKind};

impl Shape {
    /// Finds places for what a row holds.
    pub(super) fn place(&mut self, row: usize) -> Result<(), Error> {
        self.first_piece.push(self.pieces.len() as u32);
        let Some(id) = self.order.get(row).copied() else { return Ok(()) };
        let tree = Arc::clone(&self.tree);
        match &tree.node(id).kind {
            Kind::Symlink(target) => self.inline_link(target),
            Kind::File(content) => self.place_file(content),
            Kind::CharDevice(device) | Kind::BlockDevice(device)
                if device.major >= 1 << 12 || device.minor >= 1 << 20 =>
            {
                let message = format!(
                    "device {}:{}, but btrfs holds numbers up to 4095:1048575",
                    device.major, device.minor
                );
                Err(Error::new(ErrorKind::Document, message))
            }
            _ => Ok(()),
        }
    }

    fn inline_link(&mut self, target: &[u8]) -> Result<(), Error> {
        let room = (self.rules.item() - size_of::<FileExtent>()).min(4095);
        if target.is_empty() || target.len() > room || target.contains(&0) {
            let message = format!(
                "a symbolic link to {} bytes, but btrfs holds 1 to {room} bytes without a zero byte",
                target.len()
            );
            return Err(Error::new(ErrorKind::Document, message));
        }
        let disk = space::address(self.rules.data, self.data_used);
        self.pieces.push(Piece { offset: 0, disk, len: target.len() as u64, inline: true });
        Ok(())
    }

    fn place_file(&mut self, content: &Content) -> Result<(), Error> {
        let (len, sector) = (content.len(), self.rules.sector);
        if len > i64::MAX as u64 - sector {
            let message = format!("{len} bytes, but a file has at most 2^63 - 1");
            return Err(Error::new(ErrorKind::Document, message));
        }
        match content {
            Content::Late(late) => self.place_late(late.align, late.contiguous, len),
            Content::Bytes(_) => self.place_run(0, len, len),
            Content::Sectors(source) => {
                let mut at = 0;
                while let Some(extent) = source.next_extent(at).filter(|e| e.start() < len) {
                    // Extents that touch the same sector or each other become one.
                    let start = extent.start() / sector * sector;
                    let mut end = extent.end().min(len).next_multiple_of(sector);
                    while let Some(next) = source.next_extent(end).filter(|e| e.start() < len) {
                        if next.start() / sector * sector > end {
                            break;
                        }
                        end = next.end().min(len).next_multiple_of(sector);
                    }
                    self.place_run(start, end - start, len)?;
                    at = end;
                }
                Ok(())
            }
        }
    }

    /// Places data of a file of `len` bytes.
    fn place_run(&mut self, offset: u64, bytes: u64, len: u64) -> Result<(), Error> {
        let mut disk = space::address(self.rules.data, self.data_used);
        if len <= self.rules.max_inline && bytes > 0 {
            self.pieces.push(Piece { offset: 0, disk, len, inline: true });
            return Ok(());
        }
        let (mut offset, mut left) = (offset, bytes.next_multiple_of(self.rules.sector));
        while left > 0 {
            let len = space::contiguous(self.rules.data, self.data_used, left);
            self.pieces.push(Piece { offset, disk, len, inline: false });
            offset += len;
            left -= len;
            self.data_used = self.data_used.checked_add(len).ok_or_else(too_much)?;
            disk = space::address(self.rules.data, self.data_used);
        }
        if u32::try_from(self.pieces.len()).is_err() { Err(too_much()) } else { Ok(()) }
    }

    /// Places bytes that are computed for their place: never inside of the tree.
    fn place_late(&mut self, align: u64, contiguous: bool, len: u64) -> Result<(), Error> {
        let sector = self.rules.sector;
        let wanted = len.next_multiple_of(sector);
        let align = align.max(1);
        let fits = |used: u64| {
            let disk = space::address(self.rules.data, used);
            let piece = space::contiguous(self.rules.data, used, wanted);
            disk.is_multiple_of(align) && (!contiguous || piece >= wanted)
        };
        // Behind a superblock or the end of a chunk at the latest.
        let mut used = self.data_used;
        for _ in 0..1 << 20 {
            if fits(used) {
                self.data_used = used;
                let inline = std::mem::take(&mut self.rules.max_inline);
                let placed = self.place_run(0, len, len);
                self.rules.max_inline = inline;
                return placed;
            }
            used += sector;
        }
        let message = format!("{len} bytes in one piece at a multiple of {align} have no place");
        Err(Error::new(ErrorKind::Document, message))
    }
}

fn too_much() -> Error {
    Error::new(ErrorKind::Document, "more data than a btrfs filesystem holds")
}
