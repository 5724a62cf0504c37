//! From an index to the layers of one image.
//!
//! Unpacks nothing. Invariants: every document is read after its digest was judged; indexes nest at
//! most `MOST_DEPTH` deep; layers and their plain digests are as many.

use std::sync::Arc;

use super::digest::{fetch, fetch_manifest};
use super::json::{Config, INDEXES, Index, MANIFESTS, Manifest, REF_NAME, parse, same_kind};
use super::{Blobs, Descriptor, Digest, Platform};
use crate::engine::base::{Error, Kind, SectorSource};
use crate::engine::codec::wrap::Wrap;

/// Indexes in indexes.
const MOST_DEPTH: usize = 4;

/// Layers of one image: more than any runtime takes.
const MOST_LAYERS: usize = 1000;

/// An image whose documents were judged.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of its manifest: what pins it. Docker's own archives have none.
    pub manifest: Option<Digest>,
    /// For what machines it is, where it says so.
    pub platform: Option<Platform>,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// A layer.
#[derive(Clone, Debug)]
pub struct Layer {
    pub(super) from: From,
    /// What is around it.
    pub wrap: Option<Wrap>,
    /// The digest of what is inside.
    pub plain: Digest,
}

/// Where a layer's bytes come from.
#[derive(Clone, Debug)]
pub(super) enum From {
    Blob(Descriptor),
    Bytes(Arc<dyn SectorSource>),
}

impl Image {
    /// Bytes of its layers as they are stored.
    #[must_use]
    pub fn size(&self) -> u64 {
        let size = |layer: &Layer| match &layer.from {
            From::Blob(descriptor) => descriptor.size,
            From::Bytes(source) => source.len(),
        };
        self.layers.iter().map(size).fold(0, u64::saturating_add)
    }
}

impl Layer {
    /// Its bytes as they are stored. Those with a digest of their own have it.
    pub fn open(&self, blobs: &dyn Blobs) -> Result<Arc<dyn SectorSource>, Error> {
        match &self.from {
            From::Blob(descriptor) => fetch(blobs, descriptor),
            From::Bytes(source) => Ok(Arc::clone(source)),
        }
    }

    /// Whether `source` is what is inside of it.
    pub fn judge(&self, source: &dyn SectorSource) -> Result<(), Error> {
        // Without anything around it, the blob's digest was the same.
        if let From::Blob(descriptor) = &self.from
            && self.wrap.is_none()
            && descriptor.digest == self.plain
        {
            return Ok(());
        }
        self.plain.judge(source, "what is in the layer")
    }
}

/// The image for `platform` that a descriptor names.
pub fn resolve(blobs: &dyn Blobs, root: &Descriptor, platform: &Platform) -> Result<Image, Error> {
    let mut at = root.clone();
    for _ in 0..=MOST_DEPTH {
        let source = fetch_manifest(blobs, &at)?;
        if INDEXES.contains(&at.media_type.as_str()) {
            let index: Index = parse(source.as_ref(), "the image index")?;
            same_kind(index.media_type.as_deref(), &at.media_type)?;
            at = choose(&index.manifests, platform, None)?.clone();
            continue;
        }
        if !MANIFESTS.contains(&at.media_type.as_str()) {
            let kind = at.media_type.escape_debug();
            let message = format!("{} is of type \"{kind}\", which is no image", at.digest);
            return Err(Error::new(Kind::Unsupported, message));
        }
        return image(blobs, &at, source.as_ref(), platform);
    }
    let message = format!("image indexes lie more than {MOST_DEPTH} deep in each other");
    Err(Error::new(Kind::Input, message))
}

