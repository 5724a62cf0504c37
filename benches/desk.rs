//! The desk against its peers: the hello document as a whole process, and qcow2 writers on a disk
//! with text, noise and holes. Pairs alternate in one run; medians and ratios are printed.
//!
//! Asserts no time. Invariant: both sides read the same bytes and write to the same directory.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vmimage::engine::base::{Error, FileSource, PositionalSink, Silent, Work};
use vmimage::engine::format::qcow2::{self, Compression, Params};
use vmimage::engine::format::raw;

const PAIRS: usize = 7;
const MIB: usize = 1 << 20;

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    println!("| what | ours | theirs | ours ÷ theirs |\n|---|---|---|---|");
    hello(directory);
    let disk = directory.join("disk.raw");
    fs_err::write(&disk, disk_bytes()).unwrap();
    for (name, ours, theirs) in [
        ("raw → raw", None, "-O raw"),
        ("raw → qcow2", Some(Compression::None), "-O qcow2"),
        ("raw → qcow2, zlib", Some(Compression::Zlib), "-c -W -m 16 -O qcow2"),
        (
            "raw → qcow2, zstd",
            Some(Compression::Zstd),
            "-c -W -m 16 -O qcow2 -o compression_type=zstd",
        ),
    ] {
        let out = directory.join("ours");
        let convert = format!(
            "qemu-img convert -f raw {theirs} {} {}",
            disk.display(),
            directory.join("theirs").display()
        );
        pairs(name, || write(&disk, &out, ours), || shell(&convert));
        let size = |name: &str| fs_err::metadata(directory.join(name)).unwrap().len() / 1024;
        println!("| {name}: KiB in the file | {} | {} | |", size("ours"), size("theirs"));
    }
}

/// `vmimage build` of the smallest document against writing the sector and converting it.
fn hello(directory: &Path) {
    let program = env!("CARGO_BIN_EXE_vmimage");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello.yaml");
    let out = directory.display();
    let ours = format!("{program} -q build -f {example} -o {out}");
    shell(&ours);
    let theirs = format!(
        "cp {out}/hello.raw {out}/peer.raw && qemu-img convert -c -f raw -O qcow2 {out}/peer.raw {out}/peer.qcow2"
    );
    pairs("hello: raw and qcow2, whole processes", || shell(&ours), || shell(&theirs));
}

/// Times both sides in turn and prints a row of medians.
fn pairs(name: &str, mut ours: impl FnMut(), mut theirs: impl FnMut()) {
    let time = |run: &mut dyn FnMut()| {
        let began = Instant::now();
        run();
        began.elapsed()
    };
    time(&mut ours);
    time(&mut theirs);
    let mut rows: Vec<(Duration, Duration)> =
        (0..PAIRS).map(|_| (time(&mut ours), time(&mut theirs))).collect();
    let mut ratios: Vec<f64> =
        rows.iter().map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let mut median = |key: fn(&(Duration, Duration)) -> Duration| {
        rows.sort_by_key(key);
        key(&rows[PAIRS / 2]).as_secs_f64() * 1000.0
    };
    let (a, b) = (median(|row| row.0), median(|row| row.1));
    println!("| {name} | {a:.1} ms | {b:.1} ms | {:.2} |", ratios[PAIRS / 2]);
}

fn shell(line: &str) {
    let status = Command::new("sh").args(["-c", line]).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{line}");
}

fn write(disk: &Path, out: &Path, compression: Option<Compression>) {
    let source = FileSource::open(disk).unwrap();
    let sink = Plain(fs_err::File::create(out).unwrap().into_file());
    match compression {
        None => raw::write(&source, &sink, &Silent).unwrap(),
        Some(compression) => {
            qcow2::write(
                &source,
                &sink,
                &Params::compressed(compression),
                &Work { threads: 0, progress: &Silent },
            )
            .unwrap();
        }
    }
}

/// A file that is not synced: qemu-img does not sync either.
struct Plain(std::fs::File);

impl PositionalSink for Plain {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.0.write_all_at(bytes, offset).map_err(|e| Error::io("writing", e))
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.0.set_len(len).map_err(|e| Error::io("setting the length", e))
    }
}

/// 256 MiB: a quarter text-like, an eighth noise, the rest zeros. The same every time.
fn disk_bytes() -> Vec<u8> {
    let mut bytes = vec![0; 256 * MIB];
    let mut state = 1u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for word in bytes[..64 * MIB].chunks_mut(8) {
        let text = format!("{:>8}", next() % 5000);
        word.copy_from_slice(&text.as_bytes()[..word.len()]);
    }
    for word in bytes[128 * MIB..160 * MIB].chunks_mut(4) {
        word.copy_from_slice(&next().to_le_bytes()[..word.len()]);
    }
    bytes
}
