//! `vmimage build`: the image files of documents, written together or not at all.
//!
//! Invariant: nothing is written before every document is accepted, and nothing gets its final
//! name before every file is complete.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};

use super::args::BuildArgs;
use super::document::{File, Prepared};
use super::failure::{Failure, Failures};
use super::interrupt::Interrupt;
use super::output::Output;
use super::progress::Shown;
use crate::builder::{Made, build_manifest};
use crate::engine::base::{self, SectorSource, Work};
use crate::engine::format::{qcow2, raw};
use crate::manifest::Override;
use crate::manifest::types::{Compression, Format, FormatKind};
use crate::publish::files::{self, Pending};
use crate::report::{BuildManifest, Code, OutputEntry};

/// Everything one build shares.
struct Run<'a> {
    directory: &'a Path,
    threads: usize,
    output: &'a Output,
    interrupt: Interrupt,
}

/// The files of one document.
struct Built {
    manifest: BuildManifest,
    files: Vec<Pending>,
}

/// Runs the verb.
pub(super) fn run(args: &BuildArgs, output: &Output) -> Result<(), Failures> {
    let BuildArgs { file, output: directory, set, name, threads } = args;
    let prepared = accepted(file, set, name.as_deref())?;
    refuse_collisions(&prepared)?;
    let run = Run {
        directory,
        threads: threads.map_or(0, usize::from),
        output,
        interrupt: Interrupt::listen()?,
    };
    let attempt = format!("making the directory {}", directory.display());
    fs::create_dir_all(directory).map_err(|e| Failure::io(Code::Io, &attempt, e))?;
    let built = prepared.iter().map(|p| run.build(p)).collect::<Result<Vec<_>, _>>()?;
    run.interrupt.check()?;
    let result = result(&built);
    files::commit(built.into_iter().flat_map(|built| built.files).collect())?;
    result.print(output)
}

/// The documents of the file, or the one that is asked for, all accepted.
fn accepted(file: &Path, set: &[Override], name: Option<&str>) -> Result<Vec<Prepared>, Failures> {
    let file = File::read(file)?;
    let mut documents = file.documents(set)?;
    if let Some(name) = name {
        let known: Vec<_> = documents.iter().map(|d| d.image.metadata.name.clone()).collect();
        documents.retain(|document| document.image.metadata.name == name);
        if documents.is_empty() {
            let message =
                format!("no document has the name {name:?}; there are: {}", known.join(", "));
            let failure = Failure::new(Code::InvalidDocument, message);
            return Err(failure.in_file(&file.name, "", None).into());
        }
    }
    let mut prepared = Vec::with_capacity(documents.len());
    let mut failures = Vec::new();
    for document in documents {
        match file.prepare(document) {
            Ok(one) => prepared.push(one),
            Err(found) => failures.extend(found),
        }
    }
    Failures::collect(failures).map_or(Ok(prepared), Err)
}

/// The names of the files of one document, the build manifest's last.
fn names(prepared: &Prepared) -> Vec<String> {
    let formats = prepared.image.spec.formats.iter().map(|format| file_name(prepared, format));
    formats.chain([format!("{}.build.json", prepared.image.metadata.name)]).collect()
}

fn file_name(prepared: &Prepared, format: &Format) -> String {
    format!("{}.{}", prepared.image.metadata.name, format.name())
}

fn refuse_collisions(prepared: &[Prepared]) -> Result<(), Failures> {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for one in prepared {
        let image = one.image.metadata.name.as_str();
        for name in names(one) {
            if let Some(other) = owners.insert(name.clone(), image) {
                let message = match other == image {
                    true => {
                        format!("{image} would write {name} twice; give the format another name")
                    }
                    false => format!("{other} and {image} would both write {name}"),
                };
                let failure = Failure::new(Code::InvalidDocument, message);
                return Err(failure.of_field("spec.formats").into());
            }
        }
    }
    Ok(())
}

