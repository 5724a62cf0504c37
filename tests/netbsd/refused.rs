//! Kernels that are not understood in full, and damaged ones.
//!
//! Invariant: each is refused with the reason; no byte makes the reader panic.

use fs_err as fs;
use vmimage::engine::transform::netbsd;

use crate::fixture::{GOOD, Kind, bytes, compile, kernel, names, source};
use crate::tool;

fn why(kernel: &[u8]) -> String {
    netbsd::apply(&source(kernel), &names("com ld")).unwrap_err().to_string()
}

/// Where the bytes `wanted` are in `bytes`, once.
fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    let mut found = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(wanted));
    let at = found.next().unwrap();
    assert!(found.next().is_none());
    at
}

/// The file offset of the table, by nm and objdump.
fn table(wide: bool, desk: &std::path::Path) -> (Vec<u8>, usize, u64) {
    let kind = Kind { wide, layout: 9, stars: true };
    let path = compile(kind, desk, false).display().to_string();
    let symbols = tool::run("binutils", "nm", &[&path]);
    let address = symbols.lines().find_map(|line| line.strip_suffix(" D cfdata")).unwrap();
    let address = u64::from_str_radix(address, 16).unwrap();
    let sections = tool::run("binutils", "objdump", &["-h", &path]);
    let data = sections.lines().find(|line| line.contains(" .data ")).unwrap();
    let word = |n: usize| u64::from_str_radix(data.split_whitespace().nth(n).unwrap(), 16).unwrap();
    (fs::read(&path).unwrap(), (address - word(3) + word(5)) as usize, address)
}

#[test]
fn strange_kernels_are_refused_with_the_reason() {
    for wide in [false, true] {
        let unknown = kernel(Kind { wide, layout: 11, stars: true });
        assert!(why(&unknown).contains("layout of cfdata is unknown"), "{}", why(&unknown));
        let alike = kernel(Kind { wide, layout: 9, stars: false });
        assert!(why(&alike).contains("all states of cfdata are 0"), "{}", why(&alike));

        let desk = tempfile::tempdir().unwrap();
        let path = compile(GOOD[usize::from(wide)], desk.path(), false).display().to_string();
        tool::run("binutils", "strip", &[&path]);
        assert!(why(&fs::read(&path).unwrap()).contains("stripped"));
        let path = compile(GOOD[usize::from(wide)], desk.path(), false).display().to_string();
        tool::run("binutils", "objcopy", &["--redefine-sym", "cfdata=cfdatum", &path]);
        assert!(why(&fs::read(&path).unwrap()).contains("is the object cfdata: is it NetBSD's?"));
    }
    assert!(why(b"").contains("0 bytes"));
    assert!(why(b"#!/bin/sh\n# not a kernel at all").contains("23212f62"));
    let none = netbsd::apply(&source(&kernel(GOOD[0])), &names("nfe")).unwrap_err().to_string();
    assert!(none.contains("no driver named nfe") && none.contains("vioif"), "{none}");
}

#[test]
fn an_object_file_and_other_machines_are_refused() {
    let mut bytes = kernel(GOOD[0]);
    // e_type at 16, e_machine at 18: gABI, "ELF Header".
    bytes[16] = 1;
    assert!(why(&bytes).contains("ELF type is 1"));
    bytes[16] = 2;
    bytes[18] = 40;
    assert!(why(&bytes).contains("machine is 40"));
    bytes[18] = 3;
    bytes[5] = 2;
    assert!(why(&bytes).contains("little-endian"));
}

