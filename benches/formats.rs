//! Image formats against qemu-img with its best flags: time, ratio, size and memory of converting
//! in both directions, and our memory for a disk of 1 TiB that is full.
//!
//! ```text
//! cargo bench --bench formats [-- FILTER]     rows whose name has FILTER; `memory` for the 1 TiB
//! ```
//!
//! Asserts no time. Invariant: both sides are whole processes that read the same file, write into
//! the same directory and sync nothing; they run in turn, in one run.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "support/bytes.rs"]
mod bytes;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/pairs.rs"]
mod pairs;
#[path = "support/plain.rs"]
mod plain;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pairs::{Cost, compare, run};
use plain::Plain;
use uuid::Uuid;
use vmimage::engine::base::{
    Deny, Error, Extent, FileSource, PositionalSink, SectorSource, Silent, Work,
};
use vmimage::engine::format::qcow2::{self, Compression};
use vmimage::engine::format::{self, FormatName, Label, Output, Params, vdi, vhd, vhdx, vmdk};

/// A conversion: its name, the parameters of ours, and the arguments of theirs.
struct Row {
    name: &'static str,
    from: FormatName,
    to: Params,
    theirs: &'static str,
}

const MIXED: u64 = 580 << 20;
const NOISE: u64 = 256 << 20;

fn rows() -> Vec<Row> {
    let row = |name, from, to, theirs| Row { name, from, to, theirs };
    let qcow2 = |compression| Params::Qcow2(qcow2::Params::compressed(compression));
    let vmdk = |subformat| Params::Vmdk(vmdk::Params { subformat, ..vmdk::Params::default() });
    use FormatName::{Qcow2, Raw, Vmdk};
    vec![
        row(
            "raw → streamOptimized VMDK",
            Raw,
            vmdk(vmdk::Subformat::StreamOptimized),
            "-W -m 16 -O vmdk -o subformat=streamOptimized",
        ),
        row("raw → qcow2 zlib", Raw, qcow2(Compression::Zlib), "-c -W -m 16 -O qcow2"),
        row(
            "raw → qcow2 zstd",
            Raw,
            qcow2(Compression::Zstd),
            "-c -W -m 16 -O qcow2 -o compression_type=zstd",
        ),
        row("qcow2 zlib → raw", Qcow2, Params::Raw, "-W -m 16 -O raw"),
        row("streamOptimized → raw", Vmdk, Params::Raw, "-W -m 16 -O raw"),
        row("raw → raw", Raw, Params::Raw, "-W -m 16 -O raw"),
        row("raw → qcow2", Raw, qcow2(Compression::None), "-W -m 16 -O qcow2"),
        row("raw → VHDX", Raw, Params::Vhdx(vhdx::Params::default()), "-W -m 16 -O vhdx"),
        row("raw → VDI", Raw, Params::Vdi(vdi::Params::default()), "-W -m 16 -O vdi"),
        row("raw → VHD", Raw, Params::Vhd(vhd::Params::default()), "-W -m 16 -O vpc"),
        row(
            "raw → monolithicSparse VMDK",
            Raw,
            vmdk(vmdk::Subformat::MonolithicSparse),
            "-W -m 16 -O vmdk",
        ),
    ]
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["one", row, input, output] => convert(row, Path::new(input), Path::new(output)),
        ["full", row, size] => fill(row, size.parse().unwrap()),
        ["memory"] => memory(),
        ref filter => {
            let directory = tempfile::tempdir().unwrap();
            times(directory.path(), filter.first().copied().unwrap_or_default());
            if filter.is_empty() {
                memory();
            }
        }
    }
}

fn times(directory: &Path, filter: &str) {
    let at = |name: &str| directory.join(name);
    let data = disk::mixed(&at("mixed.raw"), MIXED);
    disk::incompressible(&at("noise.raw"), NOISE);
    println!("4 GiB disk with {} MB of mixed data; 268 MB of noise.\n", data / 1_000_000);
    println!(
        "| work | ours | theirs | theirs ÷ ours | our size ÷ theirs | our peak | their peak |"
    );
    println!("|---|---|---|---|---|---|---|");
    for kind in ["mixed", "noise"] {
        let raw = at(&format!("{kind}.raw"));
        for (format, extension, options) in
            [("qcow2", "qcow2", ""), ("vmdk", "vmdk", "subformat=streamOptimized")]
        {
            let compress = if format == "qcow2" { "-c" } else { "-o" };
            let image = at(&format!("{kind}.{extension}"));
            let mut command = Command::new("qemu-img");
            command.args(["convert", "-f", "raw", "-O", format, compress]);
            command.args(options.split_whitespace()).args([&raw, &image]);
            run(&mut command);
        }
        for row in rows().iter().filter(|row| row.name.contains(filter)) {
            if kind == "mixed" || row.to.format() != FormatName::Raw || row.from == FormatName::Raw
            {
                pair(directory, kind, row);
            }
        }
    }
}

