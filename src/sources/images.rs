//! Container images: in registries, and as layouts in directories.
//!
//! Unpacks nothing. Invariant: a pull secret is in no message and goes to its registry only.

use std::path::Path;

use fs_err as fs;

use super::Sources;
use super::mounted::{Place, claim_directory};
use crate::engine::base::{Beneath, Error, Kind, Progress};
use crate::manifest::types::{KeyReference, Oci, Source};
use crate::oci::{Credentials, DockerConfig, Layout, Platform, Pulled, Reference, Registry};

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

impl Sources {
    /// The image that `source` names, unless its bytes are one.
    pub(super) fn open_image<'a>(
        &'a self,
        source: &Source,
        platform: &Platform,
        progress: &'a dyn Progress,
    ) -> Result<Option<Pulled<'a>>, Error> {
        if let Some(oci) = &source.oci {
            return self.pull(oci, source.pinned(), platform, progress).map(Some);
        }
        let directory = match (&source.pvc, &source.file, &self.files) {
            (Some(claim), ..) => claim_directory(&self.mounts.claims, claim)?,
            (_, Some(name), Some(files)) => {
                let path = files.join(name);
                path.is_dir().then(|| Beneath::new(&path, &[])).transpose()?
            }
            _ => None,
        };
        let layout = directory.map(Layout::directory);
        layout.map(|layout| layout.pulled(platform, source.pinned())).transpose()
    }

    fn pull<'a>(
        &'a self,
        oci: &Oci,
        pinned: Option<&str>,
        platform: &Platform,
        progress: &'a dyn Progress,
    ) -> Result<Pulled<'a>, Error> {
        let document = |why: String| Error::new(Kind::Document, why);
        let image: Reference = oci.image.parse().map_err(document)?;
        if let Some((named, wanted)) = image.digest.as_deref().zip(pinned)
            && named != wanted
        {
            let why = format!("the image is named with {named}, but digest is {wanted}");
            return Err(document(why));
        }
        let client = match &oci.ca_bundle {
            Some(bundle) => self.client.trusting(&self.bundle(bundle)?)?,
            None => self.client.clone(),
        };
        let credentials = self.credentials(oci, &image)?;
        let registry = Registry::new(&image, &client, credentials, oci.insecure);
        let selector = pinned.unwrap_or_else(|| image.selector());
        registry.pull(selector, platform, &self.scratch, progress)
    }

    fn credentials(&self, oci: &Oci, image: &Reference) -> Result<Option<Credentials>, Error> {
        let config = match (&oci.pull_secret_ref, &self.docker_config) {
            (Some(secret), _) => {
                let name = secret.name.clone();
                let key = KeyReference { name, key: DOCKER_CONFIG.to_owned() };
                let bytes = self.secrets().bytes(&key)?;
                DockerConfig::parse(&bytes, &format!("Secret {:?}", secret.name))?
            }
            (None, Some(path)) => {
                let bytes = fs::read(path).map_err(|e| Error::io("reading --docker-config", e))?;
                DockerConfig::parse(&bytes, &shown(path))?
            }
            (None, None) => return Ok(None),
        };
        config.credentials(image)
    }

    pub(super) fn secrets(&self) -> Place<'_> {
        Place { kind: "Secret", flag: "--secret", of: &self.mounts.secrets }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
