//! The loader of an ISO: entries of its boot catalog, and the code by which it boots as a disk, too.
//!
//! Invariant: the same file boots as a disc and as a disk wherever the loader can.

use std::sync::Arc;

use super::disk::{files, mark};
use super::efi::{self, Esp};
use super::grub::{self, Reach, Scene};
use super::place::{Ground, Trees};
use super::{floppy, floppy_image, initrd, kernel, put, syslinux, text};
use crate::engine::base::tree::{Tree, TreePath};
use crate::engine::base::{Content, Error, Extent, Kind, Origin, Patch, Placement, SectorSource};
use crate::engine::bootloader::efi as layout;
use crate::engine::bootloader::grub::menu::{Access, Filesystem, Root, Table};
use crate::engine::bootloader::grub::pc::Hybrid;
use crate::engine::bootloader::sector::Front;
use crate::engine::bootloader::syslinux::{Isolinux, hybrid, modules};
use crate::engine::filesystem::iso9660::{
    BootEntry, BootImage, Emulation, Params, Places, Platform, SystemArea,
};
use crate::engine::filesystem::{self, Identity, Request, Room, fat};
use crate::engine::partition::{self, MbrSlot, Place};
use crate::engine::{Env, Given, sector_bytes};
use crate::manifest::types::{Boot, BootFirmware, Grub, Syslinux};

/// Where isolinux lies.
const ISOLINUX: &str = "/isolinux";
/// Types of partitions: EFI system, and one that no system mounts (hidden NTFS, as isohybrid has it).
const EFI_SYSTEM: u8 = 0xef;
const HIDDEN: u8 = 0x17;
/// Empty sectors at the end of a disc, as everybody has them.
const PADDING: u32 = 150;

/// What makes a disc also a disk: the code at its beginning out of the place of its boot image.
type Code = Box<dyn Fn(&Places) -> Result<Vec<u8>, Error> + Send + Sync>;

/// Puts the loader of a document onto its ISO.
pub(in crate::engine) fn on_iso(
    tree: &mut Tree,
    params: &mut Params,
    disk: Option<&Arc<dyn SectorSource>>,
    given: &Given<'_>,
    env: &Env<'_>,
) -> Result<(), Error> {
    let Some(boot) = &given.spec.boot else { return Ok(()) };
    if let Some(sector) = &boot.sector {
        params.boot.push(match disk.filter(|_| given.spec.has_volumes()) {
            Some(disk) => floppy(Arc::clone(disk))?,
            None => {
                let (origin, bytes) = sector_bytes(sector, Front::Bare, given.inputs)?;
                floppy(floppy_image(Content::Bytes(bytes.into()), &origin))?
            }
        });
        return Ok(());
    }
    let scene = Scene { given, env, ids: None, ground: Ground::iso() };
    let mut one = [Some(std::mem::replace(tree, empty(env)))];
    let mut trees = Trees(&mut one);
    let made = loader(boot, &scene, &mut trees);
    if let [Some(changed)] = one {
        *tree = changed;
    }
    let (entries, code, esp) = made?;
    if boot.grub.is_some() {
        // GRUB's code for discs reads a sector more than its image has.
        params.padding = PADDING;
    }
    params.boot = entries;
    let esp = esp.map(|esp| image(esp, given, env)).transpose()?;
    if let Some(image) = esp {
        params.boot.push(uefi(image));
    }
    if !params.boot.is_empty() {
        params.system_area = Some(system_area(params, code, given));
    }
    Ok(())
}

fn empty(env: &Env<'_>) -> Tree {
    let meta = crate::engine::base::tree::Meta::directory(env.time);
    Tree::new(meta, Origin::new("spec.iso"))
}

type Made = (Vec<BootEntry>, Option<Code>, Option<Esp>);

fn loader(boot: &Boot, scene: &Scene<'_>, trees: &mut Trees<'_>) -> Result<Made, Error> {
    let Scene { given, env, ground, .. } = scene;
    if boot.grub.is_some() || boot.syslinux.is_some() {
        files(boot, scene, trees)?;
    }
    if let Some(grub) = &boot.grub {
        return with_grub(grub, boot, scene, trees);
    }
    if let Some(wanted) = &boot.syslinux {
        return with_isolinux(wanted, boot, scene, trees);
    }
    if let (Some(style), Some(wanted)) = (&boot.efi, &boot.kernel) {
        let kernel = kernel::content(wanted, ground, trees, given, env)?;
        let initrd = boot.initrd.as_ref();
        let initrd =
            initrd.map(|one| initrd::content(one, ground, trees, None, given, env)).transpose()?;
        let line = scene.fill(&boot.command_line, &Origin::new("spec.boot.commandLine"))?;
        let esp = efi::install(style, kernel, initrd, &line, given, env)?;
        return Ok((Vec::new(), None, Some(esp)));
    }
    Ok((Vec::new(), None, None))
}

