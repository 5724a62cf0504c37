//! BIOS boot sectors: our own program with a message, or given bytes.

use crate::engine::base::{Error, Kind};

/// Our own program with `message`: exactly 512 bytes.
pub fn assemble(message: &str) -> Result<Vec<u8>, Error> {
    let _ = message;
    Err(Error::new(Kind::Unsupported, "unfinished"))
}

/// The given sector, byte for byte: at most 512 bytes that end 55 AA.
pub fn take(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(bytes.to_vec())
}
