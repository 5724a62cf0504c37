//! Image layouts: a directory, or an archive of one; and what `docker save` wrote before.
//!
//! OCI Image Layout Specification 1.1. Invariant: of a directory only `index.json`, `oci-layout` and
//! files below `blobs/sha256` that a digest names are opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image::choose;
use super::json::{Index, parse};
use super::{Blobs, Digest, Image, Platform, docker, resolve};
use crate::engine::archive::{Entries, Form, Format};
use crate::engine::base::tree::{Kind as NodeKind, Meta, Missing, Time, Tree, TreePath};
use crate::engine::base::{Content, Error, FileSource, Kind, Origin, SectorSource};

/// Files in an archive of an image: more than a thousand layers have.
const MOST_FILES: usize = 20_000;

/// A layout.
#[derive(Debug)]
pub struct Layout {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    Archive(Box<Tree>),
}

impl Layout {
    /// The layout in a directory of the host.
    #[must_use]
    pub fn directory(path: &Path) -> Self {
        Self { place: Place::Directory(path.to_owned()) }
    }

    /// The layout in a tar that is not compressed.
    pub fn archive(source: Arc<dyn SectorSource>) -> Result<Self, Error> {
        let origin = Origin::new("");
        let meta = Meta::directory(Time::default());
        let mut tree = Tree::new(meta, origin.clone());
        for (number, entry) in Entries::open(Format::Tar, source)?.enumerate() {
            let entry = entry?;
            if number >= MOST_FILES {
                let message = format!("an archive of an image has more than {MOST_FILES} files");
                return Err(Error::new(Kind::Input, message));
            }
            let kind = match entry.form {
                Form::File(content) => NodeKind::File(content),
                Form::Symlink(target) => NodeKind::Symlink(target),
                _ => continue,
            };
            let path = TreePath::new(&entry.path)?;
            let Some((parent, name)) = path.split() else { continue };
            let parent = tree.directory_at(&parent, Missing::Make(meta), &origin)?;
            tree.put(parent, name.clone(), kind, meta, &origin)?;
        }
        Ok(Self { place: Place::Archive(Box::new(tree)) })
    }

    /// The image for `platform`; of several, the one with the name `reference`.
    pub fn image(&self, platform: &Platform, reference: Option<&str>) -> Result<Image, Error> {
        if self.has("index.json") {
            let index: Index = parse(self.file("index.json")?.as_ref(), "index.json")?;
            let first = choose(&index.manifests, platform, reference)?;
            return resolve(self, first, platform, None);
        }
        if self.has("manifest.json") {
            return docker::image(self, platform, reference);
        }
        let message = "there is neither index.json nor manifest.json: it holds no image";
        Err(Error::new(Kind::Input, message))
    }

    fn has(&self, name: &str) -> bool {
        match &self.place {
            Place::Directory(directory) => directory.join(name).is_file(),
            Place::Archive(_) => self.file(name).is_ok(),
        }
    }

    /// A file by the path that an archive has for it, or by one of the fixed names.
    pub(super) fn file(&self, name: &str) -> Result<Arc<dyn SectorSource>, Error> {
        match &self.place {
            Place::Directory(directory) => Ok(Arc::new(FileSource::open(&directory.join(name))?)),
            Place::Archive(tree) => {
                let found = tree.resolve(&TreePath::new(name.as_bytes())?);
                match found.map(|id| &tree.node(id).kind) {
                    Some(NodeKind::File(Content::Sectors(source))) => Ok(Arc::clone(source)),
                    _ => {
                        let message =
                            format!("the archive has no file \"{}\"", name.escape_debug());
                        Err(Error::new(Kind::Input, message))
                    }
                }
            }
        }
    }

    /// Whether files may be asked for by names that the image itself holds: in an archive alone.
    pub(super) const fn is_archive(&self) -> bool {
        matches!(self.place, Place::Archive(_))
    }
}

impl Blobs for Layout {
    fn blob(&self, digest: &Digest, _: u64) -> Result<Arc<dyn SectorSource>, Error> {
        self.file(&format!("blobs/sha256/{}", digest.hex()))
    }
}
