//! The trees of files that benches put into filesystems: generated, the same every time.
//!
//! Invariant: sizes are spread over their logarithm, as those of a distribution's root are: most
//! files are small, most bytes are in large ones.

use std::path::Path;

use super::bytes::{Bytes, Numbers};

/// Files of the tree.
pub(crate) const FILES: usize = 12_600;
const TOTAL: u64 = 556_000_000;
/// Entries of its largest directory.
const LARGEST: usize = 2_500;
/// Entries of the one large directory that the second tree has on top.
const MANY: usize = 18_030;
const MANY_TOTAL: u64 = 161_000_000;

/// Writes the first tree.
pub(crate) fn tree(root: &Path) {
    let mut bytes = Bytes::new(5);
    let sizes = sizes(&mut bytes.numbers, FILES, TOTAL);
    let mut directory = root.join("usr/share/largest");
    fs_err::create_dir_all(&directory).unwrap();
    let mut left = LARGEST;
    for (number, size) in sizes.into_iter().enumerate() {
        if left == 0 {
            left = 1 + bytes.numbers.skewed(60) as usize;
            let (a, b) = (bytes.numbers.next() % 12, bytes.numbers.next() % 40);
            directory = root.join(format!(
                "usr/{}{a}/package-{b}/{number}",
                ["lib", "share"][(b % 2) as usize]
            ));
            fs_err::create_dir_all(&directory).unwrap();
        }
        left -= 1;
        let path = directory.join(format!("file-{number:05}.{}", ["so", "h", "mo"][number % 3]));
        fs_err::write(&path, bytes.next(size)).unwrap();
        if number % 16 == 0 {
            let link = directory.join(format!("link-{number:05}"));
            fs_err::os::unix::fs::symlink(path.file_name().unwrap(), link).unwrap();
        }
        if number % 500 == 0 {
            fs_err::hard_link(&path, directory.join(format!("name-{number:05}"))).unwrap();
        }
    }
}

/// Writes what the second tree has on top of the first.
pub(crate) fn many(root: &Path) {
    let mut bytes = Bytes::new(6);
    let sizes = sizes(&mut bytes.numbers, MANY, MANY_TOTAL);
    let directory = root.join("var/many");
    fs_err::create_dir_all(&directory).unwrap();
    for (number, size) in sizes.into_iter().enumerate() {
        let path = directory.join(format!("entry-{number:06}:amd64.list"));
        fs_err::write(path, bytes.next(size)).unwrap();
    }
}

/// So many sizes that are `total` together.
fn sizes(numbers: &mut Numbers, count: usize, total: u64) -> Vec<u64> {
    let mut part = || (numbers.next() % 4096) as f64 / 4096.0 * 6.0;
    let raw: Vec<f64> = (0..count).map(|_| (part() + part() + part()).exp2()).collect();
    let factor = total as f64 / raw.iter().sum::<f64>();
    raw.into_iter().map(|size| (size * factor) as u64).collect()
}
