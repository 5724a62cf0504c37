//! `vmimage push`: an image file, a kernel or both as a container image in a registry.
//!
//! Builds no document. Invariants: the same files give the same image on any machine; with `--dry-run`
//! nobody is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use fs_err as fs;
use serde_json::json;

use super::failure::{Failure, Failures};
use super::image::args::{SourceFlags, limit};
use super::image::source::{Opened, unreadable};
use super::inspect::flags_for;
use super::interrupt::Interrupt;
use super::output::Output;
use super::progress::Shown;
use crate::engine::base::{Error, FileSource, Kind, Scratch, Work, digest};
use crate::engine::format::FormatName;
use crate::fetch::{Client, Guard, Proxies, Rules, Times};
use crate::oci::{DockerConfig, Reference, Registry, is_tag};
use crate::publish::container::{self, File, Image, Params};
use crate::publish::volume::Published;
use crate::report::Code;
use crate::units::ByteSize;

pub(super) const EXAMPLES: &str = "\
Examples:
  vmimage push hello.qcow2 registry.example/team/hello:v1
  vmimage push --tag v1 --tag latest --docker-config ~/.docker/config.json hello.raw registry.example/team/hello
  vmimage push --index --architecture arm64 hello.qcow2 registry.example/team/hello:v1
  vmimage push --kernel vmlinuz --initrd initrd.img registry.example/team/kernel:6.12
  vmimage push --dry-run hello.qcow2 registry.example/team/hello:v1

The image is what KubeVirt takes as a containerDisk, or with --kernel for kernelBoot. The file's
format follows from its name or from --from; only raw and qcow2 stay as they are. What the registry
has already is not uploaded again.

Prints one line per tag: name with tag, bytes of the layer and digest, separated by tabs.";

/// The variables by which KubeVirt finds defaults.
const INSTANCETYPE: &str = "INSTANCETYPE_KUBEVIRT_IO_DEFAULT_INSTANCETYPE";
const PREFERENCE: &str = "INSTANCETYPE_KUBEVIRT_IO_DEFAULT_PREFERENCE";

/// Flags of `push`.
#[derive(Debug, Args)]
#[command(override_usage = "vmimage push [OPTIONS] [IMAGE_FILE] REPOSITORY[:TAG]")]
pub(super) struct PushArgs {
    #[command(flatten)]
    source: SourceFlags,
    /// What the disk is in the image [default: as the file is; qcow2, if it is neither]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Disk>,
    /// Another tag; may be repeated
    #[arg(long, value_name = "TAG", value_parser = tag)]
    tag: Vec<String>,
    /// The machines that it is for, named as in GOARCH [default: those of this program]
    #[arg(long, value_name = "NAME", value_parser = word)]
    architecture: Option<String>,
    /// Each tag names an index of architectures: take the place of this one's image in it
    #[arg(long)]
    index: bool,
    /// What is around the layer
    #[arg(long, value_enum, value_name = "NAME", default_value_t = Around::Gzip)]
    compression: Around,
    /// The kernel, for kernelBoot
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The kernel's initrd
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// The instancetype that machines of this disk get if they name none
    #[arg(long, value_name = "NAME", value_parser = word)]
    default_instancetype: Option<String>,
    /// The preference that machines of this disk get if they name none
    #[arg(long, value_name = "NAME", value_parser = word)]
    default_preference: Option<String>,
    /// Push with the credentials in this file, such as ~/.docker/config.json; no credential helper is
    /// run
    #[arg(long, value_name = "FILE")]
    docker_config: Option<PathBuf>,
    /// Trust the authorities in this file, too (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Talk to the registry over http without encryption
    #[arg(long)]
    insecure: bool,
    /// Print what would be pushed, and ask no registry
    #[arg(long)]
    dry_run: bool,
    /// Directory for temporary files [default: TMPDIR]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Bytes that temporary files may have together
    #[arg(long, value_name = "SIZE", default_value = "64Gi", value_parser = limit)]
    scratch_limit: ByteSize,
    /// Threads to work with; any number gives the same bytes [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The image file; left out where a kernel goes alone
    #[arg(value_name = "IMAGE_FILE")]
    first: PathBuf,
    /// Where it goes: REGISTRY/REPOSITORY[:TAG]
    #[arg(value_name = "REPOSITORY[:TAG]", required_unless_present = "kernel")]
    second: Option<Reference>,
}

/// What a disk can be in a container image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Disk {
    /// Its bytes.
    Raw,
    /// QEMU's format.
    Qcow2,
}

/// What is around the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Around {
    /// gzip.
    Gzip,
    /// Nothing.
    None,
}

fn tag(text: &str) -> Result<String, String> {
    match is_tag(text) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits and ._- after the first are allowed, at most 128".to_owned()),
    }
}

fn word(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    match !text.is_empty() && text.len() <= 253 && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("lower case letters, digits, - and . are allowed".to_owned()),
    }
}

