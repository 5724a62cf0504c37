//! GRUB's modules and its font in its directory, for menus that load some by themselves.
//!
//! What the menu of the document needs is in the core image already. Invariant: the names are those
//! under which GRUB looks for files below its prefix.

use super::grub::Scene;
use super::{machine, put};
use crate::engine::base::tree::{Name, Tree, TreePath};
use crate::engine::base::{Content, Error, Origin};
use crate::engine::bootloader::assets::{Assets, Set};
use crate::engine::bootloader::efi::Machine;
use crate::manifest::types::{BootFirmware, Grub};

/// What of a platform is read when GRUB runs: modules, and the lists that name them.
const LOADED: [&str; 2] = [".mod", ".lst"];

/// The platforms of GRUB that a document names: directory and files.
fn platforms(grub: &Grub, scene: &Scene<'_>) -> Result<Vec<(&'static str, Set)>, Error> {
    let platform = |firmware: &BootFirmware| match firmware {
        BootFirmware::Bios => Ok(("i386-pc", Set::GrubPc)),
        BootFirmware::Uefi => Ok(match machine(scene.given.spec.architecture)? {
            Machine::X64 => ("x86_64-efi", Set::GrubEfiX64),
            Machine::Arm64 => ("arm64-efi", Set::GrubEfiArm64),
        }),
    };
    grub.firmware.iter().map(platform).collect()
}

/// Puts all modules, and the font of a graphical menu, below `directory`.
pub(super) fn install(
    grub: &Grub,
    scene: &Scene<'_>,
    tree: &mut Tree,
    directory: &TreePath,
    origin: &Origin,
) -> Result<(), Error> {
    let assets = scene.env.assets;
    let mut write = |below: &str, name: &str, bytes: Content| {
        let path = directory.join(&Name::new(below.as_bytes())?).join(&Name::new(name.as_bytes())?);
        put(tree, &path, bytes, scene.env.time, origin)
    };
    if grub.install_modules {
        for (platform, set) in platforms(grub, scene)? {
            for name in modules(assets, set)? {
                write(platform, &name, Content::Bytes(assets.read(set, &name)?))?;
            }
        }
    }
    if let Some(graphics) = grub.graphics {
        let font = graphics.font.file();
        write("fonts", font, Content::Bytes(assets.read(Set::GrubFonts, font)?))?;
    }
    Ok(())
}

/// The names of a platform's modules and lists; `command.lst` is there, or it is named as missing.
fn modules(assets: &Assets, set: Set) -> Result<Vec<String>, Error> {
    assets.read(set, "command.lst")?;
    let names = assets.names(set)?.into_iter();
    Ok(names.filter(|name| LOADED.iter().any(|suffix| name.ends_with(suffix))).collect())
}
