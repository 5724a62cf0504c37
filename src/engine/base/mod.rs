//! What every leaf of the engine may use: content, sectors, sinks, progress and errors.
//!
//! Knows no format, no filesystem and no document. Invariant: nothing here opens a file by a name
//! that came out of an image.

#[cfg(target_os = "linux")]
mod beneath;
mod cache;
mod composed;
mod content;
#[cfg(target_os = "linux")]
mod device;
mod digest;
pub mod elf;
mod error;
mod extent;
mod file;
mod gate;
mod overlay;
mod padded;
mod pieced;
mod progress;
mod reader;
mod scratch;
mod sectors;
mod sink;
mod spool;
pub mod tree;

#[cfg(target_os = "linux")]
pub use beneath::Beneath;
pub use cache::Cache;
pub use composed::{Composed, Region};
pub use content::{Content, Finish, Late, Placement};
#[cfg(target_os = "linux")]
pub use device::Device;
pub use digest::digest;
pub use error::{Error, Kind, Origin};
pub use extent::Extent;
pub use file::{AtomicFile, FileSource};
pub use gate::{Deny, Gate, Role};
pub use overlay::{Cut, Overlay, Patch};
pub use padded::Padded;
pub use pieced::{Pieced, read_pieces};
pub use progress::{Progress, Silent, Work};
pub use reader::SourceReader;
pub use scratch::Scratch;
pub use sectors::{ByteSource, SectorSource, copy_held, is_zero, read_exact_at, within};
pub use sink::{MemorySink, PositionalSink, StreamSink, write_zeros};
pub use spool::Spool;
