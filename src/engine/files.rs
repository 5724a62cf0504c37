//! Plans the image files of a document: names, parameters, and how far the disk is padded.
//!
//! ```text
//! spec.formats + preset ──plan──▶ Planned (file names, recipe, size, notes) ──write──▶ bytes
//!                         pure                                              I/O out
//! ```
//!
//! Chooses no directory and renames nothing. Invariant: desk and cluster write a document's files
//! by these functions only, so the bytes are the same.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::base::{Error, Kind, Origin, Padded, PositionalSink, SectorSource, Work};
use super::codec::wrap;
use super::format::package::{self, Form, Recipe, ova, vagrant};
use super::format::{Label, Output, Params, qcow2, vdi, vhd, vhdx, vmdk};
use crate::manifest::types::{
    AdapterType, Architecture, Compat, Compression, DiskBus, Firmware, Format, FormatKind, Nic,
    OsType, OvaManifest, Preallocation, Preset, Provider, VdiSubformat, VhdSizing, VhdSubformat,
    VmdkSubformat, Wrap,
};
use crate::manifest::{FieldPath, VMImage};
use crate::units::{ByteSize, SECTOR};

/// An OVA tells the capacity of its disk; every reader takes whole MiB.
const MIB: u64 = 1 << 20;

/// One planned image file.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The entry of `spec.formats` it came from.
    pub origin: Origin,
    /// Its name without directory.
    pub file: String,
    /// The name of the second file, where there is one.
    pub companion: Option<String>,
    /// How it is written.
    pub recipe: Recipe,
    /// What ids in it are derived from.
    pub id: Uuid,
    /// Size of the disk in it: that of the medium, padded as preset and type demand.
    pub size: u64,
    /// What was done that nobody asked for in so many words.
    pub notes: Vec<String>,
}

/// Plans all files of `image`, whose disk has `len` bytes.
pub fn plan(image: &VMImage, content_hash: &str, len: u64) -> Result<Vec<Planned>, Error> {
    let formats = image.spec.formats.iter().enumerate();
    formats
        .map(|(at, format)| {
            let path = FieldPath::new("spec.formats").index(at);
            let origin = Origin::new(path.as_str());
            one(image, format, content_hash, len, &origin).map_err(|e| e.at(&origin))
        })
        .collect()
}

fn one(
    image: &VMImage,
    format: &Format,
    content_hash: &str,
    len: u64,
    origin: &Origin,
) -> Result<Planned, Error> {
    let name = &image.metadata.name;
    let file = format!("{name}.{}", format.name());
    let recipe = Recipe { form: form(image, format), wrap: wrap(format) };
    recipe.check()?;
    let (size, note) = padded(format, len)?;
    let rounded = match &recipe.form {
        Form::Image(Params::Vhd(params)) => rounded(size, params.virtual_size(size)?),
        _ => None,
    };
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_DNS, crate::manifest::GROUP.as_bytes());
    let id = format!("{content_hash}/{name}/{}", format.name());
    Ok(Planned {
        origin: origin.clone(),
        companion: recipe.companion(&file),
        file,
        recipe,
        id: Uuid::new_v5(&namespace, id.as_bytes()),
        size,
        notes: note.into_iter().chain(rounded).collect(),
    })
}

/// The size of the disk in a file of this format, and what to say about it.
fn padded(format: &Format, len: u64) -> Result<(u64, Option<String>), Error> {
    let (unit, least, who) = match format.preset.map(Preset::rules) {
        Some(rules) => (rules.unit, rules.least, rules.who),
        None if matches!(format.kind, FormatKind::Ova | FormatKind::Box) => {
            (MIB, MIB, "a disk in an archive has whole MiB")
        }
        None => (SECTOR, SECTOR, "disks have whole sectors"),
    };
    let size = ByteSize::bytes(len.max(least)).round_up(unit)?.get();
    let note = format!("the disk is padded with zeros from {len} to {size} bytes: {who}");
    Ok((size, (size != len).then_some(note)))
}

/// What to say where a VHD tells another size than the disk's.
fn rounded(size: u64, told: u64) -> Option<String> {
    let note = format!(
        "the file tells {told} bytes for a disk of {size}: sizing chs rounds up to whole cylinders"
    );
    (told != size).then_some(note)
}

/// Where the bytes of one file go.
#[derive(Clone, Copy)]
pub struct Sinks<'a> {
    /// The file.
    pub main: &'a dyn PositionalSink,
    /// The second one, where `Planned::companion` names it.
    pub companion: Option<&'a dyn PositionalSink>,
    /// A directory for a temporary file, which some need; it is gone afterwards.
    pub scratch: &'a Path,
}

impl fmt::Debug for Sinks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sinks").field("scratch", &self.scratch).finish_non_exhaustive()
    }
}

/// Writes one planned file.
pub fn write(
    planned: &Planned,
    medium: &Arc<dyn SectorSource>,
    sinks: &Sinks<'_>,
    work: &Work<'_>,
) -> Result<(), Error> {
    let disk = Padded::new(Arc::clone(medium), planned.size)?;
    let label = Label { name: &planned.file, id: planned.id };
    let output = Output { label, sink: sinks.main, companion: sinks.companion };
    let written = package::write(&disk, &output, &planned.recipe, sinks.scratch, work);
    written.map_err(|e| match e.kind() {
        Kind::Document => e.at(&planned.origin),
        _ => e,
    })
}

