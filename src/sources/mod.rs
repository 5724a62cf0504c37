//! Where the inputs of a document lie, on a desk and in a build pod: mounted keys and volumes,
//! files, web servers.
//!
//! Unpacks nothing. Invariants: a name in a document leads to no file but those below the directory
//! that stands for the object it names; the bytes of a Secret are in no message.

mod images;
mod mounted;
mod settings;
mod web;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::base::{ByteSource, Error, FileSource, Kind, Progress, Scratch, SectorSource};
use crate::engine::bootloader::assets::Assets;
use crate::engine::inputs::{Provided, Provider};
use crate::fetch::Client;
use crate::manifest::types::{KeyReference, Source};
use crate::oci::{Platform, Pulled};

pub use settings::Settings;

/// Directories that stand for the objects of a namespace, by name.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    /// A file for each key of a ConfigMap.
    pub config_maps: BTreeMap<String, PathBuf>,
    /// ConfigMaps that stand beside the document; a directory of that name comes first.
    pub given: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// A file for each key of a Secret.
    pub secrets: BTreeMap<String, PathBuf>,
    /// The root of a volume.
    pub claims: BTreeMap<String, PathBuf>,
}

impl Mounts {
    /// What a build pod has below `root`: `configmap/NAME`, `secret/NAME` and `pvc/NAME`.
    pub fn below(root: &Path) -> Result<Self, Error> {
        Ok(Self {
            config_maps: mounted::list(&root.join("configmap"))?,
            given: BTreeMap::new(),
            secrets: mounted::list(&root.join("secret"))?,
            claims: mounted::list(&root.join("pvc"))?,
        })
    }
}

impl Mounts {
    /// The bytes of a key of a ConfigMap.
    fn config_map_key(&self, key: &KeyReference) -> Result<Vec<u8>, Error> {
        let of = &self.config_maps;
        match self.given.get(&key.name).filter(|_| !of.contains_key(&key.name)) {
            Some(keys) => mounted::given("ConfigMap", key, keys),
            None => mounted::Place { kind: "ConfigMap", flag: "--configmap", of }.bytes(key),
        }
    }
}

fn in_memory(bytes: Vec<u8>) -> Provided {
    let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(bytes));
    source.into()
}

/// Gives the bytes of a document's sources.
#[derive(Debug)]
pub struct Sources {
    /// Where objects of the namespace lie.
    pub mounts: Mounts,
    /// Where files lie: on a desk.
    pub files: Option<PathBuf>,
    /// Fetches.
    pub client: Client,
    /// Takes what is fetched.
    pub scratch: Scratch,
    /// Credentials for images that name no pull secret: on a desk.
    pub docker_config: Option<PathBuf>,
    /// The files of boot loaders.
    pub assets: Assets,
}

impl Provider for Sources {
    fn provide(&self, source: &Source, progress: &dyn Progress) -> Result<Provided, Error> {
        let mounts = &self.mounts;
        if let Some(key) = &source.config_map_key_ref {
            return Ok(in_memory(mounts.config_map_key(key)?));
        }
        if let Some(key) = &source.secret_key_ref {
            return Ok(in_memory(self.secrets().bytes(key)?));
        }
        if let Some(claim) = &source.pvc {
            return Ok(mounted::claim_file(&mounts.claims, claim)?.into());
        }
        if let Some(http) = &source.http {
            return self.web(http, source.pinned(), progress);
        }
        if let (Some(name), Some(directory)) = (&source.file, &self.files) {
            let file: Arc<dyn SectorSource> = Arc::new(FileSource::open(&directory.join(name))?);
            return Ok(file.into());
        }
        let message = match (&source.file, &source.oci) {
            (Some(_), _) => {
                "a cluster cannot read files of a desk; use inline, configMapKeyRef or pvc"
            }
            (_, Some(_)) => "a container image is no file: add oci.path, or use the step image",
            _ => {
                "a source needs exactly one of: inline, configMapKeyRef, secretKeyRef, pvc, http, oci, file"
            }
        };
        Err(Error::new(Kind::Document, message))
    }

