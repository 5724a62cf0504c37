//! Filesystems against the programs that make them: time, ratio, size and memory of making one from
//! a directory and from an archive, and how time and memory grow with the number of files.
//!
//! ```text
//! cargo bench --bench filesystems [-- FILTER]     rows whose name has FILTER; `growth` for the last
//! ```
//!
//! Asserts no time. Invariant: both sides are whole processes that read the same files, write into
//! the same directory and sync nothing; they run in turn, in one run.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "support/bytes.rs"]
mod bytes;
#[path = "support/files.rs"]
mod files;
#[path = "support/pairs.rs"]
mod pairs;
#[path = "support/plain.rs"]
mod plain;
#[path = "support/scan.rs"]
mod scan;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pairs::{Cost, compare, run};
use plain::Plain;
use uuid::Uuid;
use vmimage::engine::base::tree::{Meta, Time, Tree};
use vmimage::engine::base::{
    Error, Extent, FileSource, Origin, Placement, PositionalSink, Scratch, SectorSource, Silent,
    Work,
};
use vmimage::engine::filesystem::{
    Identity, Params, Request, Room, btrfs, erofs, ext, ffs, plan, squashfs,
};
use vmimage::engine::format::raw;
use vmimage::engine::payload::{Unpack, unpack};

/// A filesystem: its name, what it is made of, how we make it, and the command that does the same.
struct Row {
    name: &'static str,
    goal: &'static str,
    /// A directory or an archive among the data.
    input: &'static str,
    /// None: by `vmimage build` as a whole, with syncing and digest.
    params: Option<Params>,
    /// Bytes; 0: as small as it becomes.
    size: u64,
    /// For a shell, with `$in` (always the directory, or the archive where that is unpacked) and
    /// `$out`.
    theirs: &'static str,
}

const SIZE: u64 = 2 << 30;
const WORK: Work<'_> = Work { threads: 0, progress: &Silent };

fn ext(variant: ext::Variant) -> Params {
    Params::Ext(ext::Params { variant, ..ext::Params::default() })
}

fn packed(compression: squashfs::Compression) -> Params {
    Params::Squashfs(squashfs::Params { compression, ..squashfs::Params::default() })
}

/// All rows.
fn rows() -> Vec<Row> {
    let build = Row {
        name: "vmimage build: tar → ext4",
        goal: "",
        input: "M.tar",
        params: None,
        size: SIZE,
        theirs: BUILD,
    };
    [writable(), fixed(), vec![build]].into_iter().flatten().collect()
}

type Given = (&'static str, &'static str, &'static str, Params, u64, &'static str);

fn row((name, goal, input, params, size, theirs): Given) -> Row {
    Row { name, goal, input, params: Some(params), size, theirs }
}

/// Filesystems of a size.
fn writable() -> Vec<Row> {
    let ext4 = || ext(ext::Variant::Ext4);
    let ffs = Params::Ffs(ffs::Params { version: 2, ..ffs::Params::default() });
    let btrfs = Params::Btrfs(btrfs::Params::default());
    let mkbtrfs = "truncate -s 2G $out; exec mkfs.btrfs -q --rootdir $in $out";
    [
        ("ext4", "3", "M", ext4(), SIZE, EXT4),
        ("ext4, large directory", "30", "L", ext4(), SIZE, EXT4),
        ("ext2", "2", "M", ext(ext::Variant::Ext2), SIZE, EXT2),
        ("btrfs", "3", "M", btrfs, SIZE, mkbtrfs),
        ("FFS", "2.3", "M", ffs, SIZE, "exec makefs -t ffs -o version=2 -s 2g $out $in"),
        ("tar → ext4", "", "M.tar", ext4(), SIZE, TAR),
        ("tar.zst → ext4", "", "M.tar.zst", ext4(), SIZE, TAR),
        ("ext4 by fstool", "3", "M", ext4(), SIZE, FSTOOL),
        ("ext4 by fstool, large directory", "5", "L", ext4(), SIZE, FSTOOL),
    ]
    .map(row)
    .into()
}

