//! Small media that boot against the pipelines that make them: a disk of 4 MiB with GRUB in its gap
//! and a multiboot kernel on ext2, and an ISO of the same.
//!
//! ```text
//! cargo bench --bench boot [-- FILTER]     rows whose name has FILTER
//! ```
//!
//! Asserts no time. Invariant: both sides are whole processes that start from the same kernel and
//! menu, put the same modules of GRUB into their core images, and write into the same directory. Ours
//! syncs its files and knows their digests, the other side does neither.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "support/pairs.rs"]
mod pairs;

use std::path::Path;
use std::process::Command;

use pairs::{Cost, compare, run};

/// What is built, how, what for, and what does the same.
struct Row {
    name: &'static str,
    document: &'static str,
    /// Whether parts are kept from the run before.
    cached: bool,
    goal: &'static str,
    /// For a shell, with `$in` (the tree that is put onto the medium) and `$out`.
    theirs: &'static str,
}

/// The disk.
const DISK: &str = "apiVersion: vmimage.dev/v1alpha1
kind: VMImage
metadata: {name: disk}
spec:
  architecture: i386
  boot:
    grub:
      firmware: [bios]
      timeoutSeconds: 0
      entries: [{title: bench, multiboot: {kernel: /boot/kernel}}]
  disk:
    size: 4Mi
    partitionTable: MBR
    partitions:
    - name: root
      type: linux
      attributes: [active]
      filesystem: {type: ext2}
      contents: [{file: {path: /boot/kernel, source: {file: tree/boot/kernel}}}]
";

/// The ISO.
const DISC: &str = "apiVersion: vmimage.dev/v1alpha1
kind: VMImage
metadata: {name: disc}
spec:
  architecture: i386
  boot:
    grub:
      firmware: [bios]
      timeoutSeconds: 0
      entries: [{title: bench, multiboot: {kernel: /boot/kernel}}]
  iso:
    contents: [{file: {path: /boot/kernel, source: {file: tree/boot/kernel}}}]
  formats: [{type: iso}]
";

/// The list of modules is ours, so that what is compressed is the same.
const PIPELINE: &str = "truncate -s 4M $out && \
    echo '2048,,83,*' | sfdisk -q --no-reread --no-tell-kernel -X dos $out && \
    mke2fs -q -F -t ext2 -d $in -E offset=1048576 $out 3072k && \
    grub-mkimage -O i386-pc -o $out.core -p '(,msdos1)/boot/grub' \
        biosdisk part_msdos ext2 search_fs_uuid multiboot normal terminal && \
    dd if=/usr/lib/grub/i386-pc/boot.img of=$out bs=440 count=1 conv=notrunc status=none && \
    dd if=$out.core of=$out bs=512 seek=1 conv=notrunc status=none";

/// For BIOS alone, as it is used.
const RESCUE: &str = "exec grub-mkrescue -d /usr/lib/grub/i386-pc -o $out $in >/dev/null 2>&1";

/// The same with nothing but the modules of ours. They lie uncompressed on the disc, its core image
/// has few: there is a fifth as much to compress.
const FEW: &str = "exec grub-mkrescue -d /usr/lib/grub/i386-pc --locales= --fonts= --themes= \
    --install-modules='biosdisk iso9660 search_fs_file multiboot normal terminal' \
    -o $out $in >/dev/null 2>&1";

const ROWS: [Row; 4] = [
    Row { name: "disk", document: DISK, cached: false, goal: "9", theirs: PIPELINE },
    Row { name: "disk, --cache", document: DISK, cached: true, goal: "", theirs: PIPELINE },
    Row { name: "ISO", document: DISC, cached: false, goal: "3.5", theirs: RESCUE },
    Row { name: "ISO, few modules", document: DISC, cached: false, goal: "", theirs: FEW },
];

fn main() {
    let filter = std::env::args().skip(1).find(|arg| arg != "--bench").unwrap_or_default();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs_err::create_dir_all(at.join("tree/boot/grub")).unwrap();
    fs_err::write(at.join("tree/boot/kernel"), kernel()).unwrap();
    let menu = "set timeout=0\nmenuentry bench {\n multiboot /boot/kernel\n}\n";
    fs_err::write(at.join("tree/boot/grub/grub.cfg"), menu).unwrap();
    println!(
        "| what boots | ours | theirs | theirs ÷ ours | goal | our peak |\n|---|---|---|---|---|---|"
    );
    for row in ROWS.iter().filter(|row| row.name.contains(&filter)) {
        pair(at, row);
    }
}

/// One line of the table.
fn pair(at: &Path, row: &Row) {
    let document = at.join("document.yaml");
    fs_err::write(&document, row.document).unwrap();
    let theirs = at.join("theirs");
    let ours = || {
        let mut build = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        build.args(["-q", "build", "-f"]).arg(&document).arg("-o").arg(at);
        if row.cached {
            build.arg("--cache").arg(at.join("cache"));
        }
        run(&mut build)
    };
    let compared = compare(&mut || ours(), &mut || shell(row.theirs, &at.join("tree"), &theirs));
    println!(
        "| {} | {:.1} ms | {:.1} ms | {:.2} | {} | {:.1} MiB |",
        row.name,
        compared.ours.time.as_secs_f64() * 1000.0,
        compared.theirs.time.as_secs_f64() * 1000.0,
        compared.ratio,
        row.goal,
        compared.ours.memory as f64 / 1024.0,
    );
}

fn shell(line: &str, input: &Path, output: &Path) -> Cost {
    run(Command::new("sh").args(["-c", line]).env("in", input).env("out", output))
}

/// A kernel as multiboot 1 has it: an ELF file of 32 bits that stops the machine, and is as long as
/// a small kernel.
fn kernel() -> Vec<u8> {
    const AT: u32 = 0x10_0000;
    const LEN: u32 = 256 << 10;
    let mut file = Vec::new();
    // The ELF header, and the one segment, which begins at 4096.
    file.extend(b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([2u16, 3].map(u16::to_le_bytes).concat());
    file.extend([1u32, AT + 12, 52, 0, 0].map(u32::to_le_bytes).concat());
    file.extend([52u16, 32, 1, 40, 0, 0].map(u16::to_le_bytes).concat());
    file.extend([1u32, 4096, AT, AT, LEN, LEN, 5, 4096].map(u32::to_le_bytes).concat());
    file.resize(4096, 0);
    let magic = 0x1bad_b002u32;
    file.extend([magic, 0, magic.wrapping_neg()].map(u32::to_le_bytes).concat());
    file.extend(b"\xfa\xf4\xeb\xfc");
    // What does not repeat, as code does not.
    let mut state = 1u32;
    while file.len() < 4096 + LEN as usize {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        file.push((state >> 24) as u8 & 0x3f);
    }
    file
}
