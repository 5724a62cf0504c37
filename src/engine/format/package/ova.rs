//! OVA: a virtual machine in one file.
//!
//! ```text
//! NAME.ovf │ NAME.mf │ NAME-disk1.vmdk      members of a ustar archive (DSP0243 5.3)
//! ```
//!
//! The descriptor holds the size of the disk's file and the manifest its digest, and both stand
//! before it: their lengths are known beforehand (sizes are padded by spaces behind the descriptor's
//! last element), the disk is written behind them, then they are. Invariant: the first header is
//! written last, so what was not finished is no archive.

use std::fmt;

use super::manifest::{Hasher, line};
use super::ovf::{Described, Reader, descriptor};
use super::{DiskBus, Machine};
use crate::engine::archive::tar::{BLOCK, Dialect, header, padding, trailer};
use crate::engine::base::{Error, Kind, PositionalSink, SectorSource, StreamSink, Work};
use crate::engine::format::{Label, Output, vmdk};

/// What the manifest's digests are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256: what vCenter 8 and newer readers take.
    #[default]
    Sha256,
    /// SHA-1: what readers before about 2015 take.
    Sha1,
}

/// What shapes an OVA beside its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// The machine.
    pub machine: Machine,
    /// What the manifest's digests are.
    pub digest: Digest,
    /// VMware's hardware version (`vmx-13`: ESXi 6.5 and newer).
    pub hardware_version: u32,
}

impl Params {
    /// The defaults with this machine.
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Self { machine, digest: Digest::default(), hardware_version: 13 }
    }
}

/// The most bytes a member has: 11 octal digits. Its decimal has 10 digits.
const MOST: u64 = (8 << 30) - 1;

/// Bytes of the disk's file written at once.
const BATCH: usize = 1 << 20;

/// The parameters of the disk in an OVA.
pub(super) fn disk_params(bus: DiskBus, hardware_version: u32) -> vmdk::Params {
    let adapter = match bus {
        DiskBus::Ide => vmdk::Adapter::Ide,
        _ => vmdk::Adapter::LsiLogic,
    };
    vmdk::Params { subformat: vmdk::Subformat::StreamOptimized, adapter, hardware_version }
}

/// Refuses a machine that no descriptor can hold.
pub(super) fn judge(machine: &Machine) -> Result<(), Error> {
    let Machine { memory, cpus, .. } = machine;
    if *memory == 0 || !memory.is_multiple_of(1 << 20) {
        let message = format!("memory of {memory} bytes; a machine has whole MiB, at least one");
        return Err(Error::new(Kind::Document, message));
    }
    if *cpus == 0 {
        return Err(Error::new(Kind::Document, "a machine has at least one processor"));
    }
    Ok(())
}

/// Writes an OVA.
pub(super) fn write(
    source: &dyn SectorSource,
    output: &Output<'_>,
    params: &Params,
    work: &Work<'_>,
) -> Result<(), Error> {
    judge(&params.machine)?;
    let disk = disk_params(params.machine.disk_bus, params.hardware_version);
    assemble(source.len(), output, params, |label, sink| {
        vmdk::stream(source, label, sink, &disk, work)
    })
}

/// Writes an OVA whose disk `disk` writes.
fn assemble(
    capacity: u64,
    output: &Output<'_>,
    params: &Params,
    disk: impl FnOnce(&Label<'_>, &mut dyn StreamSink) -> Result<(), Error>,
) -> Result<(), Error> {
    let sink = output.sink;
    let stem = stem(output.label.name);
    let file = format!("{stem}-disk1.vmdk");
    let (ovf_name, mf_name) = (format!("{stem}.ovf"), format!("{stem}.mf"));
    let described = |file_size| {
        let reader = Reader::Vmware(params.hardware_version);
        let machine = &params.machine;
        descriptor(&Described { machine, reader, file: &file, file_size, capacity })
    };
    let manifest = |ovf: &str, disk: Hasher| {
        let mut hasher = Hasher::new(params.digest);
        hasher.update(ovf.as_bytes());
        line(&ovf_name, hasher) + &line(&file, disk)
    };
    // Lengths first: the longest size, and any digests.
    let longest = described(MOST);
    let ovf_len = longest.len() as u64;
    let mf_len = manifest(&longest, Hasher::new(params.digest)).len() as u64;
    let mf_at = BLOCK + ovf_len + padding(ovf_len);
    let disk_at = mf_at + BLOCK + mf_len + padding(mf_len);
    let mut placed = Placed {
        sink,
        name: &file,
        start: disk_at + BLOCK,
        len: 0,
        hasher: Hasher::new(params.digest),
        buffer: Vec::with_capacity(BATCH),
    };
    disk(&Label { name: &file, id: output.label.id }, &mut placed)?;
    let (size, hasher) = placed.finish()?;
    let ovf = format!("{:<len$}", described(size), len = longest.len());
    let mf = manifest(&ovf, hasher);
    let end = disk_at + BLOCK + size + padding(size);
    sink.set_len(end + trailer(end))?;
    sink.write_at(disk_at, &header(Dialect::Ustar, &file, size)?)?;
    sink.write_at(mf_at, &header(Dialect::Ustar, &mf_name, mf_len)?)?;
    sink.write_at(mf_at + BLOCK, mf.as_bytes())?;
    sink.write_at(BLOCK, ovf.as_bytes())?;
    sink.write_at(0, &header(Dialect::Ustar, &ovf_name, ovf_len)?)
}

/// What the members are named after: the file's name without ".ova", at most 64 bytes, and nothing
/// that a manifest, an XML attribute or another system's file name cannot hold.
fn stem(name: &str) -> String {
    let name = name.strip_suffix(".ova").unwrap_or(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let stem: String = name.chars().take(64).map(|c| if plain(c) { c } else { '-' }).collect();
    match stem.trim_start_matches('.') {
        "" => "machine".to_owned(),
        stem => stem.to_owned(),
    }
}

/// The disk's file in its place, digested as it passes.
struct Placed<'a> {
    sink: &'a dyn PositionalSink,
    name: &'a str,
    start: u64,
    len: u64,
    hasher: Hasher,
    buffer: Vec<u8>,
}

impl fmt::Debug for Placed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed").field("len", &self.len).finish_non_exhaustive()
    }
}

