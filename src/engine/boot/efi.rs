//! What UEFI firmware starts by itself: files of an EFI system partition.
//!
//! Makes no filesystem. Invariant: a kernel without EFI stub is refused before a byte is written.

use super::place::Trees;
use super::{machine, put, text};
use crate::engine::base::tree::{Time, TreePath};
use crate::engine::base::{Content, Error, Kind, Origin};
use crate::engine::bootloader::assets::Set;
use crate::engine::bootloader::efi::{self, File};
use crate::engine::{Env, Given};
use crate::manifest::types::{Disk, Efi, EfiStyle, FilesystemKind, PartitionTable};

/// Files that go to the EFI system partition.
#[derive(Debug, Default)]
pub(super) struct Esp(Vec<File>);

impl Esp {
    pub(super) fn add(&mut self, file: File) {
        self.0.push(file);
    }

    pub(super) fn extend(&mut self, files: Vec<File>) {
        self.0.extend(files);
    }

    pub(super) fn into_files(self) -> Vec<File> {
        self.0
    }

    /// Puts them into the tree of the partition.
    pub(super) fn place(
        self,
        trees: &mut Trees<'_>,
        partition: usize,
        time: Time,
    ) -> Result<(), Error> {
        for File { path, content, origin } in self.0 {
            let path = TreePath::new(path.as_bytes()).map_err(|e| e.at(&origin))?;
            put(trees.at(partition)?, &path, content, time, &origin)?;
        }
        Ok(())
    }
}

/// The EFI system partition of a disk.
pub(super) fn partition(disk: &Disk) -> Option<usize> {
    let bare = disk.partition_table == PartitionTable::None;
    disk.partitions.iter().position(|partition| {
        let fat = partition.filesystem.as_ref().is_some_and(|f| f.kind == FilesystemKind::Vfat);
        fat && (bare || partition.kind.as_deref() == Some("esp"))
    })
}

/// A kernel that firmware starts.
pub(super) fn install(
    style: &Efi,
    kernel: Content,
    initrd: Option<Content>,
    command_line: &str,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<Esp, Error> {
    let origin = Origin::new("spec.boot.efi");
    let at = Origin::new("spec.boot.kernel");
    let machine = machine(given.spec.architecture).map_err(|e| e.at(&origin))?;
    let source = super::kernel::sectors(kernel.clone(), &at)?;
    let found = efi::kernel(&*source, machine).map_err(|e| e.at(&at))?;
    let mut esp = Esp::default();
    match style.style {
        EfiStyle::Stub => esp.add(efi::fallback(machine, kernel.clone(), &at)),
        EfiStyle::Uki => {
            if initrd.is_some() && !found.takes_initrd {
                let message = "the kernel takes no initrd from a stub (Linux 5.8 and later do); use style: Stub with startupScript";
                return Err(Error::new(Kind::Document, message).at(&at));
            }
            let set = match machine {
                efi::Machine::X64 => Set::EfiStub,
                efi::Machine::Arm64 => Set::EfiStubArm64,
            };
            let stub = env.assets.read(set, machine.stub()).map_err(|e| e.at(&origin))?;
            let mut parts = efi::Parts::new(kernel.clone());
            parts.initrd.clone_from(&initrd);
            parts.command_line = (!command_line.is_empty()).then(|| command_line.to_owned());
            parts.os_release = Some(os_release(given.name).as_bytes().into());
            let image = efi::unified(machine, &stub, parts).map_err(|e| e.at(&origin))?;
            esp.add(efi::fallback(machine, Content::Sectors(image), &origin));
        }
    }
    if style.startup_script {
        esp.extend(script(kernel, initrd, command_line, &origin)?);
    }
    Ok(esp)
}

/// As tinyboot has it: kernel, initrd and script in the root.
fn script(
    kernel: Content,
    initrd: Option<Content>,
    command_line: &str,
    origin: &Origin,
) -> Result<Vec<File>, Error> {
    let mut arguments = command_line.to_owned();
    if initrd.is_some() {
        if !arguments.is_empty() {
            arguments.push(' ');
        }
        arguments.push_str("initrd=\\initramfs.img");
    }
    let script = efi::script("vmlinuz", &arguments).map_err(|e| e.at(origin))?;
    let file =
        |path: &str, content| File { path: path.to_owned(), content, origin: origin.clone() };
    let mut files = vec![file("vmlinuz", kernel), file("startup.nsh", text(script.as_bytes()))];
    files.extend(initrd.map(|initrd| file("initramfs.img", initrd)));
    Ok(files)
}

/// What boot menus show.
fn os_release(name: &str) -> String {
    format!("ID=vmimage\nNAME=\"{name}\"\nPRETTY_NAME=\"{name}\"\n")
}
