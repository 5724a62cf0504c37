//! What `docker save` wrote before it wrote layouts, and skopeo's `docker-archive`.
//!
//! Docker Image Specification 1.2, "Combined Image JSON + Filesystem Changeset Format". Layers have
//! no digest of their own: what is in them is judged by the configuration. Invariant: the
//! configuration has the digest that it is named after.

use serde::Deserialize;

use super::image::{From, assemble};
use super::json::{Config, parse};
use super::{Digest, Image, Layout, Platform};
use crate::engine::base::{Error, Kind};
use crate::engine::codec::wrap::Wrap;

/// An image of the list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn image(
    layout: &Layout,
    platform: &Platform,
    reference: Option<&str>,
) -> Result<Image, Error> {
    if !layout.is_archive() {
        let message = "a directory with manifest.json is no image layout: archives of it are read";
        return Err(Error::new(Kind::Input, message));
    }
    let list: Vec<Listed> = parse(layout.file("manifest.json")?.as_ref(), "manifest.json")?;
    let tags = |listed: &Listed| listed.repo_tags.clone().unwrap_or_default();
    let named = |listed: &&Listed| {
        reference.is_none_or(|wanted| tags(listed).iter().any(|tag| tag == wanted))
    };
    let found: Vec<_> = list.iter().filter(named).collect();
    let [listed] = found.as_slice() else {
        let all: Vec<_> = list.iter().flat_map(tags).take(20).collect();
        let message = format!("{} images are meant: name one of {}", found.len(), all.join(", "));
        return Err(Error::new(Kind::Input, message));
    };
    let config = layout.file(&listed.config)?;
    let name = listed.config.rsplit('/').next().unwrap_or_default();
    let hex = name.strip_suffix(".json").unwrap_or(name);
    Digest::new(&format!("sha256:{hex}"))?.judge(config.as_ref(), "the image configuration")?;
    let config: Config = parse(config.as_ref(), "the image configuration")?;
    let layers = listed.layers.iter().map(|name| {
        let source = layout.file(name)?;
        let mut first = vec![0; source.len().min(Wrap::MAGIC as u64) as usize];
        source.read_at(0, &mut first)?;
        let wrap = Wrap::detect(&first);
        Ok((From::Bytes(source), wrap))
    });
    assemble(None, config, layers.collect::<Result<_, Error>>()?, platform)
}
