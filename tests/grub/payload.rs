//! The programs of `payload/`, and what they say when they run.
//!
//! Invariant: what they compute is computed here a second time and stands in no image.

use std::process::Command;
use std::sync::OnceLock;

use fs_err as fs;

/// Options for a program that runs without a system.
const BARE: [&str; 7] = [
    "-ffreestanding",
    "-fno-pic",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fcf-protection=none",
    "-nostdlib",
    "-Wl,--build-id=none",
];

/// Compiles one of the programs.
fn gcc(source: &str, options: &[&[&str]]) -> Vec<u8> {
    let desk = tempfile::tempdir().unwrap();
    let path = desk.path().join("program");
    let source = format!("{}/tests/grub/payload/{source}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("gcc");
    command.arg("-static").args(options.concat()).arg("-o").arg(&path).arg(source);
    let output = command.output().expect("apt install g++");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(path).unwrap()
}

/// Compiles the kernel; `more` are options of gcc and of the linker.
pub(crate) fn compiled(more: &[&str]) -> Vec<u8> {
    let linked = [
        "-m32",
        "-march=i686",
        "-O1",
        "-Wl,-z,norelro,-Ttext-segment=0x100000,-e,_start",
        // The header must lie in the first 8 KiB.
        "-Wl,-z,max-page-size=4096,-z,noseparate-code",
    ];
    gcc("kernel.c", &[&BARE, &linked, more])
}

/// A server for GNU Mach.
pub(crate) fn server() -> Vec<u8> {
    gcc("server.c", &[&BARE, &["-m32", "-march=i686", "-O1"]])
}

/// What it says.
pub(crate) fn server_computed() -> String {
    let sum = (1..=700_u32).fold(0_u32, |sum, i| sum.wrapping_mul(13).wrapping_add(i * i));
    format!("server computed {sum:010}")
}

/// The first process of a Linux guest.
pub(crate) fn init() -> Vec<u8> {
    gcc("init.c", &[&["-O1", "-s"]])
}

/// The kernel.
pub(crate) fn kernel() -> Vec<u8> {
    static KERNEL: OnceLock<Vec<u8>> = OnceLock::new();
    KERNEL.get_or_init(|| compiled(&[])).clone()
}

/// What it says it computed.
pub(crate) fn computed() -> String {
    let sum = (1..=1000_u32).fold(0_u32, |sum, i| sum.wrapping_mul(7).wrapping_add(i * i));
    format!("kernel computed {sum}")
}

/// What it says about a module.
pub(crate) fn module(number: usize, bytes: &[u8], line: &str) -> String {
    let fold = |sum: u32, byte: &u8| sum.wrapping_mul(31).wrapping_add(u32::from(*byte));
    let hash = bytes.iter().fold(0, fold);
    format!("module {number} of {} hash {hash} [{line}]", bytes.len())
}

/// A boot sector that says `sector_computed`.
pub(crate) fn sector() -> Vec<u8> {
    let linked = ["-m16", "-march=i386", "-Os", "-Wl,-Ttext=0x7c00,--oformat=binary,-e,_start"];
    let mut bytes = gcc("sector.c", &[&BARE, &linked]);
    assert!(bytes.len() <= 440, "{} bytes", bytes.len());
    bytes.resize(510, 0);
    bytes.extend([0x55, 0xaa]);
    bytes
}

/// What the boot sector says.
pub(crate) fn sector_computed() -> String {
    let sum = (1..=500_u32).fold(0_u32, |sum, i| sum.wrapping_mul(11).wrapping_add(i));
    format!("={sum:010}\n")
}
