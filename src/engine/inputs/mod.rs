//! Resolves a document's inputs: every source becomes bytes, or the tree of an image, with a digest.
//!
//! ```text
//! source ──Provider──▶ bytes as fetched ──digest──▶ member ──▶ decompress ──▶ Input
//!                └───▶ image: manifest ──digest──▶ layers ──▶ tree ──path───────┘
//! ```
//!
//! The only engine part that reads before `make`. What lies outside of the document comes from a
//! `Provider`; nothing is fetched here. Invariant: bytes whose digest is not the one that the
//! document names never reach `plan`.

mod taken;
mod wish;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::wish::Wish;
use super::base::tree::{Time, Tree};
use super::base::{
    ByteSource, Error, FileSource, Kind, Origin, Progress, Scratch, SectorSource, Silent, digest,
};
use super::bootloader::assets::{Assets, Set};
use super::payload::{Unpack, image_tree};
use crate::manifest::types::Source;
use crate::manifest::{FieldPath, Spec, hash, source};
use crate::oci::{Layout, Platform, Pulled};

/// No input that has to lie in memory may be larger.
const MAX_IN_MEMORY: u64 = 16 << 20;

/// Gives the bytes of sources that do not stand in the document.
pub trait Provider: fmt::Debug {
    /// The bytes of `source`, before `member` and `decompress`.
    fn provide(&self, source: &Source, progress: &dyn Progress) -> Result<Provided, Error>;

    /// The container image that `source` names; none where the bytes of `source` are one.
    fn image<'a>(
        &'a self,
        source: &Source,
        platform: &Platform,
        progress: &'a dyn Progress,
    ) -> Result<Option<Pulled<'a>>, Error>;

    /// Room for what is unpacked.
    fn scratch(&self) -> &Scratch;

    /// The files of boot loaders.
    fn assets(&self) -> &Assets;
}

/// What a provider gives.
#[derive(Clone, Debug)]
pub struct Provided {
    /// The bytes.
    pub source: Arc<dyn SectorSource>,
    /// Their digest, where it was computed on the way.
    pub digest: Option<String>,
}

impl From<Arc<dyn SectorSource>> for Provided {
    fn from(source: Arc<dyn SectorSource>) -> Self {
        Self { source, digest: None }
    }
}

/// Gives files below a directory, or nothing.
#[derive(Clone, Debug)]
pub struct Files {
    /// The directory.
    pub directory: Option<PathBuf>,
    /// Room for what is unpacked.
    pub scratch: Scratch,
    /// The files of boot loaders.
    pub assets: Assets,
}

impl Provider for Files {
    fn provide(&self, source: &Source, _: &dyn Progress) -> Result<Provided, Error> {
        let (Some(name), Some(directory)) = (&source.file, &self.directory) else {
            let kinds = source.kinds().join(", ");
            let message = format!("a source of kind {kinds} cannot be reached here; use inline");
            return Err(Error::new(Kind::Document, message));
        };
        let file: Arc<dyn SectorSource> = Arc::new(FileSource::open(&directory.join(name))?);
        Ok(file.into())
    }

    fn image<'a>(
        &'a self,
        _: &Source,
        _: &Platform,
        _: &'a dyn Progress,
    ) -> Result<Option<Pulled<'a>>, Error> {
        Ok(None)
    }

    fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn assets(&self) -> &Assets {
        &self.assets
    }
}

/// The inputs of a document by the path of their field.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    fields: BTreeMap<FieldPath, Input>,
    /// The digests of what boot loaders are made of.
    assets: BTreeMap<FieldPath, String>,
}

/// One input.
#[derive(Clone, Debug)]
pub struct Input {
    /// What is used.
    pub holds: Holds,
    /// The SHA-256 of what was fetched, of an image that of its manifest: `sha256:` and 64
    /// hexadecimal digits.
    pub digest: String,
    /// The length of what was fetched, of an image that of its layers.
    pub size: u64,
}

/// What an input is.
#[derive(Clone, Debug)]
pub enum Holds {
    /// Bytes.
    Bytes(Arc<dyn SectorSource>),
    /// The files of a container image.
    Tree(Arc<Tree>),
}

