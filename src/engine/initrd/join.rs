//! Archives one after the other in one initrd, as a boot loader hands it over; and the early archive,
//! in which Linux finds microcode before it can decompress anything.
//!
//! Linux: Documentation/driver-api/early-userspace/buffer-format.rst ("initramfs := ("\0" |
//! cpio_archive | cpio_gzip_archive)*") and Documentation/arch/x86/microcode.rst. Invariants: members
//! begin at multiples of 512; behind a compressed one that is not the last there are at least 4 zeros,
//! by which Linux' LZ4 decoder tells the end of a frame (seen with 6.1; decoders of old kernels take an
//! LZ4 frame as the last member only).

use std::sync::Arc;

use super::newc::{Params, Times, archive};
use super::ondisk::BLOCK;
use super::pack::{Compression, pack};
use crate::engine::base::tree::Tree;
use crate::engine::base::{
    Composed, Content, Error, Extent, Kind, Origin, PositionalSink as _, Region, Scratch,
    SectorSource, Spool, StreamSink, Work,
};

/// What microcode is aligned to where a processor loads it (Intel SDM, volume 3, "Microcode Update
/// Facilities"): Linux may load it out of the early archive, where it lies.
const MICROCODE_ALIGN: u64 = 16;

/// Zeros by which a decoder sees the end of a member.
const GAP: u64 = 4;

/// A part of an initrd.
#[derive(Clone, Debug)]
pub struct Member {
    bytes: Arc<dyn SectorSource>,
    origin: Origin,
}

impl Member {
    /// An archive, compressed or not, as somebody else made it: a file given by the user.
    #[must_use]
    pub fn ready(bytes: Arc<dyn SectorSource>, origin: Origin) -> Self {
        Self { bytes, origin }
    }

    /// The archive of a tree. A compressed one is made now, into a temporary file.
    pub fn build(
        tree: &Tree,
        params: &Params,
        compression: Compression,
        scratch: &Scratch,
        work: &Work<'_>,
    ) -> Result<Self, Error> {
        let origin = tree.origin(Tree::ROOT).clone();
        let made = archive(tree, params)?;
        if compression == Compression::None {
            return Ok(Self { bytes: Arc::new(made), origin });
        }
        let mut sink = Spooled { spool: scratch.spool()?, at: 0 };
        pack(&made, compression, &mut sink, work)?;
        Ok(Self { bytes: Arc::new(sink.spool), origin })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Arc<dyn SectorSource> {
        &self.bytes
    }
}

/// The early archive of a tree such as `kernel/x86/microcode/GenuineIntel.bin`: never compressed, its
/// bodies where processors take them. It must be the first member.
pub fn early(tree: &Tree, times: Times) -> Result<Member, Error> {
    let params = Params { times, align: MICROCODE_ALIGN };
    let made = archive(tree, &params)?;
    Ok(Member { bytes: Arc::new(made), origin: tree.origin(Tree::ROOT).clone() })
}

/// One initrd of these members; at least one.
pub fn join(members: Vec<Member>) -> Result<Arc<dyn SectorSource>, Error> {
    if let [only] = members.as_slice() {
        return Ok(Arc::clone(&only.bytes));
    }
    if members.is_empty() {
        return Err(Error::new(Kind::Document, "an initrd has at least one archive"));
    }
    let (mut at, mut end, mut regions) = (0u64, 0, Vec::with_capacity(members.len()));
    for member in members {
        let place = Extent::new(at, at.saturating_add(member.bytes.len()));
        let Some(extent) = place else {
            let message = "an archive of an initrd is empty";
            return Err(Error::new(Kind::Input, message).at(&member.origin));
        };
        let plain = begins_plain(&*member.bytes)?;
        regions.push(Region {
            extent,
            content: Content::Sectors(member.bytes),
            origin: member.origin,
        });
        end = extent.end();
        at = end.saturating_add(if plain { 0 } else { GAP }).next_multiple_of(BLOCK);
    }
    Ok(Arc::new(Composed::new(end, regions)))
}

/// Whether it begins with a cpio header, so is not compressed.
fn begins_plain(source: &dyn SectorSource) -> Result<bool, Error> {
    let mut first = [0; 1];
    source.read_at(0, &mut first)?;
    Ok(first == *b"0")
}

/// A temporary file that is written from its front.
struct Spooled {
    spool: Spool,
    at: u64,
}

impl StreamSink for Spooled {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.spool.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
