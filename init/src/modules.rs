//! Kernel modules, loaded in the order of a list.
//!
//! Resolves no dependencies: the engine did when it wrote the list. Invariant: a module that
//! cannot be loaded is logged and the others are loaded still.

use fs_err as fs;
use std::ffi::CString;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::system::finit_module;

use crate::log;

/// init_module(2): the file is compressed, and the kernel is to unpack it.
const COMPRESSED: i32 = 4;

/// Loads what the file `list` names: a path and its parameters a line, `#` before a comment. No
/// file is no modules.
///
/// Returns how long it took.
pub(crate) fn load(list: &str) -> Duration {
    let began = crate::clock::now();
    all(list);
    crate::clock::now().saturating_sub(began)
}

fn all(list: &str) {
    let text = match fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) if list.is_empty() || error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return log::error("modules", &[("list", &list), ("error", &error)]),
    };
    let (began, mut count) = (crate::clock::now(), 0_u32);
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (path, parameters) = line.split_once(' ').unwrap_or((line, ""));
        match one(path, parameters) {
            Ok(()) => count += 1,
            // What drives hardware that is not there (ENODEV), as code for another processor.
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => {
                log::warn("module", &[("path", &path), ("error", &error)]);
            }
            Err(error) => log::error("module", &[("path", &path), ("error", &error)]),
        }
    }
    let took = (crate::clock::now() - began).as_millis();
    log::info("modules", &[("loaded", &count), ("ms", &took)]);
}

fn one(path: &str, parameters: &str) -> io::Result<()> {
    let full = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let file = fs::File::open(full)?;
    let parameters = CString::new(parameters).map_err(io::Error::other)?;
    let compressed = [".xz", ".zst", ".gz"].iter().any(|end| path.ends_with(end));
    match finit_module(&file, &parameters, if compressed { COMPRESSED } else { 0 }) {
        // Loaded already, or built in.
        Err(Errno::EXIST) => Ok(()),
        result => Ok(result?),
    }
}
