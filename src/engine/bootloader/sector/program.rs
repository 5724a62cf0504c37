//! The 16-bit program of our boot sector: prints a message, waits for a key, powers off.
//!
//! Knows nothing of the message but that it follows the code and ends with a zero byte. Invariant:
//! the code does not depend on the message, never runs into data, and calls nothing that can wait
//! for ever except the keyboard.
//!
//! ```text
//! 0000:7C00  cli, far jump ──▶ segments 0, stack below 7C00, text mode 3
//!            print on the screen: INT 10h, AH=0Eh
//!            print on COM1:       INT 14h, AH=01h, if INT 11h counts a serial port
//!            wait for a key:      INT 16h, AH=00h
//!            power off:           INT 15h (APM), then the ports of known emulators
//!            cli, hlt for ever
//! ```
//!
//! Calls and registers are those of Ralf Brown's Interrupt List, release 61 ("RBIL"), and of the
//! Advanced Power Management BIOS Interface Specification 1.2 ("APM").

use iced_x86::code_asm::{
    CodeAssembler, CodeLabel, ah, al, ax, bx, cx, di, ds, dx, es, si, sp, ss,
};
use iced_x86::{BlockEncoderOptions, Code, IcedError, Instruction};

/// Where a BIOS loads the sector: linear address 7C00h, as 0000:7C00 or 07C0:0000.
const SECTOR: u32 = 0x7C00;

/// INT 14h, AH=00h: 9600 baud (111), no parity (00), one stop bit (0), eight data bits (11).
const INIT_9600_8N1: u32 = 0xE3;

/// INT 11h: bits 9 to 11 of AX count the serial ports; in AH these are bits 1 to 3.
const SERIAL_PORTS: u32 = 0b0000_1110;

/// What to write where for "off", by machine. Words that mean nothing to a machine are ignored by
/// it; on real hardware APM or the halt below is the end.
const POWER_PORTS: [(u32, u32); 4] = [
    (0x0604, 0x2000), // QEMU pc and q35: PM1a control, SLP_EN (bit 13) with sleep type 0
    (0xB004, 0x2000), // Bochs, QEMU before 2.0: the same register at its older place
    (0x4004, 0x3400), // VirtualBox: the same register, sleep type 5
    (0x0600, 0x0034), // Cloud Hypervisor: sleep control, SLP_EN (bit 5) with sleep type 5
];

/// Addresses that the code has in it as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Addresses {
    /// The target of the far jump.
    main: u32,
    /// The first byte behind the code.
    message: u32,
}

/// The labels that several parts of the program share.
struct Labels {
    main: CodeLabel,
    print: CodeLabel,
    send: CodeLabel,
}

/// The code, which stands `offset` bytes behind the sector's beginning. The message must follow it
/// at once, ended by a zero byte.
pub(super) fn code(offset: u8) -> Vec<u8> {
    let origin = SECTOR + u32::from(offset);
    // The numbers do not change the code's length: the first pass finds them, the second has them.
    let passes = emit(origin, Addresses { main: origin, message: origin })
        .and_then(|(_, found)| Ok((emit(origin, found)?, found)));
    let ((code, settled), found) = passes.expect("the program is fixed, so it always assembles");
    assert_eq!(settled, found, "one pass finds all addresses");
    code
}

fn emit(origin: u32, at: Addresses) -> Result<(Vec<u8>, Addresses), IcedError> {
    let mut a = CodeAssembler::new(16)?;
    let mut labels =
        Labels { main: a.create_label(), print: a.create_label(), send: a.create_label() };
    enter(&mut a, &mut labels, at.main)?;
    say(&mut a, &labels)?;
    wait_for_key(&mut a)?;
    power_off_by_apm(&mut a)?;
    power_off_by_port(&mut a)?;
    halt(&mut a)?;
    print(&mut a, &mut labels, at.message)?;
    send(&mut a, &mut labels)?;
    let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let result = a.assemble_options(u64::from(origin), options)?;
    let main = result.label_ip(&labels.main)?;
    let code = result.inner.code_buffer;
    let message = u64::from(origin) + code.len() as u64;
    let narrow = |address| u32::try_from(address).expect("the program lies in its segment");
    Ok((code, Addresses { main: narrow(main), message: narrow(message) }))
}

/// From whatever state a BIOS leaves (only the linear address is agreed on) to a known one.
fn enter(a: &mut CodeAssembler, labels: &mut Labels, main: u32) -> Result<(), IcedError> {
    a.cli()?;
    a.add_instruction(Instruction::with_far_branch(Code::Jmp_ptr1616, 0, main)?)?;
    a.set_label(&mut labels.main)?;
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, SECTOR)?;
    a.sti()?;
    a.cld()?;
    // 80 x 25 text, cleared: some firmware leaves a graphics mode behind its logo.
    a.mov(ax, 0x0003u32)?;
    a.int(0x10)
}

