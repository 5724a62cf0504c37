//! Compression and the ordered parallel map. (The checksum of a medium is `base::digest`: whoever
//! publishes needs it without a codec.)
//!
//! Knows no format. Invariant: the output never depends on the number of threads.

mod compress;
mod ordered;
pub mod wrap;

pub use compress::{Compressor, Decompressor, Method};
pub use ordered::ordered;
