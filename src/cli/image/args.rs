//! Flags and help of the verbs on image files.
//!
//! Decides nothing beyond what clap checks. Invariant: every flag has a help text.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use uuid::Uuid;

use crate::engine::codec::wrap::Wrap;
use crate::engine::format::FormatName;
use crate::engine::format::package::PackageKind;
use crate::units::{ByteSize, parse_size};

/// The help below the flags of `convert`: examples, and the options of every format.
pub(in crate::cli) fn convert_help() -> String {
    let mut help = format!("{CONVERT_EXAMPLES}\n\nOptions of the formats (--option NAME=VALUE):\n");
    for format in FormatName::ALL {
        for option in format.options() {
            let (name, allowed, default) = (option.name, option.allowed(), option.default);
            let line = format!("  {format} {name}: {allowed} [default: {default}]\n");
            help.push_str(&line);
            help.push_str(&format!("      {}\n", option.help));
        }
    }
    help.trim_end().to_owned()
}

const CONVERT_EXAMPLES: &str = "\
Examples:
  vmimage convert --from raw disk.raw disk.qcow2
  vmimage convert --from raw --compression zstd disk.raw disk.qcow2
  vmimage convert --from qcow2 --subformat streamOptimized disk.qcow2 disk.vmdk
  vmimage convert --from qcow2 --format raw disk.qcow2 - | ssh host 'dd of=/dev/vdb'
  vmimage convert --from qcow2 --format raw --device disk.qcow2 /dev/sdx

OUT's format follows from its name or from --format. IN's format is named with --from: a guest can
write what it likes into its disk, so its first bytes decide only with --detect. A regular file gets
its name when it is complete; an error or Ctrl-C leaves what was there.";

pub(in crate::cli) const COMPARE_EXAMPLES: &str = "\
Examples:
  vmimage compare --from-a raw --from-b qcow2 disk.raw disk.qcow2
  vmimage compare --detect --strict a.img b.img

Compares the disks, not the files. A disk that is longer only by zeros is equal, unless --strict.
Exit status: 0 equal, 3 different.";

pub(in crate::cli) const MEASURE_EXAMPLES: &str = "\
Examples:
  vmimage measure --from raw --format qcow2 disk.raw
  vmimage measure --from qcow2 --format vmdk --subformat streamOptimized --exact disk.qcow2
  vmimage measure --size 10Gi --format vhdx

Writes nothing. Exact for what is not compressed; an upper bound for the rest, unless --exact.";

pub(in crate::cli) const RESIZE_EXAMPLES: &str = "\
Examples:
  vmimage resize --from qcow2 disk.qcow2 20Gi
  vmimage resize --from raw --move-gpt disk.raw +5Gi
  vmimage resize --from raw --shrink disk.raw 1Gi

A raw file grows where it is; every other file is written again and replaced when it is complete.
The guest's partitions and filesystems stay as they are: --move-gpt moves the backup of a GPT to the
new end, growing them is up to the guest.";

pub(in crate::cli) const DIGEST_EXAMPLES: &str = "\
Examples:
  vmimage digest --from qcow2 disk.qcow2
  vmimage digest --detect *.vmdk --json

The SHA-256 of the disk's bytes, the same for every format that holds it.";

/// A parser for the names of formats, which completions know.
fn format_parser() -> impl TypedValueParser<Value = FormatName> {
    PossibleValuesParser::new(FormatName::ALL.map(FormatName::as_str))
        .try_map(|name| FormatName::of(&name).ok_or("no format"))
}

/// What a file is that an image is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Container {
    /// An image.
    Image(FormatName),
    /// A package with a disk in it.
    Package(PackageKind),
}

impl Container {
    /// The names of all, as options spell them.
    pub(in crate::cli) fn names() -> Vec<&'static str> {
        FormatName::ALL.map(FormatName::as_str).into_iter().chain(["ova", "box"]).collect()
    }

    /// The one of this name.
    pub(in crate::cli) fn of(name: &str) -> Option<Self> {
        match name {
            "ova" => Some(Self::Package(PackageKind::Ova)),
            "box" => Some(Self::Package(PackageKind::Box)),
            name => FormatName::of(name).map(Self::Image),
        }
    }
}

/// A parser for the names of formats and packages.
pub(in crate::cli) fn container_parser() -> impl TypedValueParser<Value = Container> {
    PossibleValuesParser::new(Container::names())
        .try_map(|name| Container::of(&name).ok_or("no format"))
}

/// A parser for what is around a file.
fn wrap_parser(written: bool) -> impl TypedValueParser<Value = Wrap> {
    let all = Wrap::ALL.into_iter().filter(move |wrap| !written || wrap.writes());
    PossibleValuesParser::new(all.map(Wrap::as_str))
        .try_map(|name| Wrap::of(&name).ok_or("no wrap"))
}

/// How an image is opened.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct SourceFlags {
    /// The image's format, whatever its name
    #[arg(long, value_name = "FORMAT", value_parser = container_parser(), conflicts_with = "detect")]
    pub(in crate::cli) from: Option<Container>,
    /// Guess the format from the image's first bytes: only for images that you trust
    #[arg(long)]
    pub(in crate::cli) detect: bool,
    /// What is around the image
    #[arg(long, value_name = "WRAP", value_parser = wrap_parser(false))]
    pub(in crate::cli) unwrap: Option<Wrap>,
    /// The disk of an OVA or a box by its file's name; needed if there are several
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) disk: Option<String>,
    /// Unpack, or copy from a pipe, at most so much
    #[arg(long, value_name = "SIZE", value_parser = limit, default_value = "1Ti")]
    pub(in crate::cli) limit: ByteSize,
    #[command(flatten)]
    pub(in crate::cli) allow: AllowFlags,
}

