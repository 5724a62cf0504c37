//! Image layouts: a directory, or an archive of one; and what `docker save` wrote before.
//!
//! OCI Image Layout Specification 1.1. Invariant: of a directory only `index.json`, `oci-layout` and
//! files below `blobs/sha256` that a digest names are opened.

use std::path::Path;
use std::sync::Arc;

use super::digest::fetch_manifest;
use super::image::choose;
use super::json::{INDEXES, Index, parse};
use super::{Blobs, Descriptor, Digest, Image, Platform, Pulled, docker, resolve};
use crate::engine::archive::{Entries, Form, Format};
use crate::engine::base::tree::{Kind as NodeKind, Meta, Missing, Time, Tree, TreePath};
use crate::engine::base::{Beneath, Content, Error, Kind, Origin, SectorSource};

/// Files in an archive of an image: more than a thousand layers have.
const MOST_FILES: usize = 20_000;

/// Indexes of a layout that are read to find a digest.
const MOST_INDEXES: usize = 100;

/// A layout.
#[derive(Debug)]
pub struct Layout {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory(Beneath),
    Archive(Box<Tree>),
}

impl Layout {
    /// The layout in a directory of the host. Links in it are not followed.
    #[must_use]
    pub const fn directory(directory: Beneath) -> Self {
        Self { place: Place::Directory(directory) }
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
        if self.has("index.json")? {
            let index: Index = parse(self.file("index.json")?.as_ref(), "index.json")?;
            let first = choose(&index.manifests, platform, reference)?;
            return resolve(self, first, platform);
        }
        if self.has("manifest.json")? {
            return docker::image(self, platform, reference);
        }
        let message = "there is neither index.json nor manifest.json: it holds no image";
        Err(Error::new(Kind::Input, message))
    }

    /// The image that `digest` names, or the only one for `platform`, and the digest of what
    /// `index.json` has for it; none if it is one of `docker save` without index.
    pub fn find(
        &self,
        platform: &Platform,
        digest: Option<&str>,
    ) -> Result<(Image, Option<String>), Error> {
        if !self.has("index.json")? {
            return Ok((self.image(platform, None)?, None));
        }
        let index: Index = parse(self.file("index.json")?.as_ref(), "index.json")?;
        let found = match digest.map(Digest::new).transpose()? {
            Some(digest) => self.descriptor(&index, &digest, &mut 0)?,
            None => choose(&index.manifests, platform, None)?.clone(),
        };
        Ok((resolve(self, &found, platform)?, Some(found.digest.to_string())))
    }

    /// The same of a layout in a directory.
    pub fn pulled<'a>(
        self,
        platform: &Platform,
        digest: Option<&str>,
    ) -> Result<Pulled<'a>, Error> {
        let (image, digest) = self.find(platform, digest)?;
        let digest = digest.ok_or_else(|| {
            Error::new(Kind::Input, "there is no index.json: the directory holds no image layout")
        })?;
        Ok(Pulled { image, blobs: Box::new(self), digest })
    }

    /// What names the manifest or index with this digest, in `index` or in an index that it names.
    fn descriptor(
        &self,
        index: &Index,
        digest: &Digest,
        read: &mut usize,
    ) -> Result<Descriptor, Error> {
        if let Some(found) = index.manifests.iter().find(|d| d.digest == *digest) {
            return Ok(found.clone());
        }
        let indexes = index.manifests.iter().filter(|d| INDEXES.contains(&d.media_type.as_str()));
        for inner in indexes {
            *read += 1;
            if *read > MOST_INDEXES {
                break;
            }
            let inner: Index = parse(fetch_manifest(self, inner)?.as_ref(), "the image index")?;
            if let Ok(found) = self.descriptor(&inner, digest, read) {
                return Ok(found);
            }
        }
        let list: Vec<_> = index.manifests.iter().take(20).map(|d| d.digest.as_str()).collect();
        let message =
            format!("no image has the digest {digest} here; there are {}", list.join(", "));
        Err(Error::new(Kind::Input, message))
    }

    /// Whether there is such a file; an error if it is there and may not be read.
    fn has(&self, name: &str) -> Result<bool, Error> {
        match self.file(name) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::Io => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// A file by the path that an archive has for it, or by one of the fixed names.
    pub(super) fn file(&self, name: &str) -> Result<Arc<dyn SectorSource>, Error> {
        match &self.place {
            Place::Directory(directory) => Ok(Arc::new(directory.file(Path::new(name))?)),
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
