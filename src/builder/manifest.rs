//! The build manifest: what an image was made of, for pod and desk alike.
//!
//! Does not write. Invariant: names every input and every writer that decided a byte, in a fixed
//! order.

use crate::engine::Inputs;
use crate::manifest::{VMImage, hash, source};
use crate::report::{
    BootAssetsEntry, BuildManifest, InputEntry, OutputEntry, VERSION, WriterEntry,
};

/// A finished build.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// The document.
    pub image: &'a VMImage,
    /// Its inputs.
    pub inputs: &'a Inputs,
    /// contentHash.
    pub content_hash: &'a str,
    /// SHA-256 of the raw content.
    pub content_digest: &'a str,
    /// Length of the raw content in bytes.
    pub virtual_size: u64,
}

/// The manifest of a build that wrote `outputs` with the writers `used`.
#[must_use]
pub fn build_manifest(made: &Made<'_>, outputs: Vec<OutputEntry>, used: &[&str]) -> BuildManifest {
    let paths = source::sources(&made.image.spec).into_iter().map(|(path, _)| path);
    let inputs = paths.filter_map(|path| {
        let input = made.inputs.get(&path)?;
        Some(InputEntry { field: path.to_string(), digest: input.digest.clone(), size: input.size })
    });
    BuildManifest {
        v: VERSION,
        name: made.image.metadata.name.clone(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        reproducible: made.image.spec.disk.as_ref().is_none_or(|disk| disk.scripts.is_empty()),
        content_hash: made.content_hash.to_owned(),
        content_digest: made.content_digest.to_owned(),
        virtual_size: made.virtual_size,
        inputs: inputs.collect(),
        boot_assets: boot_assets(made),
        writers: writers(made.image, used),
        outputs,
    }
}

/// What boot loaders were made of, by the names of the sets.
fn boot_assets(made: &Made<'_>) -> Vec<BootAssetsEntry> {
    let sets = hash::assets(&made.image.spec).into_iter();
    let entries = sets.filter_map(|set| {
        let digest = made.inputs.assets().get(&hash::asset_path(set))?.clone();
        Some(BootAssetsEntry { set: set.to_owned(), digest })
    });
    entries.collect()
}

/// The writers whose bytes are in the media, and those of the outputs, in the order of the table.
fn writers(image: &VMImage, used: &[&str]) -> Vec<WriterEntry> {
    let media = hash::used(&image.spec);
    let table = hash::WRITERS.into_iter();
    let table = table.filter(|(name, _)| media.contains(name) || used.contains(name));
    table.map(|(name, version)| WriterEntry { name: name.to_owned(), version }).collect()
}
