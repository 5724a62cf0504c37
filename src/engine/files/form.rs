//! What a file of each format is made with: the document's options, its preset's, the machine.
//!
//! Pure. Invariant: what neither document nor preset says is each writer's own default.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::engine::codec::wrap;
use crate::engine::format::package::{self, Form, ova, vagrant};
use crate::engine::format::{Params, qcow2, vdi, vhd, vhdx, vmdk};
use crate::manifest::VMImage;
use crate::manifest::types::{
    AdapterType, Architecture, Compat, Compression, DiskBus, Firmware, Format, FormatKind, Nic,
    OsType, OvaManifest, Preallocation, Preset, Provider, VdiSubformat, VhdSizing, VhdSubformat,
    VmdkSubformat, Wrap,
};

/// What `field` of the format is: as given, else as the preset sets it, else the type's default.
fn chosen<T: DeserializeOwned>(given: Option<T>, format: &Format, field: &str) -> Option<T> {
    let rules = format.preset.map(Preset::rules);
    let set = || rules?.setting(format.kind, field);
    given.or_else(|| serde_json::from_value(Value::from(set()?)).ok())
}

pub(super) fn wrap(format: &Format) -> Option<wrap::Wrap> {
    match format.wrap {
        Wrap::None => None,
        Wrap::Gzip => Some(wrap::Wrap::Gzip),
        Wrap::Xz => Some(wrap::Wrap::Xz),
        Wrap::Zstd => Some(wrap::Wrap::Zstd),
    }
}

/// What a file of this format is.
pub(super) fn form(image: &VMImage, format: &Format) -> Form {
    Form::Image(match format.kind {
        FormatKind::Raw if format.preset == Some(Preset::Gce) => return Form::GceTar,
        FormatKind::Raw | FormatKind::Iso => Params::Raw,
        FormatKind::Qcow2 => Params::Qcow2(qcow2_params(format)),
        FormatKind::Vmdk => Params::Vmdk(vmdk_params(format)),
        FormatKind::Vhd => Params::Vhd(vhd_params(format)),
        FormatKind::Vhdx => Params::Vhdx(vhdx_params(format)),
        FormatKind::Vdi => Params::Vdi(vdi_params(format)),
        FormatKind::Ova => return Form::Ova(ova_params(image, format)),
        FormatKind::Box => return Form::Box(box_params(image, format)),
    })
}

fn ova_params(image: &VMImage, format: &Format) -> ova::Params {
    let options = format.ova.clone().unwrap_or_default();
    let default = ova::Params::new(machine(image));
    ova::Params {
        digest: match options.manifest {
            OvaManifest::Sha256 => ova::Digest::Sha256,
            OvaManifest::Sha1 => ova::Digest::Sha1,
        },
        hardware_version: options.hardware_version.unwrap_or(default.hardware_version),
        ..default
    }
}

fn box_params(image: &VMImage, format: &Format) -> vagrant::Params {
    let options = format.vagrant.clone().unwrap_or_default();
    let provider = match options.provider {
        Provider::Virtualbox => vagrant::Provider::VirtualBox,
        Provider::Libvirt => vagrant::Provider::Libvirt,
    };
    vagrant::Params { provider, machine: machine(image) }
}

/// The machine that the document describes.
fn machine(image: &VMImage) -> package::Machine {
    let given = &image.spec.machine;
    let arm = image.spec.architecture == Architecture::Arm64;
    package::Machine {
        name: image.metadata.name.clone(),
        memory: given.memory.0.get(),
        cpus: given.cpus.0,
        firmware: match given.firmware {
            Some(Firmware::Bios) => package::Firmware::Bios,
            None if !arm => package::Firmware::Bios,
            Some(Firmware::Efi) | None => package::Firmware::Efi,
        },
        disk_bus: match given.disk_bus {
            DiskBus::Ide => package::DiskBus::Ide,
            DiskBus::Sata => package::DiskBus::Sata,
            DiskBus::Scsi => package::DiskBus::Scsi,
            DiskBus::Nvme => package::DiskBus::Nvme,
            DiskBus::Virtio => package::DiskBus::Virtio,
        },
        nic: match given.nic {
            Nic::None => package::Nic::None,
            Nic::E1000 => package::Nic::E1000,
            Nic::E1000e => package::Nic::E1000e,
            Nic::Vmxnet3 => package::Nic::Vmxnet3,
            Nic::Virtio => package::Nic::Virtio,
        },
        os_type: match given.os_type {
            OsType::Other => package::OsType::Other,
            OsType::Linux => package::OsType::Linux,
            OsType::Debian => package::OsType::Debian,
            OsType::Ubuntu => package::OsType::Ubuntu,
            OsType::Rhel => package::OsType::Rhel,
            OsType::Freebsd => package::OsType::FreeBsd,
            OsType::Netbsd => package::OsType::NetBsd,
            OsType::Openbsd => package::OsType::OpenBsd,
            OsType::Windows => package::OsType::Windows,
        },
    }
}

fn qcow2_params(format: &Format) -> qcow2::Params {
    let options = format.qcow2.clone().unwrap_or_default();
    qcow2::Params {
        compat: match options.compat {
            Compat::V2 => qcow2::Compat::V2,
            Compat::V3 => qcow2::Compat::V3,
        },
        cluster_size: options.cluster_size.0.get(),
        compression: match options.compression {
            Compression::None => qcow2::Compression::None,
            Compression::Zlib => qcow2::Compression::Zlib,
            Compression::Zstd => qcow2::Compression::Zstd,
        },
        lazy_refcounts: options.lazy_refcounts,
        preallocation: match options.preallocation {
            Preallocation::Off => qcow2::Preallocation::Off,
            Preallocation::Metadata => qcow2::Preallocation::Metadata,
            Preallocation::Falloc => qcow2::Preallocation::Falloc,
            Preallocation::Full => qcow2::Preallocation::Full,
        },
    }
}

