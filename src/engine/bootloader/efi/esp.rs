//! Which files go where on an EFI system partition.
//!
//! Makes no filesystem: the caller puts the tree into FAT, whose size is the filesystem's. Source:
//! UEFI 2.10, 13.3.1.3 "Directory Structure" and 3.5.1.1 "Removable Media Boot Behavior". Invariant:
//! no two files have names that FAT takes for the same.

use std::collections::BTreeSet;

use super::Machine;
use crate::engine::base::tree::{Kind as NodeKind, Meta, Missing, Time, Tree, TreePath};
use crate::engine::base::{Content, Error, Kind, Origin};
use crate::engine::bootloader::assets::{Assets, Set};

/// A file of the partition.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path from the partition's root, with slashes.
    pub path: String,
    /// Its bytes.
    pub content: Content,
    /// The field it came from.
    pub origin: Origin,
}

/// Which of the distribution's images of GRUB, complete with all modules that they may load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grub {
    /// For disks: reads `/EFI/debian/grub.cfg` of the partition that it was started from.
    Disk,
    /// For CDs: looks for `/.disk/info`, then reads `/boot/grub/grub.cfg` there.
    Cd,
}

/// Where Debian's GRUB for disks looks for its configuration.
const CONFIG: &str = "EFI/debian/grub.cfg";

/// `program` where firmware looks on a medium that it does not know.
#[must_use]
pub fn fallback(machine: Machine, program: Content, origin: &Origin) -> File {
    let path = format!("EFI/BOOT/BOOT{}.EFI", machine.suffix());
    File { path, content: program, origin: origin.clone() }
}

/// The distribution's image of GRUB as it is, unsigned, and its configuration where it looks for it.
/// With `Grub::Cd` the configuration belongs onto the CD, so there is none here.
pub fn distribution(
    machine: Machine,
    grub: Grub,
    config: &str,
    assets: &Assets,
    origin: &Origin,
) -> Result<Vec<File>, Error> {
    let (set, suffix) = match machine {
        Machine::X64 => (Set::GrubEfiX64, "x64"),
        Machine::Arm64 => (Set::GrubEfiArm64, "aa64"),
    };
    let name = match grub {
        Grub::Disk => format!("monolithic/grub{suffix}.efi"),
        Grub::Cd => format!("monolithic/gcd{suffix}.efi"),
    };
    let image = assets.read(set, &name).map_err(|e| e.at(origin))?;
    let mut files = vec![fallback(machine, Content::Bytes(image), origin)];
    if grub == Grub::Disk {
        files.push(text(CONFIG, config, origin));
    }
    Ok(files)
}

/// The chain that firmware with Microsoft's keys trusts: shim, GRUB signed by Debian, and a
/// configuration. What GRUB then starts must be signed by Debian, too.
pub fn signed(
    grub: Grub,
    config: &str,
    assets: &Assets,
    origin: &Origin,
) -> Result<Vec<File>, Error> {
    let read = |set, name| assets.read(set, name).map_err(|e| e.at(origin));
    let image = match grub {
        Grub::Disk => "grubx64.efi.signed",
        Grub::Cd => "gcdx64.efi.signed",
    };
    let shim = Content::Bytes(read(Set::Shim, "shimx64.efi.signed")?);
    let file = |path: &str, bytes| File {
        path: path.to_owned(),
        content: Content::Bytes(bytes),
        origin: origin.clone(),
    };
    // Without fbx64.efi: it would write boot entries into the firmware and start again.
    let mut files = vec![
        fallback(Machine::X64, shim, origin),
        file("EFI/BOOT/grubx64.efi", read(Set::GrubSignedX64, image)?),
        file("EFI/BOOT/mmx64.efi", read(Set::Shim, "mmx64.efi.signed")?),
    ];
    if grub == Grub::Disk {
        files.push(text(CONFIG, config, origin));
    }
    Ok(files)
}

fn text(path: &str, text: &str, origin: &Origin) -> File {
    let content = Content::Bytes(text.as_bytes().into());
    File { path: path.to_owned(), content, origin: origin.clone() }
}

/// The files as a tree, all of `time`.
pub fn tree(files: Vec<File>, time: Time, origin: &Origin) -> Result<Tree, Error> {
    let mut tree = Tree::new(Meta::directory(time), origin.clone());
    let mut seen = BTreeSet::new();
    for file in files {
        let path = TreePath::new(file.path.as_bytes()).map_err(|e| e.at(&file.origin))?;
        let refused = |why: &str| {
            let message = format!("{} on the EFI system partition {why}", file.path);
            Error::new(Kind::Document, message).at(&file.origin)
        };
        if !seen.insert(file.path.to_ascii_lowercase()) {
            return Err(refused("is there twice, as FAT compares names"));
        }
        let (parent, name) = path.split().ok_or_else(|| refused("has no name"))?;
        let made = Missing::Make(Meta::directory(time));
        let directory = tree.directory_at(&parent, made, &file.origin)?;
        let kind = NodeKind::File(file.content.clone());
        tree.put(directory, name.clone(), kind, Meta::file(time), &file.origin)?;
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_to_their_places_and_none_comes_twice() {
        let origin = Origin::new("spec.boot.efi");
        let program = |machine| fallback(machine, Content::Bytes([1][..].into()), &origin);
        let both = vec![program(Machine::X64), program(Machine::Arm64)];
        let made = tree(both, Time::default(), &origin).unwrap();
        for path in ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTAA64.EFI"] {
            assert!(made.find(&TreePath::new(path.as_bytes()).unwrap()).is_some(), "{path}");
        }
        let other = File { path: "efi/boot/bootx64.efi".to_owned(), ..program(Machine::X64) };
        let error = tree(vec![program(Machine::X64), other], Time::default(), &origin);
        assert!(error.unwrap_err().to_string().contains("there twice"));
        let none = File { path: "/".to_owned(), ..program(Machine::X64) };
        let error = tree(vec![none], Time::default(), &origin).unwrap_err();
        assert!(error.to_string().contains("has no name"), "{error}");
        assert_eq!(error.origin(), Some(&origin));
    }
}