/// Filesystems that are as large as what they hold.
fn fixed() -> Vec<Row> {
    let (gzip, zstd) = (squashfs::Compression::Gzip(6), squashfs::Compression::Zstd(3));
    let erofs = Params::Erofs(erofs::Params::default());
    [
        ("ISO 9660", "2.3", "M", Params::Iso9660(Box::default()), 0, ISO),
        ("erofs", "2", "M", erofs, 0, "exec mkfs.erofs $out $in"),
        ("squashfs gzip", "6", "M", packed(gzip), 0, GZIP),
        ("squashfs zstd 3", "1.6", "M", packed(zstd), 0, ZSTD),
    ]
    .map(row)
    .into()
}

const EXT4: &str = "exec mke2fs -q -F -t ext4 -d $in $out 2G";
const EXT2: &str = "exec mke2fs -q -F -t ext2 -d $in $out 2G";
const FSTOOL: &str = "exec fstool create -t ext4 --size 2G -o $out $in";
const ISO: &str = "exec xorriso -as mkisofs -quiet -R -J -o $out $in 2>/dev/null";
const GZIP: &str = "exec mksquashfs $in $out -comp gzip -noappend -quiet -no-progress";
const ZSTD: &str =
    "exec mksquashfs $in $out -comp zstd -Xcompression-level 3 -noappend -quiet -no-progress";

/// mke2fs of Debian 12 reads no archive.
const TAR: &str =
    "mkdir $out.d && tar xf $in -C $out.d && mke2fs -q -F -t ext4 -d $out.d $out 2G; rm -rf $out.d";

/// The same, and what a build does on top: its bytes are safe on the disk, and their digest is known.
const BUILD: &str = "mkdir $out.d && tar xf $in -C $out.d && mke2fs -q -F -t ext4 -d $out.d $out 2G \
     && sha256sum $out >/dev/null && sync $out; rm -rf $out.d";

/// What is measured as a whole.
const DOCUMENT: &str = "apiVersion: vmimage.dev/v1alpha1
kind: VMImage
metadata: {name: bench}
spec:
  disk:
    size: 2Gi
    partitions:
    - name: root
      filesystem: {type: ext4}
      contents: [{archive: {source: {file: ARCHIVE}}}]
";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["one", row, input, output] => make(row, Path::new(input), Path::new(output)),
        ["names", count] => names(count.parse().unwrap()),
        ["data", directory] => data(Path::new(directory)),
        ["growth"] => growth(),
        ref filter => {
            let directory = tempfile::tempdir().unwrap();
            let given = std::env::var_os("BENCH_DATA");
            let data_at = given.as_ref().map_or(directory.path(), Path::new);
            if given.is_none() {
                data(data_at);
            }
            times(data_at, directory.path(), filter.first().copied().unwrap_or_default());
            if filter.is_empty() {
                growth();
            }
        }
    }
}

/// Generates the files.
fn data(at: &Path) {
    let (small, large) = (at.join("M"), at.join("L"));
    files::tree(&small);
    files::tree(&large);
    files::many(&large);
    shell("tar --sort=name -C $in -cf $out .", &small, &at.join("M.tar"));
    shell("zstd -q -3 $in -o $out", &at.join("M.tar"), &at.join("M.tar.zst"));
}

