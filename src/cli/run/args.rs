//! Flags and help of `run`.
//!
//! Decides nothing beyond what clap checks. Invariant: every flag has a help text.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, FromArgMatches as _, ValueEnum};
use regex_lite::{Regex, RegexBuilder};

use crate::cli::image::args::{SourceFlags, limit};
use crate::cli::sources::DeskFlags;
use crate::manifest::Override;
use crate::run::{Architecture, Bus, Card, Chord, Forward};
use crate::units::ByteSize;

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  vmimage run hello.yaml                                build it and boot it; Ctrl-A X ends QEMU
  vmimage run disk.qcow2 --expect 'login: $'            boot it and wait for a text
  vmimage run hello.yaml --expect Hello --keys ret      then press a key and wait for power off
  vmimage run disk.raw --firmware uefi --timeout 30s --expect Shell --screenshot shell.png
  vmimage run live.iso --bus usb --no-cd                the same file as a USB stick
  vmimage run disk.vmdk --print                         the command of QEMU, without running it
  vmimage run disk.raw -- -cpu max -device virtio-rng-pci

The verb that needs another program: QEMU (Debian: qemu-system-x86, qemu-system-arm). The command is
shown on standard error. What the machine writes to its disk is forgotten, unless --write.

Exit status: 0 everything was seen, or the machine went off and nothing was expected; 5 time was over;
6 the machine went off before; 130 interrupted.";

/// Flags of `run`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    pub(super) machine: MachineFlags,
    #[command(flatten)]
    pub(super) watch: WatchFlags,
    #[command(flatten)]
    pub(super) source: SourceFlags,
    #[command(flatten)]
    pub(super) build: BuildFlags,
    /// An image file, or a document (.yaml, .yml, .json)
    #[arg(value_name = "IMAGE|DOCUMENT", required_unless_present = "kernel")]
    pub(super) file: Option<PathBuf>,
    /// More arguments for QEMU
    #[arg(value_name = "ARGUMENT", last = true)]
    pub(super) more: Vec<OsString>,
}

impl RunArgs {
    /// What they are where nobody gives any but `--print`.
    pub(super) fn usual() -> Result<Self, clap::Error> {
        let command = Self::augment_args(clap::Command::new("run").no_binary_name(true));
        Self::from_arg_matches(&command.try_get_matches_from(["--print", "document"])?)
    }
}

/// What the machine is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub(in crate::cli) struct MachineFlags {
    /// The processor architecture [default: the document's; what the disk holds]
    #[arg(long, value_enum, value_name = "ARCH")]
    pub(super) arch: Option<Arch>,
    /// What starts the machine; auto: the document's, else what the disk is made for
    #[arg(long, value_enum, value_name = "FIRMWARE", default_value_t = Firmware::Auto)]
    pub(super) firmware: Firmware,
    /// Where UEFI firmware lies [default: where distributions have it]
    #[arg(long, value_name = "DIR")]
    pub(super) firmware_dir: Option<PathBuf>,
    /// What the disk is attached to [default: the document's; sata, on arm64 virtio]
    #[arg(long, value_enum, value_name = "BUS")]
    pub(super) bus: Option<BusName>,
    /// Attach it as a CD; so is what is called .iso
    #[arg(long, overrides_with = "no_cd")]
    pub(super) cd: bool,
    /// Attach it as a disk, even if it is called .iso
    #[arg(long)]
    pub(super) no_cd: bool,
    /// Memory [default: the document's; 512Mi]
    #[arg(long, value_name = "SIZE", value_parser = limit)]
    pub(super) memory: Option<ByteSize>,
    /// Number of processors [default: the document's; 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=128))]
    pub(super) cpus: Option<u32>,
    /// The network card, on QEMU's user network; user: the document's card [default: the document's
    /// machine; none]
    #[arg(long, value_enum, value_name = "NIC")]
    pub(super) nic: Option<Nic>,
    /// Lead a port of 127.0.0.1 into the machine; may be repeated
    #[arg(long, value_name = "[udp:]HOST:GUEST", value_parser = forward)]
    pub(super) port_forward: Vec<Forward>,
    /// A kernel that QEMU starts itself
    #[arg(long, value_name = "FILE")]
    pub(super) kernel: Option<PathBuf>,
    /// The kernel's initramfs
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(super) initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    pub(super) append: Option<String>,
    /// Let the machine write to the image; else what it writes is forgotten
    #[arg(long, conflicts_with = "snapshot")]
    pub(super) write: bool,
    /// Forget what the machine writes: the default
    #[arg(long)]
    pub(super) snapshot: bool,
    /// What executes the machine's instructions; auto: KVM if it works here
    #[arg(long, value_enum, value_name = "ACCEL", default_value_t = Accel::Auto)]
    pub(super) accel: Accel,
    /// Where the screen is shown: none, gtk, sdl, curses, vnc=:0, …
    #[arg(long, value_name = "DISPLAY", default_value = "none")]
    pub(super) display: String,
    /// QEMU's program [default: qemu-system-… in PATH]
    #[arg(long, value_name = "PROGRAM")]
    pub(super) qemu: Option<OsString>,
}