/// The message, first on the screen, so that a serial port that is slow or stuck cannot hide it.
///
/// INT 11h is asked for ports and not the table at 0040:0000, since only a port that the BIOS
/// counts is one that its own INT 14h serves.
fn say(a: &mut CodeAssembler, labels: &Labels) -> Result<(), IcedError> {
    let mut silent = a.create_label();
    a.xor(di, di)?;
    a.call(labels.print)?;
    a.int(0x11)?;
    a.test(ah, SERIAL_PORTS)?;
    a.jz(silent)?;
    a.mov(ax, INIT_9600_8N1)?;
    a.xor(dx, dx)?;
    a.int(0x14)?;
    a.inc(di)?;
    a.call(labels.print)?;
    a.set_label(&mut silent)
}

fn wait_for_key(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.xor(ax, ax)?;
    a.int(0x16)
}

/// APM 1.2, sections 4.6.2, 4.6.14, 4.6.9 and 4.6.8, in the order in which they depend on each
/// other. Errors are not looked at: the next call or the next method is the answer to each.
fn power_off_by_apm(a: &mut CodeAssembler) -> Result<(), IcedError> {
    // Connect the real-mode interface (device 0: the BIOS itself).
    a.mov(ax, 0x5301u32)?;
    a.xor(bx, bx)?;
    a.int(0x15)?;
    // Tell that this driver knows version 1.2: without it the state "off" is not allowed.
    a.mov(ax, 0x530Eu32)?;
    a.xor(bx, bx)?;
    a.mov(cx, 0x0102u32)?;
    a.int(0x15)?;
    // Enable power management of all devices.
    a.mov(ax, 0x5308u32)?;
    a.mov(bx, 1u32)?;
    a.mov(cx, bx)?;
    a.int(0x15)?;
    // Set all devices to "off".
    a.mov(ax, 0x5307u32)?;
    a.mov(bx, 1u32)?;
    a.mov(cx, 3u32)?;
    a.int(0x15)
}

fn power_off_by_port(a: &mut CodeAssembler) -> Result<(), IcedError> {
    for (port, value) in POWER_PORTS {
        a.mov(dx, port)?;
        a.mov(ax, value)?;
        a.out(dx, ax)?;
    }
    Ok(())
}

/// The end, where nothing could power the machine off. A non-maskable interrupt wakes the
/// processor; it is put to sleep again.
fn halt(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut sleep = a.create_label();
    a.cli()?;
    a.set_label(&mut sleep)?;
    a.hlt()?;
    a.jmp(sleep)
}

/// Sends the message, each line feed as CR LF, until its zero byte or a failure.
fn print(a: &mut CodeAssembler, labels: &mut Labels, message: u32) -> Result<(), IcedError> {
    let (mut next, mut plain, mut done) = (a.create_label(), a.create_label(), a.create_label());
    a.set_label(&mut labels.print)?;
    a.mov(si, message)?;
    a.set_label(&mut next)?;
    a.lodsb()?;
    a.test(al, al)?;
    a.jz(done)?;
    a.cmp(al, u32::from(b'\n'))?;
    a.jne(plain)?;
    a.mov(al, u32::from(b'\r'))?;
    a.call(labels.send)?;
    a.jc(done)?;
    a.mov(al, u32::from(b'\n'))?;
    a.set_label(&mut plain)?;
    a.call(labels.send)?;
    a.jnc(next)?;
    a.set_label(&mut done)?;
    a.ret()
}

/// Sends AL to the screen (DI = 0) or to COM1 (DI = 1); carry means that the port timed out.
///
/// All registers are saved: RBIL names BIOSes that destroy BP when the screen scrolls.
fn send(a: &mut CodeAssembler, labels: &mut Labels) -> Result<(), IcedError> {
    let mut serial = a.create_label();
    a.set_label(&mut labels.send)?;
    a.pusha()?;
    a.test(di, di)?;
    a.jnz(serial)?;
    a.mov(ah, 0x0Eu32)?;
    a.mov(bx, 0x0007u32)?; // page 0; light grey where the mode is a graphics mode after all
    a.int(0x10)?;
    a.clc()?;
    a.popa()?;
    a.ret()?;
    a.set_label(&mut serial)?;
    a.mov(ah, 0x01u32)?;
    a.xor(dx, dx)?;
    a.int(0x14)?;
    a.shl(ah, 1u32)?; // bit 7 of AH, "not sent, timed out", becomes carry; popa keeps it
    a.popa()?;
    a.ret()
}