fn times(data: &Path, directory: &Path, filter: &str) {
    println!(
        "| work | ours | theirs | theirs ÷ ours | goal | our size ÷ theirs | our peak | their peak |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let archive = data.join("M.tar");
    let document = DOCUMENT.replace("ARCHIVE", archive.to_str().unwrap());
    fs_err::write(data.join("bench.yaml"), document).unwrap();
    for row in rows().iter().filter(|row| row.name.contains(filter)) {
        if row.theirs.contains("fstool")
            && Command::new("fstool").arg("--version").output().is_err()
        {
            println!("| {} | not measured: fstool is not in PATH |", row.name);
            continue;
        }
        pair(&data.join(row.input), directory, row);
    }
}

/// One line of the table.
fn pair(input: &Path, directory: &Path, row: &Row) {
    // What a build of `bench.yaml` writes.
    let (ours, theirs) = (directory.join("bench.raw"), directory.join("theirs"));
    let gone = |path: &Path| drop(fs_err::remove_file(path));
    let this = std::env::current_exe().unwrap();
    let compared = compare(
        &mut || {
            gone(&ours);
            if row.params.is_some() {
                return run(Command::new(&this).args(["one", row.name]).args([input, &ours]));
            }
            let mut build = Command::new(env!("CARGO_BIN_EXE_vmimage"));
            build.args(["-q", "build", "-f"]).arg(input.with_file_name("bench.yaml"));
            run(build.arg("-o").arg(directory))
        },
        &mut || {
            gone(&theirs);
            shell(row.theirs, input, &theirs)
        },
    );
    let size = |path: &Path| (fs_err::metadata(path).unwrap().blocks() * 512) as f64;
    println!(
        "| {} | {:.0} ms | {:.0} ms | {:.2} | {} | {:.3} | {:.1} MiB | {:.1} MiB |",
        row.name,
        compared.ours.time.as_secs_f64() * 1000.0,
        compared.theirs.time.as_secs_f64() * 1000.0,
        compared.ratio,
        row.goal,
        size(&ours) / size(&theirs),
        compared.ours.memory as f64 / 1024.0,
        compared.theirs.memory as f64 / 1024.0,
    );
    gone(&ours);
    gone(&theirs);
}

fn shell(line: &str, input: &Path, output: &Path) -> Cost {
    run(Command::new("sh").args(["-c", line]).env("in", input).env("out", output))
}

/// Our side of a pair: what a build does between reading its document and renaming its file, but
/// for the digest.
fn make(name: &str, input: &Path, output: &Path) {
    let row = rows().into_iter().find(|row| row.name == name).unwrap();
    let scratch = Scratch::new(output.parent().unwrap(), u64::MAX);
    let tree = if input.is_dir() { scan::directory(input) } else { archive(input, &scratch) };
    let room = match row.size {
        0 => Room::Fit { percent: 0, bytes: 0 },
        size => Room::Exactly(size),
    };
    let medium = render(&row.params.unwrap(), tree, room, &scratch);
    let sink = Plain(fs_err::File::create(output).unwrap().into_file());
    raw::copy(&*medium, &sink, &WORK).unwrap();
}

fn archive(input: &Path, scratch: &Scratch) -> Tree {
    let origin = Origin::new("bench");
    let mut tree = Tree::new(Meta::directory(Time::default()), origin.clone());
    let source = Arc::new(FileSource::open(input).unwrap());
    unpack(&mut tree, source, &Unpack::default(), scratch, &origin).unwrap();
    tree
}

fn render(params: &Params, tree: Tree, room: Room, scratch: &Scratch) -> Arc<dyn SectorSource> {
    let identity = Identity { seed: Uuid::from_u128(1), ..Identity::default() };
    let sector = if matches!(params, Params::Iso9660(_)) { 2048 } else { 512 };
    let (tree, time) = (Arc::new(tree), Time::default());
    let request = Request { tree, identity, room, time, sector, scratch, work: WORK };
    let planned = plan(params, &request).unwrap();
    let extent = Extent::new(0, planned.len()).unwrap();
    planned.render(&Placement { extents: vec![extent], medium: extent.end(), volume: 0 }).unwrap()
}

/// How time and memory grow with the number of files.
fn growth() {
    println!("\n| ext4 of files | time | for each file | our peak |\n|---|---|---|---|");
    let this = std::env::current_exe().unwrap();
    for count in [10_000, 100_000, 1_000_000u32] {
        let cost = run(Command::new(&this).args(["names", &count.to_string()]));
        let (seconds, peak) = (cost.time.as_secs_f64(), cost.memory as f64 / 1024.0);
        let each = seconds * 1e6 / f64::from(count);
        println!("| {count} | {seconds:.2} s | {each:.1} µs | {peak:.1} MiB |");
    }
}

fn names(count: usize) {
    let scratch = Scratch::new(&std::env::temp_dir(), 0);
    let room = Room::Fit { percent: 0, bytes: 0 };
    let medium = render(&ext(ext::Variant::Ext4), scan::synthetic(count), room, &scratch);
    raw::copy(&*medium, &Nothing, &WORK).unwrap();
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
