//! `inspect` on what boots: images made by GRUB's, syslinux' and xorriso's own tools.
//!
//! Invariant: what is expected comes from the tool that made the image, or from what it was told.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod damaged;
mod disks;
mod images;
mod programs;
#[path = "../support/tool.rs"]
mod tool;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::{ByteSource, FileSource};
use vmimage::engine::format::FormatName;
use vmimage::inspect::{Boot, Report, inspect};

/// What `inspect` says of the file.
fn report(path: &Path) -> Report {
    inspect(Arc::new(FileSource::open(path).unwrap()), FormatName::Raw).unwrap()
}

fn boot(path: &Path) -> Boot {
    let boot = report(path).boot;
    assert!(boot.problems.is_empty(), "{:?}", boot.problems);
    boot
}

fn boot_of(bytes: Vec<u8>) -> Boot {
    inspect(Arc::new(ByteSource::new(bytes)), FormatName::Raw).unwrap().boot
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// The version of Debian's package.
fn version(package: &str) -> String {
    tool::run("dpkg", "dpkg-query", &["-W", "-f", "${Version}", package])
}

/// GRUB's version: `grub-mkimage (GRUB) 2.06-13+deb12u2`.
fn grub_version() -> String {
    let told = tool::run("grub-common", "grub-mkimage", &["--version"]);
    told.trim().rsplit(' ').next().unwrap().to_owned()
}

/// Debian's cloud kernel and an initrd, and what file(1) says the kernel's version is.
fn linux() -> (PathBuf, PathBuf, String) {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/guest/build");
    let guest = PathBuf::from(tool::run("cpio", &path(&built), &[]).trim());
    let kernel = guest.join("vmlinuz");
    let told = tool::run("file", "file", &["-b", "-L", &path(&kernel)]);
    let (_, version) = told.split_once("version ").unwrap();
    (kernel, guest.join("initrd"), version.split(' ').next().unwrap().to_owned())
}

/// A FAT of `mib` with these files: (place on it, file).
fn fat(file: &Path, mib: u64, files: &[(&str, &Path)]) {
    fs::File::create(file).unwrap().file().set_len(mib << 20).unwrap();
    tool::run("dosfstools", "mkfs.fat", &[&path(file)]);
    for (place, from) in files {
        let parts: Vec<_> = place.split('/').collect();
        for depth in 1..parts.len() {
            let directory = format!("::/{}", parts[..depth].join("/"));
            let arguments = ["-D", "s", "-i", &path(file), &directory];
            // A directory that is there is skipped with a failure that says so.
            let _there = std::process::Command::new("mmd").args(arguments).output().unwrap();
        }
        let place = format!("::/{place}");
        tool::run("mtools", "mcopy", &["-i", &path(file), &path(from), &place]);
    }
}

/// A disk of `mib` with the one partition `line` (as sfdisk reads it) that holds `inside` at 1 MiB.
fn disk(file: &Path, mib: u64, label: &str, line: &str, inside: &Path) {
    fs::File::create(file).unwrap().file().set_len(mib << 20).unwrap();
    let script = file.with_extension("sfdisk");
    fs::write(&script, format!("label: {label}\n{line}\n")).unwrap();
    let shell = format!("sfdisk -q {} < {}", path(file), path(&script));
    tool::run("fdisk", "sh", &["-c", &shell]);
    let mut bytes = fs::read(file).unwrap();
    let inside = fs::read(inside).unwrap();
    bytes[1 << 20..][..inside.len()].copy_from_slice(&inside);
    fs::write(file, bytes).unwrap();
}

/// Puts `code` in front of a disk's table.
fn with_code(file: &Path, code: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    bytes[..code.len()].copy_from_slice(code);
    fs::write(file, bytes).unwrap();
}
