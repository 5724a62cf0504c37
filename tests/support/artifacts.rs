//! What a boot showed, kept for people: serial logs and pictures of screens.
//!
//! Judges nothing. Invariant: everything lies in the directory that `VMIMAGE_ARTIFACTS` names, or in
//! `artifacts` of cargo's target directory, and nothing that is there is read by a test.

use std::path::PathBuf;

use fs_err as fs;

/// Where the artifact `name` of this test program belongs; its directory exists.
pub(crate) fn path(name: &str) -> PathBuf {
    let directory = std::env::var_os("VMIMAGE_ARTIFACTS").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("artifacts"),
        PathBuf::from,
    );
    let directory = directory.join(env!("CARGO_CRATE_NAME"));
    fs::create_dir_all(&directory).unwrap();
    directory.join(name)
}

/// Keeps a serial log as `NAME.serial`.
pub(crate) fn serial(name: &str, log: &[u8]) {
    fs::write(path(&format!("{name}.serial")), log).unwrap();
}

/// The file `NAME.png` for a picture of the screen, as QEMU's monitor takes it.
pub(crate) fn picture(name: &str) -> String {
    format!("screendump \"{}\" -f png", path(&format!("{name}.png")).display())
}
