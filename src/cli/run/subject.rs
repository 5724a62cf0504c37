//! What is booted: an image file that was looked at, or what a document becomes.
//!
//! Starts nothing. Invariant: QEMU is given a regular file by its path and its format by name, after our
//! own reader has read its headers and found no other file named that the user did not allow.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{BuildFlags, RunArgs};
use crate::cli::build::{accepted, scripts_of};
use crate::cli::desk::Desk;
use crate::cli::document::Prepared;
use crate::cli::failure::{Failure, Failures};
use crate::cli::image::args::SourceFlags;
use crate::cli::image::source::Opened;
use crate::cli::inspect::flags_for;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::progress::Shown;
use crate::engine::base::{AtomicFile, Padded, PositionalSink, SectorSource, Work};
use crate::engine::files::{self, Planned, Sinks};
use crate::engine::format::package::{Form, Recipe};
use crate::engine::format::{self, FormatName, Label, Params};
use crate::manifest::types::{self, Medium};
use crate::report::Code;
use crate::run::{Architecture, Direct, Temporary, Ways, ways};

/// What is booted.
#[derive(Debug)]
pub(super) struct Subject {
    /// The file.
    pub(super) path: PathBuf,
    /// Its format.
    pub(super) format: FormatName,
    /// Whether it is a CD.
    pub(super) cd: bool,
    /// Bytes of a sector.
    pub(super) sector_size: u64,
    /// Bytes of the disk.
    pub(super) len: u64,
    /// How the disk in it can be started.
    pub(super) ways: Ways,
    /// What the document says; none for an image.
    pub(super) document: Option<Said>,
    /// The kernel that the document has beside its disk.
    pub(super) direct: Option<Direct>,
    /// Whether the file is a copy that goes away.
    pub(super) copy: bool,
    /// The files that go away.
    _files: Vec<AtomicFile>,
}

/// What a document says about its machine.
#[derive(Debug)]
pub(super) struct Said {
    /// The architecture.
    pub(super) architecture: Architecture,
    /// The machine; none: nothing is said.
    pub(super) machine: Option<types::Machine>,
    /// Whether the disk begins with a boot sector of the document.
    pub(super) sector: bool,
}

/// QEMU's name of a format.
pub(super) const fn driver(format: FormatName) -> &'static str {
    match format {
        FormatName::Raw => "raw",
        FormatName::Qcow2 => "qcow2",
        FormatName::Vmdk => "vmdk",
        FormatName::Vhd => "vpc",
        FormatName::Vhdx => "vhdx",
        FormatName::Vdi => "vdi",
    }
}

/// Around what a subject is made.
pub(super) struct Around<'a> {
    /// The directory for copies.
    pub(super) directory: &'a Temporary,
    /// Whether nothing is run, so that no copy is needed.
    pub(super) only_print: bool,
    /// Where talk goes.
    pub(super) output: &'a Output,
    /// Ctrl-C.
    pub(super) interrupt: &'a Interrupt,
}

impl Subject {
    /// What `file` stands for.
    pub(super) fn of(file: &Path, args: &RunArgs, around: &Around<'_>) -> Result<Self, Failures> {
        let named = args.source.from.is_some() || args.source.detect;
        let suffix = file.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
        let is_text = matches!(suffix, "yaml" | "yml" | "json") || file.as_os_str() == "-";
        match is_text && !named {
            true => around.document(file, &args.build),
            false => around.image(file, &args.source),
        }
    }
}

impl Subject {
    /// What the files of a document are where `place` puts them.
    pub(super) fn built(
        prepared: &Prepared,
        chosen: Option<&Planned>,
        place: &dyn Fn(&str) -> PathBuf,
    ) -> Result<Self, Failure> {
        let (disk, cd) = medium(prepared, chosen);
        let name = chosen.map_or("disk.raw", |planned| planned.file.as_str());
        Ok(Self {
            path: place(name),
            format: chosen.and_then(format).unwrap_or(FormatName::Raw),
            cd,
            sector_size: sector_size(prepared),
            len: disk.len(),
            ways: ways(disk, cd),
            document: Some(said(prepared)),
            direct: direct(prepared, place)?,
            copy: true,
            _files: Vec::new(),
        })
    }
}