impl Input {
    /// The bytes.
    pub fn source(&self) -> Result<&Arc<dyn SectorSource>, Error> {
        match &self.holds {
            Holds::Bytes(source) => Ok(source),
            Holds::Tree(_) => {
                Err(Error::new(Kind::Document, "a container image is no file; add path"))
            }
        }
    }

    /// The files.
    pub fn tree(&self) -> Result<&Tree, Error> {
        match &self.holds {
            Holds::Tree(tree) => Ok(tree),
            Holds::Bytes(_) => Err(Error::new(Kind::Document, "a file is no container image")),
        }
    }

    /// The bytes in memory, for inputs that are short by their nature.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        let source = self.source()?;
        let len = source.len();
        if len > MAX_IN_MEMORY {
            let message = format!("the input has {len} bytes, {MAX_IN_MEMORY} are allowed");
            return Err(Error::new(Kind::Input, message));
        }
        let mut bytes = vec![0; len as usize];
        source.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

impl Inputs {
    /// Reads all inputs of `spec`. Files are looked for in `directory`; without one they are
    /// refused.
    pub fn resolve(spec: &Spec, directory: Option<&Path>) -> Result<Self, Error> {
        let scratch = Scratch::new(&std::env::temp_dir(), u64::MAX / 2);
        let directory = directory.map(Path::to_owned);
        let files = Files { directory, scratch, assets: Assets::default() };
        Self::resolve_with(spec, &files, Time::default(), &Silent)
    }

    /// Reads all inputs of `spec`; those that do not stand in it come from `provider`. Directories
    /// that an image does not have itself get `time`.
    pub fn resolve_with(
        spec: &Spec,
        provider: &dyn Provider,
        time: Time,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let wishes = wish::wishes(spec)?;
        let mut desk = Desk { provider, time, progress, shared: wish::shared(&wishes) };
        let mut inputs = BTreeMap::new();
        for wish in &wishes {
            let origin = Origin::new(wish.path.as_str());
            let input = desk.input(wish, &origin).map_err(|e| e.at(&origin))?;
            inputs.insert(wish.path.clone(), input);
        }
        Ok(Self { fields: inputs, assets: assets(spec, provider.assets())? })
    }

    /// Reads those inputs of `spec` that may have any digest (`manifest::source::mutable`), and
    /// keeps nothing of them but their digests. Of an image only the manifest is read.
    pub fn look(
        spec: &Spec,
        provider: &dyn Provider,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<FieldPath, String>, Error> {
        let mutable = source::mutable(spec);
        let wishes = wish::wishes(spec)?;
        let mut desk = Desk { provider, time: Time::default(), progress, shared: BTreeMap::new() };
        let mut digests = BTreeMap::new();
        for wish in wishes.iter().filter(|w| mutable.iter().any(|(path, _)| *path == w.path)) {
            let origin = Origin::new(wish.path.as_str());
            let digest = desk.digest(wish, &origin).map_err(|e| e.at(&origin))?;
            digests.insert(wish.path.clone(), digest);
        }
        Ok(digests)
    }

    /// The input of the field at `path`.
    #[must_use]
    pub fn get(&self, path: &FieldPath) -> Option<&Input> {
        self.fields.get(path)
    }

    /// The digests by path.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<FieldPath, String> {
        let fields = self.fields.iter().map(|(path, input)| (path.clone(), input.digest.clone()));
        fields.chain(self.assets.clone()).collect()
    }

    /// The digests of what boot loaders are made of, by the names of the sets.
    #[must_use]
    pub const fn assets(&self) -> &BTreeMap<FieldPath, String> {
        &self.assets
    }
}

/// The digests of the files of boot loaders that `spec` needs.
fn assets(spec: &Spec, assets: &Assets) -> Result<BTreeMap<FieldPath, String>, Error> {
    let mut digests = BTreeMap::new();
    for name in hash::assets(spec) {
        let Some(set) = Set::named(name) else { continue };
        digests.insert(hash::asset_path(name), assets.digest(set)?);
    }
    Ok(digests)
}

/// Resolves one input after the other.
#[derive(Debug)]
struct Desk<'a> {
    provider: &'a dyn Provider,
    time: Time,
    progress: &'a dyn Progress,
    /// What several fields take, once it was fetched, by what it is.
    shared: BTreeMap<String, Option<Input>>,
}

