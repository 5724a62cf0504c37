//! Resolves a document's inputs: every source becomes bytes with a digest.
//!
//! The only engine part that reads before `make`. Does not fetch from a network. Invariant: bytes
//! whose digest is not the one the document names never reach `plan`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;

use super::base::{Error, Kind, Origin};
use crate::manifest::types::Source;
use crate::manifest::{FieldPath, Spec, source};

/// No input that lies in memory may be larger.
const MAX_IN_MEMORY: u64 = 16 << 20;

/// The inputs of a document by the path of their field.
#[derive(Clone, Debug, Default)]
pub struct Inputs(BTreeMap<FieldPath, Input>);

/// One input.
#[derive(Clone, Debug)]
pub struct Input {
    /// The bytes.
    pub bytes: Arc<[u8]>,
    /// Their SHA-256: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

impl Inputs {
    /// Reads all inputs of `spec`. Files are looked for in `directory`; without one they are
    /// refused.
    pub fn resolve(spec: &Spec, directory: Option<&Path>) -> Result<Self, Error> {
        let mut inputs = BTreeMap::new();
        for (path, source) in source::sources(spec) {
            let origin = Origin::new(path.as_str());
            let bytes = read(source, directory).map_err(|e| e.at(&origin))?;
            let digest = source::digest(&bytes);
            if let Some(wanted) = source.digest.as_deref().filter(|wanted| *wanted != digest) {
                let message =
                    format!("the bytes have digest {digest}, the document wants {wanted}");
                return Err(Error::new(Kind::Input, message).at(&origin));
            }
            inputs.insert(path, Input { bytes: bytes.into(), digest });
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

fn read(source: &Source, directory: Option<&Path>) -> Result<Vec<u8>, Error> {
    if let Some(inline) = &source.inline {
        return source::inline_bytes(inline).map_err(|e| Error::new(Kind::Input, e.to_string()));
    }
    let Some(name) = &source.file else {
        return Err(Error::new(Kind::Document, "a source needs exactly one of: inline, file"));
    };
    let Some(directory) = directory else {
        return Err(Error::new(
            Kind::Document,
            "a cluster cannot read files of a desk; use inline",
        ));
    };
    let path = directory.join(name);
    let context = |e| Error::io(format!("reading {}", path.display()), e);
    let mut bytes = Vec::new();
    let file = fs::File::open(&path).map_err(context)?;
    file.take(MAX_IN_MEMORY + 1).read_to_end(&mut bytes).map_err(context)?;
    if bytes.len() as u64 > MAX_IN_MEMORY {
        let message = format!("{} is larger than {MAX_IN_MEMORY} bytes", path.display());
        return Err(Error::new(Kind::Input, message));
    }
    Ok(bytes)
}
