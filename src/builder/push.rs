//! Pushes what a target asks for: a disk, a kernel with its initrd, or both, as a container image.
//!
//! Talks to the registry through `oci` only. Invariant: credentials and certificates come from the
//! directory that the caller names, and go nowhere else.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use serde_json::json;

use super::Error;
use super::files::Ready;
use super::fill::Filled;
use super::manifest::{Made, build_manifest};
use super::watch::Watch;
use crate::engine::base::{self, Kind, SectorSource, Work};
use crate::manifest::types::{Defaults, LayerCompression, Push, PushFormat, Target};
use crate::oci::{DockerConfig, Reference, Registry};
use crate::publish::container::{self, Compression, File};
use crate::report::OutputEntry;
use crate::sources::Sources;

/// The credentials in the directory, as a Docker configuration.
const CONFIG: &str = "config.json";
/// The certificates in the directory.
const CA: &str = "ca.crt";
/// The variables by which KubeVirt finds defaults.
const INSTANCETYPE: &str = "INSTANCETYPE_KUBEVIRT_IO_DEFAULT_INSTANCETYPE";
const PREFERENCE: &str = "INSTANCETYPE_KUBEVIRT_IO_DEFAULT_PREFERENCE";

/// Pushes `push`, which is what `target` asks for.
pub(super) fn image(
    ready: &Ready<'_>,
    (target, push): (&Target, &Push),
    directory: &Path,
    sources: &Sources,
    watch: &Watch<'_>,
) -> Result<Filled, Error> {
    let Ready { image, inputs, content_hash, media, .. } = *ready;
    let medium = media.main();
    let virtual_size = medium.len();
    let content_digest = watch.stage("digest", || Ok(base::digest(&**medium, watch)?))?;
    let work = Work { threads: 0, progress: watch };
    let format = match push.format {
        None if target.kernel_boot.is_none() => Some(PushFormat::Qcow2),
        format => format,
    };
    let mut files = kernel(ready, target)?;
    files.extend(disk(format, medium, sources, &work)?);
    let mut labels = vec![
        (container::CONTENT_DIGEST.to_owned(), content_digest.clone()),
        (container::CONTENT_HASH.to_owned(), content_hash.to_owned()),
    ];
    if let Some(line) = beside(ready, "cmdline").filter(|_| target.kernel_boot.is_some()) {
        labels.push((container::COMMAND_LINE.to_owned(), text(&**line)?));
    }
    let params = container::Params {
        architecture: architecture(image.spec.architecture.as_str()),
        compression: match push.compression {
            LayerCompression::Gzip => Compression::Gzip,
            LayerCompression::None => Compression::None,
        },
        env: &variables(&push.defaults),
        labels: &labels,
        tags: &push.tags().map(str::to_owned).collect::<Vec<_>>(),
        index: push.index,
    };
    let registry = registry(push, directory, sources)?;
    let published = watch.stage("push", || {
        Ok(container::publish(&files, &params, &registry, &sources.scratch, &work)?)
    })?;
    let output = OutputEntry {
        name: target.name.clone(),
        kind: target.kind().to_owned(),
        file: push.image.clone(),
        options: json!({"format": format, "compression": push.compression, "tags": push.tags}),
        digest: published.digest.clone(),
        size: published.size,
        ..OutputEntry::default()
    };
    let made = Made { image, inputs, content_hash, content_digest: &content_digest, virtual_size };
    let used = match format {
        Some(PushFormat::Qcow2) => &["qcow2", "container"][..],
        Some(PushFormat::Raw) => &["raw", "container"],
        None => &["container"],
    };
    Ok(Filled { published, manifest: build_manifest(&made, vec![output], used) })
}

/// The disk as it lies in the image.
fn disk(
    format: Option<PushFormat>,
    medium: &Arc<dyn SectorSource>,
    sources: &Sources,
    work: &Work<'_>,
) -> Result<Option<File>, Error> {
    Ok(match format {
        None => None,
        Some(PushFormat::Raw) => Some(File::new(container::RAW_DISK, Arc::clone(medium))),
        Some(PushFormat::Qcow2) => {
            let file = container::qcow2(&**medium, &sources.scratch, work)?;
            Some(File::new(container::QCOW2_DISK, file))
        }
    })
}

/// The kernel and the initrd of `boot.direct`.
fn kernel(ready: &Ready<'_>, target: &Target) -> Result<Vec<File>, Error> {
    if target.kernel_boot.is_none() {
        return Ok(Vec::new());
    }
    let Some(kernel) = beside(ready, "vmlinuz") else {
        let message = "kernelBoot holds the kernel of boot.direct, and there is none";
        return Err(base::Error::new(Kind::Document, message).into());
    };
    let initrd = beside(ready, "initrd");
    let initrd = initrd.map(|source| File::new(container::INITRD, Arc::clone(source)));
    let kernel = File::new(container::KERNEL, Arc::clone(kernel));
    Ok(std::iter::once(kernel).chain(initrd).collect())
}

/// The file beside the media with this suffix.
fn beside<'a>(ready: &Ready<'a>, suffix: &str) -> Option<&'a Arc<dyn SectorSource>> {
    let file = ready.media.beside.iter().find(|file| file.suffix == suffix)?;
    Some(&file.source)
}

/// The text of a command line, without the end of its line.
fn text(source: &dyn SectorSource) -> Result<String, Error> {
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap_or_default()];
    source.read_at(0, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

/// An architecture as container images name it.
fn architecture(of: &str) -> &str {
    if of == "i386" { "386" } else { of }
}

fn variables(defaults: &Defaults) -> Vec<(String, String)> {
    let named = [(INSTANCETYPE, &defaults.instancetype), (PREFERENCE, &defaults.preference)];
    let named = named.into_iter().filter_map(|(key, one)| Some((key, one.as_ref()?)));
    named.map(|(key, one)| (key.to_owned(), one.name.clone())).collect()
}

/// Whom it goes to.
fn registry(push: &Push, directory: &Path, sources: &Sources) -> Result<Registry, Error> {
    let image: Reference =
        push.image.parse().map_err(|why: String| base::Error::new(Kind::Document, why))?;
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read(&path).map_err(|e| base::Error::io(format!("reading {}", path.display()), e))
    };
    let client = match &push.ca_bundle {
        Some(_) => sources.client.trusting(&read(CA)?)?,
        None => sources.client.clone(),
    };
    let credentials = match &push.push_secret_ref {
        Some(secret) => {
            let place = format!("Secret {:?}", secret.name);
            DockerConfig::parse(&read(CONFIG)?, &place)?.credentials(&image)?
        }
        None => None,
    };
    Ok(Registry::new(&image, &client, credentials, push.insecure).pushing())
}
