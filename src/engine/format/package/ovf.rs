//! Writes OVF descriptors.
//!
//! Reads none. Invariants: namespaces, elements and their order are those of OVF 1.1 (DSP0243 1.1.0;
//! the fields of `Item` and `System` in the order of their CIM schemas, which is alphabetical);
//! every text that is not ours is escaped.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::{DiskBus, Firmware, Machine, Nic, OsType};

/// The disk's format (DSP0243 9.1 wants a URI; this is VMware's).
pub(super) const STREAM_OPTIMIZED: &str =
    "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// What the descriptor's only disk is called in it.
const DISK: &str = "vmdisk1";

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// VMware, with this hardware version. VirtualBox reads it, too.
    Vmware(u32),
    /// VirtualBox alone.
    VirtualBox,
}

/// What is described.
#[derive(Clone, Copy, Debug)]
pub(super) struct Described<'a> {
    pub(super) machine: &'a Machine,
    pub(super) reader: Reader,
    /// The name of the disk's file.
    pub(super) file: &'a str,
    /// Bytes of that file.
    pub(super) file_size: u64,
    /// Bytes of the disk.
    pub(super) capacity: u64,
}

/// An `Item` of the hardware: a `CIM_ResourceAllocationSettingData`. Its fields in the schema's
/// order; those that are empty are left out.
#[derive(Clone, Copy, Debug, Default)]
struct Item<'a> {
    address: &'a str,
    address_on_parent: &'a str,
    allocation_units: &'a str,
    automatic: &'a str,
    connection: &'a str,
    element_name: &'a str,
    host_resource: &'a str,
    instance: &'a str,
    parent: &'a str,
    sub_type: &'a str,
    resource_type: &'a str,
    quantity: &'a str,
}

impl Item<'_> {
    fn xml(&self) -> String {
        let fields = [
            ("Address", self.address),
            ("AddressOnParent", self.address_on_parent),
            ("AllocationUnits", self.allocation_units),
            ("AutomaticAllocation", self.automatic),
            ("Connection", self.connection),
            ("ElementName", self.element_name),
            ("HostResource", self.host_resource),
            ("InstanceID", self.instance),
            ("Parent", self.parent),
            ("ResourceSubType", self.sub_type),
            ("ResourceType", self.resource_type),
            ("VirtualQuantity", self.quantity),
        ];
        let mut xml = "      <Item>\n".to_owned();
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(xml, "        <rasd:{name}>{}</rasd:{name}>", escape(value));
        }
        xml + "      </Item>\n"
    }
}

/// The descriptor as XML.
pub(super) fn descriptor(described: &Described<'_>) -> String {
    let Described { machine, file, file_size, capacity, .. } = *described;
    let (os, vmware_os, os_name) = os(machine.os_type);
    let name = plain(&machine.name);
    let (name, file) = (escape(name.as_str()), escape(file));
    let network = if machine.nic == Nic::None { "" } else { NETWORK };
    let hardware = hardware(described);
    let system = match described.reader {
        Reader::Vmware(version) => format!("vmx-{version:02}"),
        Reader::VirtualBox => "virtualbox-2.2".to_owned(),
    };
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:href="{file}" ovf:id="file1" ovf:size="{file_size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="{DISK}" ovf:fileRef="file1" ovf:format="{STREAM_OPTIMIZED}"/>
  </DiskSection>
{network}  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="{os}" vmw:osType="{vmware_os}">
      <Info>The operating system</Info>
      <Description>{os_name}</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>{system}</vssd:VirtualSystemType>
      </System>
{hardware}    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
}

const NETWORK: &str = r#"  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="VM Network">
      <Description>The network of the machine</Description>
    </Network>
  </NetworkSection>
"#;