impl Desk<'_> {
    fn digest(&mut self, wish: &Wish<'_>, origin: &Origin) -> Result<String, Error> {
        if wish.image || wish.source.oci.is_some() {
            let pulled = self.provider.image(wish.source, &wish.platform, self.progress)?;
            if let Some(pulled) = pulled {
                return Ok(pulled.digest);
            }
        }
        if wish.image {
            return Ok(self.input(wish, origin)?.digest);
        }
        Ok(self.fetched(wish, origin)?.digest)
    }

    fn input(&mut self, wish: &Wish<'_>, origin: &Origin) -> Result<Input, Error> {
        let source = wish.source;
        let key = wish.key();
        let fetched = match self.shared.get(&key) {
            Some(Some(fetched)) => fetched.clone(),
            _ => self.fetched(wish, origin)?,
        };
        if let Some(place) = self.shared.get_mut(&key) {
            *place = Some(fetched.clone());
        }
        let pinned = |found: &str| source.pinned().is_none_or(|wanted| wanted == found);
        let archived = wish.image && matches!(fetched.holds, Holds::Bytes(_));
        if !archived && !pinned(&fetched.digest) {
            return Err(other_digest(source, &fetched.digest));
        }
        let scratch = self.provider.scratch();
        let path = source.oci.as_ref().and_then(|oci| oci.path.as_deref());
        let bytes = match (fetched.holds, path) {
            (Holds::Bytes(bytes), _) => bytes,
            (Holds::Tree(tree), Some(path)) => taken::file(&tree, path)?,
            (tree, None) => return Ok(Input { holds: tree, ..fetched }),
        };
        let bytes = taken::member(source, bytes, scratch)?;
        let bytes = taken::decompressed(source, bytes, scratch)?;
        if !wish.image {
            return Ok(Input { holds: Holds::Bytes(bytes), ..fetched });
        }
        // A layout in an archive counts as the image that it is, unless the file itself is pinned.
        let layout = Layout::archive(taken::unpacked(bytes, scratch)?)?;
        let (image, own) = match source.pinned() {
            Some(wanted) if wanted == fetched.digest => (layout.image(&wish.platform, None)?, None),
            wanted => layout.find(&wish.platform, wanted)?,
        };
        let digest = own.unwrap_or(fetched.digest);
        if !pinned(&digest) {
            return Err(other_digest(source, &digest));
        }
        let tree = image_tree(&image, &layout, &self.options(), scratch, origin)?;
        Ok(Input { holds: Holds::Tree(Arc::new(tree)), digest, size: fetched.size })
    }

    /// What `wish` names, as it is fetched.
    fn fetched(&self, wish: &Wish<'_>, origin: &Origin) -> Result<Input, Error> {
        let Wish { source, platform, .. } = wish;
        if wish.image || source.oci.is_some() {
            let pulled = self.provider.image(source, platform, self.progress)?;
            if let Some(Pulled { image, blobs, digest }) = pulled {
                let size = image.size();
                let tree = image_tree(
                    &image,
                    blobs.as_ref(),
                    &self.options(),
                    self.provider.scratch(),
                    origin,
                )?;
                return Ok(Input { holds: Holds::Tree(Arc::new(tree)), digest, size });
            }
        }
        let provided = match &source.inline {
            Some(inline) => {
                let bytes = source::inline_bytes(inline);
                let bytes = bytes.map_err(|e| Error::new(Kind::Input, e.to_string()))?;
                let digest = Some(source::digest(&bytes));
                Provided { digest, source: Arc::new(ByteSource::new(bytes)) }
            }
            None => {
                let mut bytes = (*source).clone();
                if wish.image {
                    // What is pinned may be the image in them.
                    bytes.digest = None;
                }
                self.provider.provide(&bytes, self.progress)?
            }
        };
        let size = provided.source.len();
        let digest = match provided.digest {
            Some(digest) => digest,
            None => digest(&*provided.source, self.progress)?,
        };
        Ok(Input { holds: Holds::Bytes(provided.source), digest, size })
    }

    fn options(&self) -> Unpack {
        Unpack { implied: self.time, ..Unpack::default() }
    }
}

fn other_digest(source: &Source, found: &str) -> Error {
    let wanted = source.pinned().unwrap_or_default();
    let message = format!("the bytes have digest {found}, the document wants {wanted}");
    Error::new(Kind::Input, message)
}
