//! qcow2 in all its options: our writer judged by foreign readers, our reader by foreign writers,
//! and hostile files.
//!
//! Foreign are qemu-img, qemu-io and imago. Invariant: expectations come from them or from plain
//! file writes, never from our own code.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod bad;
mod check;
mod foreign;
#[expect(dead_code, reason = "other programs use the rest")]
#[path = "../support/media.rs"]
mod media;
mod options;
#[path = "../support/qemu_img.rs"]
mod qemu_img;

use std::path::Path;
use std::sync::Arc;

use media::{Noise, Patched};
use vmimage::engine::base::{AtomicFile, FileSource, Gate, MemorySink, Silent, Work, digest};
use vmimage::engine::format::qcow2::{self, Image, Params};
use vmimage::engine::format::{Findings, Image as _};

const WORK: Work<'static> = Work { threads: 2, progress: &Silent };

/// A few MiB with text, noise, written zeros and holes, not a multiple of most cluster sizes.
fn sample() -> Patched {
    let mut noise = Noise(0x51ab);
    let mib = 1 << 20;
    let patches = vec![
        (0, noise.words(100_000)),
        (300_000, noise.bytes(70_000)),
        (mib, vec![0; 50_000]),
        (mib + 65_536 - 100, noise.words(600_000)),
        (5 * mib - 512, noise.bytes(1024)),
    ];
    Patched { name: "sample", len: 5 * mib + 512, patches }
}

fn bytes(medium: &Patched, params: &Params) -> Vec<u8> {
    let sink = MemorySink::default();
    qcow2::write(medium, &sink, params, &WORK).unwrap();
    sink.into_bytes()
}

fn write(medium: &Patched, params: &Params, path: &Path) {
    let file = AtomicFile::create(path).unwrap();
    qcow2::write(medium, &file, params, &WORK).unwrap();
    file.commit().unwrap();
}

fn open(path: &Path) -> Image {
    Image::open(Arc::new(FileSource::open(path).unwrap()))
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn open_with(path: &Path, gate: &dyn Gate) -> Image {
    Image::open_with(Arc::new(FileSource::open(path).unwrap()), gate)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn sum(image: &Image) -> String {
    digest(image, &Silent).unwrap()
}

fn findings(image: &Image) -> Findings {
    image.check(&WORK).unwrap()
}
