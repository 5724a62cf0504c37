//! Which machine: flags first, then the document, then what the disk holds.
//!
//! Starts nothing. Invariant: what was chosen without being asked for follows from the document and
//! from the disk's bytes, never from a name but `.iso`.

use std::ffi::OsString;

use super::args::{Accel, Firmware, Nic, RunArgs};
use super::subject::{Subject, driver};
use crate::cli::failure::{Failure, Failures};
use crate::cli::output::Output;
use crate::manifest::types::{self, DiskBus};
use crate::report::Code;
use crate::run::{
    self, Architecture, Bus, Card, Direct, Disk, Line, Machine, Network, Start, Step, Temporary,
};

const MIB: u64 = 1 << 20;

/// SeaBIOS reads nothing from a shorter disk but on IDE and in a floppy drive (measured: 512 bytes are
/// not read from AHCI and virtio, 1 MiB is).
const SHORT: u64 = MIB;

/// Memory where nothing is said, MiB.
const MEMORY: u64 = 512;

/// What follows from the flags alone.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    args: &'a RunArgs,
    line: Line,
    monitor: Option<std::path::PathBuf>,
}

impl<'a> Chosen<'a> {
    /// Refuses flags that do not go together.
    pub(super) fn new(
        args: &'a RunArgs,
        steps: &[Step],
        directory: &Temporary,
    ) -> Result<Self, Failure> {
        let keys = steps.iter().any(|step| matches!(step, Step::Press(_)));
        let refused = |message: &str| Err(Failure::new(Code::InvalidDocument, message));
        if args.watch.keys.len() > args.watch.expect.len().max(1) {
            return refused("--keys: there are more than --expect; the keys follow what was seen");
        }
        if args.machine.memory.is_some_and(|memory| memory.get() < MIB) {
            return refused("--memory: a machine has at least 1Mi");
        }
        let monitored = (keys || args.watch.screenshot.is_some()) && !args.watch.print;
        Ok(Self {
            args,
            line: if steps.is_empty() { Line::Terminal } else { Line::Watched },
            monitor: monitored.then(|| directory.file("qmp")),
        })
    }

    /// For a command that is only shown.
    pub(super) const fn shown(args: &'a RunArgs) -> Self {
        Self { args, line: Line::Terminal, monitor: None }
    }

    /// The machine for `subject`.
    pub(super) fn machine(
        &self,
        subject: Option<&Subject>,
        output: &Output,
    ) -> Result<Machine, Failures> {
        let flags = &self.args.machine;
        let said = subject.and_then(|subject| subject.document.as_ref());
        let machine = said.and_then(|said| said.machine.as_ref());
        let given = flags.kernel.clone().map(|kernel| Direct {
            kernel,
            initrd: flags.initrd.clone(),
            command_line: flags.append.clone().unwrap_or_default(),
        });
        let direct = given.or_else(|| subject.and_then(|subject| subject.direct.clone()));
        let architecture = self.architecture(subject);
        let program = match self.args.watch.print {
            true => flags.qemu.clone().unwrap_or_else(|| run::program(architecture).into()),
            false => run::located(flags.qemu.as_deref(), architecture)?,
        };
        let start = self.start(architecture, subject, direct.is_some(), output)?;
        let memory = flags.memory.or(machine.map(|machine| machine.memory.0));
        let disks = subject.map(|subject| self.disk(&start, architecture, subject)).transpose()?;
        Ok(Machine {
            accelerated: self.accelerated(architecture, &program)?,
            program,
            architecture,
            start,
            memory: memory.map_or(MEMORY, |memory| memory.get().div_ceil(MIB)),
            cpus: flags.cpus.or(machine.map(|machine| machine.cpus.0)).unwrap_or(1),
            disks: disks.into_iter().collect(),
            network: self.network(architecture, machine),
            direct,
            display: flags.display.clone(),
            line: self.line,
            log: self.args.watch.serial.clone().filter(|_| self.line == Line::Terminal),
            monitor: self.monitor.clone(),
            more: self.args.more.clone(),
        })
    }

    fn architecture(&self, subject: Option<&Subject>) -> Architecture {
        let said = subject.and_then(|subject| subject.document.as_ref());
        let found = subject.filter(|subject| !subject.ways.bios);
        let found = found.and_then(|subject| subject.ways.uefi.first().copied());
        let given = self.args.machine.arch.map(Architecture::from);
        given.or(said.map(|said| said.architecture)).or(found).unwrap_or(Architecture::Amd64)
    }

    fn accelerated(&self, of: Architecture, program: &OsString) -> Result<bool, Failure> {
        // What is printed shall be the same on every computer.
        let works = || !self.args.watch.print && run::accelerated(of, program);
        match self.args.machine.accel {
            Accel::Tcg => Ok(false),
            Accel::Auto => Ok(works()),
            Accel::Kvm if self.args.watch.print || works() => Ok(true),
            Accel::Kvm => {
                let message = "--accel kvm: it does not work here; /dev/kvm must be open to you, and QEMU must accept this processor";
                Err(Failure::new(Code::InvalidInput, message))
            }
        }
    }

