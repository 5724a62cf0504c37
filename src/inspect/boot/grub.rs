//! GRUB's core: what is packed in it. Layouts as measured on GRUB 2.06's files, and as its
//! `grub/offsets.h`, `grub/kernel.h` and `grub/i386/pc/boot.h` name them.
//!
//! Runs nothing. Invariant: of a core at most 1 MiB is read, and of all cores of a medium together
//! some 32 MiB are unpacked.

use std::cell::Cell;
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

/// Bytes unpacked of all cores of a medium, those of places that were tried in vain among them: a core
/// has some 200 KiB, and a medium of a few KiB can name a hundred of 8 MiB.
const TOTAL: usize = 32 << 20;

/// What may still be unpacked of the cores of a medium.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(TOTAL))
    }
}

impl Budget {
    /// Whether anything is left.
    fn lasts(&self) -> bool {
        self.0.get() > 0
    }

    fn spend(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_sub(bytes));
    }
}

/// The bytes in front of its version, in the module `normal`.
const BANNER: &[u8] = b"GNU GRUB  version %s\0";

/// The core whose first sector begins at byte `at`; none if there is none.
pub(super) fn core(medium: Bytes<'_>, at: u64, budget: &Budget) -> Option<Grub> {
    let core = medium.some(at, CORE);
    if !holds(core.get(..512)?, DISKBOOT) {
        return None;
    }
    let mut grub =
        payload(&core, budget).map(|payload| embedded(&payload, false)).unwrap_or_default();
    grub.sector = Some(at / 512);
    Some(grub)
}

/// The payload of a core, unpacked: LZMA without a header.
fn payload(core: &[u8], budget: &Budget) -> Option<Vec<u8>> {
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
        .take_while(|_| budget.lasts())
        .filter_map(|bytes| unpack(bytes, unpacked, budget))
        .find(|payload| modules(payload, false).is_some())
}

fn unpack(packed: &[u8], len: usize, budget: &Budget) -> Option<Vec<u8>> {
    let reader = LzmaReader::new(packed, len as u64, 3, 0, 2, 64 << 10, None).ok()?;
    let mut payload = Vec::new();
    let read = reader.take(len as u64).read_to_end(&mut payload);
    budget.spend(payload.len());
    read.ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ByteSource;

    /// Zeros are LZMA of as many zeros as one likes, at each of the places that are tried.
    #[test]
    fn all_cores_of_a_medium_share_what_is_unpacked() {
        let mut core = vec![0; CORE];
        core[..DISKBOOT.len()].copy_from_slice(DISKBOOT);
        core[PACKED..PACKED + 4].copy_from_slice(&900_000_u32.to_le_bytes());
        core[UNPACKED..UNPACKED + 4].copy_from_slice(&(1_u32 << 16).to_le_bytes());
        let (medium, budget) = (ByteSource::new(core), Budget(Cell::new(20 << 16)));
        let left = |count: usize| {
            for _ in 0..count {
                let found = core_at_the_front(&medium, &budget);
                assert_eq!(found.sector, Some(0));
            }
            budget.0.get()
        };
        // 12 places of 64 KiB each.
        assert_eq!(left(1), 8 << 16);
        // The second ends in the middle of its places, and the others are told without a look inside.
        assert_eq!(left(100), 0);
    }

    fn core_at_the_front(medium: &ByteSource, budget: &Budget) -> Grub {
        core(Bytes(medium), 0, budget).unwrap()
    }
}