/// Runs the verb.
pub(super) fn run(args: &PushArgs, output: &Output) -> Result<(), Failures> {
    let (file, to) = args.names()?;
    let interrupt = Interrupt::listen()?;
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = Scratch::new(&scratch, args.scratch_limit.get());
    // What cannot be read is told before there is any work.
    let registry = if args.dry_run { None } else { Some(args.registry(&to)?) };
    let shown = Shown::new(output, &interrupt, &to.name());
    let work = Work { threads: args.threads.map_or(0, usize::from), progress: &shown };
    let (image, opened) = args.packed(file, &scratch, &work, &interrupt)?;
    let tags = args.tags(&to);
    let params = args.params(&tags);
    let Published { digest, size, reused } = match &registry {
        Some(registry) => {
            let pushed = container::push(&image, &params, registry, &scratch, &shown);
            pushed.map_err(stays)?
        }
        None => {
            let (digest, size) = (image.digest.clone(), image.layer.blob.len());
            Published { digest, size, reused: false }
        }
    };
    if let Some(opened) = opened {
        opened.unchanged().map_err(|e| opened.fail(&e))?;
    }
    shown.done();
    let name = to.name();
    if output.is_json() {
        let pushed = registry.is_some();
        let result = json!({
            "image": name, "tags": tags, "digest": digest, "size": size, "reused": reused,
            "architecture": params.architecture, "pushed": pushed,
        });
        return Ok(output.json(&result)?);
    }
    for tag in &tags {
        output.line(&format!("{name}:{tag}\t{size}\t{digest}"))?;
    }
    Ok(())
}

/// An interrupt takes nothing back.
fn stays(error: Error) -> Error {
    match error.kind() {
        Kind::Cancelled => {
            Error::new(Kind::Cancelled, "interrupted; what was uploaded by then stays")
        }
        _ => error,
    }
}

impl PushArgs {
    /// The image file, unless a kernel goes alone, and where it goes.
    fn names(&self) -> Result<(Option<&Path>, Reference), Failure> {
        let wrong = |message: String| Failure::new(Code::InvalidDocument, message);
        let (file, to) = match &self.second {
            Some(to) => (Some(self.first.as_path()), to.clone()),
            None => (None, self.first.to_string_lossy().parse().map_err(wrong)?),
        };
        match to.digest {
            Some(_) => Err(wrong(format!("{to}: a digest follows from the image; name a tag"))),
            None => Ok((file, to)),
        }
    }

    /// All tags, each once, in the order of the command line.
    fn tags(&self, to: &Reference) -> Vec<String> {
        let mut tags = Vec::new();
        for tag in to.tag.iter().chain(&self.tag) {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        if tags.is_empty() {
            tags.push("latest".to_owned());
        }
        tags
    }

    fn params<'a>(&'a self, tags: &'a [String]) -> Params<'a> {
        let own = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Params {
            architecture: self.architecture.as_deref().unwrap_or(own),
            compression: match self.compression {
                Around::Gzip => container::Compression::Gzip,
                Around::None => container::Compression::None,
            },
            env: &[],
            labels: &[],
            tags,
            index: self.index,
        }
    }

    /// The image, and the file that its disk came from.
    fn packed(
        &self,
        file: Option<&Path>,
        scratch: &Scratch,
        work: &Work<'_>,
        interrupt: &Interrupt,
    ) -> Result<(Image, Option<Opened>), Failures> {
        let mut files = Vec::new();
        let mut labels = Vec::new();
        let opened = match file {
            Some(path) => {
                let flags = flags_for(path, &self.source)?;
                let opened = Opened::open(path, &flags, interrupt)?;
                let digest = digest(&*opened.image, work.progress).map_err(|e| opened.fail(&e))?;
                labels.push((container::CONTENT_DIGEST.to_owned(), digest));
                files.push(self.disk(&opened, &flags, scratch, work)?);
                Some(opened)
            }
            None => None,
        };
        for (at, path) in [(container::KERNEL, &self.kernel), (container::INITRD, &self.initrd)] {
            if let Some(path) = path {
                let file = FileSource::open(path).map_err(unreadable)?;
                files.push(File::new(at, Arc::new(file)));
            }
        }
        let named =
            [(INSTANCETYPE, &self.default_instancetype), (PREFERENCE, &self.default_preference)];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let env: Vec<_> = named.map(|(name, value)| (name.to_owned(), value)).collect();
        let params = Params { env: &env, labels: &labels, ..self.params(&[]) };
        Ok((Image::make(&files, &params, scratch, work)?, opened))
    }

    /// The disk as it lies in the image. A qcow2 file that names others would lose them.
    fn disk(
        &self,
        opened: &Opened,
        flags: &SourceFlags,
        scratch: &Scratch,
        work: &Work<'_>,
    ) -> Result<File, Error> {
        let is = opened.format;
        let format = self.format.unwrap_or(match is {
            FormatName::Raw => Disk::Raw,
            _ => Disk::Qcow2,
        });
        let alone = flags.allow.allow_backing.is_none();
        Ok(match format {
            Disk::Raw => File::new(container::RAW_DISK, opened.disk()),
            Disk::Qcow2 if is == FormatName::Qcow2 && alone => {
                File::new(container::QCOW2_DISK, Arc::clone(&opened.bytes))
            }
            Disk::Qcow2 => {
                let disk = container::qcow2(&*opened.disk(), scratch, work)?;
                File::new(container::QCOW2_DISK, disk)
            }
        })
    }

    /// Whom it goes to.
    fn registry(&self, to: &Reference) -> Result<Registry, Failures> {
        let read = |path: &Path| {
            let fail =
                |e| Failure::io(Code::InvalidInput, &format!("reading {}", path.display()), e);
            fs::read(path).map_err(fail)
        };
        let ca = self.ca.as_deref().map(read).transpose()?;
        let proxies = Proxies::from_environment(|name| std::env::var(name).ok())?;
        let rules = Rules { everything: true, plain_http: true, ..Rules::default() };
        let bundles: Vec<_> = ca.into_iter().collect();
        let client = Client::new(Guard::new(rules), proxies, Times::default(), &bundles)?;
        let credentials = match &self.docker_config {
            Some(path) => {
                let config = DockerConfig::parse(&read(path)?, &path.display().to_string())?;
                config.credentials(to)?
            }
            None => None,
        };
        Ok(Registry::new(to, &client, credentials, self.insecure).pushing())
    }
}