impl Run<'_> {
    /// Writes all files of one document under temporary names.
    fn build(&self, prepared: &Prepared) -> Result<Built, Failures> {
        let Prepared { image, inputs, content_hash, medium } = prepared;
        let formats = &image.spec.formats;
        let mut files =
            formats.iter().map(|f| self.write(f, prepared)).collect::<Result<Vec<_>, _>>()?;
        let content_digest = {
            let progress = Shown::new(self.output, &self.interrupt, &image.metadata.name);
            let digest = base::digest(&**medium, &progress)?;
            progress.done();
            digest
        };
        let outputs = formats.iter().zip(&mut files).map(|(format, file)| {
            if format.kind == FormatKind::Raw {
                // A raw file is the content itself.
                file.digest.clone_from(&content_digest);
            }
            output_entry(prepared, format, file)
        });
        let outputs = outputs.collect();
        let virtual_size = medium.len();
        let content_digest = &content_digest;
        let made = Made { image, inputs, content_hash, content_digest, virtual_size };
        let manifest = build_manifest(&made, outputs);
        let name = format!("{}.build.json", image.metadata.name);
        let text = serde_json::to_string_pretty(&manifest)
            .map_err(|e| Failure::new(Code::Bug, format!("the build manifest is no JSON: {e}")))?;
        files.push(Pending::of_bytes(&self.path(&name), format!("{text}\n").as_bytes())?);
        Ok(Built { manifest, files })
    }

    /// Writes one image file under a temporary name. The digest of a raw file is left open.
    fn write(&self, format: &Format, prepared: &Prepared) -> Result<Pending, Failures> {
        let name = file_name(prepared, format);
        let mut file = Pending::create(&self.path(&name))?;
        let progress = Shown::new(self.output, &self.interrupt, &name);
        let medium = &*prepared.medium;
        match format.kind {
            FormatKind::Raw => raw::write(medium, file.sink(), &progress)?,
            FormatKind::Qcow2 => {
                let work = Work { threads: self.threads, progress: &progress };
                qcow2::write(medium, file.sink(), &qcow2_params(format), &work)?;
                file.digest = base::digest(&file.source()?, &progress)?;
            }
        }
        file.size = file.source()?.len();
        progress.done();
        Ok(file)
    }

    /// The path of the file with this name; `hello.raw`, not `./hello.raw`.
    fn path(&self, name: &str) -> PathBuf {
        match self.directory == Path::new(".") {
            true => PathBuf::from(name),
            false => self.directory.join(name),
        }
    }
}

fn qcow2_params(format: &Format) -> qcow2::Params {
    let compression = match format.qcow2.as_ref().map(|options| options.compression) {
        None | Some(Compression::None) => qcow2::Compression::None,
        Some(Compression::Zlib) => qcow2::Compression::Zlib,
        Some(Compression::Zstd) => qcow2::Compression::Zstd,
    };
    qcow2::Params::compressed(compression)
}

fn output_entry(prepared: &Prepared, format: &Format, file: &Pending) -> OutputEntry {
    OutputEntry {
        name: format.name().to_owned(),
        kind: format.kind.as_str().to_owned(),
        file: file_name(prepared, format),
        options: options(format),
        digest: file.digest.clone(),
        size: file.size,
    }
}

/// The options of `format` that are not at their default.
fn options(format: &Format) -> Value {
    let options = match format.kind {
        FormatKind::Raw => Value::Null,
        FormatKind::Qcow2 => serde_json::to_value(&format.qcow2).unwrap_or_default(),
    };
    if options.as_object().is_some_and(serde_json::Map::is_empty) { Value::Null } else { options }
}

/// What is printed in the end.
struct Printed {
    lines: Vec<String>,
    json: Value,
}

fn result(built: &[Built]) -> Printed {
    let all = || built.iter().flat_map(|built| &built.files);
    let lines = all().map(|file| format!("{}\t{}\t{}", file.display(), file.size, file.digest));
    let json = built.iter().map(|Built { manifest, files }| {
        let entry = |file: &Pending| {
            let path = file.display().to_string();
            json!({"path": path, "size": file.size, "digest": file.digest})
        };
        let files: Vec<_> = files.iter().map(entry).collect();
        json!({"manifest": manifest, "files": files})
    });
    Printed { lines: lines.collect(), json: json.collect() }
}

impl Printed {
    fn print(&self, output: &Output) -> Result<(), Failures> {
        if output.is_json() {
            return Ok(output.json(&self.json)?);
        }
        Ok(self.lines.iter().try_for_each(|line| output.line(line))?)
    }
}
