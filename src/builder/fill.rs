//! Serves a target: a disk on a volume or a device, the files of all formats in a directory, a
//! container image in a registry.
//!
//! Invariant: what it holds is described by the build manifest that is returned.

use std::path::Path;
use std::sync::Arc;

use super::files::{self, Place, Ready, Steps};
use super::manifest::{Made, build_manifest};
use super::watch::Watch;
use super::{Destination, Error, Params, push};
use crate::engine::base::{self, Progress, SectorSource};
use crate::manifest::room;
use crate::manifest::types::{self, Target};
use crate::publish::directory::Directory;
use crate::publish::volume::{self, Published};
use crate::publish::{self, block};
use crate::report::{BuildManifest, OutputEntry};
use crate::sources::Sources;

/// How a target is served.
pub(super) enum Filling<'a> {
    /// `disk.img` in the volume with this root.
    Volume(&'a Path),
    /// The bytes of the disk on this device.
    Device(&'a Path),
    /// The files of all formats in a directory of the volume with this root.
    Files(&'a types::Files, &'a Path),
    /// A container image, with the credentials of this directory.
    Image(&'a Target, &'a types::Push, &'a Path),
}

impl<'a> Filling<'a> {
    /// What serves `target` there.
    pub(super) fn of(target: &'a Target, there: &'a Destination) -> Result<Self, Error> {
        let wrong = |flag| Error::Destination { name: target.name.clone(), flag };
        match (target.push(), &target.files, there) {
            (Some(push), _, Destination::Registry(path)) => Ok(Self::Image(target, push, path)),
            (Some(_), ..) => Err(wrong("--push")),
            (None, Some(files), Destination::Volume(root)) => Ok(Self::Files(files, root)),
            (None, Some(_), _) => Err(wrong("--volume")),
            (None, None, Destination::Volume(root)) => Ok(Self::Volume(root)),
            (None, None, Destination::Device(path)) => Ok(Self::Device(path)),
            (None, None, Destination::Registry(_)) => Err(wrong("--volume or --device")),
        }
    }

    /// Does it.
    pub(super) fn run(
        self,
        ready: &Ready<'_>,
        params: &Params,
        sources: &Sources,
        watch: &Watch<'_>,
    ) -> Result<Filled, Error> {
        let target_hash = &params.target_hash;
        match self {
            Self::Volume(directory) => disk(ready, params, watch, "disk.img", |medium| {
                volume::publish(medium, &volume::Params { directory, target_hash }, watch)
            }),
            Self::Device(device) => disk(ready, params, watch, "disk", |medium| {
                block::publish(medium, &block::Params { device }, watch)
            }),
            Self::Files(wanted, root) => directory(ready, wanted, root, watch),
            Self::Image(target, wanted, path) => {
                push::image(ready, (target, wanted), path, sources, watch)
            }
        }
    }
}

/// What was filled.
pub(super) struct Filled {
    pub(super) published: Published,
    pub(super) manifest: BuildManifest,
}

/// The disk as `put` publishes it; its name is `file`.
fn disk(
    ready: &Ready<'_>,
    params: &Params,
    watch: &Watch<'_>,
    file: &str,
    put: impl FnOnce(Arc<dyn SectorSource>) -> Result<Published, publish::Error>,
) -> Result<Filled, Error> {
    let Ready { image, inputs, content_hash, media, .. } = *ready;
    let medium = media.main();
    let virtual_size = medium.len();
    let published = watch.stage("publish", || Ok(put(Arc::clone(medium))?))?;
    let content_digest = if published.size == virtual_size {
        published.digest.clone()
    } else {
        // The published disk is padded: the content has a digest of its own.
        watch.stage("digest", || Ok(base::digest(&**medium, watch)?))?
    };
    let output = OutputEntry {
        name: params.target.clone(),
        kind: "raw".to_owned(),
        file: file.to_owned(),
        digest: published.digest.clone(),
        size: published.size,
        ..OutputEntry::default()
    };
    let made = Made { image, inputs, content_hash, content_digest: &content_digest, virtual_size };
    Ok(Filled { published, manifest: build_manifest(&made, vec![output], &["raw"]) })
}

/// The files of all formats in a directory of the volume.
fn directory(
    ready: &Ready<'_>,
    wanted: &types::Files,
    root: &Path,
    watch: &Watch<'_>,
) -> Result<Filled, Error> {
    let names = files::names(ready.image, ready.files);
    let directory = Directory::take(root, wanted.path.as_deref(), &names)?;
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
