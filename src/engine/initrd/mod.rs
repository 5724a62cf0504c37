//! Initial RAM filesystems: a tree becomes a newc archive, is compressed, and joined to others; kernel
//! modules are chosen out of a kernel package.
//!
//! ```text
//! modules::Kernel ─select─▶ Selection ─place─▶ Tree ─newc::archive─▶ Member ─join─▶ the initrd
//! ```
//!
//! Knows no document and starts nothing. Invariants: the same tree and parameters give the same
//! bytes on any number of threads; what is written is what Linux' decoder takes, which is less than
//! the formats allow: one gzip member, one zstd frame, one xz stream for each archive.

mod extras;
mod join;
mod lz4;
pub mod modules;
pub mod newc;
mod ondisk;
mod pack;

pub use extras::{CA_BUNDLE, Extra, place};
pub use join::{Member, early, join};
pub use pack::{Compression, pack};
