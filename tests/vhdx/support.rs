//! What the parts of this program share: parameters of the format, and our reader on it.

use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::{ByteSource, Deny, Error, FileSource, SectorSource};
use vmimage::engine::format::vhdx::{self, Subformat};
use vmimage::engine::format::{self, FormatName, Image, Params};

pub(crate) use crate::random::plain;
pub(crate) use crate::written::{LABEL, SILENT, all, bytes, libvhdi, put, seven_zip, write};

pub(crate) const MIB: u64 = 1 << 20;

/// A dynamic file of this block size; 0 lets the writer choose.
pub(crate) fn dynamic(block_size: u64) -> Params {
    Params::Vhdx(vhdx::Params { subformat: Subformat::Dynamic, block_size })
}

/// A fixed file of this block size; 0 lets the writer choose.
pub(crate) fn fixed(block_size: u64) -> Params {
    Params::Vhdx(vhdx::Params { subformat: Subformat::Fixed, block_size })
}

/// Our reader on a file.
pub(crate) fn open(path: &Path) -> Arc<dyn Image> {
    open_source(Arc::new(FileSource::open(path).unwrap())).unwrap()
}

/// Our reader on bytes.
pub(crate) fn open_bytes(bytes: Vec<u8>) -> Result<Arc<dyn Image>, Error> {
    open_source(Arc::new(ByteSource::new(bytes)))
}

pub(crate) fn open_source(source: Arc<dyn SectorSource>) -> Result<Arc<dyn Image>, Error> {
    format::open(source, FormatName::Vhdx, &Deny)
}
