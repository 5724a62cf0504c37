//! syslinux: its files and menu in the tree, its code for the volume.
//!
//! Invariant: what its code names is in the one filesystem that it reads.

use std::sync::Arc;

use super::grub::Scene;
use super::place::{Found, Trees};
use super::{put, text};
use crate::engine::base::tree::{Name, TreePath};
use crate::engine::base::{Content, Error, Kind, Origin};
use crate::engine::bootloader::syslinux::menu::{self, Config, Entry, Serial, Wait};
use crate::engine::bootloader::syslinux::{Parts, Volume, install as put_onto, modules};
use crate::engine::filesystem::BootCode;
use crate::engine::filesystem::{Params, ext};
use crate::engine::params;
use crate::manifest::types::{Boot, Disk, LinuxEntry, Path, Syslinux, SyslinuxEntry};

pub(super) fn origin() -> Origin {
    Origin::new("spec.boot.syslinux")
}

/// The entries: those of the document, or one for its kernel.
fn entries(syslinux: &Syslinux, boot: &Boot) -> Vec<SyslinuxEntry> {
    if !syslinux.entries.is_empty() {
        return syslinux.entries.clone();
    }
    let linux = super::kernel::entry(boot);
    linux.map(|linux| SyslinuxEntry { title: "linux".to_owned(), linux }).into_iter().collect()
}

/// Puts syslinux onto a disk; returns its partition and the code for it.
pub(super) fn install(
    syslinux: &Syslinux,
    boot: &Boot,
    disk: &Disk,
    scene: &Scene<'_>,
    trees: &mut Trees<'_>,
) -> Result<(usize, BootCode), Error> {
    let entries = entries(syslinux, boot);
    let own = partition(syslinux, &entries, disk, scene)?;
    let filesystem = disk.partitions.get(own).and_then(|p| p.filesystem.as_ref());
    let filesystem = filesystem.ok_or_else(|| {
        Error::new(Kind::Document, "the partition has no filesystem").at(&origin())
    })?;
    let features = match params::of(filesystem, true)? {
        Params::Ext(params) => ext::features(&params)?,
        _ => Vec::new(),
    };
    let sector = u64::from(disk.sector_size.0);
    let parts = Arc::new(Parts::read(scene.env.assets).map_err(|e| e.at(&origin()))?);
    let volume = Volume::of(filesystem.kind.as_str(), &features, sector, &parts);
    let volume = volume.map_err(|e| e.at(&origin()))?;
    let directory = directory(volume, own, scene)?;
    let config = config(syslinux, &entries, own, scene, trees)?;
    let made = put_onto(&parts, volume, &directory).map_err(|e| e.at(&origin()))?;
    let config_text = config.text().map_err(|e| e.at(&origin()))?;
    let mut files: Vec<(String, Content)> =
        made.files.iter().map(|(name, content)| ((*name).to_owned(), content.clone())).collect();
    files.push((volume.config().to_owned(), text(config_text.as_bytes())));
    let modules = modules(scene.env.assets, &config.modules()).map_err(|e| e.at(&origin()))?;
    files.extend(modules.into_iter().map(|(name, bytes)| (name, Content::Bytes(bytes))));
    for (name, content) in files {
        let path = directory.join(&Name::new(name.as_bytes())?);
        put(trees.at(own)?, &path, content, scene.env.time, &origin())?;
    }
    Ok((own, BootCode { files: made.needs, make: made.code }))
}

fn partition(
    syslinux: &Syslinux,
    entries: &[SyslinuxEntry],
    disk: &Disk,
    scene: &Scene<'_>,
) -> Result<usize, Error> {
    if let Some(name) = &syslinux.partition {
        let found = disk.partitions.iter().position(|partition| partition.name == *name);
        return found.ok_or_else(|| {
            Error::new(Kind::Document, format!("there is no partition {name:?}")).at(&origin())
        });
    }
    let usual = Path::new("/boot");
    let first = entries.first().map_or(&usual, |entry| &entry.linux.kernel);
    Ok(scene.ground.find(first, &origin())?.partition)
}

fn directory(volume: Volume, own: usize, scene: &Scene<'_>) -> Result<TreePath, Error> {
    match volume {
        Volume::Fat => TreePath::new(b"/syslinux"),
        Volume::Ext => match scene.ground.find(&Path::new("/boot/extlinux"), &origin()) {
            Ok(found) if found.partition == own => Ok(found.path),
            _ => TreePath::new(b"/boot/extlinux"),
        },
    }
}

/// The menu's text, with paths in the partition.
pub(super) fn config(
    syslinux: &Syslinux,
    entries: &[SyslinuxEntry],
    own: usize,
    scene: &Scene<'_>,
    trees: &Trees<'_>,
) -> Result<Config, Error> {
    let find = |path: &Path| -> Result<(TreePath, Content), Error> {
        let found = match scene.ground.find(path, &origin()) {
            Ok(found) => found,
            Err(_) if syslinux.partition.is_some() => {
                Found { partition: own, path: TreePath::new(path.as_bytes())? }
            }
            Err(error) => return Err(error),
        };
        if found.partition != own {
            let message =
                format!("{path} lies on another partition than syslinux; put both on one");
            return Err(Error::new(Kind::Document, message).at(&origin()));
        }
        let content = trees.file(&found, &origin())?;
        Ok((found.path, content))
    };
    let one = |(at, entry): (usize, &SyslinuxEntry)| {
        let LinuxEntry { kernel, initrd, command_line } = &entry.linux;
        let append = scene.fill(command_line, &origin())?;
        let (place, content) = find(kernel)?;
        let found = initrd.as_ref().map(find).transpose()?;
        let judged = initrd.as_ref().zip(found.as_ref().map(|(_, content)| content));
        super::kernel::linux((kernel, &content), judged, scene.given, &origin())?;
        let initrds = found.into_iter().map(|(place, _)| place).collect();
        let boot = menu::Boot::Linux { kernel: place, initrds, append };
        Ok(Entry { label: format!("entry{at}"), title: Some(entry.title.clone()), boot })
    };
    let list = entries.iter().enumerate().map(one).collect::<Result<Vec<_>, Error>>()?;
    let several = list.len() > 1;
    let seconds = syslinux.timeout_seconds.unwrap_or(if several { 5 } else { 0 });
    let tenths = u16::try_from(seconds.saturating_mul(10)).unwrap_or(u16::MAX).min(35_996);
    let title = scene.given.name.to_owned();
    let default = syslinux.default.as_ref();
    let default = default.and_then(|title| entries.iter().position(|e| e.title == *title));
    Ok(Config {
        serial: syslinux.serial.map(|s| Serial { port: s.unit as u16, baud: s.speed }),
        wait: std::num::NonZeroU16::new(tenths).map_or(Wait::No, Wait::Tenths),
        menu: several.then_some(menu::Menu { title, graphical: false }),
        default: default.unwrap_or(0),
        entries: list,
    })
}

/// The entries of an ISO.
pub(super) fn on_iso(
    syslinux: &Syslinux,
    boot: &Boot,
    scene: &Scene<'_>,
    trees: &Trees<'_>,
) -> Result<Config, Error> {
    config(syslinux, &entries(syslinux, boot), 0, scene, trees)
}
