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

use crate::manifest::types::{Disk, Medium};
use crate::manifest::{FieldPath, Spec};

pub use ids::Seed;
use inputs::Input;
pub use inputs::Inputs;
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
}

/// The media of a document; at least one.
#[derive(Clone, Debug)]
pub struct Media {
    /// The disk.
    pub disk: Option<Arc<dyn SectorSource>>,
    /// The ISO image.
    pub iso: Option<Arc<dyn SectorSource>>,
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
    let iso = spec.iso.as_ref().map(|iso| iso::build(iso, given, env)).transpose()?;
    if spec.disk.is_none() && spec.boot.is_none() && iso.is_some() {
        return Ok(Media { disk: None, iso });
    }
    let disk = spec.disk.clone().unwrap_or_default();
    Ok(Media { disk: Some(build_disk(&disk, given, env)?), iso })
}

fn build_disk(
    disk: &Disk,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Arc<dyn SectorSource>, Error> {
    let plan = plan::plan(given, env)?;
    let layout = layout::layout(plan, disk, env)?;
    Ok(Arc::new(make::make(layout)?))
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