/// The medium in a file, or the main one; whether it is a CD.
fn medium<'a>(
    prepared: &'a Prepared,
    chosen: Option<&Planned>,
) -> (&'a Arc<dyn SectorSource>, bool) {
    let medium = match chosen.map(|planned| planned.of) {
        Some(files::Holds::Medium(medium)) => medium,
        Some(files::Holds::Beside(_)) | None => Medium::Disk,
    };
    let disk = prepared.media.of(medium).unwrap_or_else(|| prepared.media.main());
    (disk, medium == Medium::Iso || prepared.media.disk.is_none())
}

fn is_beside(planned: &Planned) -> bool {
    matches!(planned.of, files::Holds::Beside(_))
}

/// The kernel beside the media; none where a loader or a sector starts the machine.
fn direct(prepared: &Prepared, place: &dyn Fn(&str) -> PathBuf) -> Result<Option<Direct>, Failure> {
    let name = &prepared.image.metadata.name;
    let beside = &prepared.media.beside;
    let has = |wanted: &str| beside.iter().find(|file| file.suffix == wanted);
    let path = |suffix: &str| place(&format!("{name}.{suffix}"));
    let Some(kernel) = has("vmlinuz") else { return Ok(None) };
    let mut line = Vec::new();
    if let Some(file) = has("cmdline") {
        line.resize(usize::try_from(file.source.len()).unwrap_or_default(), 0);
        file.source.read_at(0, &mut line).map_err(|e| Failure::from(&e))?;
    }
    Ok(Some(Direct {
        kernel: path(kernel.suffix),
        initrd: has("initrd").map(|file| path(file.suffix)),
        command_line: String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned(),
    }))
}

impl Around<'_> {
    fn image(&self, file: &Path, flags: &SourceFlags) -> Result<Subject, Failures> {
        let flags = flags_for(file, flags)?;
        let opened = Opened::open(file, &flags, self.interrupt)?;
        let disk = opened.disk();
        let iso = file.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("iso"));
        let direct = opened.is_file() && file.is_file();
        let found = ways(&disk, iso);
        let mut subject = Subject {
            path: file.to_owned(),
            format: opened.image.format(),
            cd: iso,
            sector_size: found.sector_size.max(512),
            len: disk.len(),
            ways: found,
            document: None,
            direct: None,
            copy: !direct,
            _files: Vec::new(),
        };
        if !direct {
            subject.format = FormatName::Raw;
            subject.path = PathBuf::from("disk.raw");
            if !self.only_print {
                subject.path = self.directory.file("disk.raw");
                subject._files.push(self.raw(&disk, &subject.path)?);
            }
        }
        opened.unchanged().map_err(|e| opened.fail(&e))?;
        Ok(subject)
    }

    fn document(&self, file: &Path, flags: &BuildFlags) -> Result<Subject, Failures> {
        let images = &flags.script_image;
        let scripts = scripts_of(flags.allow_scripts, images, self.interrupt, self.output);
        let desk = Desk::new(flags.sources.settings(), 0, scripts)?;
        let prepared = accepted(file, &flags.set, flags.name.as_deref(), &desk)?;
        let [prepared] = &prepared[..] else {
            let names: Vec<_> =
                prepared.iter().map(|one| one.image.metadata.name.as_str()).collect();
            let message = format!("name one of the documents with --name: {}", names.join(", "));
            return Err(Failure::new(Code::InvalidDocument, message).into());
        };
        let chosen = chosen(prepared, flags.format.as_deref())?;
        // Without a run the names that `build` gives.
        let place = |name: &str| match self.only_print {
            true => PathBuf::from(name),
            false => self.directory.file(name),
        };
        let mut subject = Subject::built(prepared, chosen, &place)?;
        if !self.only_print {
            subject._files = match chosen {
                Some(planned) => self.planned(planned, prepared)?,
                None => vec![self.raw(medium(prepared, chosen).0, &subject.path)?],
            };
            for planned in prepared.files.iter().filter(|planned| is_beside(planned)) {
                subject._files.extend(self.planned(planned, prepared)?);
            }
        }
        Ok(subject)
    }

    /// The disk as a file that goes away.
    fn raw(&self, disk: &Arc<dyn SectorSource>, path: &Path) -> Result<AtomicFile, Failures> {
        let file = AtomicFile::create_as(path, path)?;
        let shown = Shown::new(self.output, self.interrupt, "disk.raw");
        let work = Work { threads: 0, progress: &shown };
        let label = Label { name: "disk.raw", id: uuid::Uuid::nil() };
        let size = disk.len().next_multiple_of(512);
        let disk = Padded::new(Arc::clone(disk), size)?;
        let output = format::Output { label, sink: &file, companion: None };
        format::write(&disk, &output, &Params::Raw, &work)?;
        shown.done();
        Ok(file)
    }

    /// A file of the document that goes away.
    fn planned(&self, planned: &Planned, made: &Prepared) -> Result<Vec<AtomicFile>, Failures> {
        let create = |name: &String| {
            let path = self.directory.file(name);
            AtomicFile::create_as(&path, &path)
        };
        let main = create(&planned.file)?;
        let companion = planned.companion.as_ref().map(create).transpose()?;
        let shown = Shown::new(self.output, self.interrupt, &planned.file);
        let work = Work { threads: 0, progress: &shown };
        let second = companion.as_ref().map(|file| file as &dyn PositionalSink);
        let sinks = Sinks { main: &main, companion: second, scratch: self.directory.path() };
        files::write(planned, &made.media, &sinks, &work)?;
        shown.done();
        Ok(std::iter::once(main).chain(companion).collect())
    }
}

