//! GRUB's core: what is packed in it. Layouts as measured on GRUB 2.06's files, and as its
//! `grub/offsets.h`, `grub/kernel.h` and `grub/i386/pc/boot.h` name them.
//!
//! Runs nothing. Invariant: at most 1 MiB is read and 8 MiB are unpacked, a bounded number of times.

use std::io::Read as _;

use lzma_rust2::LzmaReader;

use super::bytes::{Bytes, find, holds, some_text, u32_at, u64_at};
use super::found::Grub;

/// `GRUB_MODULE_MAGIC`: "mimg".
const MODULES: [u8; 4] = *b"mimg";

/// `enum grub_module_type`.
const ELF: u32 = 0;
const CONFIG: u32 = 2;
const PREFIX: u32 = 3;

/// What `diskboot.img` prints; it is the core's first sector.
const DISKBOOT: &[u8] = b"loading\0";

/// Offsets of the packed and the unpacked length in the decompressor, which lies behind that sector.
const PACKED: usize = 512 + 0x08;
const UNPACKED: usize = 512 + 0x0c;

/// Where the decompressor may end: it has 2848 bytes in Debian's GRUB 2.06.
const MEASURED: usize = 2848;
const ENDS: std::ops::Range<usize> = 2048..4096;

/// Bytes read and unpacked at most.
const CORE: usize = 1 << 20;
const PAYLOAD: usize = 8 << 20;

/// Places tried.
const TRIES: usize = 12;

/// The bytes in front of its version, in the module `normal`.
const BANNER: &[u8] = b"GNU GRUB  version %s\0";

/// The core whose first sector begins at byte `at`; none if there is none.
pub(super) fn core(medium: Bytes<'_>, at: u64) -> Option<Grub> {
    let core = medium.some(at, CORE);
    if !holds(core.get(..512)?, DISKBOOT) {
        return None;
    }
    let mut grub = payload(&core).map(|payload| embedded(&payload, false)).unwrap_or_default();
    grub.sector = Some(at / 512);
    Some(grub)
}

/// The payload of a core, unpacked: LZMA without a header.
fn payload(core: &[u8]) -> Option<Vec<u8>> {
    let packed = u32_at(core, PACKED)? as usize;
    let unpacked = u32_at(core, UNPACKED)? as usize;
    if packed == 0 || unpacked == 0 || unpacked > PAYLOAD {
        return None;
    }
    // The first byte of LZMA's range coder is always 0; images are aligned to 16.
    let ends = std::iter::once(MEASURED).chain(ENDS.step_by(16).filter(|end| *end != MEASURED));
    let starts = ends.filter_map(|end| core.get(512 + end..512_usize.checked_add(end + packed)?));
    let starts = starts.filter(|bytes| bytes.first() == Some(&0)).take(TRIES);
    starts
        .filter_map(|bytes| unpack(bytes, unpacked))
        .find(|payload| modules(payload, false).is_some())
}

fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    let reader = LzmaReader::new(packed, len as u64, 3, 0, 2, 64 << 10, None).ok()?;
    let mut payload = Vec::new();
    reader.take(len as u64).read_to_end(&mut payload).ok()?;
    (payload.len() == len).then_some(payload)
}

/// Where the list of modules lies: its first object and its end.
fn modules(payload: &[u8], wide: bool) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let at = from + find(payload.get(from..)?, &MODULES)?;
        // `struct grub_module_info32` and `64`: magic, (padding,) offset, size.
        let (offset, size) = match wide {
            false => (u64::from(u32_at(payload, at + 4)?), u64::from(u32_at(payload, at + 8)?)),
            true => (u64_at(payload, at + 8)?, u64_at(payload, at + 16)?),
        };
        let header = if wide { 24 } else { 12 };
        let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size));
        if let Some(end) =
            end.filter(|end| offset == header && size >= header && *end <= payload.len())
        {
            return Some((at + header as usize, end));
        }
        from = at + 1;
    }
}

/// What is in a payload, or in the section `mods` of an EFI program (`wide`: of a 64-bit one).
pub(super) fn embedded(payload: &[u8], wide: bool) -> Grub {
    let mut grub = Grub { version: version(payload), ..Grub::default() };
    let Some((mut at, end)) = modules(payload, wide) else { return grub };
    while let (Some(kind), Some(size)) = (u32_at(payload, at), u32_at(payload, at + 4)) {
        let next = at.checked_add(size as usize).filter(|next| size >= 8 && *next <= end);
        let Some(next) = next else { break };
        let bytes = payload.get(at + 8..next).unwrap_or_default();
        match kind {
            ELF => grub.modules += 1,
            CONFIG => grub.config = some_text(bytes),
            PREFIX => grub.prefix = some_text(bytes),
            _ => {}
        }
        at = next;
    }
    grub
}

/// The version that the module `normal` prints.
pub(super) fn version(module: &[u8]) -> Option<String> {
    let rest = module.get(find(module, BANNER)? + BANNER.len()..)?;
    some_text(rest.get(..64.min(rest.len()))?)
}