/// What is waited for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Watching")]
pub(in crate::cli) struct WatchFlags {
    /// Wait until the serial text has a match; may be repeated, each is looked for behind the one before
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub(super) expect: Vec<Regex>,
    /// Keys to press, such as "down ret" or "ctrl-alt-delete"; the first ones when the first --expect was
    /// seen, and so on; behind the last ones the machine has to go off
    #[arg(long, value_name = "KEYS", value_parser = chords)]
    pub(super) keys: Vec<Keys>,
    /// How long all of it may take, such as 90s, 5m, 500ms [default: 60s with --expect; no limit]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) timeout: Option<Duration>,
    /// Write what the screen shows when the last text was seen, or when time is over, as PNG
    #[arg(long, value_name = "FILE")]
    pub(super) screenshot: Option<PathBuf>,
    /// Write what the serial line carries to this file, too
    #[arg(long, value_name = "FILE")]
    pub(super) serial: Option<PathBuf>,
    /// Print the command of QEMU and run nothing
    #[arg(long)]
    pub(super) print: bool,
}

/// How a document is built.
#[derive(Debug, Args)]
#[command(next_help_heading = "Documents")]
pub(in crate::cli) struct BuildFlags {
    /// Set a field, such as spec.disk.size=64Mi; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub(super) set: Vec<Override>,
    /// The document with this name, where the file has several
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// The entry of spec.formats to boot [default: the first one that QEMU reads]
    #[arg(long, value_name = "NAME")]
    pub(super) format: Option<String>,
    /// Run the scripts of spec.disk.scripts, each in a sandbox without privileges and network
    #[arg(long)]
    pub(super) allow_scripts: bool,
    /// An image layout in which images of scripts are looked for first; may be repeated
    #[arg(long, value_name = "PATH", requires = "allow_scripts")]
    pub(super) script_image: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) sources: DeskFlags,
}

/// Flags of `leash`.
#[derive(Debug, Args)]
pub(in crate::cli) struct LeashArgs {
    /// The process that asked
    pub(super) parent: u32,
    /// The program and its arguments
    #[arg(required = true, last = true)]
    pub(super) words: Vec<OsString>,
}

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 32-bit x86.
    I386,
    /// 64-bit Arm.
    Arm64,
}

impl From<Arch> for Architecture {
    fn from(arch: Arch) -> Self {
        match arch {
            Arch::Amd64 => Self::Amd64,
            Arch::I386 => Self::I386,
            Arch::Arm64 => Self::Arm64,
        }
    }
}

/// What starts a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Firmware {
    /// What fits.
    Auto,
    /// A BIOS.
    Bios,
    /// UEFI.
    Uefi,
    /// UEFI that starts only what Microsoft's keys signed.
    UefiSecure,
}

/// What a disk is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BusName(pub(super) Bus);

impl ValueEnum for BusName {
    fn value_variants<'a>() -> &'a [Self] {
        &ALL_BUSES
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}

static ALL_BUSES: [BusName; Bus::ALL.len()] = {
    let mut all = [BusName(Bus::Ide); Bus::ALL.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = BusName(Bus::ALL[at]);
        at += 1;
    }
    all
};

/// A network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Nic {
    /// None.
    None,
    /// The document's card, else e1000.
    User,
    /// Intel 82545EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// VMware's paravirtual card.
    Vmxnet3,
    /// virtio-net.
    Virtio,
}

impl Nic {
    /// The card it names; none for `none` and `user`.
    pub(super) const fn card(self) -> Option<Card> {
        match self {
            Self::None | Self::User => None,
            Self::E1000 => Some(Card::E1000),
            Self::E1000e => Some(Card::E1000e),
            Self::Vmxnet3 => Some(Card::Vmxnet3),
            Self::Virtio => Some(Card::Virtio),
        }
    }
}

/// What executes instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Accel {
    /// KVM if it works.
    Auto,
    /// KVM.
    Kvm,
    /// QEMU itself.
    Tcg,
}

/// The keys of one flag.
#[derive(Clone, Debug)]
pub(super) struct Keys(pub(super) Vec<Chord>);

fn chords(text: &str) -> Result<Keys, String> {
    Chord::parse(text).map(Keys)
}

fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).multi_line(true).build().map_err(|e| e.to_string())
}

/// `90s`, `5m`, `1h`, `500ms`; a number alone is seconds.
fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is no time; write 90s, 5m, 1h or 500ms");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).filter(|ms| *ms > 0).map(Duration::from_millis).ok_or_else(wrong)
}

fn forward(text: &str) -> Result<Forward, String> {
    let wrong = || format!("{text:?} is not of the form HOST:GUEST or udp:HOST:GUEST");
    let (udp, ports) = match text.split_once(':') {
        Some(("udp", ports)) => (true, ports),
        Some(("tcp", ports)) => (false, ports),
        _ => (false, text),
    };
    let (host, guest) = ports.split_once(':').ok_or_else(wrong)?;
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    Ok(Forward { udp, host: port(host)?, guest: port(guest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ports() {
        for (text, ms) in [("60", 60_000), ("90s", 90_000), ("2m", 120_000), ("500ms", 500)] {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)));
        }
        for wrong in ["", "0s", "s", "5d", "-1", "1.5s", "99999999999999999999h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(forward("8080:80"), Ok(Forward { udp: false, host: 8080, guest: 80 }));
        assert_eq!(forward("udp:53:53"), Ok(Forward { udp: true, host: 53, guest: 53 }));
        for wrong in ["", "80", "0:80", "a:b", "sctp:1:2", "1:2:3", "70000:1"] {
            assert!(forward(wrong).is_err(), "{wrong}");
        }
    }
}
