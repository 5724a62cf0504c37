//! The command line: verbs, flags and their help.
//!
//! Decides nothing beyond what clap checks. Invariant: every flag has a help text, and the help of
//! a verb that needs an example has one.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::image::args::{
    self as image, CompareArgs, ConvertArgs, DigestArgs, MeasureArgs, ResizeArgs, SourceFlags,
};
use super::push::{self, PushArgs};
use super::run::args::{self as run, LeashArgs, RunArgs};
use super::sources::{DeskFlags, ReachFlags};
use super::tree::args::{self as tree, CatArgs, DiffArgs, ExtractArgs, LsArgs};
use crate::manifest::Override;

const EXAMPLES: &str = "\
Examples:
  vmimage build -f hello.yaml              write hello.raw and hello.build.json here
  vmimage check *.yaml                     print every problem of some documents
  vmimage explain spec.formats             what a field means
  vmimage inspect hello.qcow2              what an image file holds
  vmimage convert --from raw a.raw a.vmdk  the same disk in another format
  vmimage ls -l hello.qcow2:root/etc       files inside of it
  vmimage run hello.yaml                   boot it in QEMU

Exit status: 0 done, 2 wrong usage, 3 images differ, 4 an image leaks room, 5 a machine
did not show in time what was expected, 6 it went off before, 65 the document or what
is asked for is not valid, 66 an input is missing or wrong, 67 no room, 70 a defect of vmimage, 73 a registry refuses, 74 reading or writing failed, 77 a source that the rules refuse, 130 interrupted.";

const BUILD_EXAMPLES: &str = "\
Examples:
  vmimage build -f hello.yaml
  vmimage build -f hello.yaml -o out --set spec.disk.size=64Mi
  kubectl get vmimg hello -o yaml | vmimage build -f -
  vmimage build -f fleet.yaml --name one-of-many --json

Writes <image>.<format> for every entry of spec.formats (raw when there is none) and
<image>.build.json. Files are written under temporary names and renamed together at the end: a
build that fails or is interrupted changes nothing. Existing files are replaced.

Prints one line per file: path, size in bytes and SHA-256, separated by tabs.";

const CHECK_EXAMPLES: &str = "\
Examples:
  vmimage check hello.yaml
  vmimage check -f hello.yaml -f more.yaml
  cat hello.yaml | vmimage check -
  vmimage check --from qcow2 disk.qcow2

Does all that a build does short of writing. Exit status: 0 valid, 65 not. With --from or --detect
the files are images, whose structure is checked: 0 sound, 4 some room is lost, 66 damaged.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  vmimage inspect hello.qcow2
  vmimage inspect --from raw disk.bin
  vmimage inspect --detect unknown --json
  vmimage inspect --map disk.vmdk

The format follows from the file's name (.raw, .img, .qcow2, .vmdk, .vhd, .vhdx, .vdi). Contents are looked at only with
--detect: a guest can write a header into its raw disk that makes it look like another format.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  vmimage explain
  vmimage explain spec.formats.qcow2.compression
  vmimage explain 'formats[0]'
  vmimage explain boot --recursive";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(vmimage completions bash)
  vmimage completions zsh > \"${fpath[1]}/_vmimage\"
  vmimage completions fish > ~/.config/fish/completions/vmimage.fish";

/// Builds bootable virtual-machine images from VMImage documents.
///
/// The same document gives the same bytes here and in a cluster. Needs no root, no loop device
/// and no other program; run alone needs QEMU.
#[derive(Debug, Parser)]
#[command(name = "vmimage", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(super) struct Cli {
    /// What holds for every verb.
    #[command(flatten)]
    pub(super) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// Flags of every verb.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// When to use colours: auto, always or never; auto respects NO_COLOR
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    #[arg(hide_possible_values = true)]
    pub(super) color: Color,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Print the result, or the error, as one JSON document on standard output
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal.
    Auto,
    /// Even into a pipe.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Build the image files of a document
    #[command(after_help = BUILD_EXAMPLES)]
    Build(BuildArgs),
    /// Print every problem of documents without building, or of image files
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Print what an image file holds
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Write an image in another format
    #[command(after_help = image::convert_help())]
    Convert(ConvertArgs),
    /// Tell whether two images hold the same disk
    #[command(after_help = image::COMPARE_EXAMPLES)]
    Compare(CompareArgs),
    /// Tell how long a converted file would be
    #[command(after_help = image::MEASURE_EXAMPLES)]
    Measure(MeasureArgs),
    /// Make an image's disk longer or shorter
    #[command(after_help = image::RESIZE_EXAMPLES)]
    Resize(ResizeArgs),
    /// Print the SHA-256 of an image's disk
    #[command(after_help = image::DIGEST_EXAMPLES)]
    Digest(DigestArgs),
    /// List files inside of an image
    #[command(after_help = tree::LS_EXAMPLES)]
    Ls(LsArgs),
    /// Print files inside of an image
    #[command(after_help = tree::CAT_EXAMPLES)]
    Cat(CatArgs),
    /// Write files inside of an image to a directory or a tar
    #[command(after_help = tree::EXTRACT_EXAMPLES)]
    Extract(ExtractArgs),
    /// Tell which files of two images differ
    #[command(after_help = tree::DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// Push an image to a registry as a container image for KubeVirt
    #[command(after_help = push::EXAMPLES)]
    Push(Box<PushArgs>),
    /// Boot an image or a document in QEMU
    #[command(after_help = run::EXAMPLES)]
    Run(Box<RunArgs>),
    /// Print what a field of a document means
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Build and publish one target inside the build pod (not for desks)
    Builder(BuilderArgs),
    /// What QEMU ends with; started by run alone
    #[command(hide = true)]
    Leash(LeashArgs),
    /// What a script of a document runs in; started by build alone
    #[command(hide = true)]
    Sandbox(SandboxArgs),
}

