//! GRUB: its menu and its programs in the trees, its core image for the disk's beginning or the disc.
//!
//! Invariants: every path of the menu is in the one filesystem that GRUB reads; each kernel is one
//! that its entry can start.

use std::cell::Cell;

use super::efi::Esp;
use super::files;
use super::place::{Found, Ground, Trees};
use super::{machine, put, text};
use crate::engine::base::tree::{Name, TreePath};
use crate::engine::base::{Content, Error, Kind, Origin};
use crate::engine::bootloader::assets::Set;
use crate::engine::bootloader::efi;
use crate::engine::bootloader::grub::efi as program;
use crate::engine::bootloader::grub::kernel::{self, Version};
use crate::engine::bootloader::grub::menu::menu_core;
use crate::engine::bootloader::grub::menu::{
    Access, Action, Chain, Entry, Menu, Module, Root, Terminal,
};
use crate::engine::bootloader::grub::pc::{Core, core};
use crate::engine::ids::Ids;
use crate::engine::{Env, Given};
use crate::manifest::FieldPath;
use crate::manifest::types::{
    Boot, BootFirmware, EfiImage, Grub, GrubEntry, LinuxEntry, Multiboot, Path,
};

/// Where GRUB's files lie.
const DIRECTORY: &[u8] = b"/boot/grub";
const CONFIG: &[u8] = b"grub.cfg";

/// What is known about the medium.
pub(super) struct Scene<'a> {
    pub(super) given: &'a Given<'a>,
    pub(super) env: &'a Env<'a>,
    pub(super) ids: Option<&'a Ids>,
    pub(super) ground: Ground<'a>,
}

/// How GRUB reaches its files.
pub(super) struct Reach {
    pub(super) access: Access,
    pub(super) root: Root,
}

/// GRUB as it goes onto a medium.
pub(super) struct Made {
    /// The partition that has its files.
    pub(super) partition: usize,
    /// Its core image for BIOS.
    pub(super) core: Option<Core>,
}

fn origin() -> Origin {
    Origin::new("spec.boot.grub")
}

impl Scene<'_> {
    /// A command line with the ids that it names.
    pub(super) fn fill(&self, text: &str, origin: &Origin) -> Result<String, Error> {
        self.ids.map_or_else(|| Ok(text.to_owned()), |ids| ids.fill(text)).map_err(|e| e.at(origin))
    }
}

/// The entries: those of the document, or one for its kernel.
fn entries(grub: &Grub, boot: &Boot) -> Vec<(FieldPath, GrubEntry)> {
    let path = FieldPath::new("spec.boot.grub.entries");
    if !grub.entries.is_empty() {
        let entries = grub.entries.iter().enumerate();
        return entries.map(|(at, entry)| (path.index(at), entry.clone())).collect();
    }
    let linux = super::kernel::entry(boot);
    let entry = GrubEntry { title: "Linux".to_owned(), linux, ..GrubEntry::default() };
    vec![(FieldPath::new("spec.boot"), entry)]
}

/// The paths that an entry names, its kernel first.
fn paths(entry: &GrubEntry) -> Vec<&Path> {
    let linux = entry.linux.iter().flat_map(|l| std::iter::once(&l.kernel).chain(&l.initrd));
    let multiboot = entry.multiboot.iter().chain(&entry.multiboot2).flat_map(|m| {
        std::iter::once(&m.kernel).chain(m.modules.iter().map(|module| &module.path))
    });
    linux.chain(multiboot).collect()
}

/// Writes GRUB's menu into the tree, its programs for UEFI into `esp`, and returns the rest.
pub(super) fn install(
    grub: &Grub,
    boot: &Boot,
    scene: &Scene<'_>,
    trees: &mut Trees<'_>,
    esp: Option<&mut Esp>,
    reach: &dyn Fn(usize) -> Result<Reach, Error>,
) -> Result<Made, Error> {
    let entries = entries(grub, boot);
    let own = partition(grub, &entries, scene)?;
    let volume =
        Volume { own, named: grub.partition.is_some(), scene, trees, packed: Cell::new(false) };
    let mut list = Vec::new();
    for (path, entry) in &entries {
        let origin = Origin::new(path.as_str());
        list.push(volume.entry(entry, &origin).map_err(|e| e.at(&origin))?);
    }
    let packed = volume.packed.get();
    let directory = directory(scene, own)?;
    let menu = menu(grub, &directory, list);
    let text_of = menu.config().map_err(|e| e.at(&origin()))?;
    let path = directory.join(&Name::new(CONFIG)?);
    let tree = trees.at(own)?;
    put(tree, &path, text(&text_of), scene.env.time, &origin())?;
    files::install(grub, scene, tree, &directory, &origin()).map_err(|e| e.at(&origin()))?;
    let reach = reach(own).map_err(|e| e.at(&origin()))?;
    let shown = format!("/{}", String::from_utf8_lossy(&joined(&directory)));
    if let Some(esp) = esp {
        uefi(grub, scene, &reach, &shown, esp).map_err(|e| e.at(&origin()))?;
    }
    let core = grub
        .firmware
        .contains(&BootFirmware::Bios)
        .then(|| bios((grub, packed), scene, &reach, &shown, &menu).map_err(|e| e.at(&origin())))
        .transpose()?;
    Ok(Made { partition: own, core })
}

