//! Compressed extents of untrusted sectors.
//!
//! Invariant: an extent never becomes more bytes than it says, and never more than 128 KiB.

use flate2::{Decompress, FlushDecompress};
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::DParameter;

use super::damaged;
use super::superblock::unsupported;
use crate::engine::base::Error;

/// Bytes of a compressed extent at most, packed and unpacked (BTRFS_MAX_UNCOMPRESSED).
pub(super) const LARGEST: u64 = 128 << 10;

/// The largest window of zstd that is accepted: that of the largest extent.
const WINDOW: u32 = 17;

/// How an extent is compressed: section "EXTENT_DATA".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Zlib,
    Zstd,
}

impl Method {
    /// The method with this number; none for 0.
    pub(super) fn of(number: u8) -> Result<Option<Self>, Error> {
        match number {
            0 => Ok(None),
            1 => Ok(Some(Self::Zlib)),
            2 => Err(unsupported("an extent is compressed with LZO; zlib and zstd are read")),
            3 => Ok(Some(Self::Zstd)),
            other => Err(damaged(format!("compression {other}, not 0 to 3"))),
        }
    }

    /// Unpacks `packed`, behind whose end there may be zeros, into `len` bytes; what is missing is
    /// zero.
    pub(super) fn unpack(self, packed: &[u8], len: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; len];
        let bad =
            |why: &str| damaged(format!("a compressed extent of {} bytes {why}", packed.len()));
        match self {
            Self::Zlib => {
                let mut undo = Decompress::new(true);
                let done = undo.decompress(packed, &mut bytes, FlushDecompress::Finish);
                // A full buffer without an end: what is left over is not wanted.
                done.map_err(|_| bad("is no zlib stream"))?;
            }
            Self::Zstd => {
                let mut undo = Decoder::new().map_err(|_| bad("has no decompressor"))?;
                undo.set_parameter(DParameter::WindowLogMax(WINDOW))
                    .map_err(|_| bad("has no decompressor"))?;
                let mut input = InBuffer::around(packed);
                let mut output = OutBuffer::around(&mut bytes[..]);
                loop {
                    let before = (input.pos(), output.pos());
                    let left = undo.run(&mut input, &mut output);
                    let left = left.map_err(|_| bad("is no zstd frame"))?;
                    if left == 0 || output.pos() == len || before == (input.pos(), output.pos()) {
                        break;
                    }
                }
            }
        }
        Ok(bytes)
    }
}
