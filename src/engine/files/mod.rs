//! Plans the image files of a document: names, parameters, and how far the disk is padded.
//!
//! ```text
//! spec.formats + preset ──plan──▶ Planned (file names, recipe, size, notes) ──write──▶ bytes
//!                         pure                                              I/O out
//! ```
//!
//! Chooses no directory and renames nothing. Invariant: desk and cluster write a document's files
//! by these functions only, so the bytes are the same.

mod form;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::base::{Error, Kind, Origin, Padded, PositionalSink, Work};
use super::format::package::{self, Form, Recipe};
use super::format::{Label, Output, Params};
use super::{Beside, Media};
use crate::manifest::types::{Format, FormatKind, Medium, Preset};
use crate::manifest::{FieldPath, VMImage};
use crate::units::{ByteSize, SECTOR};
use form::{form, wrap};

/// An OVA tells the capacity of its disk; every reader takes whole MiB.
const MIB: u64 = 1 << 20;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A medium.
    Medium(Medium),
    /// What lies beside the media, by its place in `Media::beside`: taken as it is.
    Beside(usize),
}

/// One planned file.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The entry of `spec.formats` it came from.
    pub origin: Origin,
    /// Its name without directory.
    pub file: String,
    /// The name of the second file, where there is one.
    pub companion: Option<String>,
    /// What it holds.
    pub of: Holds,
    /// How it is written.
    pub recipe: Recipe,
    /// What ids in it are derived from.
    pub id: Uuid,
    /// Size of the disk in it: that of the medium, padded as preset and type demand.
    pub size: u64,
    /// What was done that nobody asked for in so many words.
    pub notes: Vec<String>,
}

/// Plans all files of `image`, made of `media`.
pub fn plan(image: &VMImage, content_hash: &str, media: &Media) -> Result<Vec<Planned>, Error> {
    let formats = image.spec.formats.iter().enumerate().map(|(at, format)| {
        let path = FieldPath::new("spec.formats").index(at);
        let origin = Origin::new(path.as_str());
        one(image, format, content_hash, media, &origin).map_err(|e| e.at(&origin))
    });
    let mut planned = formats.collect::<Result<Vec<_>, _>>()?;
    for (at, Beside { suffix, source, notes }) in media.beside.iter().enumerate() {
        let file = format!("{}.{suffix}", image.metadata.name);
        if planned.iter().any(|one| one.file == file || one.companion.as_ref() == Some(&file)) {
            let message =
                format!("{file} is a file that boot.direct makes; name the format otherwise");
            return Err(Error::new(Kind::Document, message).at(&Origin::new("spec.formats")));
        }
        planned.push(Planned {
            origin: Origin::new("spec.boot.direct"),
            file,
            companion: None,
            of: Holds::Beside(at),
            recipe: Recipe::from(Params::Raw),
            id: Uuid::nil(),
            size: source.len(),
            notes: notes.clone(),
        });
    }
    Ok(planned)
}

fn one(
    image: &VMImage,
    format: &Format,
    content_hash: &str,
    media: &Media,
    origin: &Origin,
) -> Result<Planned, Error> {
    let of = medium(format, media);
    let len = media.of(of).map(|medium| medium.len()).ok_or_else(|| {
        let what = match of {
            Medium::Disk => "disk or boot",
            Medium::Iso => "iso",
        };
        Error::new(Kind::Document, format!("there is no such medium: add {what} to the document"))
    })?;
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
        of: Holds::Medium(of),
        recipe,
        id: Uuid::new_v5(&namespace, id.as_bytes()),
        size,
        notes: note.into_iter().chain(rounded).collect(),
    })
}

/// The medium that a file of this format holds: as it says, else what its type says, else the only
/// one.
fn medium(format: &Format, media: &Media) -> Medium {
    match (format.of, format.kind) {
        (Some(of), _) => of,
        (None, FormatKind::Iso) => Medium::Iso,
        (None, _) if media.disk.is_none() => Medium::Iso,
        (None, _) => Medium::Disk,
    }
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
    media: &Media,
    sinks: &Sinks<'_>,
    work: &Work<'_>,
) -> Result<(), Error> {
    let medium = match planned.of {
        Holds::Medium(of) => media.of(of),
        Holds::Beside(at) => media.beside.get(at).map(|file| &file.source),
    };
    let medium = medium.unwrap_or_else(|| media.main());
    let disk = Padded::new(Arc::clone(medium), planned.size)?;
    let label = Label { name: &planned.file, id: planned.id };
    let output = Output { label, sink: sinks.main, companion: sinks.companion };
    let written = package::write(&disk, &output, &planned.recipe, sinks.scratch, work);
    written.map_err(|e| match e.kind() {
        Kind::Document => e.at(&planned.origin),
        _ => e,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::{Composed, SectorSource};
    use crate::manifest::parse;

    fn planned(formats: &str, len: u64) -> Vec<Planned> {
        let text = format!(
            "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: a}}\nspec: {{disk: {{size: 1Mi}}, formats: {formats}}}\n"
        );
        let disk: Arc<dyn SectorSource> = Arc::new(Composed::new(len, Vec::new()));
        let media = Media { disk: Some(disk), iso: None, beside: Vec::new() };
        plan(&parse(&text, &[]).unwrap()[0].image, "hash", &media).unwrap()
    }

    fn only(format: &str, len: u64) -> Planned {
        planned(&format!("[{format}]"), len).remove(0)
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
    fn ids_differ_by_file_and_stay() {
        let files = planned("[{type: vdi}, {name: b, type: vdi}]", 512);
        assert_ne!(files[0].id, files[1].id);
        // uuid5(uuid5(NAMESPACE_DNS, "vmimage.dev"), "hash/a/vdi"), by Python's uuid.
        assert_eq!(files[0].id.to_string(), "22d05890-b779-5d39-9470-5d89b91bbfce");
    }
}
