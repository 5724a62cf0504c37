//! The superblock and the inodes of an erofs, made when they are read.
//!
//! Decides no place. Invariant: what is made for a part of the inodes' blocks does not depend on which
//! part is asked for.

use zerocopy::IntoBytes as _;

use super::layout::{chunks, encode_device, index_at, inode_len, links};
use super::ondisk::{
    BLOCK, BLOCK_LEN, CHECKSUM, CHUNKED, CHUNKS, Compact, Extended, HOLE, INLINE, LZ4_PADDING,
    MAGIC, MODES, MTIME, MapHead, PACKED_FULL, SLOT, SUPERBLOCK_AT, Superblock,
};
use super::write::Laid;
use super::{attributes, directory};
use crate::engine::base::tree::{Kind, NodeId, Tree};
use crate::engine::base::{Error, Extent, SectorSource as _};

/// Copies what `bytes`, which lie at `at`, and `buffer`, which lies at `offset`, have in common.
pub(super) fn overlay(buffer: &mut [u8], offset: u64, at: u64, bytes: &[u8]) {
    let wanted = Extent::new(offset, offset + buffer.len() as u64);
    let held = Extent::new(at, at + bytes.len() as u64);
    let Some(common) = wanted.and_then(|wanted| held?.intersect(wanted)) else { return };
    let from = bytes.get((common.start() - at) as usize..(common.end() - at) as usize);
    let into = buffer.get_mut((common.start() - offset) as usize..(common.end() - offset) as usize);
    if let (Some(into), Some(from)) = (into, from) {
        into.copy_from_slice(from);
    }
}

impl Laid {
    pub(super) fn superblock(&self) -> Vec<u8> {
        let packed = if self.packed.data.is_some() { LZ4_PADDING } else { 0 };
        let chunked = if self.layout.chunked { CHUNKED } else { 0 };
        let mut head = Superblock {
            magic: MAGIC.into(),
            checksum: 0.into(),
            compatible: (CHECKSUM | MTIME).into(),
            block_bits: BLOCK.trailing_zeros() as u8,
            slots: 0,
            // OK to cast: the root is the first inode.
            root: (self.place(Tree::ROOT).slot as u16).into(),
            inodes: (self.layout.nodes.len() as u64).into(),
            made: self.time.seconds.cast_unsigned().into(),
            made_nanos: self.time.nanos.into(),
            // OK to cast: the layout counts blocks in 32 bits.
            blocks: (self.layout.end as u32).into(),
            metadata: (self.layout.metadata as u32).into(),
            attributes: 0.into(),
            uuid: *self.uuid.as_bytes(),
            label: self.label,
            incompatible: (packed | chunked).into(),
            lz4_distance: (if packed == 0 { 0 } else { u16::MAX }).into(),
            devices: 0.into(),
            devices_at: 0.into(),
            reserved: [0; 38],
        };
        let mut block = vec![0; BLOCK_LEN - SUPERBLOCK_AT as usize];
        overlay(&mut block, 0, 0, head.as_bytes());
        head.checksum = (!crc32c::crc32c(&block)).into();
        overlay(&mut block, 0, 0, head.as_bytes());
        block
    }

