//! EFI programs of any bytes, and unified kernel images of such parts.
//!
//! Invariants judged here: an image that was assembled is a program for the same machine, holds the
//! kernel's bytes as its section `.linux`, and nothing of it overlaps the new sections, in the file
//! or in memory.

use vmimage::engine::base::{ByteSource, Content, SectorSource};
use vmimage::engine::bootloader::efi::{self, Machine, Parts, Section};

use crate::{all, made};

/// Reads a program; then makes images of it as the stub, as the kernel, or as both. Whether one was
/// made.
pub fn run(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else { return false };
    let machine = Machine::ALL[usize::from(kind >> 2) % 2];
    let source = ByteSource::new(rest.to_vec());
    let _kernel = efi::kernel(&source, machine);
    if !matches!(efi::read(&source), Ok(Some(_))) {
        return false;
    }
    let usual = match machine {
        Machine::X64 => made::bzimage(),
        Machine::Arm64 => made::arm64(),
    };
    let stub = made::program(machine.coff(), &[made::CODE]);
    match kind % 4 {
        0 => assemble(machine, rest, &usual),
        1 => assemble(machine, &stub, rest),
        2 => assemble(machine, rest, rest),
        _ => false,
    }
}

fn assemble(machine: Machine, stub: &[u8], kernel: &[u8]) -> bool {
    let bytes = |bytes: &[u8]| Content::Bytes(bytes.into());
    let parts = Parts {
        initrd: Some(bytes(&[1; 5])),
        microcode: Some(bytes(&[2; 7])),
        command_line: Some("quiet".to_owned()),
        os_release: Some(b"ID=fuzz\n"[..].into()),
        ..Parts::new(bytes(kernel))
    };
    let names = [".osrel", ".cmdline", ".uname", ".ucode", ".initrd", ".linux"];
    let Ok(image) = efi::unified(machine, stub, parts) else { return false };
    let found = read(image.as_ref());
    assert!(found.runs_on(machine), "{found:?}");
    let mut linux = vec![0; kernel.len()];
    let place = found.section(".linux").expect("the kernel is in the image");
    image.read_at(place.offset.into(), &mut linux).expect("the kernel is in the file");
    assert!(linux == kernel, "other bytes of the kernel");
    for (at, new) in found.sections.iter().enumerate() {
        let others = found.sections.iter().enumerate().filter(|(other, _)| *other != at);
        for (_, other) in others.filter(|_| names.contains(&new.name.as_str())) {
            assert!(apart(memory(new), memory(other)), "in memory: {new:?} {other:?}");
            assert!(apart(file(new), file(other)), "in the file: {new:?} {other:?}");
        }
    }
    all(image.as_ref()).len() as u64 == image.len()
}

fn read(image: &dyn SectorSource) -> efi::Pe {
    efi::read(image).expect("our image is read").expect("our image is a program")
}

fn memory(section: &Section) -> (u64, u64) {
    let start = u64::from(section.virtual_address);
    (start, start + u64::from(section.virtual_size.max(section.size)))
}

fn file(section: &Section) -> (u64, u64) {
    let start = u64::from(section.offset);
    (start, start + u64::from(section.size))
}

const fn apart(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 == one.1 || other.0 == other.1 || one.1 <= other.0 || other.1 <= one.0
}