    fn start(
        &self,
        architecture: Architecture,
        subject: Option<&Subject>,
        direct: bool,
        output: &Output,
    ) -> Result<Start, Failures> {
        let flags = &self.args.machine;
        let directory = flags.firmware_dir.as_deref();
        let wanted = match flags.firmware {
            Firmware::Auto => automatic(architecture, subject, direct, output),
            wanted => wanted,
        };
        Ok(match wanted {
            Firmware::Auto | Firmware::Bios => Start::Bios,
            Firmware::Uefi => Start::Uefi(run::flash(architecture, false, directory)?),
            Firmware::UefiSecure => Start::Uefi(run::flash(architecture, true, directory)?),
        })
    }

    fn disk(
        &self,
        start: &Start,
        architecture: Architecture,
        subject: &Subject,
    ) -> Result<Disk, Failure> {
        let flags = &self.args.machine;
        if flags.write && subject.copy {
            let message =
                "--write: the disk is a copy that goes away; build or unpack it, and run the file";
            return Err(Failure::new(Code::InvalidDocument, message));
        }
        let cd = flags.cd || (subject.cd && !flags.no_cd);
        let machine = subject.document.as_ref().and_then(|said| said.machine.as_ref());
        let said = machine.map(|machine| match machine.disk_bus {
            DiskBus::Ide => Bus::Ide,
            DiskBus::Sata => Bus::Sata,
            DiskBus::Scsi => Bus::Scsi,
            DiskBus::Nvme => Bus::Nvme,
            DiskBus::Virtio => Bus::Virtio,
        });
        let short = subject.len < SHORT && !cd && *start == Start::Bios;
        let fitting = match architecture {
            _ if short && subject.sector_size == 512 => Bus::Ide,
            _ if subject.sector_size != 512 && !cd => Bus::Virtio,
            Architecture::Arm64 if cd => Bus::VirtioScsi,
            Architecture::Arm64 => Bus::Virtio,
            _ => Bus::Sata,
        };
        // A CD drive hangs on another bus than the machine's disk where that has none.
        let said = said.map(|bus| match bus {
            Bus::Virtio if cd => Bus::VirtioScsi,
            Bus::Nvme if cd => fitting,
            _ if short => fitting,
            bus => bus,
        });
        Ok(Disk {
            path: subject.path.clone(),
            driver: driver(subject.format),
            bus: flags.bus.map(|bus| bus.0).or(said).unwrap_or(fitting),
            cd,
            sector_size: subject.sector_size,
            write: flags.write,
        })
    }

    fn network(&self, of: Architecture, machine: Option<&types::Machine>) -> Option<Network> {
        let said = machine.map(|machine| machine.nic);
        let said = match said {
            Some(types::Nic::None) => None,
            Some(types::Nic::E1000) => Some(Card::E1000),
            Some(types::Nic::E1000e) => Some(Card::E1000e),
            Some(types::Nic::Vmxnet3) => Some(Card::Vmxnet3),
            Some(types::Nic::Virtio) => Some(Card::Virtio),
            None => None,
        };
        let usual = if of == Architecture::Arm64 { Card::Virtio } else { Card::E1000 };
        let forwards = self.args.machine.port_forward.clone();
        let card = match self.args.machine.nic {
            Some(Nic::None) => None,
            Some(Nic::User) => Some(said.unwrap_or(usual)),
            Some(named) => named.card(),
            None if forwards.is_empty() => said,
            None => Some(said.unwrap_or(usual)),
        };
        card.map(|card| Network { card, forwards })
    }
}

/// The firmware where none was asked for.
fn automatic(
    architecture: Architecture,
    subject: Option<&Subject>,
    direct: bool,
    output: &Output,
) -> Firmware {
    let said = subject.and_then(|subject| subject.document.as_ref());
    let machine = said.and_then(|said| said.machine.as_ref());
    match machine.and_then(|machine| machine.firmware) {
        Some(types::Firmware::Bios) => return Firmware::Bios,
        Some(types::Firmware::Efi) => return Firmware::Uefi,
        None => {}
    }
    let (Some(subject), false) = (subject, direct) else { return Firmware::Bios };
    if architecture == Architecture::Arm64 {
        return Firmware::Uefi;
    }
    if said.is_some_and(|said| said.sector) || subject.ways.bios {
        return Firmware::Bios;
    }
    if subject.ways.is_for_uefi() {
        return Firmware::Uefi;
    }
    output.say("the disk holds nothing that a BIOS or UEFI starts; a BIOS will say so");
    Firmware::Bios
}