fn with_grub(
    grub: &Grub,
    boot: &Boot,
    scene: &Scene<'_>,
    trees: &mut Trees<'_>,
) -> Result<Made, Error> {
    let origin = Origin::new("spec.boot.grub");
    let Scene { given, env, .. } = scene;
    let mark = mark(given)?;
    put(trees.at(0)?, &mark, text(b"\n"), env.time, &origin)?;
    let shown = format!("/boot/grub/{}", given.seed.id("iso/mark"));
    let reach = |_| {
        let access = Access { filesystem: Filesystem::Iso9660, table: Table::None };
        Ok(Reach { access, root: Root::File(shown.clone().into_bytes()) })
    };
    let uefi = grub.firmware.contains(&BootFirmware::Uefi);
    let mut esp = uefi.then(Esp::default);
    let made = grub::install(grub, boot, scene, trees, esp.as_mut(), &reach)?;
    let Some(core) = made.core else { return Ok((Vec::new(), None, esp)) };
    let disc = core.disc(env.assets).map_err(|e| e.at(&origin))?;
    let mut entry = bios(BootImage::Content(Content::Bytes(disc.into())));
    entry.grub2_info = true;
    let code = Hybrid::new(env.assets).map_err(|e| e.at(&origin))?;
    let code: Code = Box::new(move |places| {
        let start = places.boot.first().map_or(0, |(start, _)| *start);
        Ok(code.code(start)?.bytes)
    });
    Ok((vec![entry], Some(code), esp))
}

fn with_isolinux(
    wanted: &Syslinux,
    boot: &Boot,
    scene: &Scene<'_>,
    trees: &mut Trees<'_>,
) -> Result<Made, Error> {
    let origin = syslinux::origin();
    let assets = scene.env.assets;
    let config = syslinux::on_iso(wanted, boot, scene, trees)?;
    let parts = Isolinux::read(assets).map_err(|e| e.at(&origin))?;
    let menu = config.text().map_err(|e| e.at(&origin))?;
    let mut files = vec![
        ("isolinux.bin".to_owned(), Content::Bytes(parts.image)),
        ("ldlinux.c32".to_owned(), Content::Bytes(parts.library)),
        (Isolinux::CONFIG.to_owned(), text(menu.as_bytes())),
    ];
    let more = modules(assets, &config.modules()).map_err(|e| e.at(&origin))?;
    files.extend(more.into_iter().map(|(name, bytes)| (name, Content::Bytes(bytes))));
    for (name, content) in files {
        let path = TreePath::new(format!("{ISOLINUX}/{name}").as_bytes())?;
        put(trees.at(0)?, &path, content, scene.env.time, &origin)?;
    }
    let image = TreePath::new(format!("{ISOLINUX}/isolinux.bin").as_bytes())?;
    let assets = assets.clone();
    let code: Code = Box::new(move |places| {
        let start = places.boot.first().map_or(0, |(start, _)| *start);
        hybrid(&assets, start)
    });
    Ok((vec![bios(BootImage::Path(image))], Some(code), None))
}

fn bios(image: BootImage) -> BootEntry {
    BootEntry {
        platform: Platform::Bios,
        emulation: Emulation::None,
        image,
        load_segment: 0,
        load_sectors: Some(4),
        info_table: true,
        grub2_info: false,
    }
}

fn uefi(image: Content) -> BootEntry {
    BootEntry {
        platform: Platform::Efi,
        load_sectors: None,
        info_table: false,
        ..bios(BootImage::Content(image))
    }
}

/// The EFI system partition as a FAT filesystem.
fn image(esp: Esp, given: &Given<'_>, env: &Env<'_>) -> Result<Content, Error> {
    let origin = Origin::new("spec.boot");
    let tree = layout::tree(esp.into_files(), env.time, &origin)?;
    let request = Request {
        tree: Arc::new(tree),
        identity: Identity { label: None, uuid: None, seed: given.seed.id("iso/esp") },
        room: Room::Fit { percent: 0, bytes: 0 },
        time: env.time,
        sector: 512,
        scratch: env.scratch,
        work: env.work,
    };
    let planned = filesystem::plan(&filesystem::Params::Fat(fat::Params::default()), &request);
    let planned = planned.map_err(|e| e.at(&origin))?;
    let len = planned.len();
    let extents = Extent::new(0, len).into_iter().collect();
    let placement = Placement { extents, medium: len, volume: 0 };
    Ok(Content::Sectors(planned.render(&placement).map_err(|e| e.at(&origin))?))
}

/// The first record of the disc as a disk: the loader's code, and a table that shows what firmware
/// wants to see. Where UEFI is to find its partition, the one of the whole disc has type 0: firmware
/// refuses a table whose partitions overlap, and passes over that one.
fn system_area(params: &Params, code: Option<Code>, given: &Given<'_>) -> SystemArea {
    let efi = params.boot.iter().position(|entry| entry.platform == Platform::Efi);
    let signature = given.seed.id("iso/signature").as_fields().0.max(1);
    let make = move |places: &Places| {
        let mut patches = Vec::new();
        if let Some(code) = &code {
            patches.push(Patch { offset: 0, bytes: code(places)? });
        }
        let mut slots = Vec::new();
        if code.is_some() {
            let kind = if efi.is_some() { 0 } else { HIDDEN };
            slots.push(slot(1, 0, places.len / 512 * 512, kind, true)?);
        }
        if let Some((start, len)) = efi.and_then(|at| places.boot.get(at)) {
            slots.push(slot(2, *start, len.next_multiple_of(512), EFI_SYSTEM, false)?);
        }
        patches.extend(partition::mbr(&slots, signature, 512)?);
        Ok(patches)
    };
    SystemArea { files: Vec::new(), make: Arc::new(make) }
}

fn slot(number: u32, start: u64, len: u64, kind: u8, active: bool) -> Result<MbrSlot, Error> {
    let extent = Extent::new(start, start + len).ok_or_else(|| {
        Error::new(Kind::Document, "a boot image of the ISO is empty").at(&Origin::new("spec.boot"))
    })?;
    Ok(MbrSlot { place: Place { number, extent, record: None }, kind, active })
}
