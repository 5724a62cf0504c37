//! The files that a qcow2 file names: its backing file and its external data file.
//!
//! Opens nothing but through the gate. Invariants: a name that QEMU would take for a protocol is
//! refused before the gate sees it; formats are named, never guessed; chains end.

use std::sync::Arc;

use super::parse::{Parsed, unsupported};
use super::read::Image;
use crate::engine::base::{Error, Gate, Role, SectorSource};
use crate::engine::format::{self, FormatName};

/// Backing files below each other, at most.
const DEEPEST: usize = 8;

/// The backing file, by the format that the header names.
pub(super) fn open_backing(
    parsed: &Parsed,
    gate: &dyn Gate,
    depth: usize,
) -> Result<Option<Arc<dyn SectorSource>>, Error> {
    let Some(name) = &parsed.names.backing else { return Ok(None) };
    judge(Role::Backing, name)?;
    if depth >= DEEPEST {
        let name = shown(name);
        return Err(unsupported(format!(
            "backing file \"{name}\": more than {DEEPEST} files below each other"
        )));
    }
    let source = gate.open(Role::Backing, name)?;
    let named = parsed.names.backing_format.as_deref();
    let opened: Arc<dyn SectorSource> = match named {
        Some(b"raw") => source,
        Some(b"qcow2") => Arc::new(Image::open_below(source, gate, depth + 1)?),
        Some(b"vmdk") => format::open(source, FormatName::Vmdk, gate)?,
        Some(b"vpc") => format::open(source, FormatName::Vhd, gate)?,
        Some(b"vhdx") => format::open(source, FormatName::Vhdx, gate)?,
        Some(b"vdi") => format::open(source, FormatName::Vdi, gate)?,
        other => {
            let format = other.map_or_else(
                || "no format".to_owned(),
                |other| format!("format \"{}\"", shown(other)),
            );
            return Err(unsupported(format!(
                "backing file \"{}\" of {format}; it must be one of raw, qcow2, vmdk, vpc, vhdx, \
                 vdi, and is never guessed",
                shown(name)
            )));
        }
    };
    Ok(Some(opened))
}

/// The file that holds the data, if it is not the image itself.
pub(super) fn open_data_file(
    parsed: &Parsed,
    gate: &dyn Gate,
) -> Result<Option<Arc<dyn SectorSource>>, Error> {
    if !parsed.names.has_data_file {
        return Ok(None);
    }
    let Some(name) = &parsed.names.data_file else {
        return Err(unsupported("an external data file that is not named"));
    };
    judge(Role::DataFile, name)?;
    gate.open(Role::DataFile, name).map(Some)
}

/// Refuses what is no plain file name: QEMU takes a colon before the first slash for the end of a
/// protocol's name (`json:`, `nbd:`, `http:`, `fd:`).
fn judge(role: Role, name: &[u8]) -> Result<(), Error> {
    let refuse = |why: &str| Err(unsupported(format!("{role} \"{}\": {why}", shown(name))));
    match name.iter().find(|byte| matches!(byte, b':' | b'/')) {
        Some(b':') => return refuse("only plain file names are opened, no protocols"),
        _ if name.is_empty() => return refuse("the name is empty"),
        _ => {}
    }
    if name.contains(&0) { refuse("the name holds a zero byte") } else { Ok(()) }
}

/// An untrusted name for a message.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}
