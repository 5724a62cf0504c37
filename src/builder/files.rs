//! Writes every image file of a document and its build manifest: on a desk, and for the `files`
//! target in a cluster.
//!
//! Gives no file its final name: that is `publish::files::commit`. Invariant: the bytes of all
//! files, the manifest's too, follow from document and inputs alone.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use super::manifest::{Made, build_manifest};
use crate::engine::base::{self, Error, Kind, PositionalSink, Progress, SectorSource, Work};
use crate::engine::files::{self, Holds, Planned, Sinks};
use crate::engine::format::Params;
use crate::engine::format::package::Recipe;
use crate::engine::{Inputs, Media};
use crate::manifest::types::{Format, Preset, Wrap};
use crate::manifest::{VMImage, hash};
use crate::publish::files::Pending;
use crate::report::{BuildManifest, FileEntry, OutputEntry};

/// A document with its disk, ready to be written.
#[derive(Clone, Copy, Debug)]
pub struct Ready<'a> {
    /// The document.
    pub image: &'a VMImage,
    /// Its inputs.
    pub inputs: &'a Inputs,
    /// contentHash.
    pub content_hash: &'a str,
    /// Its media.
    pub media: &'a Media,
    /// Its image files, as `engine::files::plan` has them.
    pub files: &'a [Planned],
}

/// Runs long steps and shows how far they are.
pub trait Steps {
    /// Runs one about the file of this name.
    fn step(
        &self,
        file: &str,
        run: &mut dyn FnMut(&dyn Progress) -> Result<(), Error>,
    ) -> Result<(), Error>;
}

/// Where files are written, and how.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The directory.
    pub directory: &'a Path,
    /// Threads; 0 means as many as the machine offers.
    pub threads: usize,
    /// Runs the steps.
    pub steps: &'a dyn Steps,
}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The files of one document under temporary names, the build manifest's last.
#[derive(Debug)]
pub struct Written {
    /// The build manifest.
    pub manifest: BuildManifest,
    /// All files.
    pub files: Vec<Pending>,
}

/// The names of all files of a document, the build manifest's last.
#[must_use]
pub fn names(image: &VMImage, files: &[Planned]) -> Vec<String> {
    let names = files.iter().flat_map(|one| std::iter::once(&one.file).chain(&one.companion));
    names.cloned().chain([manifest_name(image)]).collect()
}

fn manifest_name(image: &VMImage) -> String {
    format!("{}.build.json", image.metadata.name)
}

/// Writes all files of a document.
pub fn write(ready: &Ready<'_>, place: &Place<'_>) -> Result<Written, Error> {
    let Ready { image, inputs, content_hash, media, files: planned } = *ready;
    let medium = media.main();
    let mut files = Vec::new();
    for one in planned {
        files.push(place.write(one, media)?);
    }
    // The disk takes the bytes while they are hashed, so that `commit` has less to wait for. A failure
    // is told once for each open file: here or nowhere.
    let content_digest = thread::scope(|scope| {
        let safe = scope.spawn(|| files.iter().try_for_each(Pair::sync));
        let digest = place.content_digest(image, medium)?;
        safe.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok::<_, Error>(digest)
    })?;
    let mut outputs = Vec::new();
    // Behind those of the formats lie the files beside the media, which no format names.
    let formats = image.spec.formats.iter().map(Some).chain(std::iter::repeat(None));
    for ((format, planned), file) in formats.zip(planned).zip(&mut files) {
        place.digest(planned, file, medium.len(), &content_digest)?;
        outputs.push(entry(image, format, planned, file));
    }
    let virtual_size = medium.len();
    let made = Made { image, inputs, content_hash, content_digest: &content_digest, virtual_size };
    let used: Vec<_> = image.spec.formats.iter().flat_map(hash::writers).collect();
    let manifest = build_manifest(&made, outputs, &used);
    let text = serde_json::to_string_pretty(&manifest)
        .map_err(|e| Error::new(Kind::Io, format!("the build manifest is no JSON: {e}")))?;
    let path = place.path(&manifest_name(image));
    let last = Pending::of_bytes(&path, format!("{text}\n").as_bytes())?;
    let pairs = files.into_iter().flat_map(|file| std::iter::once(file.main).chain(file.companion));
    Ok(Written { manifest, files: pairs.chain([last]).collect() })
}

