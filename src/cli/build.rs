//! `vmimage build`: the image files of documents, written together or not at all.
//!
//! Invariant: nothing is written before every document is accepted, and nothing gets its final
//! name before every file is complete.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};

use super::args::BuildArgs;
use super::desk::Desk;
use super::document::{File, Prepared};
use super::failure::{Failure, Failures};
use super::interrupt::Interrupt;
use super::output::Output;
use super::progress::Shown;
use super::scripts::{Allowed, Scripts};
use crate::builder::files::{self as written, Place, Ready, Steps, Written};
use crate::engine::base::{Error, Progress};
use crate::manifest::Override;
use crate::publish::files::{self, Pending};
use crate::report::Code;

/// Everything one build shares.
struct Run<'a> {
    directory: &'a Path,
    threads: usize,
    output: &'a Output,
    interrupt: Interrupt,
}

/// Runs the verb.
pub(super) fn run(args: &BuildArgs, output: &Output) -> Result<(), Failures> {
    let BuildArgs { file, output: directory, set, name, threads, sources, .. } = args;
    let threads = threads.map_or(0, usize::from);
    let scripts = scripts(args, output)?;
    let desk = Desk::new(sources.settings(), threads, scripts.clone())?;
    let prepared = accepted(file, set, name.as_deref(), &desk)?;
    refuse_collisions(&prepared)?;
    let interrupt = match scripts {
        Scripts::Allowed(allowed) => allowed.interrupt,
        _ => Interrupt::listen()?,
    };
    let run = Run { directory, threads, output, interrupt };
    let attempt = format!("making the directory {}", directory.display());
    fs::create_dir_all(directory).map_err(|e| Failure::io(Code::Io, &attempt, e))?;
    let built = prepared.iter().map(|p| run.build(p)).collect::<Result<Vec<_>, _>>()?;
    run.interrupt.check()?;
    let result = result(&built);
    files::commit(built.into_iter().flat_map(|built| built.files).collect())?;
    result.print(output)
}

/// What becomes of scripts. Where they run, signals are listened to before they do.
fn scripts(args: &BuildArgs, output: &Output) -> Result<Scripts, Failure> {
    if !args.allow_scripts {
        return Ok(Scripts::Refused);
    }
    Ok(scripts_of(true, &args.script_image, &Interrupt::listen()?, output))
}

/// What becomes of scripts where signals are listened to already.
pub(super) fn scripts_of(
    allowed: bool,
    images: &[PathBuf],
    interrupt: &Interrupt,
    output: &Output,
) -> Scripts {
    match allowed {
        false => Scripts::Refused,
        true => Scripts::Allowed(Allowed {
            images: images.to_vec(),
            interrupt: interrupt.clone(),
            output: output.clone(),
        }),
    }
}

/// The documents of the file, or the one that is asked for, all accepted.
pub(super) fn accepted(
    file: &Path,
    set: &[Override],
    name: Option<&str>,
    desk: &Desk,
) -> Result<Vec<Prepared>, Failures> {
    let mut file = File::read(file)?;
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
        match file.prepare(document, desk) {
            Ok(one) => prepared.push(one),
            Err(found) => failures.extend(found),
        }
    }
    Failures::collect(failures).map_or(Ok(prepared), Err)
}

/// What `builder::files` needs of a prepared document.
fn ready(prepared: &Prepared) -> Ready<'_> {
    let Prepared { image, inputs, content_hash, media, files, .. } = prepared;
    Ready { image, inputs, content_hash, media, files }
}

fn refuse_collisions(prepared: &[Prepared]) -> Result<(), Failures> {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for one in prepared {
        let image = one.image.metadata.name.as_str();
        for name in written::names(&one.image, &one.files) {
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
    fn build(&self, prepared: &Prepared) -> Result<Written, Failures> {
        let place = Place { directory: self.directory, threads: self.threads, steps: self };
        let written = written::write(&ready(prepared), &place)?;
        for output in &written.manifest.outputs {
            for note in &output.notes {
                self.output.say(&format!("{}: {}", output.file, brief(note)));
            }
        }
        if let Some(command) = super::run::direct(prepared, self.directory, self.output)? {
            let name = &prepared.image.metadata.name;
            self.output.say(&format!("{name} is started by: {command}"));
        }
        Ok(written)
    }
}

impl Steps for Run<'_> {
    fn step(
        &self,
        file: &str,
        run: &mut dyn FnMut(&dyn Progress) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let progress = Shown::new(self.output, &self.interrupt, file);
        run(&progress)?;
        progress.done();
        Ok(())
    }
}

/// The beginning of a note: the build manifest has all of it.
fn brief(note: &str) -> Cow<'_, str> {
    const MOST: usize = 600;
    match note.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… (all of it is in the build manifest)", &note[..end]).into(),
        None => note.into(),
    }
}

/// What is printed in the end.
struct Printed {
    lines: Vec<String>,
    json: Value,
}

fn result(built: &[Written]) -> Printed {
    let all = || built.iter().flat_map(|built| &built.files);
    let lines = all().map(|file| format!("{}\t{}\t{}", file.display(), file.size, file.digest));
    let json = built.iter().map(|Written { manifest, files }| {
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