fn vmdk_params(format: &Format) -> vmdk::Params {
    let options = format.vmdk.clone().unwrap_or_default();
    let default = vmdk::Params::default();
    let subformat = chosen(options.subformat, format, "subformat");
    let adapter = chosen(options.adapter_type, format, "adapterType");
    vmdk::Params {
        subformat: subformat.map_or(default.subformat, |subformat| match subformat {
            VmdkSubformat::MonolithicSparse => vmdk::Subformat::MonolithicSparse,
            VmdkSubformat::MonolithicFlat => vmdk::Subformat::MonolithicFlat,
            VmdkSubformat::StreamOptimized => vmdk::Subformat::StreamOptimized,
        }),
        adapter: adapter.map_or(default.adapter, |adapter| match adapter {
            AdapterType::Ide => vmdk::Adapter::Ide,
            AdapterType::Buslogic => vmdk::Adapter::BusLogic,
            AdapterType::Lsilogic => vmdk::Adapter::LsiLogic,
        }),
        hardware_version: options.hardware_version.unwrap_or(default.hardware_version),
    }
}

fn vhd_params(format: &Format) -> vhd::Params {
    let options = format.vhd.clone().unwrap_or_default();
    let default = vhd::Params::default();
    let subformat = chosen(options.subformat, format, "subformat");
    let sizing = chosen(options.sizing, format, "sizing");
    vhd::Params {
        subformat: subformat.map_or(default.subformat, |subformat| match subformat {
            VhdSubformat::Dynamic => vhd::Subformat::Dynamic,
            VhdSubformat::Fixed => vhd::Subformat::Fixed,
        }),
        sizing: sizing.map_or(default.sizing, |sizing| match sizing {
            VhdSizing::Chs => vhd::Sizing::Chs,
            VhdSizing::Exact => vhd::Sizing::Exact,
        }),
        ..default
    }
}

fn vhdx_params(format: &Format) -> vhdx::Params {
    let options = format.vhdx.clone().unwrap_or_default();
    let default = vhdx::Params::default();
    let subformat = chosen(options.subformat, format, "subformat");
    vhdx::Params {
        subformat: subformat.map_or(default.subformat, |subformat| match subformat {
            VhdSubformat::Dynamic => vhdx::Subformat::Dynamic,
            VhdSubformat::Fixed => vhdx::Subformat::Fixed,
        }),
        block_size: options.block_size.map_or(default.block_size, |size| size.0.get()),
    }
}

fn vdi_params(format: &Format) -> vdi::Params {
    let options = format.vdi.clone().unwrap_or_default();
    vdi::Params {
        subformat: match options.subformat {
            VdiSubformat::Dynamic => vdi::Subformat::Dynamic,
            VdiSubformat::Static => vdi::Subformat::Static,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse;
    use crate::manifest::presets::PRESETS;

    #[test]
    fn every_setting_of_a_preset_is_a_value_of_its_field() {
        for rules in PRESETS {
            for setting in rules.options {
                let (kind, field, value) = (setting.kind.as_str(), setting.field, setting.value);
                let preset = rules.preset.as_str();
                let given = format!("{{type: {kind}, {kind}: {{{field}: {value}}}}}");
                let set = format!("{{type: {kind}, preset: {preset}}}");
                let plain = format!("{{type: {kind}}}");
                let [given, set, plain] = [given, set, plain].map(|format| {
                    let text = format!(
                        "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: a}}\nspec: {{disk: {{size: 1Mi}}, formats: [{format}]}}\n"
                    );
                    parse(&text, &[]).unwrap().remove(0).image.spec.formats.remove(0)
                });
                let chosen = |format: &Format| -> Option<String> {
                    let value = serde_json::to_value(format).unwrap();
                    chosen(value[kind][field].as_str().map(ToOwned::to_owned), format, field)
                };
                // A value at its default is left out.
                assert!(chosen(&given).is_none_or(|v| v == value), "{setting:?}");
                assert_eq!(chosen(&set).as_deref(), Some(value), "{setting:?}");
                assert_eq!(chosen(&plain), None);
            }
        }
    }

    #[test]
    fn an_archive_describes_the_machine_of_the_document() {
        let of = |spec: &str| {
            let text = format!(
                "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: a}}\nspec: {spec}\n"
            );
            let image = parse(&text, &[]).unwrap().remove(0).image;
            match form(&image, &image.spec.formats[0]) {
                Form::Ova(params) => params.machine,
                Form::Box(params) => params.machine,
                other => panic!("{other:?}"),
            }
        };
        let plain = package::Machine { name: "a".to_owned(), ..package::Machine::default() };
        assert_eq!(of("{disk: {size: 1Mi}, formats: [{type: ova}]}"), plain);
        let arm = of("{architecture: arm64, disk: {size: 1Mi}, formats: [{type: box}]}");
        assert_eq!(arm, package::Machine { firmware: package::Firmware::Efi, ..plain.clone() });
        let all = "{disk: {size: 1Mi}, formats: [{type: ova}], machine: {memory: 2Gi, cpus: 4, firmware: efi, diskBus: nvme, nic: vmxnet3, osType: freebsd}}";
        let expected = package::Machine {
            name: "a".to_owned(),
            memory: 2 << 30,
            cpus: 4,
            firmware: package::Firmware::Efi,
            disk_bus: package::DiskBus::Nvme,
            nic: package::Nic::Vmxnet3,
            os_type: package::OsType::FreeBsd,
        };
        assert_eq!(of(all), expected);
    }
}