    fn image<'a>(
        &'a self,
        source: &Source,
        platform: &Platform,
        progress: &'a dyn Progress,
    ) -> Result<Option<Pulled<'a>>, Error> {
        self.open_image(source, platform, progress)
    }

    fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn assets(&self) -> &Assets {
        &self.assets
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use fs_err as fs;
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::base::Silent;
    use crate::fetch::{Guard, Proxies, Rules, Times};

    /// What a kubelet mounts: keys are links into a directory that it exchanges as a whole.
    fn pod() -> (tempfile::TempDir, Sources) {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for object in ["configmap/files", "secret/hidden"] {
            let keys = at(object);
            fs::create_dir_all(keys.join("..2026")).unwrap();
            fs::write(keys.join("..2026/a.txt"), object).unwrap();
            symlink("..2026", keys.join("..data")).unwrap();
            symlink("..data/a.txt", keys.join("a.txt")).unwrap();
        }
        fs::create_dir_all(at("pvc/disks/sub")).unwrap();
        fs::write(at("pvc/disks/sub/disk.img"), "on a volume").unwrap();
        fs::write(at("outside"), "canary").unwrap();
        symlink("../../outside", at("pvc/disks/link")).unwrap();
        let rules = Rules::default();
        let times = Times { total: Duration::from_secs(1), ..Times::default() };
        let client = Client::new(Guard::new(rules), Proxies::default(), times, &[]).unwrap();
        let mounts = Mounts::below(root.path()).unwrap();
        let scratch = Scratch::new(root.path(), 1 << 20);
        let assets = Assets::default();
        (root, Sources { mounts, files: None, client, scratch, docker_config: None, assets })
    }

    fn get(sources: &Sources, source: Value) -> Result<String, String> {
        let source: Source = serde_json::from_value(source).unwrap();
        let provided = sources.provide(&source, &Silent).map_err(|e| e.to_string())?;
        let mut bytes = vec![0; provided.source.len() as usize];
        provided.source.read_at(0, &mut bytes).unwrap();
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn mounted_objects_are_read() {
        let (_root, pod) = pod();
        let key = |name: &str, key: &str| json!({"name": name, "key": key});
        for (source, wanted) in [
            (json!({"configMapKeyRef": key("files", "a.txt")}), "configmap/files"),
            (json!({"secretKeyRef": key("hidden", "a.txt")}), "secret/hidden"),
            (json!({"pvc": {"claimName": "disks", "path": "sub/disk.img"}}), "on a volume"),
            (json!({"pvc": {"claimName": "disks", "path": "/sub/disk.img"}}), "on a volume"),
        ] {
            assert_eq!(get(&pod, source.clone()).unwrap(), wanted, "{source}");
        }
    }

    #[test]
    fn nothing_else_is_reached() {
        let (_root, pod) = pod();
        let key = |name: &str, key: &str| json!({"configMapKeyRef": {"name": name, "key": key}});
        let path = |path: &str| json!({"pvc": {"claimName": "disks", "path": path}});
        for (source, wanted) in [
            (
                key("other", "a.txt"),
                "ConfigMap \"other\" is not there; on a desk give it with --configmap other=DIR; there are: files",
            ),
            (key("files", "b.txt"), "ConfigMap \"files\" has no key \"b.txt\"; it has: a.txt"),
            (key("files", ".."), "has no key"),
            (key("files", "..data"), "has no key"),
            (key("files", "../hidden/a.txt"), "has no key"),
            (path("../../outside"), "leads upwards"),
            (path("link"), "a symbolic link is on the way"),
            (path("sub"), "no regular file"),
            (path("none"), "there is none"),
            (json!({"pvc": {"claimName": "x", "path": "a"}}), "--pvc x=DIR"),
            (json!({"file": "a"}), "a cluster cannot read files of a desk"),
            (json!({"http": {"url": "https://127.0.0.1/a"}}), "127.0.0.1 is loopback"),
            (json!({"http": {"url": "http://example.com/a"}}), "--allow-source-http"),
        ] {
            let found = get(&pod, source.clone()).unwrap_err();
            assert!(found.contains(wanted), "{source}: {found}");
        }
    }
}