/// The format of a file, if QEMU reads it as it is.
fn format(planned: &Planned) -> Option<FormatName> {
    match &planned.recipe {
        Recipe { form: Form::Image(params), wrap: None } => Some(params.format()),
        _ => None,
    }
}

/// The file that is asked for, or the first one that QEMU reads; none: the raw disk.
pub(super) fn chosen<'a>(
    prepared: &'a Prepared,
    name: Option<&str>,
) -> Result<Option<&'a Planned>, Failure> {
    let Some(name) = name else {
        let media = prepared.files.iter().filter(|planned| !is_beside(planned));
        return Ok(media.clone().find(|planned| format(planned).is_some()));
    };
    let formats = &prepared.image.spec.formats;
    let found = formats.iter().zip(&prepared.files).find(|(format, _)| format.name() == name);
    let wrong = |message: String| Failure::new(Code::InvalidDocument, message);
    match found {
        None => {
            let names: Vec<_> = formats.iter().map(types::Format::name).collect();
            Err(wrong(format!("--format {name}: there are: {}", names.join(", "))))
        }
        Some((_, planned)) if format(planned).is_none() => Err(wrong(format!(
            "--format {name}: QEMU boots no archive; leave the flag out to boot the disk in it"
        ))),
        Some((_, planned)) => Ok(Some(planned)),
    }
}

fn sector_size(prepared: &Prepared) -> u64 {
    prepared.image.spec.disk.as_ref().map_or(512, |disk| disk.sector_size.0.into())
}

fn said(prepared: &Prepared) -> Said {
    let spec = &prepared.image.spec;
    Said {
        architecture: match spec.architecture {
            types::Architecture::Amd64 => Architecture::Amd64,
            types::Architecture::I386 => Architecture::I386,
            types::Architecture::Arm64 => Architecture::Arm64,
        },
        // A machine that says nothing is left out of documents.
        machine: (spec.machine != types::Machine::default()).then(|| spec.machine.clone()),
        sector: spec.boot.as_ref().is_some_and(|boot| boot.sector.is_some()),
    }
}
