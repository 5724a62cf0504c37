//! Initial RAM filesystems against cpio and the compressors that people put behind it: time, ratio,
//! size and memory of making one from a directory.
//!
//! ```text
//! cargo bench --bench initrd [-- FILTER]     rows whose name has FILTER
//! ```
//!
//! Asserts no time. Invariant: both sides are whole processes that read the same files, write into
//! the same directory and sync nothing; they run in turn, in one run.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "support/bytes.rs"]
mod bytes;
#[expect(dead_code, reason = "the large directory is for filesystems")]
#[path = "support/files.rs"]
mod files;
#[path = "support/pairs.rs"]
mod pairs;
#[expect(dead_code, reason = "the tree of names is for filesystems")]
#[path = "support/scan.rs"]
mod scan;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use pairs::{Cost, compare, run};
use vmimage::engine::base::{Error, Silent, StreamSink, Work};
use vmimage::engine::initrd::{Compression, newc, pack};

/// How we compress, what for, and what does the same: a shell line with `$out`, in the directory.
struct Row {
    compression: Compression,
    goal: &'static str,
    theirs: &'static str,
}

/// Names in an order that does not depend on the disk, as whoever wants the same bytes twice does it.
const CPIO: &str = "find . -print0 | LC_ALL=C sort -z | cpio -o -0 -H newc --reproducible --quiet";

const ROWS: [Row; 5] = [
    Row { compression: Compression::None, goal: "2.8", theirs: "> $out" },
    Row { compression: Compression::Zstd, goal: "1.7", theirs: "| zstd -q -3 -T2 > $out" },
    Row { compression: Compression::Gzip, goal: "3", theirs: "| pigz -6 > $out" },
    Row { compression: Compression::Xz, goal: "", theirs: "| xz -4 -T2 --check=crc32 > $out" },
    Row { compression: Compression::Lz4, goal: "", theirs: "| lz4 -q -l > $out" },
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let ["one", compression, input, output] =
        args.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        return make(Compression::of(compression).unwrap(), Path::new(input), Path::new(output));
    }
    let filter = args.first().map_or("", String::as_str);
    let directory = tempfile::tempdir().unwrap();
    let given = std::env::var_os("BENCH_DATA");
    let tree = given.as_ref().map_or(directory.path(), Path::new).join("M");
    if given.is_none() {
        files::tree(&tree);
    }
    println!(
        "| initramfs | ours | theirs | theirs ÷ ours | goal | our size ÷ theirs | our peak |\n\
         |---|---|---|---|---|---|---|"
    );
    for row in ROWS.iter().filter(|row| row.compression.as_str().contains(filter)) {
        pair(&tree, directory.path(), row);
    }
}

/// One line of the table.
fn pair(input: &Path, directory: &Path, row: &Row) {
    let (ours, theirs) = (directory.join("ours"), directory.join("theirs"));
    let this = std::env::current_exe().unwrap();
    let line = format!("cd $in && {CPIO} {}", row.theirs);
    let compared = compare(
        &mut || {
            run(Command::new(&this).args(["one", row.compression.as_str()]).args([input, &ours]))
        },
        &mut || shell(&line, input, &theirs),
    );
    let size = |path: &Path| fs_err::metadata(path).unwrap().len() as f64;
    println!(
        "| {} | {:.0} ms | {:.0} ms | {:.2} | {} | {:.3} | {:.1} MiB |",
        row.compression,
        compared.ours.time.as_secs_f64() * 1000.0,
        compared.theirs.time.as_secs_f64() * 1000.0,
        compared.ratio,
        row.goal,
        size(&ours) / size(&theirs),
        compared.ours.memory as f64 / 1024.0,
    );
}

fn shell(line: &str, input: &Path, output: &Path) -> Cost {
    run(Command::new("sh").args(["-c", line]).env("in", input).env("out", output))
}

/// A file that is not synced: our peers do not sync either.
struct Plain(std::fs::File);

impl StreamSink for Plain {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.write_all(bytes).map_err(|e| Error::io("writing", e))
    }
}

/// Our side of a pair.
fn make(compression: Compression, input: &Path, output: &Path) {
    let archive = newc::archive(&scan::directory(input), &newc::Params::default()).unwrap();
    let mut sink = Plain(fs_err::File::create(output).unwrap().into_file());
    pack(&archive, compression, &mut sink, &Work { threads: 0, progress: &Silent }).unwrap();
}