/// The one of an index' images that is meant.
pub(super) fn choose<'a>(
    manifests: &'a [Descriptor],
    platform: &Platform,
    reference: Option<&str>,
) -> Result<&'a Descriptor, Error> {
    let known = |d: &&Descriptor| {
        let kind = d.media_type.as_str();
        INDEXES.contains(&kind) || MANIFESTS.contains(&kind)
    };
    let named = |d: &&Descriptor| {
        // Only the outermost index has names.
        let name = d.annotations.get(REF_NAME);
        reference.is_none_or(|wanted| name.is_none_or(|name| name == wanted))
    };
    // One that does not say for what it is may be an index, or is judged by its configuration.
    let fits = |d: &&Descriptor| d.platform.as_ref().is_none_or(|other| platform.takes(other));
    let found: Vec<_> = manifests.iter().filter(known).filter(named).filter(fits).collect();
    let exact = found.iter().find(|d| d.platform.as_ref() == Some(platform));
    let plain = |d: &&&Descriptor| d.platform.as_ref().is_some_and(|p| p.variant.is_none());
    let first = exact.or_else(|| found.iter().find(plain)).or_else(|| found.first());
    let Some(first) = first else {
        let list: Vec<_> = manifests.iter().take(20).map(shown).collect();
        let wanted = reference.map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let message =
            format!("there is no image{wanted} for {platform}; there are {}", list.join(", "));
        return Err(Error::new(Kind::Input, message));
    };
    let open = found.iter().filter(|d| d.platform.is_none() && d.digest != first.digest);
    if first.platform.is_none() && open.count() > 0 {
        let list: Vec<_> = found.iter().take(20).map(|d| shown(d)).collect();
        let message = format!("several images are meant: name one of {}", list.join(", "));
        return Err(Error::new(Kind::Input, message));
    }
    Ok(first)
}

fn shown(descriptor: &Descriptor) -> String {
    let name = descriptor.annotations.get(REF_NAME).map(|name| format!("\"{name}\" "));
    let platform =
        descriptor.platform.as_ref().map_or_else(|| "any".to_owned(), Platform::to_string);
    format!("{}{platform} ({})", name.unwrap_or_default(), descriptor.digest)
}

fn image(
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    source: &dyn SectorSource,
    platform: &Platform,
) -> Result<Image, Error> {
    let manifest: Manifest = parse(source, "the image manifest")?;
    same_kind(manifest.media_type.as_deref(), &descriptor.media_type)?;
    let config = fetch(blobs, &manifest.config)?;
    let config: Config = parse(config.as_ref(), "the image configuration")?;
    let layers = manifest.layers.into_iter().map(|layer| {
        let wrap = wrap_of(&layer.media_type)?;
        Ok((From::Blob(layer), wrap))
    });
    let layers = layers.collect::<Result<Vec<_>, Error>>()?;
    assemble(Some(descriptor.digest.clone()), config, layers, platform)
}

/// An image of these parts.
pub(super) fn assemble(
    manifest: Option<Digest>,
    config: Config,
    layers: Vec<(From, Option<Wrap>)>,
    platform: &Platform,
) -> Result<Image, Error> {
    if let Some(other) = config.platform.as_ref().filter(|other| !platform.takes(other)) {
        let message = format!("the image is for {other}; {platform} is wanted");
        return Err(Error::new(Kind::Input, message));
    }
    let plain = config.rootfs.diff_ids;
    if plain.len() != layers.len() || layers.len() > MOST_LAYERS {
        let message = format!(
            "the image has {} layers and its configuration {}; as many, and at most {MOST_LAYERS}, \
             are allowed",
            layers.len(),
            plain.len()
        );
        return Err(Error::new(Kind::Damaged, message));
    }
    let layers = layers.into_iter().zip(plain);
    let layers = layers.map(|((from, wrap), plain)| Layer { from, wrap, plain }).collect();
    Ok(Image { manifest, platform: config.platform, layers })
}

/// What is around a layer of this type.
fn wrap_of(kind: &str) -> Result<Option<Wrap>, Error> {
    let oci = kind
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| kind.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar"));
    let docker = kind.strip_prefix("application/vnd.docker.image.rootfs.diff.tar");
    match (oci, docker) {
        (Some(""), _) | (_, Some("")) => Ok(None),
        (Some("+gzip"), _) | (_, Some(".gzip")) => Ok(Some(Wrap::Gzip)),
        (Some("+zstd"), _) | (_, Some(".zstd")) => Ok(Some(Wrap::Zstd)),
        _ => {
            let message = format!(
                "a layer is of type \"{}\"; tar, plain or with gzip or zstd, is allowed",
                kind.escape_debug()
            );
            Err(Error::new(Kind::Unsupported, message))
        }
    }
}