impl StreamSink for Placed<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.len + (self.buffer.len() + bytes.len()) as u64 > MOST {
            let message = format!(
                "\"{}\" becomes longer than {MOST} bytes, the most that a member of an OVA has; larger disks need another format",
                self.name
            );
            return Err(Error::new(Kind::Document, message));
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BATCH { self.flush() } else { Ok(()) }
    }
}

impl Placed<'_> {
    fn flush(&mut self) -> Result<(), Error> {
        self.hasher.update(&self.buffer);
        self.sink.write_at(self.start + self.len, &self.buffer)?;
        self.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, Hasher), Error> {
        self.flush()?;
        Ok((self.len, self.hasher))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::MemorySink;
    use uuid::Uuid;

    fn made(name: &str, disk: &[u8]) -> Vec<u8> {
        let sink = MemorySink::default();
        let label = Label { name, id: Uuid::nil() };
        let output = Output { label, sink: &sink, companion: None };
        let params = Params::new(Machine::default());
        assemble(1 << 20, &output, &params, |_, sink| {
            disk.chunks(700_000).try_for_each(|piece| sink.write(piece))
        })
        .unwrap();
        sink.into_bytes()
    }

    #[test]
    fn the_disk_lies_at_the_same_place_whatever_its_size() {
        let of = |len: usize| {
            let bytes = made("a.ova", &vec![7; len]);
            bytes.iter().position(|byte| *byte == 7).unwrap()
        };
        assert_eq!(of(1), of(2_000_000));
        assert_eq!(of(1) % 512, 0);
    }

    #[test]
    fn nothing_is_there_until_the_end() {
        let sink = MemorySink::default();
        let label = Label { name: "a.ova", id: Uuid::nil() };
        let output = Output { label, sink: &sink, companion: None };
        let params = Params::new(Machine::default());
        let error = assemble(1 << 20, &output, &params, |_, sink| {
            sink.write(&vec![7; 3 << 20])?;
            Err(Error::new(Kind::Cancelled, "stop"))
        });
        assert!(error.is_err());
        assert!(sink.into_bytes()[..1024].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_disk_of_8_gib_is_refused_before_it_is_written() {
        let sink = MemorySink::default();
        let mut placed = Placed {
            sink: &sink,
            name: "a-disk1.vmdk",
            start: 0,
            len: MOST - 9,
            hasher: Hasher::new(Digest::Sha1),
            buffer: Vec::new(),
        };
        placed.write(&[1; 9]).unwrap();
        let error = placed.write(&[1]).unwrap_err();
        assert_eq!(error.kind(), Kind::Document);
        assert!(error.to_string().contains("longer than 8589934591 bytes"), "{error}");
    }

    #[test]
    fn members_are_named_so_that_everyone_can_read_it() {
        for (name, expected) in [
            ("hello.ova", "hello"),
            ("hello.big.ova", "hello.big"),
            ("a b\n(c)\"<.ova", "a-b--c---"),
            ("../x.ova", "-x"),
            (".ova", "machine"),
            ("é.ova", "-"),
        ] {
            assert_eq!(stem(name), expected, "{name:?}");
        }
        assert_eq!(stem(&"a".repeat(300)).len(), 64);
    }

    #[test]
    fn a_machine_without_memory_or_processor_is_refused() {
        assert!(judge(&Machine::default()).is_ok());
        for machine in [
            Machine { memory: 0, ..Machine::default() },
            Machine { memory: (1 << 20) + 1, ..Machine::default() },
            Machine { cpus: 0, ..Machine::default() },
        ] {
            assert!(judge(&machine).is_err());
        }
    }
}