/// A file, and the second one beside it.
struct Pair {
    main: Pending,
    companion: Option<Pending>,
}

impl Pair {
    fn sync(&self) -> Result<(), Error> {
        self.main.sync()?;
        self.companion.as_ref().map_or(Ok(()), Pending::sync)
    }
}

impl Place<'_> {
    /// The path of the file with this name; `hello.raw`, not `./hello.raw`.
    fn path(&self, name: &str) -> PathBuf {
        match self.directory == Path::new(".") {
            true => PathBuf::from(name),
            false => self.directory.join(name),
        }
    }

    fn write(&self, planned: &Planned, media: &Media) -> Result<Pair, Error> {
        let main = Pending::create(&self.path(&planned.file))?;
        let companion =
            planned.companion.as_ref().map(|name| Pending::create(&self.path(name))).transpose()?;
        self.steps.step(&planned.file, &mut |progress| {
            let second = companion.as_ref().map(|file| file.sink() as &dyn PositionalSink);
            let work = Work { threads: self.threads, progress };
            let sinks = Sinks { main: main.sink(), companion: second, scratch: self.directory };
            files::write(planned, media, &sinks, &work)
        })?;
        Ok(Pair { main, companion })
    }

    fn content_digest(
        &self,
        image: &VMImage,
        medium: &Arc<dyn SectorSource>,
    ) -> Result<String, Error> {
        let mut digest = String::new();
        self.steps.step(&image.metadata.name, &mut |progress| {
            digest = base::digest(&**medium, progress)?;
            Ok(())
        })?;
        Ok(digest)
    }

    /// Sets size and digest of what was written. A raw file that is not padded is the content.
    fn digest(
        &self,
        planned: &Planned,
        pair: &mut Pair,
        len: u64,
        content_digest: &str,
    ) -> Result<(), Error> {
        let main = matches!(planned.of, Holds::Medium(_));
        let is_content = main && planned.recipe == Recipe::from(Params::Raw) && planned.size == len;
        for file in std::iter::once(&mut pair.main).chain(&mut pair.companion) {
            let source = file.source()?;
            file.size = source.len();
            if is_content {
                content_digest.clone_into(&mut file.digest);
                continue;
            }
            let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.steps.step(&name, &mut |progress| {
                file.digest = base::digest(&source, progress)?;
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn entry(image: &VMImage, format: Option<&Format>, planned: &Planned, pair: &Pair) -> OutputEntry {
    let companion = pair.companion.as_ref().zip(planned.companion.as_ref());
    let Some(format) = format else {
        let name = planned.file.strip_prefix(&format!("{}.", image.metadata.name));
        return OutputEntry {
            name: name.unwrap_or(&planned.file).to_owned(),
            kind: "direct".to_owned(),
            file: planned.file.clone(),
            digest: pair.main.digest.clone(),
            size: pair.main.size,
            notes: planned.notes.clone(),
            ..OutputEntry::default()
        };
    };
    OutputEntry {
        name: format.name(),
        kind: format.kind.as_str().to_owned(),
        file: planned.file.clone(),
        options: hash::given_options(format),
        preset: format.preset.map(Preset::as_str).unwrap_or_default().to_owned(),
        wrap: if format.wrap == Wrap::None { "" } else { format.wrap.as_str() }.to_owned(),
        companion: companion.map(|(file, name)| FileEntry {
            file: name.clone(),
            digest: file.digest.clone(),
            size: file.size,
        }),
        notes: planned.notes.clone(),
        digest: pair.main.digest.clone(),
        size: pair.main.size,
    }
}
