//! `vmimage check`: every problem of some documents.
//!
//! Writes no file. Invariant: what it accepts, `build` builds, short of a full disk.

use std::path::Path;

use serde_json::json;

use super::args::CheckArgs;
use super::document::{File, Prepared};
use super::failure::{Failure, Failures};
use super::output::Output;
use crate::manifest::Override;
use crate::units::ByteSize;

/// Runs the verb.
pub(super) fn run(args: &CheckArgs, output: &Output) -> Result<(), Failures> {
    let CheckArgs { files, file, set } = args;
    let mut accepted = Vec::new();
    let mut failures = Vec::new();
    for path in file.iter().chain(files) {
        match check_file(path, set) {
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
        return Failures::collect(failures).map_or(Ok(()), Err);
    }
    match Failures::collect(failures) {
        Some(failures) => Err(failures),
        None => Ok(output.json(&accepted.iter().map(to_json).collect::<Vec<_>>())?),
    }
}

type Checked = (String, Vec<Prepared>, Vec<Failure>);

fn check_file(path: &Path, overrides: &[Override]) -> Result<Checked, Failures> {
    let file = File::read(path)?;
    let mut accepted = Vec::new();
    let mut failures = Vec::new();
    for document in file.documents(overrides)? {
        match file.prepare(document) {
            Ok(prepared) => accepted.push(prepared),
            Err(found) => failures.extend(found),
        }
    }
    Ok((file.name, accepted, failures))
}

fn describe(file: &str, prepared: &Prepared) -> String {
    let name = &prepared.image.metadata.name;
    let size = ByteSize::bytes(prepared.medium.len());
    format!("{file}: {name} is valid, a disk of {size} bytes")
}

fn to_json((file, prepared): &(String, Prepared)) -> serde_json::Value {
    json!({
        "file": file,
        "name": prepared.image.metadata.name,
        "virtualSize": prepared.medium.len(),
        "contentHash": prepared.content_hash,
    })
}
