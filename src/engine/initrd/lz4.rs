//! LZ4's legacy frame, the one that Linux unpacks: blocks of 8 MiB that know nothing of each other.
//!
//! Does not read. Invariants: every block but the last holds `BLOCK` bytes, as readers expect (LZ4
//! frame format 1.6.2, "Legacy frame"); the bytes do not depend on the number of threads.

use crate::engine::base::{Error, SectorSource, StreamSink, Work};
use crate::engine::codec::ordered;

/// What a frame begins with: 0x184C2102, little-endian.
pub(super) const MAGIC: [u8; 4] = 0x184C_2102_u32.to_le_bytes();

/// Bytes that one block holds.
const BLOCK: u64 = 8 << 20;

/// Compresses all of `source` into one frame.
pub(super) fn pack(
    source: &dyn SectorSource,
    sink: &mut dyn StreamSink,
    work: &Work<'_>,
) -> Result<(), Error> {
    sink.write(&MAGIC)?;
    let blocks = (0..source.len().div_ceil(BLOCK)).map(|number| number * BLOCK);
    ordered(
        work.threads(),
        blocks,
        || Ok(Vec::new()),
        |buffer, at| {
            let len = BLOCK.min(source.len() - at);
            // OK to cast: at most a block.
            buffer.resize(len as usize, 0);
            source.read_at(at, buffer)?;
            work.progress.advance(len)?;
            Ok(lz4_flex::block::compress(buffer))
        },
        |block| {
            // A block of 8 MiB grows by less than a hundredth.
            let len = u32::try_from(block.len()).unwrap_or(u32::MAX);
            sink.write(&len.to_le_bytes())?;
            sink.write(&block)
        },
    )
}