/// A size on the command line.
pub(in crate::cli) fn limit(text: &str) -> Result<ByteSize, String> {
    parse_size(text).map_err(|e| e.to_string())
}

/// Which other files an image may name.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct AllowFlags {
    /// Open backing files and data files that the image names, below this directory only
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) allow_backing: Option<PathBuf>,
    /// Open extents that a VMDK descriptor names, below this directory only
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) allow_extents: Option<PathBuf>,
}

/// What is written.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct FormatFlags {
    /// The output's format
    #[arg(long, value_name = "FORMAT", value_parser = format_parser())]
    pub(in crate::cli) format: Option<FormatName>,
    /// The same as --option subformat=NAME
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) subformat: Option<String>,
    /// The same as --option compression=NAME
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) compression: Option<String>,
    /// An option of the output's format; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(in crate::cli) option: Vec<(String, String)>,
    /// Threads to work with; any number gives the same bytes [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(in crate::cli) threads: Option<u16>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is not NAME=VALUE".to_owned()),
    }
}

/// Flags of `convert`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ConvertArgs {
    #[command(flatten)]
    pub(in crate::cli) source: SourceFlags,
    #[command(flatten)]
    pub(in crate::cli) format: FormatFlags,
    /// Compress the whole file, too; follows from a name that ends .gz, .xz or .zst
    #[arg(long, value_name = "WRAP", value_parser = wrap_parser(true))]
    pub(in crate::cli) wrap: Option<Wrap>,
    /// What ids in the output are derived from [default: OUT's name and the disk's size]
    #[arg(long, value_name = "UUID")]
    pub(in crate::cli) id: Option<Uuid>,
    /// OUT is a block device: overwrite it with the raw disk
    #[arg(long)]
    pub(in crate::cli) device: bool,
    /// The image; - reads standard input
    #[arg(value_name = "IN")]
    pub(in crate::cli) input: PathBuf,
    /// The new image; - writes standard output
    #[arg(value_name = "OUT")]
    pub(in crate::cli) output: PathBuf,
}

/// How two images are read.
#[derive(Debug, Args)]
pub(in crate::cli) struct PairFlags {
    /// A's format
    #[arg(long, value_name = "FORMAT", value_parser = container_parser())]
    from_a: Option<Container>,
    /// B's format
    #[arg(long, value_name = "FORMAT", value_parser = container_parser())]
    from_b: Option<Container>,
    /// Guess the formats that are not named from the images' first bytes
    #[arg(long)]
    detect: bool,
    /// Unpack at most so much
    #[arg(long, value_name = "SIZE", value_parser = limit, default_value = "1Ti")]
    limit: ByteSize,
    #[command(flatten)]
    allow: AllowFlags,
}

impl PairFlags {
    /// The flags of A and of B.
    pub(in crate::cli) fn both(&self) -> [SourceFlags; 2] {
        [self.from_a, self.from_b].map(|from| SourceFlags {
            from,
            detect: self.detect && from.is_none(),
            unwrap: None,
            disk: None,
            limit: self.limit,
            allow: self.allow.clone(),
        })
    }
}

/// Flags of `compare`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CompareArgs {
    #[command(flatten)]
    pub(in crate::cli) images: PairFlags,
    /// The lengths must be the same, too
    #[arg(long)]
    pub(in crate::cli) strict: bool,
    /// An image
    #[arg(value_name = "A")]
    pub(in crate::cli) a: PathBuf,
    /// Another image
    #[arg(value_name = "B")]
    pub(in crate::cli) b: PathBuf,
}

/// Flags of `measure`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MeasureArgs {
    #[command(flatten)]
    pub(in crate::cli) source: SourceFlags,
    #[command(flatten)]
    pub(in crate::cli) format: FormatFlags,
    /// Compress to find the exact length
    #[arg(long)]
    pub(in crate::cli) exact: bool,
    /// Measure an empty disk of this size instead of an image
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["image", "from", "detect"])]
    pub(in crate::cli) size: Option<String>,
    /// The image
    #[arg(value_name = "IMAGE", required_unless_present = "size")]
    pub(in crate::cli) image: Option<PathBuf>,
}

/// Flags of `resize`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ResizeArgs {
    #[command(flatten)]
    pub(in crate::cli) source: SourceFlags,
    /// Allow a smaller size; what is cut off must be zero
    #[arg(long)]
    pub(in crate::cli) shrink: bool,
    /// Move the backup of a GPT to the new end
    #[arg(long)]
    pub(in crate::cli) move_gpt: bool,
    /// Threads to work with; any number gives the same bytes [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(in crate::cli) threads: Option<u16>,
    /// The image
    #[arg(value_name = "IMAGE")]
    pub(in crate::cli) image: PathBuf,
    /// The new size such as 20Gi, or what is added such as +5Gi
    #[arg(value_name = "SIZE")]
    pub(in crate::cli) size: String,
}

/// Flags of `digest`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DigestArgs {
    #[command(flatten)]
    pub(in crate::cli) source: SourceFlags,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    pub(in crate::cli) images: Vec<PathBuf>,
}
