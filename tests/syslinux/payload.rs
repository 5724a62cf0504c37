//! A program for a boot loader: it adds up the bytes of the module it is given, says the sum on the
//! serial line and powers the machine off.
//!
//! Invariant: the sum is in no file.

use iced_x86::code_asm::*;

/// Where the program lies in memory.
const ORIGIN: u32 = 0x10_0000;
/// Multiboot 0.6.96, 3.1.1: modules on pages, and addresses in the header.
const MAGIC: u32 = 0x1BAD_B002;
const FLAGS: u32 = 0x0001_0001;
const HEADER: usize = 32;
const COM1: u32 = 0x3f8;

/// The program, 4096 bytes.
pub(crate) fn program() -> Vec<u8> {
    let mut image = Vec::new();
    let end = ORIGIN + 4096;
    let sum = MAGIC.wrapping_add(FLAGS).wrapping_neg();
    let entry = ORIGIN + HEADER as u32;
    for word in [MAGIC, FLAGS, sum, ORIGIN, ORIGIN, end, end, entry] {
        image.extend(word.to_le_bytes());
    }
    image.extend(code().unwrap());
    assert!(image.len() < 4096);
    image.resize(4096, 0x90);
    image
}

/// What the program says of a module.
pub(crate) fn said(module: &[u8]) -> String {
    let sum = module
        .iter()
        .fold(0u32, |sum, byte| sum.rotate_left(5).wrapping_mul(33).wrapping_add(u32::from(*byte)));
    format!("SUM {sum:08x}\r\n")
}

fn code() -> Result<Vec<u8>, iced_x86::IcedError> {
    let mut a = CodeAssembler::new(32)?;
    let (mut next, mut done, mut print, mut digits, mut letter, mut wait) = (
        a.create_label(),
        a.create_label(),
        a.create_label(),
        a.create_label(),
        a.create_label(),
        a.create_label(),
    );
    let mut halt = a.create_label();
    a.mov(esp, 0x18_0000)?;
    // Multiboot 3.3: the modules' table at 24; a row begins with start and end.
    a.mov(esi, dword_ptr(ebx + 24))?;
    a.mov(edi, dword_ptr(esi + 4))?;
    a.mov(esi, dword_ptr(esi))?;
    a.xor(eax, eax)?;
    a.set_label(&mut next)?;
    a.cmp(esi, edi)?;
    a.jae(done)?;
    a.rol(eax, 5)?;
    a.imul_3(eax, eax, 33)?;
    a.movzx(edx, byte_ptr(esi))?;
    a.add(eax, edx)?;
    a.inc(esi)?;
    a.jmp(next)?;
    a.set_label(&mut done)?;
    a.mov(ebp, eax)?;
    for byte in b"SUM " {
        a.mov(bl, u32::from(*byte))?;
        a.call(print)?;
    }
    a.mov(ecx, 8)?;
    a.set_label(&mut digits)?;
    a.rol(ebp, 4)?;
    a.mov(ebx, ebp)?;
    a.and(bl, 15)?;
    a.add(bl, i32::from(b'0'))?;
    a.cmp(bl, i32::from(b'9'))?;
    a.jbe(letter)?;
    a.add(bl, i32::from(b'a' - b'0' - 10))?;
    a.set_label(&mut letter)?;
    a.call(print)?;
    a.dec(ecx)?;
    a.jnz(digits)?;
    for byte in b"\r\n" {
        a.mov(bl, u32::from(*byte))?;
        a.call(print)?;
    }
    // ACPI of QEMU's machines: "off".
    a.mov(dx, 0x604)?;
    a.mov(ax, 0x2000)?;
    a.out(dx, ax)?;
    a.set_label(&mut halt)?;
    a.hlt()?;
    a.jmp(halt)?;
    a.set_label(&mut print)?;
    a.mov(dx, COM1 + 5)?;
    a.set_label(&mut wait)?;
    a.in_(al, dx)?;
    a.test(al, 0x20)?;
    a.jz(wait)?;
    a.mov(dx, COM1)?;
    a.mov(al, bl)?;
    a.out(dx, al)?;
    a.ret()?;
    a.assemble(u64::from(ORIGIN) + HEADER as u64)
}
