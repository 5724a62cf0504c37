//! What the parts of this program share: parameters of the formats, and our readers on them.

use std::path::Path;
use std::sync::Arc;

use vmimage::engine::base::{ByteSource, Deny, Error, FileSource};
use vmimage::engine::format::{self, FormatName, Image, Params, vdi, vhd};

pub(crate) use crate::random::plain;
pub(crate) use crate::written::{LABEL, SILENT, all, bytes, libvhdi, seven_zip, write};

/// Our reader on a file.
pub(crate) fn open(path: &Path, format: FormatName) -> Arc<dyn Image> {
    format::open(Arc::new(FileSource::open(path).unwrap()), format, &Deny).unwrap()
}

/// Our reader on bytes.
pub(crate) fn open_bytes(bytes: Vec<u8>, format: FormatName) -> Result<Arc<dyn Image>, Error> {
    format::open(Arc::new(ByteSource::new(bytes)), format, &Deny)
}

/// A VHD of this kind.
pub(crate) fn vhd_params(subformat: vhd::Subformat, sizing: vhd::Sizing) -> Params {
    Params::Vhd(vhd::Params { subformat, sizing, creator: None })
}

/// A VDI of this kind.
pub(crate) fn vdi_params(subformat: vdi::Subformat) -> Params {
    Params::Vdi(vdi::Params { subformat })
}
