//! From a file on the desk to accepted documents with their disk and files planned.
//!
//! Writes nothing. Invariant: every failure names the file, and the line and column of its field;
//! what comes out of `prepare` can fail only by reading or writing.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::desk::Desk;
use super::failure::{Failure, Failures};
use super::scripts::{self, Place};
use crate::engine::base::{self, Kind, Silent, Work};
use crate::engine::files::{self, Planned};
use crate::engine::{self, Env, Given, Inputs, Media, Seed};
use crate::manifest::parse::{ConfigMaps, MAX_TEXT, parse_beside_config_maps};
use crate::manifest::{
    Document, FieldPath, Override, ParseError, Problem, Spec, VMImage, check, hash,
};
use crate::report::Code;

/// A file of documents.
#[derive(Debug)]
pub(super) struct File {
    /// Its name in messages.
    pub(super) name: String,
    text: String,
    directory: PathBuf,
    /// The ConfigMaps in it, once its documents were asked for.
    config_maps: ConfigMaps,
}

/// An accepted document and its disk.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The document.
    pub(super) image: VMImage,
    /// Its inputs.
    pub(super) inputs: Inputs,
    /// Its contentHash.
    pub(super) content_hash: String,
    /// Its media.
    pub(super) media: Media,
    /// Its image files.
    pub(super) files: Vec<Planned>,
    /// What scripts left, which the media are read from.
    _place: Option<Place>,
}

fn has_scripts(spec: &Spec) -> bool {
    spec.disk.as_ref().is_some_and(|disk| !disk.scripts.is_empty())
}

impl File {
    /// Reads the file at `path`; `-` is standard input.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let stdin = path.as_os_str() == "-";
        let name = if stdin { "<stdin>".to_owned() } else { path.display().to_string() };
        let fail = |e| Failure::io(Code::InvalidInput, &format!("reading {name}"), e);
        let mut bytes = Vec::new();
        if stdin {
            std::io::stdin()
                .lock()
                .take(MAX_TEXT as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(fail)?;
        } else {
            let file = fs::File::open(path).map_err(fail)?;
            file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        }
        let invalid =
            |message: String| Failure::new(Code::InvalidDocument, message).in_file(&name, "", None);
        if bytes.len() > MAX_TEXT {
            return Err(invalid(format!("the file is larger than {MAX_TEXT} bytes")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|e| invalid(format!("byte {} is not UTF-8", e.utf8_error().valid_up_to())))?;
        let directory = path.parent().filter(|_| !stdin).map(Path::to_owned).unwrap_or_default();
        Ok(Self { name, text, directory, config_maps: ConfigMaps::new() })
    }

    /// Its documents, each with a name of its own.
    pub(super) fn documents(&mut self, overrides: &[Override]) -> Result<Vec<Document>, Failures> {
        let parsed = parse_beside_config_maps(&self.text, overrides);
        let (documents, config_maps) = parsed.map_err(|e| self.unparsed(&e))?;
        self.config_maps = config_maps;
        let mut names = BTreeSet::new();
        let again = documents.iter().filter(|d| !names.insert(d.image.metadata.name.as_str()));
        let failures = again.map(|document| {
            let name = &document.image.metadata.name;
            let message = format!("two documents have the name {name:?}");
            self.at(document, Failure::new(Code::InvalidDocument, message), "metadata.name")
        });
        match Failures::collect(failures.collect()) {
            Some(failures) => Err(failures),
            None => Ok(documents),
        }
    }

    /// Plans the disk of `document`, with all checks that can be made before writing.
    pub(super) fn prepare(
        &self,
        document: Document,
        desk: &Desk,
    ) -> Result<Prepared, Vec<Failure>> {
        let problems = check(&document.image);
        if !problems.is_empty() {
            let failure = |problem: Problem| {
                let failure = Failure::new(Code::InvalidDocument, problem.message);
                self.at(&document, failure, problem.path.as_str())
            };
            return Err(problems.into_iter().map(failure).collect());
        }
        self.plan(document, desk).map_err(|failure| vec![failure])
    }

    fn plan(&self, document: Document, desk: &Desk) -> Result<Prepared, Failure> {
        let spec = &document.image.spec;
        let placed = |failure: Failure| match failure.field.clone() {
            Some(field) => self.at(&document, failure, &field),
            None => failure,
        };
        let mut sources =
            desk.sources.open(Some(self.directory.clone())).map_err(|e| Failure::from(&e))?;
        sources.mounts.given.clone_from(&self.config_maps);
        let inputs = Inputs::resolve_with(spec, &sources, desk.time, &Silent).map_err(|error| {
            let mut failure = Failure::from(&error);
            if error.kind() == Kind::Io {
                // An input that cannot be read is a fault of the input, not of the machine.
                failure.code = Code::InvalidInput;
            }
            placed(failure)
        })?;
        let content_hash = hash::content_hash(spec, &inputs.digests()).map_err(|error| {
            placed(Failure::new(Code::Bug, error.to_string()).of_field(error.path.as_str()))
        })?;
        let name = &document.image.metadata.name;
        let given = Given { name, spec, inputs: &inputs, seed: Seed::new(name, &content_hash) };
        let work = Work { threads: desk.threads, progress: &Silent };
        let fail = |e: base::Error| placed(Failure::from(&e));
        let allowed = desk.scripts.allowed().filter(|_| has_scripts(spec));
        let place = allowed.map(|_| Place::new(&desk.sources.scratch)).transpose().map_err(fail)?;
        let runner = allowed.zip(place.as_ref());
        let runner = runner.map(|(allowed, place)| scripts::Desk::new(allowed, &sources, place));
        let staged = place.as_ref().map(Place::staged);
        let scripts = match (&runner, &staged) {
            (Some(runner), Some(staged)) => engine::Scripts::Run(runner, staged),
            _ => desk.scripts.idle(),
        };
        let assets = &sources.assets;
        let env = Env { scratch: &sources.scratch, time: desk.time, work, scripts, assets };
        let media = engine::build(&given, &env).map_err(fail)?;
        let files = files::plan(&document.image, &content_hash, &media)
            .map_err(|e| placed(Failure::from(&e)))?;
        Ok(Prepared { image: document.image, inputs, content_hash, media, files, _place: place })
    }

    fn at(&self, document: &Document, failure: Failure, field: &str) -> Failure {
        let place = document.places.of(&FieldPath::new(field));
        failure.of_field(field).in_file(&self.name, &self.text, place)
    }

    fn unparsed(&self, error: &ParseError) -> Failure {
        let failure = Failure::new(Code::InvalidDocument, error.to_string());
        let failure = match error.path() {
            Some(path) => failure.of_field(path.as_str()),
            None => failure,
        };
        failure.in_file(&self.name, &self.text, error.place())
    }
}
