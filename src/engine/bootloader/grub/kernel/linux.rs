//! The header of a Linux kernel for x86 ("bzImage").
//!
//! Source: Linux, Documentation/arch/x86/boot.rst; the section is named at each item. Invariant:
//! fields are read only where the protocol's version has them.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::engine::base::{Error, Kind};

/// "The Real-Mode Kernel Header" begins at 0x1f1.
const HEADER_AT: usize = 0x1f1;
/// The field `boot_flag`.
const BOOT_FLAG: u16 = 0xaa55;
/// `loadflags`, bit 0: the kernel is loaded at 1 MiB.
const LOADED_HIGH: u8 = 1;
/// `xloadflags`, bit 0: there is a 64-bit entry.
const KERNEL_64: u16 = 1;
/// GRUB's command `linux` loads no kernel with an older protocol (GRUB 2.06, info page, `linux`).
const OLDEST: u16 = 0x203;
/// `cmdline_size` before protocol 2.06.
const OLD_COMMAND_LINE: u32 = 255;
/// `initrd_addr_max` is in all protocols that are accepted.
const SECTOR: u64 = 512;

/// "The Real-Mode Kernel Header".
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    setup_sects: u8,
    root_flags: U16,
    syssize: U32,
    ram_size: U16,
    vid_mode: U16,
    root_dev: U16,
    boot_flag: U16,
    jump: U16,
    header: [u8; 4],
    version: U16,
    realmode_swtch: U32,
    start_sys_seg: U16,
    kernel_version: U16,
    type_of_loader: u8,
    loadflags: u8,
    setup_move_size: U16,
    code32_start: U32,
    ramdisk_image: U32,
    ramdisk_size: U32,
    bootsect_kludge: U32,
    heap_end_ptr: U16,
    ext_loader_ver: u8,
    ext_loader_type: u8,
    cmd_line_ptr: U32,
    initrd_addr_max: U32,
    kernel_alignment: U32,
    relocatable_kernel: u8,
    min_alignment: u8,
    xloadflags: U16,
    cmdline_size: U32,
    hardware_subarch: U32,
    hardware_subarch_data: U64,
    payload_offset: U32,
    payload_length: U32,
    setup_data: U64,
    pref_address: U64,
    init_size: U32,
    handover_offset: U32,
}

/// What a kernel says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linux {
    /// Of the boot protocol: major in the high byte.
    pub protocol: u16,
    /// Such as `6.1.0-37-cloud-amd64 (...) #1 SMP ...`, where it says so.
    pub version: Option<String>,
    /// Whether it has a 64-bit entry; without one it is a kernel for 32-bit processors.
    pub wide: bool,
    /// Bytes of the command line, the zero at its end not counted.
    pub command_line: u32,
    /// The highest address of an initrd.
    pub initrd_end: u32,
    /// Bytes of memory it needs to unpack itself; none before protocol 2.10.
    pub memory: Option<u32>,
}

/// Judges a kernel for GRUB's command `linux`.
pub fn linux(bytes: &[u8], what: &str) -> Result<Linux, Error> {
    let bad = |message: String| Error::new(Kind::Input, format!("{what} {message}"));
    let header = bytes.get(HEADER_AT..).and_then(|rest| Header::read_from_prefix(rest).ok());
    let Some((header, _)) = header else {
        return Err(bad(format!("has {} bytes: too few for a Linux kernel", bytes.len())));
    };
    if header.boot_flag.get() != BOOT_FLAG || header.header != *b"HdrS" {
        return Err(bad(no_linux(bytes)));
    }
    let protocol = header.version.get();
    if protocol < OLDEST || header.loadflags & LOADED_HIGH == 0 {
        return Err(bad(format!(
            "is a Linux kernel of boot protocol {}.{:02}{}; GRUB loads bzImages from 2.03 on",
            protocol >> 8,
            protocol & 0xff,
            if header.loadflags & LOADED_HIGH == 0 { " that is loaded low (zImage)" } else { "" }
        )));
    }
    // "setup_sects: if 0, the real value is 4", and the boot sector is not among them.
    let setup = if header.setup_sects == 0 { 4 } else { u64::from(header.setup_sects) };
    let (setup, body) = ((setup + 1) * SECTOR, u64::from(header.syssize.get()) * 16);
    let len = bytes.len() as u64;
    // Since 2.04 `syssize` has 32 bits that can be trusted.
    let wanted = if protocol >= 0x204 { setup + body } else { setup };
    // The last unit of 16 bytes need not be whole.
    if len + 15 < wanted {
        return Err(bad(format!(
            "is cut short: a Linux kernel of {wanted} bytes of which {len} are there"
        )));
    }
    Ok(Linux {
        protocol,
        version: version(bytes, header.kernel_version.get()),
        wide: protocol >= 0x20c && header.xloadflags.get() & KERNEL_64 != 0,
        command_line: if protocol >= 0x206 { header.cmdline_size.get() } else { OLD_COMMAND_LINE },
        initrd_end: header.initrd_addr_max.get(),
        memory: (protocol >= 0x20a).then_some(header.init_size.get()),
    })
}

/// What it is instead.
fn no_linux(bytes: &[u8]) -> String {
    let found = match bytes {
        _ if super::is_gzip(bytes) => "is compressed with gzip",
        [0x7f, b'E', b'L', b'F', ..] => "is an ELF file (a vmlinux?)",
        // arm64: "ARM\x64" at 56 (Documentation/arch/arm64/booting.rst).
        _ if bytes.get(56..60) == Some(b"ARM\x64") => "is a kernel for arm64",
        _ => "has no \"HdrS\" at 0x202",
    };
    format!("{found}: GRUB for BIOS loads Linux as a bzImage for x86")
}

/// "kernel_version: if not 0, a pointer to a text, less 0x200".
fn version(bytes: &[u8], pointer: u16) -> Option<String> {
    if pointer == 0 {
        return None;
    }
    let text = bytes.get(usize::from(pointer) + 0x200..)?;
    let text = text.get(..text.len().min(256))?;
    let end = text.iter().position(|byte| *byte == 0)?;
    String::from_utf8(text.get(..end)?.to_vec())
        .ok()
        .filter(|text| !text.contains(char::is_control))
}
