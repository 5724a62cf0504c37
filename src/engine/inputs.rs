//! Resolves a document's inputs: every source becomes bytes with a digest.
//!
//! The only engine part that reads before `make`. What lies outside of the document comes from a
//! `Provider`; nothing is fetched here. Invariant: bytes whose digest is not the one that the
//! document names never reach `plan`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::base::{
    ByteSource, Error, FileSource, Kind, Origin, Progress, SectorSource, Silent, digest,
};
use crate::manifest::types::Source;
use crate::manifest::{FieldPath, Spec, source};

/// No input that has to lie in memory may be larger.
const MAX_IN_MEMORY: u64 = 16 << 20;

/// Gives the bytes of sources that do not stand in the document.
pub trait Provider: fmt::Debug {
    /// The bytes of `source`, before `decompress` and `member`.
    fn provide(&self, source: &Source, progress: &dyn Progress) -> Result<Provided, Error>;
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
#[derive(Clone, Debug, Default)]
pub struct Files(pub Option<PathBuf>);

impl Provider for Files {
    fn provide(&self, source: &Source, _: &dyn Progress) -> Result<Provided, Error> {
        let (Some(name), Some(directory)) = (&source.file, &self.0) else {
            let kinds = source.kinds().join(", ");
            let message = format!("a source of kind {kinds} cannot be reached here; use inline");
            return Err(Error::new(Kind::Document, message));
        };
        let file: Arc<dyn SectorSource> = Arc::new(FileSource::open(&directory.join(name))?);
        Ok(file.into())
    }
}

/// The inputs of a document by the path of their field.
#[derive(Clone, Debug, Default)]
pub struct Inputs(BTreeMap<FieldPath, Input>);

/// One input.
#[derive(Clone, Debug)]
pub struct Input {
    /// The bytes.
    pub source: Arc<dyn SectorSource>,
    /// Their SHA-256: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

impl Input {
    /// The bytes in memory, for inputs that are short by their nature.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        let len = self.source.len();
        if len > MAX_IN_MEMORY {
            let message = format!("the input has {len} bytes, {MAX_IN_MEMORY} are allowed");
            return Err(Error::new(Kind::Input, message));
        }
        let mut bytes = vec![0; len as usize];
        self.source.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

impl Inputs {
    /// Reads all inputs of `spec`. Files are looked for in `directory`; without one they are
    /// refused.
    pub fn resolve(spec: &Spec, directory: Option<&Path>) -> Result<Self, Error> {
        Self::resolve_with(spec, &Files(directory.map(Path::to_owned)), &Silent)
    }

    /// Reads all inputs of `spec`; those that do not stand in it come from `provider`.
    pub fn resolve_with(
        spec: &Spec,
        provider: &dyn Provider,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let mut inputs = BTreeMap::new();
        for (path, source) in source::sources(spec) {
            let origin = Origin::new(path.as_str());
            let input = one(source, provider, progress).map_err(|e| e.at(&origin))?;
            inputs.insert(path, input);
        }
        Ok(Self(inputs))
    }

    /// The input of the field at `path`.
    #[must_use]
    pub fn get(&self, path: &FieldPath) -> Option<&Input> {
        self.0.get(path)
    }

    /// The digests by path.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<FieldPath, String> {
        self.0.iter().map(|(path, input)| (path.clone(), input.digest.clone())).collect()
    }
}

fn one(source: &Source, provider: &dyn Provider, progress: &dyn Progress) -> Result<Input, Error> {
    let provided = match &source.inline {
        Some(inline) => {
            let bytes = source::inline_bytes(inline);
            let bytes = bytes.map_err(|e| Error::new(Kind::Input, e.to_string()))?;
            Provided {
                digest: Some(source::digest(&bytes)),
                source: Arc::new(ByteSource::new(bytes)),
            }
        }
        None => provider.provide(source, progress)?,
    };
    let found = match provided.digest {
        Some(digest) => digest,
        None => digest(&*provided.source, progress)?,
    };
    if let Some(wanted) = source.pinned().filter(|wanted| *wanted != found) {
        let message = format!("the bytes have digest {found}, the document wants {wanted}");
        return Err(Error::new(Kind::Input, message));
    }
    Ok(Input { source: provided.source, digest: found })
}
