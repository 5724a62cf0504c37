//! The image engine: an accepted document becomes the sectors of its media, and these image files.
//!
//! ```text
//! spec + inputs ──plan──▶ Plan ──layout──▶ Layout ──make──▶ Medium (a SectorSource) ──format──▶ files
//!      trees, sizes          places           rendered on reading                    I/O out
//! ```
//!
//! Knows no Kubernetes. Invariant: the same document and inputs give the same bytes, whatever the
//! number of threads, the clock, the user or the machine.

pub mod archive;
pub mod base;
mod boot;
pub mod bootloader;
pub mod codec;
mod contents;
pub mod files;
pub mod filesystem;
pub mod format;
mod ids;
pub mod initrd;
pub mod inputs;
mod iso;
mod layout;
mod make;
mod params;
pub mod partition;
pub mod payload;
mod plan;
pub mod scripts;
mod slot;
pub mod stage;
pub mod transform;
pub mod view;
mod volume;

use std::sync::Arc;

use base::tree::Time;
use base::{Content, Error, Kind, Origin, Scratch, SectorSource, Work};

use crate::manifest::types::{FormatKind, Iso, Medium};
use crate::manifest::{FieldPath, Spec};

use boot::sectors;
use bootloader::assets::Assets;
pub use ids::Seed;
use inputs::Input;
pub use inputs::Inputs;
use plan::sector_bytes;
pub use scripts::Scripts;

/// What is built: an accepted document and its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The document's name.
    pub name: &'a str,
    /// What to build. It must have passed `manifest::check`.
    pub spec: &'a Spec,
    /// Its inputs.
    pub inputs: &'a Inputs,
    /// What ids that nobody gave are made of.
    pub seed: Seed,
}

/// Where and how it is built. Only `time` changes a byte.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// Room for temporary files.
    pub scratch: &'a Scratch,
    /// The time of what has none of its own.
    pub time: Time,
    /// How compressors are run.
    pub work: Work<'a>,
    /// What becomes of scripts.
    pub scripts: Scripts<'a>,
    /// The files of boot loaders.
    pub assets: &'a Assets,
}

/// The media of a document; at least one.
#[derive(Clone, Debug)]
pub struct Media {
    /// The disk.
    pub disk: Option<Arc<dyn SectorSource>>,
    /// The ISO image.
    pub iso: Option<Arc<dyn SectorSource>>,
    /// Files beside the media, for hypervisors that load a kernel themselves.
    pub beside: Vec<Beside>,
}

/// A file beside the media.
#[derive(Clone, Debug)]
pub struct Beside {
    /// What follows a dot behind the image's name.
    pub suffix: &'static str,
    /// Its bytes.
    pub source: Arc<dyn SectorSource>,
    /// What was done that the document does not say in so many words.
    pub notes: Vec<String>,
}

impl Media {
    /// The medium that a volume holds and that the content digest is about: the disk, else the ISO.
    ///
    /// # Panics
    /// If there is neither: `build` makes at least one.
    #[must_use]
    pub fn main(&self) -> &Arc<dyn SectorSource> {
        self.disk.as_ref().or(self.iso.as_ref()).expect("a document has at least one medium")
    }

    /// The medium that an image file of this kind holds.
    #[must_use]
    pub fn of(&self, medium: Medium) -> Option<&Arc<dyn SectorSource>> {
        match medium {
            Medium::Disk => self.disk.as_ref(),
            Medium::Iso => self.iso.as_ref(),
        }
    }
}

/// Builds the media that a document describes.
pub fn build(given: &Given<'_>, env: &Env<'_>) -> Result<Media, Error> {
    let spec = given.spec;
    let floppy = spec.boot.as_ref().is_some_and(|boot| boot.sector.is_some())
        && spec.formats.iter().any(|format| format.kind == FormatKind::Iso);
    let usual = floppy.then(Iso::default);
    let iso = spec.iso.as_ref().or(usual.as_ref());
    if spec.has_disk() {
        let disk = spec.disk.clone().unwrap_or_default();
        let plan = plan::plan(given, env)?;
        let beside = beside(plan.direct.as_ref())?;
        let layout = layout::layout(plan, &disk, env)?;
        let disk = Arc::new(make::make(layout)?) as Arc<dyn SectorSource>;
        let iso = iso.map(|iso| iso::build(iso, Some(&disk), given, env)).transpose()?;
        return Ok(Media { disk: Some(disk), iso: iso.map(|made| made.source), beside });
    }
    let made = iso.map(|iso| iso::build(iso, None, given, env)).transpose()?;
    let beside = beside(made.as_ref().and_then(|made| made.direct.as_ref()))?;
    Ok(Media { disk: None, iso: made.map(|made| made.source), beside })
}

/// Kernel, initrd and command line as files.
fn beside(direct: Option<&boot::Direct>) -> Result<Vec<Beside>, Error> {
    let Some(boot::Direct { kernel, report, initrd, command_line }) = direct else {
        return Ok(Vec::new());
    };
    let origin = Origin::new("spec.boot");
    let file = |suffix, content: Content, notes| {
        Ok(Beside { suffix, source: sectors(content, &origin)?, notes })
    };
    let line = Content::Bytes(format!("{command_line}\n").into_bytes().into());
    let notes = report.iter().map(ToString::to_string).collect();
    let kernel = file("vmlinuz", kernel.clone(), notes);
    let initrd = initrd.iter().map(|initrd| file("initrd", initrd.clone(), Vec::new()));
    let line = file("cmdline", line, Vec::new());
    std::iter::once(kernel).chain(initrd).chain(std::iter::once(line)).collect()
}

impl Given<'_> {
    /// The input of the field at `path`.
    fn content(&self, path: &FieldPath) -> Result<Content, Error> {
        Ok(Content::Sectors(Arc::clone(self.input(path)?.source()?)))
    }

    fn input(&self, path: &FieldPath) -> Result<&Input, Error> {
        self.inputs.get(path).ok_or_else(|| {
            Error::new(Kind::Document, "no input was resolved for this field")
                .at(&Origin::new(path.as_str()))
        })
    }
}