    /// The inode with its attributes.
    fn inode(&self, id: NodeId) -> Result<Vec<u8>, Error> {
        let (node, place) = (self.tree.node(id), self.place(id));
        let len = place.len;
        let kind = directory::kind(&node.kind);
        let kind = MODES.iter().find(|(_, known)| *known == kind).map_or(0, |(mode, _)| *mode);
        let own = match &node.kind {
            Kind::CharDevice(device) | Kind::BlockDevice(device) => encode_device(*device)?,
            _ if place.layout == CHUNKS => place.form.into(),
            _ => self.packed.file(id).map_or(place.block, |file| file.blocks),
        };
        let format = place.layout << 1 | u16::from(place.extended);
        // OK to cast: compared by the layout.
        let units = attributes::units(place.attributes as usize) as u16;
        let mode = kind | node.meta.mode;
        let number = id.index() as u32 + 1;
        let links = links(&self.tree, id);
        let mut bytes = if place.extended {
            let time = node.meta.modified;
            let inode = Extended {
                format: format.into(),
                attributes: units.into(),
                mode: mode.into(),
                reserved: 0.into(),
                size: len.into(),
                place: own.into(),
                number: number.into(),
                uid: node.meta.uid.into(),
                gid: node.meta.gid.into(),
                modified: time.seconds.cast_unsigned().into(),
                modified_nanos: time.nanos.into(),
                links: links.into(),
                reserved2: [0; 16],
            };
            inode.as_bytes().to_vec()
        } else {
            // OK to cast, all of them: the layout says that the short form holds them.
            let inode = Compact {
                format: format.into(),
                attributes: units.into(),
                mode: mode.into(),
                links: (links as u16).into(),
                size: (len as u32).into(),
                reserved: 0.into(),
                place: own.into(),
                number: number.into(),
                uid: (node.meta.uid as u16).into(),
                gid: (node.meta.gid as u16).into(),
                reserved2: 0.into(),
            };
            inode.as_bytes().to_vec()
        };
        if place.attributes > 0
            && let Some(attributes) = node.attributes.as_deref()
        {
            attributes::put(attributes, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// Fills `buffer`, which lies at `offset`, with what the node has among the inodes.
    fn meta(&self, id: NodeId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let place = self.place(id);
        let at = self.layout.metadata * BLOCK + u64::from(place.slot) * SLOT;
        let head = inode_len(place.extended) + u64::from(place.attributes);
        let end = offset + buffer.len() as u64;
        if at < end && at + head > offset {
            overlay(buffer, offset, at, &self.inode(id)?);
        }
        let len = place.len;
        match place.layout {
            INLINE => {
                let mut tail = vec![0; (len % BLOCK) as usize];
                if at + head < end && at + head + tail.len() as u64 > offset {
                    self.data(id, len - len % BLOCK, &mut tail)?;
                    overlay(buffer, offset, at + head, &tail);
                }
            }
            PACKED_FULL => {
                let map = MapHead {
                    reserved: 0.into(),
                    advise: 0.into(),
                    algorithms: 0,
                    cluster_bits: 0,
                };
                overlay(buffer, offset, at + head.next_multiple_of(8), map.as_bytes());
                let from = at + index_at(head);
                let found = self.packed.file(id).zip(self.packed.index.as_ref());
                let all = Extent::new(from, from + len.div_ceil(BLOCK) * 8);
                let common = Extent::new(offset, end).and_then(|wanted| all?.intersect(wanted));
                if let Some(((file, index), common)) = found.zip(common) {
                    let mut part = vec![0; common.len() as usize];
                    index.read_at(file.index + common.start() - from, &mut part)?;
                    overlay(buffer, offset, common.start(), &part);
                }
            }
            CHUNKS => {
                let from = at + head.next_multiple_of(4);
                let size = BLOCK << place.form;
                if let Some(chunks) = chunks(&self.tree, id, place.form.into()) {
                    let mut list = vec![0xff; len.div_ceil(size) as usize * 4];
                    debug_assert_eq!(HOLE, u32::MAX);
                    for ((first, end), block) in chunks.placed() {
                        for chunk in first..end {
                            let block =
                                u64::from(place.block) + block + ((chunk - first) << place.form);
                            overlay(&mut list, 0, chunk * 4, &(block as u32).to_le_bytes());
                        }
                    }
                    overlay(buffer, offset, from, &list);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Fills a part of the inodes' blocks.
    pub(super) fn metadata(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let start = self.layout.metadata * BLOCK;
        let end = offset + buffer.len() as u64;
        let at = |id: &NodeId| start + u64::from(self.place(*id).slot) * SLOT;
        // The one before may reach into it: a node lies right behind the one before.
        let first = self.layout.nodes.partition_point(|id| at(id) <= offset).saturating_sub(1);
        let nodes = self.layout.nodes.iter().skip(first).take_while(|id| at(id) < end);
        nodes.copied().try_for_each(|id| self.meta(id, offset, buffer))
    }
}