/// Flags of `build`.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The document; - reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Directory for the files; made if it is missing
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(super) output: PathBuf,
    /// Set a field, such as spec.disk.size=64Mi; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub(super) set: Vec<Override>,
    /// Build only the document with this name
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Threads to compress with; any number gives the same bytes [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) threads: Option<u16>,
    /// Run the scripts of spec.disk.scripts, each in a sandbox without privileges and network
    #[arg(long)]
    pub(super) allow_scripts: bool,
    /// An image layout, a directory or a tar, in which images of scripts are looked for first; may be
    /// repeated
    #[arg(long, value_name = "PATH", requires = "allow_scripts")]
    pub(super) script_image: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) sources: DeskFlags,
}

/// Flags of `sandbox`.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct SandboxArgs {
    /// Which of the two processes it is
    #[arg(value_enum)]
    pub(super) stage: Stage,
}

/// A process of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Stage {
    /// The one that waits.
    Outer,
    /// The one that becomes the script.
    Inner,
}

/// Flags of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A document; - reads standard input
    #[arg(value_name = "FILE", required_unless_present = "file")]
    pub(super) files: Vec<PathBuf>,
    /// A document; may be repeated
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Vec<PathBuf>,
    /// Set a field, such as spec.disk.size=64Mi; may be repeated
    #[arg(long, value_name = "PATH=VALUE", conflicts_with_all = ["from", "detect"])]
    pub(super) set: Vec<Override>,
    #[command(flatten)]
    pub(super) source: SourceFlags,
    #[command(flatten)]
    pub(super) sources: DeskFlags,
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    pub(super) source: SourceFlags,
    /// Print which ranges of the disk may hold data instead
    #[arg(long)]
    pub(super) map: bool,
    /// The image file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}

/// Flags of `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The field's path, such as spec.formats or formats[0].qcow2; omitted: the whole document
    #[arg(value_name = "FIELD")]
    pub(super) field: Option<String>,
    /// Print the fields of the fields, too
    #[arg(long)]
    pub(super) recursive: bool,
}

/// Flags of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
}

/// Flags of `builder` that a run which only looks at inputs has no use for.
const BUILDS: [&str; 6] = ["target", "volume", "device", "push", "content_hash", "target_hash"];

/// Flags of `builder`: the contract between controller and build pod.
#[derive(Debug, Args)]
pub(super) struct BuilderArgs {
    /// The document
    #[arg(long, value_name = "FILE")]
    pub(super) document: PathBuf,
    /// Build nothing: report the digests of inputs that have none in the document
    #[arg(long, conflicts_with_all = BUILDS)]
    pub(super) resolve: bool,
    /// Name of the entry of spec.publish to serve
    #[arg(long, value_name = "NAME", required_unless_present = "resolve")]
    pub(super) target: Option<String>,
    /// Root directory of the mounted volume; the target is published in it
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resolve", "stage", "device", "push"])]
    pub(super) volume: Option<PathBuf>,
    /// Block device; the target is published on it, and all that it holds is overwritten
    #[arg(long, value_name = "PATH", conflicts_with = "volume")]
    pub(super) device: Option<PathBuf>,
    /// The target is a container image: directory with config.json (a Docker configuration) and ca.crt,
    /// where the document names a secret or certificates
    #[arg(long, value_name = "DIR", conflicts_with_all = ["volume", "device"])]
    pub(super) push: Option<PathBuf>,
    /// contentHash that the controller computed
    #[arg(long, value_name = "HEX", required_unless_present = "resolve")]
    pub(super) content_hash: Option<String>,
    /// targetHash that the controller computed
    #[arg(long, value_name = "HEX", required_unless_present = "resolve")]
    pub(super) target_hash: Option<String>,
    /// Digest of boot assets that the controller hashed; may be repeated
    #[arg(long, value_name = "SET=DIGEST", value_parser = super::sources::assigned)]
    pub(super) boot_asset_digest: Vec<(String, String)>,
    /// Seconds that the run may take [default: no limit]
    #[arg(long, value_name = "N")]
    pub(super) timeout_seconds: Option<u64>,
    /// Directory with the objects that the document names: configmap/NAME, secret/NAME, pvc/NAME
    #[arg(long, value_name = "DIR")]
    pub(super) sources: Option<PathBuf>,
    #[command(flatten)]
    pub(super) reach: ReachFlags,
    /// Lay the trees that scripts change out in this directory, and do nothing else
    #[arg(long, value_name = "DIR", conflicts_with = "staged")]
    pub(super) stage: Option<PathBuf>,
    /// Take the trees that scripts have changed from this directory
    #[arg(long, value_name = "DIR")]
    pub(super) staged: Option<PathBuf>,
    /// The file that takes the report
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    pub(super) termination_log: PathBuf,
}
