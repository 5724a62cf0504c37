//! Whether UEFI can run a Linux kernel, and for which machine it is.
//!
//! Unpacks nothing. Invariant: what is accepted has an EFI stub for the machine that was asked for.

use super::ondisk::{ARM64_MAGIC, TAKES_INITRD, bzimage};
use super::{Machine, pe};
use crate::engine::base::{Error, Kind, SectorSource};

/// Longest version that is taken: `uname -r` and what the compiler said of itself.
const VERSION: usize = 256;

/// A kernel with an EFI stub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The machine it is for.
    pub machine: Machine,
    /// What `uname -r` will say; none where the file does not tell (arm64).
    pub release: Option<String>,
    /// Whether it takes an initrd from the program that starts it, as a unified kernel image does:
    /// since Linux 5.8. All take `initrd=` of the command line.
    pub takes_initrd: bool,
}

/// What the kernel `file` is; refused if it has no EFI stub or is not for `machine`.
pub fn kernel(file: &dyn SectorSource, machine: Machine) -> Result<Kernel, Error> {
    let mut head = vec![0; usize::try_from(file.len().min(0x1000)).unwrap_or_default()];
    file.read_at(0, &mut head)?;
    let has = |(at, magic): (usize, &[u8])| head.get(at..at + magic.len()) == Some(magic);
    let x86 =
        has((bzimage::FLAG.0, &bzimage::FLAG.1)) && has((bzimage::MAGIC.0, &bzimage::MAGIC.1));
    let arm = has((ARM64_MAGIC.0, &ARM64_MAGIC.1));
    if has((0, &[0x1f, 0x8b])) {
        let why = "it is compressed by gzip; UEFI runs it unpacked only";
        return Err(refused(why.to_owned()));
    }
    let found = pe::read(file)?.ok_or_else(|| {
        let what = match (x86, arm) {
            (true, _) => "it is a Linux kernel for x86",
            (_, true) => "it is a Linux kernel for arm64",
            _ => "it does not look like a Linux kernel",
        };
        refused(format!(
            "kernel without EFI stub: {what}, but no PE file; CONFIG_EFI_STUB makes it one"
        ))
    })?;
    if found.machine != machine.coff() {
        let name = match Machine::ALL.into_iter().find(|one| one.coff() == found.machine) {
            Some(machine) => machine.name().to_owned(),
            None => format!("machine {:#06x}", found.machine),
        };
        return Err(refused(format!("it is for {name}; wanted is {}", machine.name())));
    }
    if !found.runs_on(machine) {
        return Err(refused(format!(
            "its subsystem is {}; allowed is 10, an EFI application",
            found.subsystem
        )));
    }
    Ok(Kernel {
        machine,
        release: if x86 { release(file, &head)? } else { None },
        takes_initrd: found.version.0 >= TAKES_INITRD,
    })
}

/// The first word of the version of a bzImage.
fn release(file: &dyn SectorSource, head: &[u8]) -> Result<Option<String>, Error> {
    let pointer = head.get(bzimage::VERSION..bzimage::VERSION + 2);
    let Some(&[low, high]) = pointer else { return Ok(None) };
    let at = u64::from(u16::from_le_bytes([low, high])) + 0x200;
    if at == 0x200 || at >= file.len() {
        return Ok(None);
    }
    let len = usize::try_from(file.len() - at).unwrap_or(VERSION).min(VERSION);
    let mut text = vec![0; len];
    file.read_at(at, &mut text)?;
    let word = text.split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default();
    let good = !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    Ok(good.then(|| String::from_utf8_lossy(word).into_owned()))
}

fn refused(why: String) -> Error {
    Error::new(Kind::Input, format!("the kernel cannot be started by UEFI: {why}"))
}
