//! Fills the mounted volume with what a target asks for: a disk, or the files of all formats.
//!
//! Invariant: what the volume holds is described by the build manifest that is returned.

use std::sync::Arc;

use super::files::{self, Place, Ready, Steps};
use super::manifest::{Made, build_manifest};
use super::watch::Watch;
use super::{Error, Params};
use crate::engine::base::{self, Progress};
use crate::manifest::{room, types};
use crate::publish::directory::Directory;
use crate::publish::volume::{self, Published};
use crate::report::{BuildManifest, OutputEntry};

/// A filled volume.
pub(super) struct Filled {
    pub(super) published: Published,
    pub(super) manifest: BuildManifest,
}

/// `disk.img` in the volume's root.
pub(super) fn volume(
    ready: &Ready<'_>,
    params: &Params,
    watch: &Watch<'_>,
) -> Result<Filled, Error> {
    let Ready { image, inputs, content_hash, media, .. } = *ready;
    let medium = media.main();
    let place = volume::Params { directory: &params.volume, target_hash: &params.target_hash };
    let virtual_size = medium.len();
    let published =
        watch.stage("publish", || Ok(volume::publish(Arc::clone(medium), &place, watch)?))?;
    let content_digest = if published.size == virtual_size {
        published.digest.clone()
    } else {
        // The volume's disk is padded: the content has a digest of its own.
        watch.stage("digest", || Ok(base::digest(&**medium, watch)?))?
    };
    let output = OutputEntry {
        name: params.target.clone(),
        kind: "raw".to_owned(),
        file: "disk.img".to_owned(),
        digest: published.digest.clone(),
        size: published.size,
        ..OutputEntry::default()
    };
    let made = Made { image, inputs, content_hash, content_digest: &content_digest, virtual_size };
    Ok(Filled { published, manifest: build_manifest(&made, vec![output], &["raw"]) })
}

/// The files of all formats in a directory of the volume.
pub(super) fn directory(
    ready: &Ready<'_>,
    wanted: &types::Files,
    params: &Params,
    watch: &Watch<'_>,
) -> Result<Filled, Error> {
    let names = files::names(ready.image, ready.files);
    let directory = Directory::take(&params.volume, wanted.path.as_deref(), &names)?;
    let needed = room(&ready.image.spec).map_err(base::Error::from)?.get();
    let explain = |error| Error::from(directory.explain(error, needed));
    let place = Place { directory: directory.path(), threads: 0, steps: watch };
    let written = watch.stage("files", || files::write(ready, &place).map_err(explain))?;
    let published = watch.stage("publish", || directory.commit(written.files).map_err(explain))?;
    Ok(Filled { published, manifest: written.manifest })
}

impl Steps for Watch<'_> {
    fn step(
        &self,
        file: &str,
        run: &mut dyn FnMut(&dyn Progress) -> Result<(), base::Error>,
    ) -> Result<(), base::Error> {
        self.log(file);
        run(self)
    }
}
