//! Which inputs a document wants, and which of them are the same.
//!
//! Reads none. Invariant: two wishes with one key are fetched alike, whatever is taken of them.

use std::collections::BTreeMap;

use super::Input;
use crate::engine::base::{Error, Kind, Origin};
use crate::manifest::types::{Architecture, Decompress, Image, Source};
use crate::manifest::{FieldPath, Spec, source};
use crate::oci::Platform;

/// An input that a document names.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    /// The field.
    pub(super) path: FieldPath,
    /// What stands there.
    pub(super) source: &'a Source,
    /// Whether all files of an image are wanted.
    pub(super) image: bool,
    /// For what machines, if it is an image.
    pub(super) platform: Platform,
}

impl Wish<'_> {
    /// The same text for what is fetched in the same way.
    pub(super) fn key(&self) -> String {
        let mut source = self.source.clone();
        (source.member, source.decompress) = (None, Decompress::default());
        if let Some(oci) = &mut source.oci {
            oci.path = None;
        }
        let image = self.image || source.oci.is_some();
        let platform = if image { self.platform.to_string() } else { String::new() };
        // A source is plain data: it can always be written.
        serde_json::to_string(&source).unwrap_or_default() + &platform
    }
}

/// Every input of `spec`, in the order of the document.
pub(super) fn wishes(spec: &Spec) -> Result<Vec<Wish<'_>>, Error> {
    let steps = source::steps(spec).filter_map(|(path, step)| Some((path, step.image.as_ref()?)));
    let images: BTreeMap<FieldPath, &Image> =
        steps.map(|(path, image)| (path.member("image").member("source"), image)).collect();
    let usual = Platform::linux(goarch(spec.architecture));
    let wish = |(path, source): (FieldPath, _)| {
        let image = images.get(&path).copied();
        let platform = match image.and_then(|image| image.platform.as_deref()) {
            Some(text) => platform(text).map_err(|e| e.at(&Origin::new(path.as_str())))?,
            None => usual.clone(),
        };
        Ok(Wish { path, source, image: image.is_some(), platform })
    };
    source::sources(spec).into_iter().map(wish).collect()
}

/// A place for each key that several wishes have.
pub(super) fn shared(wishes: &[Wish<'_>]) -> BTreeMap<String, Option<Input>> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for wish in wishes {
        *count.entry(wish.key()).or_default() += 1;
    }
    count.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| (key, None)).collect()
}

/// The architecture as container images name it.
const fn goarch(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::I386 => "386",
        Architecture::Amd64 | Architecture::Arm64 => architecture.as_str(),
    }
}

/// `os/architecture` or `os/architecture/variant`.
fn platform(text: &str) -> Result<Platform, Error> {
    let mut parts = text.split('/').map(ToOwned::to_owned);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(os), Some(architecture), variant, None) => Ok(Platform { os, architecture, variant }),
        _ => {
            let message = format!("{text:?} is no platform such as linux/arm64 or linux/arm/v7");
            Err(Error::new(Kind::Document, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(contents: Value) -> Spec {
        let spec = json!({"architecture": "i386", "disk": {"partitions":
            [{"name": "root", "filesystem": {"type": "ext4"}, "contents": contents}]}});
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn what_is_fetched_alike_is_fetched_once() {
        let http = |member: Value| json!({"http": {"url": "https://a.example/"}, "member": member});
        let oci = |path: Value| json!({"oci": {"image": "a", "path": path}});
        let spec = spec(json!([
            {"file": {"path": "/a", "source": http(json!("a"))}},
            {"file": {"path": "/b", "source": http(json!("b"))}},
            {"archive": {"source": http(json!(null))}},
            {"image": {"source": oci(json!(null))}},
            {"file": {"path": "/c", "source": oci(json!("/c"))}},
            {"image": {"source": oci(json!(null)), "platform": "linux/arm/v7"}},
        ]));
        let wishes = wishes(&spec).unwrap();
        let platforms: Vec<_> = wishes.iter().map(|w| w.platform.to_string()).collect();
        assert_eq!(platforms[4..], ["linux/386", "linux/arm/v7"]);
        let keys: Vec<_> = wishes.iter().map(Wish::key).collect();
        assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[3] == keys[4]);
        assert!(keys[0] != keys[3] && keys[4] != keys[5]);
        assert_eq!(shared(&wishes).len(), 2);
        assert!(platform("linux").is_err() && platform("a/b/c/d").is_err());
    }
}
