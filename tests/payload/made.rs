//! Directories of the host with anything in them that an ordinary user can make.
//!
//! Invariant: the same seed makes the same tree, inode numbers and order aside.

use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

/// What a tool cannot do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    /// Names of 255 bytes and paths of more than 600.
    pub(crate) long: bool,
    /// Second names of a file.
    pub(crate) links: bool,
    /// FIFOs.
    pub(crate) fifos: bool,
    /// Files with holes.
    pub(crate) sparse: bool,
    /// Names that are no UTF-8.
    pub(crate) odd_names: bool,
}

pub(crate) const ALL: Wants =
    Wants { long: true, links: true, fifos: true, sparse: true, odd_names: true };

/// A generator of numbers (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

fn name(dice: &mut Dice, number: usize, wants: Wants) -> Vec<u8> {
    let mut name = format!("n{number}").into_bytes();
    match dice.roll(8) {
        0 if wants.odd_names => name.extend(b"\xff\xc3( \n\"\\"),
        1 if wants.long => name.resize(255, b'x'),
        2 if wants.long => name.resize(99 + dice.roll(4) as usize, b'y'),
        3 => name.extend("äöü €".as_bytes()),
        4 => name.extend(b" with spaces, $ and '"),
        _ => {}
    }
    name
}

fn write(path: &Path, dice: &mut Dice, wants: Wants) {
    let len = [0, 1, 511, 512, 513, 4096, 70_000][dice.roll(7) as usize];
    let mut bytes = vec![b'a' + dice.roll(26) as u8; len];
    for byte in bytes.iter_mut().step_by(7) {
        *byte = dice.roll(256) as u8;
    }
    fs::write(path, &bytes).unwrap();
    if wants.sparse && dice.roll(3) == 0 {
        use std::os::unix::fs::FileExt as _;
        let file = fs::OpenOptions::new().write(true).open(path).unwrap().into_file();
        for piece in 0..dice.roll(60) {
            file.write_all_at(b"piece", 100_000 + piece * 40_000 + dice.roll(9000)).unwrap();
        }
        if dice.roll(2) == 0 {
            file.set_len(3_000_000 + dice.roll(5000)).unwrap();
        }
    }
}

/// Fills `root`.
pub(crate) fn fill(root: &Path, seed: u64, wants: Wants) {
    let mut dice = Dice::new(seed);
    let mut directories: Vec<PathBuf> = vec![root.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    let mut all: Vec<PathBuf> = vec![root.to_owned()];
    for number in 0..40 + dice.roll(40) as usize {
        let parent = directories[dice.roll(directories.len() as u64) as usize].clone();
        let path = parent.join(std::ffi::OsString::from_vec(name(&mut dice, number, wants)));
        match dice.roll(10) {
            0..=2 => {
                fs::create_dir(&path).unwrap();
                directories.push(path.clone());
            }
            3 => {
                let mut target = b"../some/where".to_vec();
                target.resize(if wants.long { 13 + dice.roll(200) as usize } else { 13 }, b'z');
                fs_err::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&target), &path).unwrap();
            }
            4 if wants.links && !files.is_empty() => {
                let target = &files[dice.roll(files.len() as u64) as usize];
                fs::hard_link(target, &path).unwrap();
            }
            5 if wants.fifos => {
                rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
            }
            _ => {
                write(&path, &mut dice, wants);
                files.push(path.clone());
            }
        }
        all.push(path);
    }
    // Directories last: what is put into them changes their times.
    for path in all.iter().rev() {
        if !path.is_symlink() {
            let readable = 0o400 | if path.is_dir() { 0o300 } else { 0 };
            let mode = readable | dice.roll(0o10000) as u32;
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let seconds = 1_000_000_000 + dice.roll(500_000_000) as i64;
        let time = Timespec { tv_sec: seconds, tv_nsec: dice.roll(1_000_000_000) as i64 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}
