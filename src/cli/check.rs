//! `vmimage check`: every problem of some documents; of image files, if a format is named.
//!
//! Writes no file. Invariant: what it accepts, `build` builds, short of a full disk.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::CheckArgs;
use super::desk::Desk;
use super::document::{File, Prepared};
use super::failure::{Failure, Failures};
use super::image;
use super::output::Output;
use super::scripts::Scripts;
use crate::manifest::Override;
use crate::units::ByteSize;

/// Runs the verb.
pub(super) fn run(args: &CheckArgs, output: &Output) -> Result<u8, Failures> {
    let CheckArgs { files, file, set, source, sources } = args;
    let desk = Desk::new(sources.settings(), 0, Scripts::LeftOut)?;
    if source.from.is_some() || source.detect {
        let paths: Vec<PathBuf> = file.iter().chain(files).cloned().collect();
        return image::check::run(&paths, source, output);
    }
    let mut accepted = Vec::new();
    let mut failures = Vec::new();
    for path in file.iter().chain(files) {
        match check_file(path, set, &desk) {
            Ok((name, prepared, found)) => {
                accepted.extend(prepared.into_iter().map(|one| (name.clone(), one)));
                failures.extend(found);
            }
            Err(found) => failures.extend(found.iter().cloned()),
        }
    }
    if !output.is_json() {
        for (file, prepared) in &accepted {
            output.line(&describe(file, prepared))?;
        }
        return Failures::collect(failures).map_or(Ok(0), Err);
    }
    match Failures::collect(failures) {
        Some(failures) => Err(failures),
        None => {
            output.json(&accepted.iter().map(to_json).collect::<Vec<_>>())?;
            Ok(0)
        }
    }
}

type Checked = (String, Vec<Prepared>, Vec<Failure>);

fn check_file(path: &Path, overrides: &[Override], desk: &Desk) -> Result<Checked, Failures> {
    let mut file = File::read(path)?;
    let mut accepted = Vec::new();
    let mut failures = Vec::new();
    for document in file.documents(overrides)? {
        match file.prepare(document, desk) {
            Ok(prepared) => accepted.push(prepared),
            Err(found) => failures.extend(found),
        }
    }
    Ok((file.name, accepted, failures))
}

fn describe(file: &str, prepared: &Prepared) -> String {
    let name = &prepared.image.metadata.name;
    let bytes = prepared.media.main().len();
    let short = match ByteSize::bytes(bytes).to_string() {
        short if short == bytes.to_string() => String::new(),
        short => format!(" ({short})"),
    };
    format!("{file}: {name} is valid, a disk of {bytes} bytes{short}")
}

fn to_json((file, prepared): &(String, Prepared)) -> serde_json::Value {
    json!({
        "file": file,
        "name": prepared.image.metadata.name,
        "virtualSize": prepared.media.main().len(),
        "contentHash": prepared.content_hash,
    })
}
