//! Flags and help of the verbs that read files inside of images.
//!
//! Decides nothing beyond what clap checks. Invariant: every flag has a help text.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::image::args::{PairFlags, SourceFlags};

pub(in crate::cli) const LS_EXAMPLES: &str = "\
Examples:
  vmimage ls disk.qcow2                    the top of the only filesystem
  vmimage ls -l disk.qcow2:root/etc        of the partition named (or labelled) root
  vmimage ls -R --json disk.raw:2/boot     of partition 2, with all that lies below
  vmimage ls --from raw disk.bin:/etc

PLACE is IMAGE[:[PARTITION][/PATH]]. IMAGE ends at the first colon (a colon in its own name is
written \\:). PARTITION is a number, else a name of a GPT, else a label; omitted: the whole disk if it
holds a filesystem, else the only partition that holds one.";

pub(in crate::cli) const CAT_EXAMPLES: &str = "\
Examples:
  vmimage cat disk.qcow2:/etc/os-release
  vmimage cat cloud.vmdk:root/boot/vmlinuz > vmlinuz

PLACE is IMAGE:[PARTITION]/PATH, as for ls. Links are followed inside of the filesystem alone.";

pub(in crate::cli) const EXTRACT_EXAMPLES: &str = "\
Examples:
  vmimage extract disk.qcow2:root/etc -C etc
  vmimage extract disk.raw -C out --include 'boot/**' --exclude 'boot/grub'
  vmimage extract disk.raw:2 --as-tar root.tar
  vmimage extract disk.raw:2 --as-tar - | podman import -

What lies in a directory goes into DIR, a file goes there by its name. Written are files,
directories, symbolic links and hard links, as yours, with their permissions (without setuid, setgid
and sticky) and times. Devices, FIFOs, sockets, owners and attributes are for --as-tar, which has
them all but sockets. Nothing is written through a symbolic link, and what is there already is an
error unless --force replaces it.";

pub(in crate::cli) const DIFF_EXAMPLES: &str = "\
Examples:
  vmimage diff old.qcow2 new.qcow2
  vmimage diff disk.raw:root disk.vmdk:2/ --times
  vmimage diff a.img:/etc b.img:/etc --ignore owner,mode --json

Compares paths, kinds, modes, owners, sizes, links, devices, attributes and bytes, whatever the
filesystems and formats are. Exit status: 0 the same, 3 different.";

/// Flags of `ls`.
#[derive(Debug, Args)]
pub(in crate::cli) struct LsArgs {
    #[command(flatten)]
    pub(in crate::cli) source: SourceFlags,
    /// Print kind, mode, links, owner, group, size and time, too
    #[arg(short, long)]
    pub(in crate::cli) long: bool,
    /// Print all that lies below, by its path
    #[arg(short = 'R', long)]
    pub(in crate::cli) recursive: bool,
    /// The image, the partition and the path in it
    #[arg(value_name = "PLACE")]
    pub(in crate::cli) place: OsString,
}

/// Flags of `cat`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CatArgs {
    #[command(flatten)]
    pub(in crate::cli) source: SourceFlags,
    /// The files
    #[arg(value_name = "PLACE", required = true)]
    pub(in crate::cli) places: Vec<OsString>,
}

/// Flags of `extract`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExtractArgs {
    #[command(flatten)]
    pub(in crate::cli) source: SourceFlags,
    /// The directory to write to; made if it is missing
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    pub(in crate::cli) directory: PathBuf,
    /// Write a tar with owners, devices and attributes instead; - writes standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["directory", "force"])]
    pub(in crate::cli) as_tar: Option<PathBuf>,
    /// Only what this glob names, counted from the path; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(in crate::cli) include: Vec<String>,
    /// Not what this glob names; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(in crate::cli) exclude: Vec<String>,
    /// Replace files and links that are there already
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// The image, the partition and the path in it
    #[arg(value_name = "PLACE")]
    pub(in crate::cli) place: OsString,
}

/// What `diff` can leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Aspect {
    /// Permissions.
    Mode,
    /// User and group.
    Owner,
    /// Extended attributes.
    Attributes,
    /// Number of names.
    Links,
    /// The bytes of files.
    Content,
}

/// Flags of `diff`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    #[command(flatten)]
    pub(in crate::cli) images: PairFlags,
    /// Compare when files were changed, too, to the second
    #[arg(long)]
    pub(in crate::cli) times: bool,
    /// Leave these out; separated by commas
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    pub(in crate::cli) ignore: Vec<Aspect>,
    /// An image, perhaps with a partition and a path
    #[arg(value_name = "A")]
    pub(in crate::cli) a: OsString,
    /// Another
    #[arg(value_name = "B")]
    pub(in crate::cli) b: OsString,
}
