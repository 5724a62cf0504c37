//! Boot loaders and their menus.
//!
//! Decides nothing. Invariant: as of `types`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::rules;
use super::is_default;
use super::scalar::Path;

/// GRUB 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Grub {
    /// For which firmware; both may stand on one disk.
    #[serde(default = "bios", skip_serializing_if = "is_bios")]
    #[schemars(length(min = 1, max = 2), extend("default" = ["bios"], "x-kubernetes-list-type" = "set"))]
    pub firmware: Vec<BootFirmware>,

    /// The partition that has its menu and modules in /boot/grub. Omitted: the one that has the first
    /// entry's kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 36))]
    pub partition: Option<String>,

    /// What of GRUB starts under UEFI.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "native"))]
    pub efi_image: EfiImage,

    /// Seconds until the default entry starts; 0 at once. Omitted: 5 with several entries, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 3600, "format" = "int32"))]
    pub timeout_seconds: Option<u32>,

    /// The title of the entry that starts by itself. Omitted: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub default: Option<String>,

    /// Shows the menu on a serial port, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,

    /// Modules of GRUB beside those that the entries need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub modules: Vec<String>,

    /// Puts all modules of GRUB into its directory, so that commands, and menus that are edited later,
    /// can load them.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub install_modules: bool,

    /// Shows the menu on a graphical screen. Omitted: on the firmware's text screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphics: Option<Graphics>,

    /// The entries of the menu. Omitted: one that starts boot.kernel with boot.initrd and
    /// boot.commandLine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub entries: Vec<GrubEntry>,
}

/// What starts the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum BootFirmware {
    /// A BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

/// What of GRUB starts under UEFI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum EfiImage {
    /// An image made for this disk, with the modules that it needs.
    #[default]
    Native,
    /// The distribution's image with all modules in it.
    Distribution,
    /// shim and the distribution's signed image, for Secure Boot.
    Signed,
}

/// A graphical screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Graphics {
    /// What letters look like; the file lies in fonts/ of GRUB's directory.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "unicode"))]
    pub font: Font,
}

/// A font of GRUB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Font {
    /// The letters of ASCII, 5 KB.
    Ascii,
    /// Those of Europe, 52 KB.
    Euro,
    /// Nearly all, 2.4 MB.
    #[default]
    Unicode,
}

impl Font {
    /// The name of its file.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Ascii => "ascii.pf2",
            Self::Euro => "euro.pf2",
            Self::Unicode => "unicode.pf2",
        }
    }
}

/// A serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Serial {
    /// Its number: 0 is COM1.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0, "minimum" = 0, "maximum" = 3, "format" = "int32"))]
    pub unit: u32,

    /// Bits per second, with 8 data bits, no parity and 1 stop bit.
    #[serde(default = "speed", skip_serializing_if = "is_speed")]
    #[schemars(extend("default" = 115_200, "minimum" = 300, "maximum" = 115_200, "format" = "int32"))]
    pub speed: u32,
}

/// An entry of GRUB's menu: a title, and exactly one of linux, multiboot, multiboot2, chainload and
/// commands. Paths are those of the mounted tree and must be there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline, extend("x-kubernetes-validations" = rules::union(&["linux", "multiboot", "multiboot2", "chainload", "commands"], rules::message::GRUB_ENTRY)))]
pub struct GrubEntry {
    /// What the menu shows.
    #[schemars(length(min = 1, max = 128))]
    pub title: String,

    /// A Linux kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux: Option<LinuxEntry>,

    /// A kernel of the Multiboot specification, version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiboot: Option<Multiboot>,

    /// A kernel of the Multiboot specification, version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiboot2: Option<Multiboot>,

    /// Another boot loader: a path, or `+1` for the first sector of GRUB's partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub chainload: Option<String>,

    /// Commands of GRUB, taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16_384))]
    pub commands: Option<String>,
}

/// A Linux kernel of a menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct LinuxEntry {
    /// Its path.
    pub kernel: Path,

    /// The path of its initrd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<Path>,

    /// Its command line. `$(uuid:NAME)` and `$(partuuid:NAME)` are replaced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2047), extend("default" = ""))]
    pub command_line: String,
}

/// A Multiboot kernel of a menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Multiboot {
    /// Its path.
    pub kernel: Path,

    /// Its arguments. `$(uuid:NAME)` and `$(partuuid:NAME)` are replaced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2047), extend("default" = ""))]
    pub arguments: String,

    /// Its modules, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub modules: Vec<MultibootModule>,
}

/// A module of a Multiboot kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct MultibootModule {
    /// Its path.
    pub path: Path,

    /// Its arguments.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2047), extend("default" = ""))]
    pub arguments: String,
}

/// syslinux, extlinux or isolinux, as the filesystem needs it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Syslinux {
    /// The partition that it lies on. Omitted: the one that has the first entry's kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 36))]
    pub partition: Option<String>,

    /// Seconds until the default entry starts; 0 at once. Omitted: 5 with several entries, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 3600, "format" = "int32"))]
    pub timeout_seconds: Option<u32>,

    /// The title of the entry that starts by itself. Omitted: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub default: Option<String>,

    /// Talks on a serial port, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,

    /// The entries. Omitted: one that starts boot.kernel with boot.initrd and boot.commandLine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub entries: Vec<SyslinuxEntry>,
}

/// An entry of syslinux.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct SyslinuxEntry {
    /// What it is called.
    #[schemars(length(min = 1, max = 128))]
    pub title: String,

    /// A Linux kernel.
    pub linux: LinuxEntry,
}

/// A kernel that UEFI firmware starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Efi {
    /// How it is started.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "UKI"))]
    pub style: EfiStyle,

    /// Adds startup.nsh, which a UEFI shell runs, with the kernel and the initrd as files beside it.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub startup_script: bool,
}

/// How UEFI firmware starts a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum EfiStyle {
    /// A unified kernel image: one file of stub, kernel, initrd and command line.
    #[default]
    #[serde(rename = "UKI")]
    Uki,
    /// The kernel itself. Firmware gives it no command line and no initrd: those need startupScript.
    Stub,
}

impl Default for Grub {
    fn default() -> Self {
        Self {
            firmware: bios(),
            partition: None,
            efi_image: EfiImage::default(),
            timeout_seconds: None,
            default: None,
            serial: None,
            modules: Vec::new(),
            install_modules: false,
            graphics: None,
            entries: Vec::new(),
        }
    }
}

impl Default for Serial {
    fn default() -> Self {
        Self { unit: 0, speed: speed() }
    }
}

impl Default for Efi {
    fn default() -> Self {
        Self { style: EfiStyle::Uki, startup_script: false }
    }
}

fn bios() -> Vec<BootFirmware> {
    vec![BootFirmware::Bios]
}

fn is_bios(firmware: &[BootFirmware]) -> bool {
    firmware == [BootFirmware::Bios]
}

const fn speed() -> u32 {
    115_200
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_speed(speed: &u32) -> bool {
    *speed == 115_200
}
