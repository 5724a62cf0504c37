//! Vagrant boxes: tar.gz of `metadata.json`, a `Vagrantfile` and the disk.
//!
//! ```text
//! virtualbox:  metadata.json │ Vagrantfile │ box.ovf │ box-disk001.vmdk
//! libvirt:     metadata.json │ Vagrantfile │ box.img (qcow2)
//! ```
//!
//! Invariants: the disk is spooled, since a tar header holds its size; nothing is written before it
//! is complete.

use std::path::Path;

use serde_json::json;
use uuid::Uuid;

use super::ova::{disk_params, judge};
use super::ovf::{Described, Reader, descriptor};
use super::{DiskBus, Firmware, Machine, Nic};
use crate::engine::archive::tar::{Dialect, Writer};
use crate::engine::base::{Error, SectorSource, Spool, StreamSink, Work};
use crate::engine::codec::wrap::{Wrap, Wrapper};
use crate::engine::format::{self, Label, Output, qcow2, raw};

/// Whose machine a box describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// VirtualBox: an OVF descriptor and a streamOptimized VMDK.
    #[default]
    VirtualBox,
    /// libvirt and QEMU: a compressed qcow2 file.
    Libvirt,
}

impl Provider {
    /// Both.
    pub const ALL: [Self; 2] = [Self::VirtualBox, Self::Libvirt];

    /// The name, as Vagrant spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VirtualBox => "virtualbox",
            Self::Libvirt => "libvirt",
        }
    }

    /// The name of the disk's file.
    const fn disk(self) -> &'static str {
        match self {
            Self::VirtualBox => "box-disk001.vmdk",
            Self::Libvirt => "box.img",
        }
    }
}

/// What shapes a box beside its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Whose machine it describes.
    pub provider: Provider,
    /// The machine.
    pub machine: Machine,
}

/// Writes a box; its disk is spooled in `scratch` first.
pub(super) fn stream(
    source: &dyn SectorSource,
    id: Uuid,
    sink: &mut dyn StreamSink,
    params: &Params,
    scratch: &Path,
    work: &Work<'_>,
) -> Result<(), Error> {
    let Params { provider, machine } = params;
    judge(machine)?;
    let spool = Spool::create_in(scratch)?;
    let label = Label { name: provider.disk(), id };
    let output = Output { label, sink: &spool, companion: None };
    let disk = match provider {
        Provider::VirtualBox => format::Params::Vmdk(disk_params(machine.disk_bus, 13)),
        Provider::Libvirt => {
            format::Params::Qcow2(qcow2::Params::compressed(qcow2::Compression::Zlib))
        }
    };
    format::write(source, &output, &disk, work)?;
    let mut gzip = Wrapper::new(Wrap::Gzip, sink, work.threads())?;
    let mut archive = Writer::new(Dialect::Gnu, &mut gzip);
    archive.member("metadata.json", metadata(*provider, source.len()).as_bytes())?;
    archive.member("Vagrantfile", vagrantfile(*provider, machine, id).as_bytes())?;
    if *provider == Provider::VirtualBox {
        let described = Described {
            machine,
            reader: Reader::VirtualBox,
            file: provider.disk(),
            file_size: spool.len(),
            capacity: source.len(),
        };
        archive.member("box.ovf", descriptor(&described).as_bytes())?;
    }
    archive.begin(provider.disk(), spool.len())?;
    raw::stream(&spool, &mut archive, work.progress)?;
    archive.finish()?;
    gzip.finish()
}

fn metadata(provider: Provider, capacity: u64) -> String {
    let mut metadata = json!({ "provider": provider.as_str() });
    if provider == Provider::Libvirt {
        metadata["format"] = "qcow2".into();
        metadata["virtual_size"] = capacity.div_ceil(1 << 30).into();
    }
    format!("{metadata:#}\n")
}

/// What Vagrant does with the machine. All that is put in is ours.
fn vagrantfile(provider: Provider, machine: &Machine, id: Uuid) -> String {
    let lines = match provider {
        Provider::VirtualBox => virtualbox_lines(machine, id),
        Provider::Libvirt => libvirt_lines(machine),
    };
    let body: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("Vagrant.configure(\"2\") do |config|\n{body}end\n")
}

/// Processors, memory, disk and card stand in the descriptor; firmware cannot.
fn virtualbox_lines(machine: &Machine, id: Uuid) -> Vec<String> {
    // 08:00:27 is VirtualBox' own prefix. Vagrant refuses a box of VirtualBox without an address.
    let [.., a, b, c] = *id.as_bytes();
    let mut lines = vec![format!("config.vm.base_mac = \"080027{a:02X}{b:02X}{c:02X}\"")];
    if machine.firmware == Firmware::Efi {
        lines.extend(
            [
                "config.vm.provider \"virtualbox\" do |virtualbox|",
                "  virtualbox.customize [\"modifyvm\", :id, \"--firmware\", \"efi\"]",
                "end",
            ]
            .map(ToOwned::to_owned),
        );
    }
    lines
}

fn libvirt_lines(machine: &Machine) -> Vec<String> {
    let bus = match machine.disk_bus {
        DiskBus::Ide => "ide",
        DiskBus::Sata => "sata",
        DiskBus::Scsi => "scsi",
        DiskBus::Nvme => "nvme",
        DiskBus::Virtio => "virtio",
    };
    let card = match machine.nic {
        Nic::None => None,
        Nic::E1000 => Some("e1000"),
        Nic::E1000e => Some("e1000e"),
        Nic::Vmxnet3 => Some("vmxnet3"),
        Nic::Virtio => Some("virtio"),
    };
    let mut lines = vec![
        "config.vm.provider \"libvirt\" do |libvirt|".to_owned(),
        format!("  libvirt.memory = {}", machine.memory >> 20),
        format!("  libvirt.cpus = {}", machine.cpus),
        format!("  libvirt.disk_bus = \"{bus}\""),
    ];
    lines.extend(card.map(|card| format!("  libvirt.nic_model_type = \"{card}\"")));
    if machine.firmware == Firmware::Efi {
        lines.push(
            "  # The disk starts with UEFI: set libvirt.loader to this host's OVMF.".to_owned(),
        );
    }
    lines.push("end".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_in_gib_rounded_up() {
        let size = |bytes| metadata(Provider::Libvirt, bytes);
        assert!(size(1).contains("\"virtual_size\": 1\n"), "{}", size(1));
        assert!(size(1 << 30).contains("\"virtual_size\": 1\n"));
        assert!(size((1 << 30) + 1).contains("\"virtual_size\": 2\n"));
        assert_eq!(metadata(Provider::VirtualBox, 1), "{\n  \"provider\": \"virtualbox\"\n}\n");
    }

    #[test]
    fn the_address_follows_from_the_id() {
        let id = Uuid::from_u128(0x00ab_cdef);
        let text = vagrantfile(Provider::VirtualBox, &Machine::default(), id);
        let wanted =
            "Vagrant.configure(\"2\") do |config|\n  config.vm.base_mac = \"080027ABCDEF\"\nend\n";
        assert_eq!(text, wanted);
    }
}
