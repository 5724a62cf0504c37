//! `vmimage inspect`: what an image file holds.
//!
//! Invariant: the content of a file decides its format only with `--detect`; a guest can write
//! whatever it likes to the beginning of a raw disk.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::InspectArgs;
use super::failure::{Failure, Failures};
use super::image::args::{Container, SourceFlags};
use super::image::source::{Bytes, Opened};
use super::interrupt::Interrupt;
use super::output::Output;
use crate::engine::codec::wrap::Wrap;
use crate::engine::format::FormatName;
use crate::engine::format::package::Package;
use crate::inspect::{inspect_image, map};
use crate::report::Code;

/// Runs the verb.
pub(super) fn run(args: &InspectArgs, output: &Output) -> Result<(), Failures> {
    let InspectArgs { source, map: only_map, file } = args;
    let flags = flags_for(file, source)?;
    let interrupt = Interrupt::listen()?;
    let bytes = Bytes::open(file, &flags, &interrupt)?;
    if let (Some(kind), None) = (bytes.package(&flags)?, &flags.disk) {
        return listing(&bytes.unpacked(kind, &flags, &interrupt)?, output);
    }
    let opened = Opened::of(bytes, &flags, &interrupt)?;
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
        inspect_image(&*opened.bytes, &opened.image, width).map_err(|e| opened.fail(&e))?;
    if output.is_json() {
        return Ok(output.json(&report)?);
    }
    Ok(output.line(report.text(unicode).trim_end())?)
}

/// `flags` with what the file's name says, if they do not say it.
pub(super) fn flags_for(file: &Path, flags: &SourceFlags) -> Result<SourceFlags, Failure> {
    let mut flags = flags.clone();
    if flags.from.is_none() && !flags.detect {
        let (wrap, inner) = wrap_by_name(file);
        flags.from = Some(by_name(&inner).ok_or_else(|| unnamed(file))?);
        flags.unwrap = flags.unwrap.or(wrap);
    }
    Ok(flags)
}

/// What an OVA or a box holds.
fn listing(package: &Package, output: &Output) -> Result<(), Failures> {
    let entries = package.entries().iter();
    let disks = package.disks().iter();
    if output.is_json() {
        let entries: Vec<_> =
            entries.map(|entry| json!({"name": entry.name, "size": entry.size})).collect();
        let disks: Vec<_> = disks
            .map(
                |disk| json!({"file": disk.file, "format": disk.format, "capacity": disk.capacity}),
            )
            .collect();
        let details = package.details();
        return Ok(output.json(&json!({"details": details, "entries": entries, "disks": disks}))?);
    }
    let shown = |name: &str| name.escape_debug().to_string();
    for entry in entries {
        output.line(&format!("file\t{}\t{}", shown(&entry.name), entry.size))?;
    }
    for disk in disks {
        let capacity = disk.capacity.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
        let format = disk.format.map_or("?", FormatName::as_str);
        output.line(&format!("disk\t{}\t{format}\t{capacity}", shown(&disk.file)))?;
    }
    Ok(())
}

/// What the file's name says that is around it, and the name inside.
pub(super) fn wrap_by_name(file: &Path) -> (Option<Wrap>, PathBuf) {
    let suffix = file.extension().and_then(|suffix| suffix.to_str()).map(str::to_lowercase);
    let wrap = Wrap::ALL.into_iter().find(|wrap| suffix.as_deref() == Some(wrap.suffix()));
    match wrap {
        Some(_) => (wrap, file.with_extension("")),
        None => (None, file.to_owned()),
    }
}

/// The format that the file's name stands for.
pub(super) fn by_name(file: &Path) -> Option<Container> {
    let extension = file.extension()?.to_str()?.to_lowercase();
    match extension.as_str() {
        // An ISO image and a squashfs are the bytes of their disk.
        "img" | "iso" | "squashfs" | "erofs" => Some(Container::Image(FormatName::Raw)),
        name => Container::of(name),
    }
}

fn unnamed(file: &Path) -> Failure {
    let known = Container::names();
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
            ("a.raw", Some("raw")),
            ("dir.qcow2/a.IMG", Some("raw")),
            ("a.b.qcow2", Some("qcow2")),
            ("a.VHDX", Some("vhdx")),
            ("a.ova", Some("ova")),
            ("a.qed", None),
            ("qcow2", None),
            (".qcow2", None),
        ] {
            assert_eq!(by_name(Path::new(name)), format.and_then(Container::of), "{name}");
        }
        for (name, wrap, inner) in [
            ("d/a.raw.gz", Some(Wrap::Gzip), "d/a.raw"),
            ("a.qcow2.ZST", Some(Wrap::Zstd), "a.qcow2"),
            ("a.raw", None, "a.raw"),
            (".gz", None, ".gz"),
        ] {
            assert_eq!(wrap_by_name(Path::new(name)), (wrap, PathBuf::from(inner)), "{name}");
        }
    }
}
