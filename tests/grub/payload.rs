//! The kernel of `payload/kernel.c`, and what it says when it runs.
//!
//! Invariant: what it computes is computed here a second time and stands in no image.

use std::process::Command;
use std::sync::OnceLock;

use fs_err as fs;

/// The program's source.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grub/payload/kernel.c");

/// Compiles a kernel; `more` are options of gcc and of the linker.
pub(crate) fn compiled(more: &[&str]) -> Vec<u8> {
    let desk = tempfile::tempdir().unwrap();
    let path = desk.path().join("kernel");
    let output = Command::new("gcc")
        .args(["-m32", "-march=i686", "-O1", "-ffreestanding", "-fno-pic", "-fno-stack-protector"])
        .args(["-fcf-protection=none", "-nostdlib", "-static", "-Wl,--build-id=none,-z,norelro"])
        .args([
            "-Wl,-Ttext-segment=0x100000",
            "-Wl,-z,max-page-size=4096,-z,noseparate-code",
            "-Wl,-e,_start",
        ])
        .args(more)
        .arg("-o")
        .args([path.as_os_str(), SOURCE.as_ref()])
        .output()
        .expect("apt install g++");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(path).unwrap()
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
    let desk = tempfile::tempdir().unwrap();
    let path = desk.path().join("sector");
    let output = Command::new("gcc")
        .args(["-m16", "-march=i386", "-Os", "-ffreestanding", "-fno-pic", "-fno-stack-protector"])
        .args(["-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-nostdlib", "-static"])
        .args(["-Wl,--build-id=none,-Ttext=0x7c00,--oformat=binary,-e,_start", "-o"])
        .args([
            path.as_os_str(),
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grub/payload/sector.c").as_ref(),
        ])
        .output()
        .expect("apt install g++");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut bytes = fs::read(path).unwrap();
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