#[test]
fn pointers_that_lead_elsewhere_are_refused() {
    let desk = tempfile::tempdir().unwrap();
    for wide in [false, true] {
        let (bytes, at, address) = table(wide, desk.path());
        let (pointer, row) = if wide { (8, 48) } else { (4, 24) };
        // Entry 2, its four pointers: name, attachment, locators, parent.
        let fields = [
            (0, "cf_name"),
            (pointer, "cf_atname"),
            (pointer * 2 + if wide { 8 } else { 4 }, "cf_loc"),
            (row - pointer, "cf_pspec"),
        ];
        for (offset, field) in fields {
            for value in [1, address - 0x8000, u64::from(u32::MAX)] {
                let mut bad = bytes.clone();
                let place = at + 2 * row + offset;
                bad[place..place + pointer].copy_from_slice(&value.to_le_bytes()[..pointer]);
                let why = why(&bad);
                assert!(why.contains("entry 2 of cfdata") && why.contains(field), "{why}");
            }
        }
        for (offset, field) in &fields[..2] {
            let mut bad = bytes.clone();
            let place = at + 2 * row + offset;
            bad[place..place + pointer].copy_from_slice(&address.to_le_bytes()[..pointer]);
            assert!(why(&bad).contains(&format!("{field} {address:#x} is in the table itself")));
        }
        // A name that ends the table early, and a table without an end.
        let mut bad = bytes.clone();
        bad[at + 2 * row..][..pointer].fill(0);
        assert!(why(&bad).contains("entry 2 of 12 in cfdata has no name"), "{}", why(&bad));
        let mut bad = bytes.clone();
        bad[at + 11 * row] = 1;
        assert!(why(&bad).contains("the last entry of cfdata has a name"));
        // A state that only running kernels have.
        let mut bad = bytes.clone();
        bad[at + 2 * row + 2 * pointer + 2] = 1;
        assert!(why(&bad).contains("layout of cfdata is unknown"), "{}", why(&bad));
    }
}

#[test]
fn segments_that_overlap_and_symbols_that_reach_out_are_refused() {
    let desk = tempfile::tempdir().unwrap();
    let (bytes, _, address) = table(false, desk.path());
    // The symbol of class 32: name, value, size (12 rows of 24 bytes).
    let row = [&(address as u32).to_le_bytes()[..], &288_u32.to_le_bytes()].concat();
    let symbol = find(&bytes, &row);
    for (size, reason) in
        [(0, "has 0 bytes"), (289, "has 289 bytes"), (24, "has 24 bytes"), (1 << 30, "one place")]
    {
        let mut bad = bytes.clone();
        bad[symbol + 4..symbol + 8].copy_from_slice(&u32::to_le_bytes(size));
        assert!(why(&bad).contains(reason), "{}", why(&bad));
    }
    let mut bad = bytes.clone();
    bad[symbol..symbol + 4].copy_from_slice(&8_u32.to_le_bytes());
    assert!(why(&bad).contains("not in one place"));
    // Both segments at one address: p_vaddr of class 32 is at 8 of 32 bytes; the headers follow the
    // file's header of 52 bytes.
    let mut bad = bytes.clone();
    let (first, second) = (52 + 8, 52 + 32 + 8);
    let moved: [u8; 4] = bad[second..second + 4].try_into().unwrap();
    bad[first..first + 4].copy_from_slice(&moved);
    assert!(why(&bad).contains("not in one place"), "{}", why(&bad));
    // A segment beyond the file: p_filesz at 16, p_memsz at 20.
    let mut bad = bytes;
    bad[52 + 18] = 1;
    bad[52 + 22] = 1;
    assert!(why(&bad).contains("the file has"), "{}", why(&bad));
}

#[test]
fn no_flipped_byte_and_no_cut_makes_it_panic() {
    for kind in GOOD {
        let original = kernel(kind);
        // Not the padding between the segments.
        let near = |at: &usize| {
            let end = (at + 32).min(original.len());
            original[at.saturating_sub(32)..end].iter().any(|byte| *byte != 0)
        };
        for at in (0..original.len()).filter(near) {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = original.clone();
                bad[at] ^= flip;
                let Ok(made) = netbsd::apply(&source(&bad), &names("com ld")) else { continue };
                let after = bytes(made.kernel.as_ref());
                let differ = bad.iter().zip(&after).filter(|(a, b)| a != b).count();
                assert!(differ <= 11, "{kind:?}: byte {at} flipped by {flip:#x}: {differ} changed");
                let restored = netbsd::restore(&made.kernel).unwrap();
                let before = netbsd::restore(&source(&bad)).unwrap();
                assert!(bytes(restored.kernel.as_ref()) == bytes(before.kernel.as_ref()));
            }
        }
        for len in (0..original.len()).step_by(7) {
            let _refused_or_not = netbsd::apply(&source(&original[..len]), &names("com ld"));
        }
    }
}