fn joined(path: &TreePath) -> Vec<u8> {
    let names: Vec<&[u8]> = path.names().iter().map(Name::as_bytes).collect();
    names.join(&b'/')
}

/// The partition with GRUB's files: the named one, else the one with the first kernel.
fn partition(
    grub: &Grub,
    entries: &[(FieldPath, GrubEntry)],
    scene: &Scene<'_>,
) -> Result<usize, Error> {
    if let Some(name) = &grub.partition {
        let partitions = scene.given.spec.disk.iter().flat_map(|disk| &disk.partitions);
        let found = partitions.clone().position(|partition| partition.name == *name);
        return found.ok_or_else(|| {
            let message = format!("there is no partition {name:?}");
            Error::new(Kind::Document, message).at(&Origin::new("spec.boot.grub.partition"))
        });
    }
    let first = entries.iter().flat_map(|(_, entry)| paths(entry)).next();
    let usual = Path::new("/boot/grub");
    Ok(scene.ground.find(first.unwrap_or(&usual), &origin())?.partition)
}

/// GRUB's directory in its partition.
fn directory(scene: &Scene<'_>, own: usize) -> Result<TreePath, Error> {
    let whole = Path::new("/boot/grub");
    match scene.ground.find(&whole, &origin()) {
        Ok(found) if found.partition == own => Ok(found.path),
        _ => TreePath::new(DIRECTORY),
    }
}

/// The filesystem that GRUB reads.
struct Volume<'a, 'b> {
    own: usize,
    named: bool,
    scene: &'a Scene<'b>,
    trees: &'a Trees<'a>,
    /// Whether a kernel is compressed.
    packed: Cell<bool>,
}

impl Volume<'_, '_> {
    /// Where a path of the document lies in GRUB's filesystem, and the file.
    fn file(&self, path: &Path, origin: &Origin) -> Result<(Vec<u8>, Content), Error> {
        let found = match self.scene.ground.find(path, origin) {
            Ok(found) => found,
            // A partition that is not mounted anywhere is named, and has paths of its own.
            Err(_) if self.named => {
                Found { partition: self.own, path: TreePath::new(path.as_bytes())? }
            }
            Err(error) => return Err(error),
        };
        if found.partition != self.own {
            let message = format!(
                "{path} lies on another partition than GRUB's menu; put both on one, or name it in boot.grub.partition"
            );
            return Err(Error::new(Kind::Document, message).at(origin));
        }
        let content = self.trees.file(&found, origin)?;
        Ok(([&b"/"[..], &joined(&found.path)].concat(), content))
    }

    fn entry(&self, entry: &GrubEntry, origin: &Origin) -> Result<Entry, Error> {
        let action = match entry {
            GrubEntry { linux: Some(linux), .. } => self.linux(linux, origin)?,
            GrubEntry { multiboot: Some(kernel), .. } => {
                self.multiboot(kernel, Version::One, origin)?
            }
            GrubEntry { multiboot2: Some(kernel), .. } => {
                self.multiboot(kernel, Version::Two, origin)?
            }
            GrubEntry { chainload: Some(place), .. } if place == "+1" => {
                Action::Chainload(Chain::Sector(None))
            }
            GrubEntry { chainload: Some(path), .. } => {
                Action::Chainload(Chain::File(self.file(&Path::new(path), origin)?.0))
            }
            other => Action::Commands(other.commands.clone().unwrap_or_default()),
        };
        Ok(Entry { title: entry.title.clone(), action })
    }

    fn linux(&self, linux: &LinuxEntry, origin: &Origin) -> Result<Action, Error> {
        let (path, content) = self.file(&linux.kernel, origin)?;
        let initrd = linux.initrd.as_ref();
        let initrd = initrd.map(|path| Ok::<_, Error>((path, self.file(path, origin)?)));
        let initrd = initrd.transpose()?;
        let judged = initrd.as_ref().map(|(path, (_, content))| (*path, content));
        super::kernel::linux((&linux.kernel, &content), judged, self.scene.given, origin)?;
        Ok(Action::Linux {
            kernel: path,
            initrds: initrd.into_iter().map(|(_, (place, _))| place).collect(),
            arguments: self.scene.fill(&linux.command_line, origin)?.into_bytes(),
        })
    }