/// The items of the hardware, and what has no item.
fn hardware(described: &Described<'_>) -> String {
    let machine = described.machine;
    let (cpus, memory) = (machine.cpus.to_string(), (machine.memory >> 20).to_string());
    let (cpu_name, memory_name) =
        (format!("{cpus} virtual CPU(s)"), format!("{memory} MB of memory"));
    let (controller, sub_type, resource_type) = controller(machine.disk_bus, described.reader);
    let host_resource = format!("ovf:/disk/{DISK}");
    let mut items = vec![
        Item {
            allocation_units: "hertz * 10^6",
            element_name: &cpu_name,
            instance: "1",
            resource_type: "3",
            quantity: &cpus,
            ..Item::default()
        },
        Item {
            allocation_units: "byte * 2^20",
            element_name: &memory_name,
            instance: "2",
            resource_type: "4",
            quantity: &memory,
            ..Item::default()
        },
        Item {
            address: "0",
            element_name: controller,
            instance: "3",
            sub_type,
            resource_type,
            ..Item::default()
        },
        Item {
            address_on_parent: "0",
            element_name: "Hard Disk 1",
            host_resource: &host_resource,
            instance: "4",
            parent: "3",
            resource_type: "17",
            ..Item::default()
        },
    ];
    if let Some(sub_type) = nic(machine.nic) {
        items.push(Item {
            automatic: "true",
            connection: "VM Network",
            element_name: "Ethernet 1",
            instance: "5",
            sub_type,
            resource_type: "10",
            ..Item::default()
        });
    }
    let mut xml: String = items.iter().map(Item::xml).collect();
    if machine.firmware == Firmware::Efi {
        // OVF 1.1 has no word for it; this is what VMware's own exports say.
        xml +=
            "      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>\n";
    }
    xml
}

/// A controller's name, its `ResourceSubType` and its `ResourceType` (5 IDE, 6 SCSI, 20 other
/// storage device). VirtualBox knows VMware's words but for SATA; virtio is a word of its own.
const fn controller(bus: DiskBus, reader: Reader) -> (&'static str, &'static str, &'static str) {
    match bus {
        DiskBus::Ide => ("IDE Controller 0", "PIIX4", "5"),
        DiskBus::Sata if matches!(reader, Reader::VirtualBox) => {
            ("SATA Controller 0", "AHCI", "20")
        }
        DiskBus::Sata => ("SATA Controller 0", "vmware.sata.ahci", "20"),
        DiskBus::Scsi => ("SCSI Controller 0", "lsilogic", "6"),
        DiskBus::Nvme => ("NVMe Controller 0", "vmware.nvme.controller", "20"),
        DiskBus::Virtio => ("SCSI Controller 0", "VirtioSCSI", "20"),
    }
}

const fn nic(nic: Nic) -> Option<&'static str> {
    Some(match nic {
        Nic::None => return None,
        Nic::E1000 => "E1000",
        Nic::E1000e => "E1000e",
        Nic::Vmxnet3 => "VmxNet3",
        Nic::Virtio => "virtio",
    })
}

/// The number in `CIM_OperatingSystem.OSType`, VMware's word and ours. All are 64-bit where there
/// is a choice.
const fn os(os: OsType) -> (u32, &'static str, &'static str) {
    match os {
        OsType::Other => (102, "otherGuest64", "Other 64-bit"),
        OsType::Linux => (101, "otherLinux64Guest", "Linux 64-bit"),
        OsType::Debian => (96, "debian10_64Guest", "Debian 64-bit"),
        OsType::Ubuntu => (94, "ubuntu64Guest", "Ubuntu 64-bit"),
        OsType::Rhel => (80, "rhel8_64Guest", "Red Hat Enterprise Linux 64-bit"),
        OsType::FreeBsd => (78, "freebsd64Guest", "FreeBSD 64-bit"),
        OsType::NetBsd => (43, "otherGuest64", "NetBSD"),
        OsType::OpenBsd => (65, "otherGuest64", "OpenBSD"),
        OsType::Windows => (116, "windows9Server64Guest", "Windows Server 64-bit"),
    }
}

/// The text without what XML 1.0 cannot hold, even escaped.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(machine: &Machine) -> String {
        let reader = Reader::Vmware(9);
        descriptor(&Described { machine, reader, file: "a.vmdk", file_size: 7, capacity: 1 << 20 })
    }

    #[test]
    fn names_are_escaped() {
        let machine = Machine { name: "<a> & \"b\"\u{1}".to_owned(), ..Machine::default() };
        let xml = described(&machine);
        assert!(xml.contains("<Name>&lt;a&gt; &amp; &quot;b&quot;-</Name>"), "{xml}");
    }

    #[test]
    fn what_the_machine_lacks_is_left_out() {
        let machine = Machine { nic: Nic::None, ..Machine::default() };
        let xml = described(&machine);
        assert!(!xml.contains("Network") && !xml.contains("firmware"), "{xml}");
        assert!(xml.contains("<vssd:VirtualSystemType>vmx-09<"), "{xml}");
        let machine = Machine { firmware: Firmware::Efi, ..Machine::default() };
        let xml = described(&machine);
        assert!(xml.contains("<Network ovf:name=\"VM Network\">"), "{xml}");
        assert!(xml.contains("vmw:key=\"firmware\" vmw:value=\"efi\""), "{xml}");
    }
}