/// What `field` of the format is: as given, else as the preset sets it, else the type's default.
fn chosen<T: DeserializeOwned>(given: Option<T>, format: &Format, field: &str) -> Option<T> {
    let rules = format.preset.map(Preset::rules);
    let set = || rules?.setting(format.kind, field);
    given.or_else(|| serde_json::from_value(Value::from(set()?)).ok())
}

fn wrap(format: &Format) -> Option<wrap::Wrap> {
    match format.wrap {
        Wrap::None => None,
        Wrap::Gzip => Some(wrap::Wrap::Gzip),
        Wrap::Xz => Some(wrap::Wrap::Xz),
        Wrap::Zstd => Some(wrap::Wrap::Zstd),
    }
}

/// What a file of this format is.
fn form(image: &VMImage, format: &Format) -> Form {
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

    fn planned(formats: &str, len: u64) -> Vec<Planned> {
        let text = format!(
            "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: a}}\nspec: {{disk: {{size: 1Mi}}, formats: {formats}}}\n"
        );
        plan(&parse(&text, &[]).unwrap()[0].image, "hash", len).unwrap()
    }

    fn only(format: &str, len: u64) -> Planned {
        planned(&format!("[{format}]"), len).remove(0)
    }

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
    fn names_follow_from_type_preset_and_wrap() {
        let files = planned(
            "[{type: raw}, {type: raw, wrap: xz}, {type: vmdk, vmdk: {subformat: monolithicFlat}}, {name: b.vmdk, type: vmdk, vmdk: {subformat: monolithicFlat}}]",
            512,
        );
        let names: Vec<_> =
            files.iter().map(|one| (one.file.as_str(), one.companion.as_deref())).collect();
        let expected = [
            ("a.raw", None),
            ("a.raw.xz", None),
            ("a.vmdk", Some("a-flat.vmdk")),
            ("a.b.vmdk", Some("a.b-flat.vmdk")),
        ];
        assert_eq!(names, expected);
        assert_eq!(only("{type: raw, preset: gce}", 512).file, "a.tar.gz");
    }

    #[test]
    fn a_disk_is_padded_as_the_platform_demands_and_that_is_said() {
        const MIB: u64 = 1 << 20;
        for (format, len, size) in [
            ("{type: raw}", 512, 512),
            ("{type: qcow2}", 512, 512),
            ("{type: vhd, preset: azure}", 512, 20 * MIB),
            ("{type: vhd, preset: azure}", 20 * MIB, 20 * MIB),
            ("{type: vhd, preset: azure}", 20 * MIB + 512, 21 * MIB),
            ("{type: raw, preset: gce}", 512, 1 << 30),
            ("{type: raw, preset: gce}", (1 << 30) + 512, 2 << 30),
            ("{type: vhdx, preset: hyperv}", 512, 3 * MIB),
            ("{type: vhdx, preset: hyperv}", 3 * MIB + 1024, 4 * MIB),
            ("{type: vmdk, preset: vsphere}", 512, MIB),
            ("{type: vdi, preset: virtualbox}", 512, MIB),
            ("{type: qcow2, preset: kubevirt}", 512, MIB),
            ("{type: raw, preset: aws}", 512, MIB),
            ("{type: ova}", MIB + 512, 2 * MIB),
            ("{type: box, box: {provider: libvirt}}", 512, MIB),
        ] {
            let planned = only(format, len);
            assert_eq!(planned.size, size, "{format}");
            assert_eq!(planned.notes.is_empty(), size == len, "{format}");
        }
        let note = "the disk is padded with zeros from 512 to 20971520 bytes: Azure takes disks of whole MiB, at least 20 MiB";
        assert_eq!(only("{type: vhd, preset: azure}", 512).notes, [note]);
    }

    #[test]
    fn a_size_that_cylinders_round_is_said() {
        // qemu-img info of what `qemu-img create -f vpc x 1M` makes.
        let notes = only("{type: vhd}", 1 << 20).notes;
        assert!(
            notes[0].starts_with("the file tells 1079296 bytes for a disk of 1048576"),
            "{notes:?}"
        );
        assert!(only("{type: vhd, vhd: {sizing: exact}}", 1 << 20).notes.is_empty());
    }

    #[test]
    fn an_archive_describes_the_machine_of_the_document() {
        let of = |spec: &str| {
            let text = format!(
                "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: a}}\nspec: {spec}\n"
            );
            let files = plan(&parse(&text, &[]).unwrap()[0].image, "hash", 512).unwrap();
            match &files[0].recipe.form {
                Form::Ova(params) => params.machine.clone(),
                Form::Box(params) => params.machine.clone(),
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

    #[test]
    fn ids_differ_by_file_and_stay() {
        let files = planned("[{type: vdi}, {name: b, type: vdi}]", 512);
        assert_ne!(files[0].id, files[1].id);
        // uuid5(uuid5(NAMESPACE_DNS, "vmimage.dev"), "hash/a/vdi"), by Python's uuid.
        assert_eq!(files[0].id.to_string(), "22d05890-b779-5d39-9470-5d89b91bbfce");
    }
}
