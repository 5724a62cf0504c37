//! Keys of ConfigMaps and Secrets, and files of volumes, as a kubelet mounts them.
//!
//! Invariant: a key is a plain name; a path on a volume follows no link.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;

use crate::engine::base::{Beneath, Error, Kind, SectorSource};
use crate::manifest::types::{ClaimFile, KeyReference};

/// An object is at most 1 MiB, by the apiserver's rule; a directory of a desk may hold more.
const MAX_KEY: u64 = 16 << 20;

/// Objects of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) kind: &'static str,
    pub(super) flag: &'static str,
    pub(super) of: &'a BTreeMap<String, PathBuf>,
}

/// The directories in `root`, by name; none if it is not there.
pub(super) fn list(root: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let context = |e| Error::io(format!("listing {}", root.display()), e);
    if !root.is_dir() {
        return Ok(BTreeMap::new());
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).map_err(context)? {
        let entry = entry.map_err(context)?;
        found.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
    }
    Ok(found)
}

fn directory<'a>(
    kind: &str,
    flag: &str,
    of: &'a BTreeMap<String, PathBuf>,
    name: &str,
) -> Result<&'a Path, Error> {
    of.get(name).map(PathBuf::as_path).ok_or_else(|| {
        let known: Vec<_> = of.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!(
            "{kind} {name:?} is not there; on a desk give it with {flag} {name}=DIR; there are: {known}"
        );
        Error::new(Kind::Input, message)
    })
}

impl Place<'_> {
    /// The bytes of a key.
    pub(super) fn bytes(&self, key: &KeyReference) -> Result<Vec<u8>, Error> {
        let KeyReference { name, key } = key;
        let directory = directory(self.kind, self.flag, self.of, name)?;
        let keys = keys(directory)?;
        if !keys.contains(key) {
            return Err(no_key(self.kind, name, key, &keys));
        }
        let context =
            |e| Error::io(format!("reading the key {key:?} of {} {name:?}", self.kind), e);
        let file = fs::File::open(directory.join(key)).map_err(context)?;
        let mut bytes = Vec::new();
        file.take(MAX_KEY + 1).read_to_end(&mut bytes).map_err(context)?;
        if bytes.len() as u64 > MAX_KEY {
            let message =
                format!("the key {key:?} has more bytes than the {MAX_KEY} that are allowed");
            return Err(Error::new(Kind::Input, message));
        }
        Ok(bytes)
    }

    /// All keys of an object, in order.
    pub(super) fn all(&self, name: &str) -> Result<Vec<KeyReference>, Error> {
        let keys = keys(directory(self.kind, self.flag, self.of, name)?)?;
        Ok(keys.into_iter().map(|key| KeyReference { name: name.to_owned(), key }).collect())
    }
}

/// The bytes of a key of an object that stands beside the document.
pub(super) fn given(
    kind: &str,
    key: &KeyReference,
    keys: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<u8>, Error> {
    let known = || keys.keys().cloned().collect::<Vec<_>>();
    let bytes = keys.get(&key.key).cloned();
    bytes.ok_or_else(|| no_key(kind, &key.name, &key.key, &known()))
}

fn no_key(kind: &str, name: &str, key: &str, known: &[String]) -> Error {
    let message = format!("{kind} {name:?} has no key {key:?}; it has: {}", known.join(", "));
    Error::new(Kind::Input, message)
}

/// The names of keys; what begins with two dots is the kubelet's.
fn keys(directory: &Path) -> Result<Vec<String>, Error> {
    let context = |e| Error::io(format!("listing {}", directory.display()), e);
    let mut keys = Vec::new();
    for entry in fs::read_dir(directory).map_err(context)? {
        let entry = entry.map_err(context)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && entry.path().is_file() {
            keys.push(name);
        }
    }
    keys.sort();
    Ok(keys)
}

/// The directory on a volume; none if a file is there.
pub(super) fn claim_directory(
    claims: &BTreeMap<String, PathBuf>,
    file: &ClaimFile,
) -> Result<Option<Beneath>, Error> {
    let root = directory("PersistentVolumeClaim", "--pvc", claims, &file.claim_name)?;
    Beneath::new(root, &[])?.directory(Path::new(file.path.trim_start_matches('/')))
}

/// The file on a volume.
pub(super) fn claim_file(
    claims: &BTreeMap<String, PathBuf>,
    file: &ClaimFile,
) -> Result<Arc<dyn SectorSource>, Error> {
    let root = directory("PersistentVolumeClaim", "--pvc", claims, &file.claim_name)?;
    let path = Path::new(file.path.trim_start_matches('/'));
    Ok(Arc::new(Beneath::new(root, &[])?.file(path)?))
}
