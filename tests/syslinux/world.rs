//! Volumes and disks with syslinux on them.
//!
//! Judges nothing. Invariant: what is on a disk beside our volume is put there by hand or by sfdisk.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use vmimage::engine::base::tree::{Kind, Meta, Missing, Time, Tree, TreePath};
use vmimage::engine::base::{
    Content, Extent, Origin, Placement, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::bootloader::syslinux::{Parts, Volume, install};
use vmimage::engine::filesystem::{BootCode, Identity, Params, Request, Room, ext, fat, plan};

const TIME: Time = Time { seconds: 1_709_210_096, nanos: 0 };

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

pub(crate) fn assets() -> Assets {
    Assets::new(Vec::new())
}

pub(crate) fn parts() -> Arc<Parts> {
    Arc::new(Parts::read(&assets()).unwrap())
}

pub(crate) fn tree() -> Tree {
    Tree::new(Meta::directory(TIME), Origin::new("root"))
}

pub(crate) fn put(tree: &mut Tree, at: &TreePath, content: Content) {
    let origin = Origin::new("files");
    let (parent, name) = at.split().unwrap();
    let missing = Missing::Make(Meta::directory(TIME));
    let parent = tree.directory_at(&parent, missing, &origin).unwrap();
    tree.put(parent, name.clone(), Kind::File(content), Meta::file(TIME), &origin).unwrap();
}

pub(crate) fn bytes(bytes: &[u8]) -> Content {
    Content::Bytes(bytes.into())
}

/// Where a volume lies on a disk.
pub(crate) struct Place {
    pub(crate) start: u64,
    pub(crate) room: Room,
    pub(crate) medium: u64,
}

/// A volume with `files` and with syslinux in `directory`.
pub(crate) fn volume(
    params: &Params,
    directory: &str,
    files: &[(&str, &[u8])],
    place: &Place,
) -> Arc<dyn SectorSource> {
    let kind = if matches!(params, Params::Fat(_)) { Volume::Fat } else { Volume::Ext };
    let installed = install(&parts(), kind, &path(directory)).unwrap();
    let mut tree = tree();
    for (name, content) in installed.files {
        put(&mut tree, &path(&format!("{directory}/{name}")), content);
    }
    for (name, content) in files {
        put(&mut tree, &path(name), bytes(content));
    }
    let boot = Some(BootCode { files: installed.needs, make: installed.code });
    let params = match params.clone() {
        Params::Fat(own) => Params::Fat(fat::Params { boot, oem_name: installed.oem_name, ..own }),
        Params::Ext(own) => Params::Ext(ext::Params { boot, ..own }),
        other => other,
    };
    render(&params, tree, place)
}

pub(crate) fn render(params: &Params, tree: Tree, place: &Place) -> Arc<dyn SectorSource> {
    let scratch = Scratch::new(Path::new("/nowhere"), 0);
    let request = Request {
        tree: Arc::new(tree),
        identity: Identity { label: None, uuid: None, seed: uuid::Uuid::from_u128(0x5eed) },
        room: place.room,
        time: TIME,
        sector: if matches!(params, Params::Iso9660(_)) { 2048 } else { 512 },
        scratch: &scratch,
        work: Work { threads: 1, progress: &Silent },
    };
    let planned = plan(params, &request).unwrap();
    let extent = Extent::new(place.start, place.start + planned.len()).unwrap();
    let medium = place.medium.max(extent.end());
    planned.render(&Placement { extents: vec![extent], medium, volume: 0 }).unwrap()
}

/// A disk in a file, in a directory of its own.
pub(crate) struct Disk {
    _directory: TempDir,
    pub(crate) file: PathBuf,
}

impl Disk {
    pub(crate) fn new(len: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("disk");
        fs_err::File::create(&file).unwrap().set_len(len).unwrap();
        Self { _directory: directory, file }
    }

    pub(crate) fn name(&self) -> &str {
        self.file.to_str().unwrap()
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        let file = fs_err::File::options().write(true).open(&self.file).unwrap().into_file();
        file.write_all_at(bytes, at).unwrap();
    }

    pub(crate) fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fs_err::File::open(&self.file).unwrap().into_file().read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    /// What `source` holds, at `at`.
    pub(crate) fn put(&self, at: u64, source: &dyn SectorSource) {
        for extent in source.extents() {
            for from in (extent.start()..extent.end()).step_by(1 << 20) {
                let mut part = vec![0; (extent.end() - from).min(1 << 20) as usize];
                source.read_at(from, &mut part).unwrap();
                self.write(at + from, &part);
            }
        }
    }

    /// Fills with zeros the only place where `wanted` begins.
    pub(crate) fn erase(&self, wanted: &[u8]) {
        let len = fs_err::metadata(&self.file).unwrap().len();
        let mut found = Vec::new();
        for from in (0..len).step_by(1 << 20) {
            let part = self.read(from, ((len - from) as usize).min((1 << 20) + 64));
            let head = &wanted[..64];
            let starts = part.windows(64).enumerate().filter(|(at, w)| *w == head && *at < 1 << 20);
            found.extend(starts.map(|(at, _)| from + at as u64));
        }
        assert_eq!(found.len(), 1, "the payload is there once");
        self.write(found[0], &vec![0; wanted.len()]);
    }
}
