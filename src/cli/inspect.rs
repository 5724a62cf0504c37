//! `vmimage inspect`: what an image file holds.
//!
//! Invariant: the content of a file decides its format only with `--detect`; a guest can write
//! whatever it likes to the beginning of a raw disk.

use std::path::Path;

use super::args::InspectArgs;
use super::failure::{Failure, Failures};
use super::image::source::Opened;
use super::interrupt::Interrupt;
use super::output::Output;
use crate::engine::format::FormatName;
use crate::inspect::{inspect_image, map};
use crate::report::Code;

/// Runs the verb.
pub(super) fn run(args: &InspectArgs, output: &Output) -> Result<(), Failures> {
    let InspectArgs { source, map: only_map, file } = args;
    let mut flags = source.clone();
    if flags.from.is_none() && !flags.detect {
        flags.from = Some(by_name(file).ok_or_else(|| unnamed(file))?);
    }
    let opened = Opened::open(file, &flags, &Interrupt::listen()?)?;
    if *only_map {
        let ranges = map(&*opened.image);
        if output.is_json() {
            return Ok(output.json(&ranges)?);
        }
        let lines = ranges.iter().map(|range| format!("{range}\n"));
        return Ok(output.bytes(lines.collect::<String>().as_bytes())?);
    }
    let (width, unicode) = output.drawing();
    let report =
        inspect_image(&*opened.file, &*opened.image, width).map_err(|e| opened.fail(&e))?;
    if output.is_json() {
        return Ok(output.json(&report)?);
    }
    Ok(output.line(report.text(unicode).trim_end())?)
}

/// The format that the file's name stands for.
pub(super) fn by_name(file: &Path) -> Option<FormatName> {
    let extension = file.extension()?.to_str()?.to_lowercase();
    match extension.as_str() {
        "img" => Some(FormatName::Raw),
        name => FormatName::of(name),
    }
}

fn unnamed(file: &Path) -> Failure {
    let known: Vec<_> = FormatName::ALL.iter().map(|format| format.as_str()).collect();
    let message = format!(
        "the format of {} does not follow from its name; name it with --from {}, or let --detect \
         guess from its first bytes",
        file.display(),
        known.join("|")
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
            ("a.VHDX", Some(FormatName::Vhdx)),
            ("a.qed", None),
            ("qcow2", None),
            (".qcow2", None),
        ] {
            assert_eq!(by_name(Path::new(name)), format, "{name}");
        }
    }
}
