//! `vmimage inspect`: what an image file holds.
//!
//! Invariant: the content of a file decides its format only with `--detect`; a guest can write
//! whatever it likes to the beginning of a raw disk.

use std::path::Path;
use std::sync::Arc;

use super::args::{ImageFormat, InspectArgs};
use super::failure::{Failure, Failures};
use super::output::Output;
use crate::engine::base::{Error, FileSource, SectorSource};
use crate::engine::format::{self, FormatName};
use crate::inspect::inspect;
use crate::report::Code;

/// Runs the verb.
pub(super) fn run(args: &InspectArgs, output: &Output) -> Result<(), Failures> {
    let InspectArgs { file, format, detect } = args;
    let name = file.display().to_string();
    let fail = |error: &Error| Failure::from(error).in_file(&name, "", None);
    let source: Arc<dyn SectorSource> = Arc::new(FileSource::open(file).map_err(|error| {
        // A file that cannot be opened is a fault of the input, not of the machine.
        Failure { code: Code::InvalidInput, ..Failure::from(&error) }
    })?);
    let format = match format {
        Some(ImageFormat::Raw) => FormatName::Raw,
        Some(ImageFormat::Qcow2) => FormatName::Qcow2,
        None if *detect => format::detect(&*source).map_err(|e| fail(&e))?,
        None => by_name(file).ok_or_else(|| unnamed(&name))?,
    };
    let report = inspect(source, format).map_err(|e| fail(&e))?;
    if output.is_json() {
        return Ok(output.json(&report)?);
    }
    Ok(output.line(report.text().trim_end())?)
}

/// The format that the file's name stands for.
fn by_name(file: &Path) -> Option<FormatName> {
    let extension = file.extension()?.to_str()?.to_lowercase();
    match extension.as_str() {
        "img" => Some(FormatName::Raw),
        name => FormatName::of(name),
    }
}

fn unnamed(name: &str) -> Failure {
    let known: Vec<_> = FormatName::ALL.iter().map(|format| format.as_str()).collect();
    let message = format!(
        "the format of {name} does not follow from its name; name it with --format {}, \
         or let --detect guess from its first bytes",
        known.join(" or --format ")
    );
    Failure::new(Code::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_formats() {
        for (name, format) in [
            ("a.raw", Some(FormatName::Raw)),
            ("dir.qcow2/a.IMG", Some(FormatName::Raw)),
            ("a.b.qcow2", Some(FormatName::Qcow2)),
            ("a.qed", None),
            ("qcow2", None),
            (".qcow2", None),
        ] {
            assert_eq!(by_name(Path::new(name)), format, "{name}");
        }
    }
}