/// One line of the table.
fn pair(directory: &Path, kind: &str, row: &Row) {
    let input = directory.join(format!("{kind}.{}", row.from));
    let (ours, theirs) = (directory.join("ours"), directory.join("theirs"));
    let gone = |path: &Path| drop(fs_err::remove_file(path));
    let this = std::env::current_exe().unwrap();
    let compared = compare(
        &mut || {
            gone(&ours);
            run(Command::new(&this).args(["one", row.name]).args([&input, &ours]))
        },
        &mut || {
            gone(&theirs);
            let mut command = Command::new("qemu-img");
            command.args(["convert", "-f", row.from.as_str()]).args(row.theirs.split(' '));
            run(command.args([&input, &theirs]))
        },
    );
    let size = |path: &Path| {
        use std::os::unix::fs::MetadataExt as _;
        (fs_err::metadata(path).unwrap().blocks() * 512) as f64
    };
    let Cost { time, memory } = compared.ours;
    println!(
        "| {}{} | {:.0} ms | {:.0} ms | {:.2} | {:.3} | {:.1} MiB | {:.1} MiB |",
        row.name,
        if kind == "noise" { ", noise" } else { "" },
        time.as_secs_f64() * 1000.0,
        compared.theirs.time.as_secs_f64() * 1000.0,
        compared.ratio,
        size(&ours) / size(&theirs),
        memory as f64 / 1024.0,
        compared.theirs.memory as f64 / 1024.0,
    );
    gone(&ours);
    gone(&theirs);
}

fn row(name: &str) -> Row {
    rows().into_iter().find(|row| row.name == name).unwrap()
}

const LABEL: Label<'_> = Label { name: "disk", id: Uuid::from_u128(1) };
const WORK: Work<'_> = Work { threads: 0, progress: &Silent };

/// Our side of a pair: what `vmimage convert` does, but for syncing and renaming.
fn convert(name: &str, input: &Path, output: &Path) {
    let row = row(name);
    let source = Arc::new(FileSource::open(input).unwrap());
    let image = format::open(source, row.from, &Deny).unwrap();
    let sink = Plain(fs_err::File::create(output).unwrap().into_file());
    let output = Output { label: LABEL, sink: &sink, companion: None };
    format::write(&*image, &output, &row.to, &WORK).unwrap();
}

/// Our peak memory for writing a disk that is full, into nothing.
fn memory() {
    println!("\n| a full disk into nothing | size | time | our peak |\n|---|---|---|---|");
    let this = std::env::current_exe().unwrap();
    for row in rows().iter().filter(|row| row.from == FormatName::Raw) {
        let packs = row.name.contains("zlib")
            || row.name.contains("zstd")
            || row.name.contains("Optimized");
        let gib: u64 = if packs { 16 } else { 1024 };
        let cost = run(Command::new(&this).args(["full", row.name, &(gib << 30).to_string()]));
        let (seconds, peak) = (cost.time.as_secs_f64(), cost.memory as f64 / 1024.0);
        println!("| {} | {gib} GiB | {seconds:.1} s | {peak:.1} MiB |", row.name);
    }
}

fn fill(name: &str, size: u64) {
    let output = Output { label: LABEL, sink: &Nothing, companion: None };
    format::write(&Full(size), &output, &row(name).to, &WORK).unwrap();
}

/// A medium of which no unit is zero.
#[derive(Debug)]
struct Full(u64);

impl SectorSource for Full {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _: u64, buffer: &mut [u8]) -> Result<(), Error> {
        buffer.iter_mut().step_by(512).for_each(|byte| *byte = 1);
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        Extent::new(offset, self.0)
    }
}

/// Takes everything and keeps nothing.
struct Nothing;

impl PositionalSink for Nothing {
    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn set_len(&self, _: u64) -> Result<(), Error> {
        Ok(())
    }
}
