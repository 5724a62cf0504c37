//! Who decides whether a file that an image names is opened.
//!
//! Opens nothing itself. Invariant: a reader has no other way to a second file than a `Gate`.

use std::fmt;
use std::sync::Arc;

use super::{Error, Kind, SectorSource};

/// Why an image names another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What lies below the image where it holds nothing (qcow2, differencing VHD and VHDX).
    Backing,
    /// Where a qcow2 file keeps its data.
    DataFile,
    /// Where a VMDK descriptor says that data lies.
    Extent,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backing => "backing file",
            Self::DataFile => "external data file",
            Self::Extent => "extent file",
        })
    }
}

/// Decides about the files that an image names.
pub trait Gate: Send + Sync + fmt::Debug {
    /// Opens the file, or says why not. `name` is what the image says, untrusted.
    fn open(&self, role: Role, name: &[u8]) -> Result<Arc<dyn SectorSource>, Error>;
}

/// Opens nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deny;

impl Gate for Deny {
    fn open(&self, role: Role, name: &[u8]) -> Result<Arc<dyn SectorSource>, Error> {
        let name = String::from_utf8_lossy(name);
        let message = format!(
            "the image names the {role} \"{}\", which is not opened unless allowed",
            name.escape_debug()
        );
        Err(Error::new(Kind::Unsupported, message))
    }
}
