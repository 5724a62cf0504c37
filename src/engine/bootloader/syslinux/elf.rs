//! As much of ELF as is needed: where a program's bytes lie that are loaded, how long a module is,
//! and which other modules it needs.
//!
//! Runs nothing. Invariant: bytes that are no ELF or point outside of themselves are answered with
//! nothing, never with a panic.

use std::ops::Range;

use zerocopy::FromBytes;

use super::ondisk::{
    DYNAMIC, Dynamic32, ELF32, ELF64, END, Elf32, Elf64, INTEL386, LOAD, NEEDED, SHARED_OBJECT,
    STRINGS, Segment32, Segment64,
};

/// Libraries that a module may name: more are no module of syslinux.
const MOST: usize = 64;

/// A structure at `at`.
pub(super) fn at<T: FromBytes>(bytes: &[u8], at: usize) -> Option<T> {
    let end = at.checked_add(size_of::<T>())?;
    T::read_from_bytes(bytes.get(at..end)?).ok()
}

/// Where the bytes lie in a program's file that are loaded from it.
pub(super) fn loaded(program: &[u8]) -> Vec<Range<usize>> {
    let range = |kind: u32, offset: u64, len: u64| {
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        (kind == LOAD).then_some(offset..offset.checked_add(len)?)
    };
    if program.starts_with(&ELF64) {
        let Some(header) = at::<Elf64>(program, 0) else { return Vec::new() };
        let first = usize::try_from(header.segments_at.get()).unwrap_or(usize::MAX);
        let each = table(first, header.segment_len.get(), header.segments.get());
        let segments = each.map_while(|place| at::<Segment64>(program, place));
        segments.filter_map(|s| range(s.kind.get(), s.offset.get(), s.file_len.get())).collect()
    } else if program.starts_with(&ELF32) {
        let segments = segments(program).into_iter();
        let each = segments
            .filter_map(|s| range(s.kind.get(), s.offset.get().into(), s.file_len.get().into()));
        each.collect()
    } else {
        Vec::new()
    }
}

/// Bytes of the module that `bytes` begin with: up to the end of its table of sections, which is
/// the last thing in syslinux' modules. None if there is no module.
pub(super) fn module_len(bytes: &[u8]) -> Option<usize> {
    let header = at::<Elf32>(bytes, 0).filter(|header| header.ident.starts_with(&ELF32))?;
    let is_module = header.kind.get() == SHARED_OBJECT && header.machine.get() == INTEL386;
    let sections = usize::from(header.section_len.get()) * usize::from(header.sections.get());
    let len = (header.sections_at.get() as usize).checked_add(sections)?;
    (is_module && sections > 0 && len <= bytes.len()).then_some(len)
}

/// The names of the modules that a module needs, in its own order; none if it is no module.
pub(super) fn needed(module: &[u8]) -> Option<Vec<String>> {
    module_len(module)?;
    let segments = segments(module);
    let dynamic = segments.iter().find(|segment| segment.kind.get() == DYNAMIC)?;
    let (from, len) = (dynamic.offset.get() as usize, dynamic.file_len.get() as usize);
    let entries = module.get(from..from.checked_add(len)?)?.chunks_exact(size_of::<Dynamic32>());
    let entries: Vec<_> = entries
        .map_while(|entry| Dynamic32::read_from_bytes(entry).ok())
        .take_while(|entry| entry.tag.get() != END)
        .collect();
    let address = entries.iter().find(|entry| entry.tag.get() == STRINGS)?.value.get();
    let strings = segments.iter().find_map(|segment| {
        let inside = address.checked_sub(segment.address.get())?;
        let held = segment.kind.get() == LOAD && inside < segment.file_len.get();
        held.then_some(segment.offset.get().checked_add(inside)? as usize)
    })?;
    let names = entries.iter().filter(|entry| entry.tag.get() == NEEDED).take(MOST);
    names.map(|entry| text(module, strings.checked_add(entry.value.get() as usize)?)).collect()
}

fn segments(bytes: &[u8]) -> Vec<Segment32> {
    let Some(header) = at::<Elf32>(bytes, 0) else { return Vec::new() };
    let first = header.segments_at.get() as usize;
    let places = table(first, header.segment_len.get(), header.segments.get());
    places.map_while(|place| at(bytes, place)).collect()
}

fn table(first: usize, len: u16, count: u16) -> impl Iterator<Item = usize> {
    (0..usize::from(count)).map_while(move |row| first.checked_add(row * usize::from(len)))
}

/// The zero-terminated name at `at`, if it is one.
fn text(bytes: &[u8], at: usize) -> Option<String> {
    let rest = bytes.get(at..)?;
    let end = rest.iter().take(256).position(|byte| *byte == 0)?;
    let name = str::from_utf8(rest.get(..end)?).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}
