//! Kernels and archives of initial files, told by their first bytes. Sources: Linux
//! `Documentation/arch/x86/boot.rst`, `Documentation/arch/arm64/booting.rst`,
//! `Documentation/driver-api/early-userspace/buffer-format.rst`; the Multiboot specification 0.6.96, 3.1;
//! Multiboot2 2.0, 3.1.
//!
//! Loads nothing. Invariant: of a packed file at most 64 KiB are unpacked, of an archive at most
//! 16,384 members are stepped over.

use std::io::Read as _;
use std::sync::Arc;

use super::bytes::{Bytes, find, u32_at};
use super::found::Kernel;
use crate::engine::base::{ByteSource, SectorSource, SourceReader};
use crate::engine::codec::wrap::{self, Wrap};

/// What is unpacked of a kernel.
const HEAD: u64 = 64 << 10;

/// Members of an archive that are stepped over, and zeros between two archives.
const MEMBERS: usize = 16_384;
const GAP: usize = 64 << 10;

/// Parts of an initrd that are told.
const PARTS: usize = 8;

/// The kernel in `file`; none if it is none that we know.
pub(super) fn look(file: &Arc<dyn SectorSource>) -> Option<Kernel> {
    let bytes = Bytes(file.as_ref());
    if let Some(found) = linux(bytes).or_else(|| multiboot(bytes)) {
        return Some(found);
    }
    if Wrap::detect(&bytes.some(0, Wrap::MAGIC)) != Some(Wrap::Gzip) {
        return None;
    }
    let unpacked = wrap::unwrap(Wrap::Gzip, Box::new(SourceReader::new(Arc::clone(file)))).ok()?;
    let mut head = Vec::new();
    unpacked.take(HEAD).read_to_end(&mut head).ok()?;
    let head = ByteSource::new(head);
    let found = linux(Bytes(&head)).or_else(|| multiboot(Bytes(&head)))?;
    Some(Kernel { gzip: true, ..found })
}

/// A Linux kernel for x86 or arm64.
pub(super) fn linux(file: Bytes<'_>) -> Option<Kernel> {
    let efi_stub = file.some(0, 2) == b"MZ";
    let kernel = Kernel { kind: "Linux", efi_stub, ..Kernel::default() };
    // boot.rst, "The Real-Mode Kernel Header": the version's text is at 0x200 plus this number.
    if file.some(0x202, 4) == b"HdrS" && file.u16(0x1fe) == Some(0xaa55) {
        let at = file.u16(0x20e).filter(|at| *at != 0);
        let text = at.map(|at| file.text(0x200 + u64::from(at), 256));
        // "6.1.0-1-amd64 (someone@somewhere) #1 SMP ...": who built it is of no use here.
        let version = text.as_deref().and_then(|text| text.split_whitespace().next());
        return Some(Kernel { version: version.map(str::to_owned), ..kernel });
    }
    // booting.rst, "Call the kernel image": "ARM\x64" at 56.
    (file.some(56, 4) == b"ARMd").then_some(kernel)
}

/// A kernel with a Multiboot header.
fn multiboot(file: Bytes<'_>) -> Option<Kernel> {
    let head = file.some(0, 32 << 10);
    let sums = |at: usize, words: usize| {
        let sum = |n| u32_at(&head, at + n * 4);
        (0..words).try_fold(0_u32, |all, n| Some(all.wrapping_add(sum(n)?))) == Some(0)
    };
    let at = |magic: u32, align: usize, most: usize, words: usize| {
        let mut places = (0..head.len().min(most)).step_by(align);
        places.any(|at| u32_at(&head, at) == Some(magic) && sums(at, words))
    };
    // Magic, flags, checksum within 8 KiB; magic, architecture, length, checksum within 32.
    let kind = match (at(0x1bad_b002, 4, 8 << 10, 3), at(0xe852_50d6, 8, 32 << 10, 4)) {
        (_, true) => "Multiboot2",
        (true, false) => "Multiboot",
        (false, false) => return None,
    };
    Some(Kernel { kind, ..Kernel::default() })
}

/// The parts of an archive of initial files; none if it does not begin like one.
pub(super) fn initrd(file: Bytes<'_>) -> Vec<&'static str> {
    let (mut parts, mut at) = (Vec::new(), 0);
    while parts.len() < PARTS {
        let first = file.some(at, 6);
        if let Some(wrap) = Wrap::detect(&first) {
            parts.push(wrap.as_str());
            break;
        }
        if first.starts_with(&[0x02, 0x21, 0x4c, 0x18]) {
            parts.push("lz4 legacy");
            break;
        }
        if first.starts_with(&[0x5d, 0, 0]) {
            parts.push("lzma");
            break;
        }
        if first != b"070701" && first != b"070702" {
            break;
        }
        parts.push("cpio");
        let Some(end) = end_of_archive(file, at) else { break };
        let gap = file.some(end, GAP);
        let Some(next) = gap.iter().position(|byte| *byte != 0) else { break };
        at = end + next as u64;
    }
    parts
}

/// Where the archive that begins at `at` ends: behind the member TRAILER!!!.
fn end_of_archive(file: Bytes<'_>, mut at: u64) -> Option<u64> {
    for _ in 0..MEMBERS {
        let header = file.some(at, 110);
        let number = |field: usize| {
            let digits = header.get(6 + field * 8..14 + field * 8)?;
            u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        // buffer-format.rst: c_filesize is the seventh number, c_namesize the twelfth.
        let (len, name_len) = (number(6)?, number(11)?);
        let name = file.some(at + 110, 11);
        let body = (at + 110 + name_len).next_multiple_of(4);
        at = (body + len).next_multiple_of(4);
        if find(&name, b"TRAILER!!!") == Some(0) {
            return Some(at);
        }
    }
    None
}
