//! The disks that benches convert: generated, the same every time.
//!
//! Invariant: `mixed` is about as compressible as the root filesystem of a distribution (text,
//! tables, machine code, what is compressed already), in runs with holes between them.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::bytes::{Bytes, Numbers, noise};

const MIB: u64 = 1 << 20;

/// Bytes of the disk of `mixed`.
pub(crate) const SIZE: u64 = 4 << 30;

/// Writes `length` bytes of data in runs over a sparse file of `SIZE` bytes; returns how many bytes
/// were written.
pub(crate) fn mixed(path: &Path, length: u64) -> u64 {
    let file = fs_err::File::create(path).unwrap().into_file();
    file.set_len(SIZE).unwrap();
    let mut bytes_of = Bytes::new(1);
    let (mut at, mut done) = (0, 0);
    while done < length && at < SIZE {
        // Files of 4 KiB to 4 MiB, and room between them that keeps to the end of the disk.
        let len = (4096 << (bytes_of.numbers.next() % 11)).min(SIZE - at);
        file.write_all_at(&bytes_of.next(len), at).unwrap();
        done += len;
        let gap = bytes_of.numbers.next() % (1_500_000 * (SIZE - length) / length);
        at += len + gap / 4096 * 4096;
    }
    done
}

/// Writes `length` bytes that no compressor makes shorter.
pub(crate) fn incompressible(path: &Path, length: u64) {
    let file = fs_err::File::create(path).unwrap().into_file();
    let mut numbers = Numbers(2);
    let mut bytes = vec![0; MIB as usize];
    for at in (0..length).step_by(MIB as usize) {
        noise(&mut bytes, &mut numbers);
        file.write_all_at(&bytes, at).unwrap();
    }
}