    fn multiboot(
        &self,
        given: &Multiboot,
        version: Version,
        origin: &Origin,
    ) -> Result<Action, Error> {
        let (path, content) = self.file(&given.kernel, origin)?;
        let packed = kernel::is_gzip(&super::kernel::bytes(&content, origin)?);
        self.packed.set(self.packed.get() || packed);
        let plain = super::kernel::unpacked(&content, self.scene.env, origin)?;
        kernel::multiboot(&super::kernel::bytes(&plain, origin)?, version, &given.kernel)?;
        let modules = given.modules.iter().map(|module| {
            let arguments = self.scene.fill(&module.arguments, origin)?.into_bytes();
            Ok(Module { path: self.file(&module.path, origin)?.0, arguments })
        });
        Ok(Action::Multiboot {
            version,
            kernel: path,
            arguments: self.scene.fill(&given.arguments, origin)?.into_bytes(),
            modules: modules.collect::<Result<_, Error>>()?,
        })
    }
}

fn menu(grub: &Grub, directory: &TreePath, entries: Vec<Entry>) -> Menu {
    let screen = grub.graphics.map_or(Terminal::Console, |graphics| {
        let name = graphics.font.file().as_bytes();
        Terminal::Graphics { font: [b"/", &*joined(directory), b"/fonts/", name].concat() }
    });
    let serial = grub.serial.map(|s| Terminal::Serial { unit: s.unit, speed: s.speed });
    let default =
        grub.default.as_ref().and_then(|title| entries.iter().position(|e| e.title == *title));
    let usual = if entries.len() > 1 { 5 } else { 0 };
    Menu {
        default: default.unwrap_or(0),
        timeout: Some(grub.timeout_seconds.unwrap_or(usual)),
        terminals: std::iter::once(screen).chain(serial).collect(),
        entries,
    }
}

fn bios(
    (grub, packed): (&Grub, bool),
    scene: &Scene<'_>,
    reach: &Reach,
    directory: &str,
    menu: &Menu,
) -> Result<Core, Error> {
    let assets = scene.env.assets;
    let commands = assets.read(Set::GrubPc, "command.lst")?;
    let commands = String::from_utf8_lossy(&commands);
    let mut params = menu_core(reach.access, &reach.root, directory, menu, &commands)?;
    let unpacker = packed.then(|| "gzio".to_owned());
    for module in grub.modules.iter().chain(&unpacker) {
        if !params.modules.contains(module) {
            params.modules.push(module.clone());
        }
    }
    core(&params, assets)
}

/// What finds GRUB's files, for its own shell.
fn search(reach: &Reach, directory: &str) -> Result<String, Error> {
    let found = match &reach.root {
        Root::Uuid(uuid) => format!("search --fs-uuid --set=root {uuid}\n"),
        Root::File(path) => {
            format!("search --file --set=root {}\n", String::from_utf8_lossy(path))
        }
        Root::Own(_) => {
            let message = "GRUB for UEFI needs a filesystem that it can search for";
            return Err(Error::new(Kind::Document, message));
        }
    };
    Ok(format!("{found}set prefix=($root){directory}\n"))
}

fn uefi(
    grub: &Grub,
    scene: &Scene<'_>,
    reach: &Reach,
    directory: &str,
    esp: &mut Esp,
) -> Result<(), Error> {
    let assets = scene.env.assets;
    let machine = machine(scene.given.spec.architecture)?;
    let find = search(reach, directory)?;
    let more = format!("{find}configfile {directory}/grub.cfg\n");
    // On an ISO, too: its part for UEFI is a filesystem that GRUB reads its configuration from.
    let kind = efi::Grub::Disk;
    match grub.efi_image {
        EfiImage::Native => {
            if machine != efi::Machine::X64 {
                let message = "efiImage: native is for amd64 only; use efiImage: distribution";
                return Err(Error::new(Kind::Document, message));
            }
            let mut modules: Vec<&str> = program::MENU.to_vec();
            modules.extend(grub.modules.iter().map(String::as_str));
            let params =
                program::Params { modules: &modules, prefix: directory, config: &find, sbat: None };
            let image = program::image(assets, &params)?;
            esp.add(efi::fallback(machine, Content::Bytes(image.into()), &origin()));
        }
        EfiImage::Distribution => {
            esp.extend(efi::distribution(machine, kind, &more, assets, &origin())?);
        }
        EfiImage::Signed => {
            if machine != efi::Machine::X64 {
                let message = "efiImage: signed is for amd64 only";
                return Err(Error::new(Kind::Document, message));
            }
            esp.extend(efi::signed(kind, &more, assets, &origin())?);
        }
    }
    Ok(())
}
