//! Who else pushes to a tag: of all images that are watched, the oldest has it.
//!
//! Asks no registry. Invariant: two images never both win a tag, in whatever order they are looked at.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use kube::runtime::reflector::Store;
use serde_json::Value;

use super::observe::{Rival, Wanted};
use crate::api::Image;

/// The older images that push where `wanted` does, by target.
pub(super) fn rivals(
    image: &Image,
    wanted: &[Wanted],
    images: &Store<Image>,
) -> BTreeMap<String, Rival> {
    let mut rivals = BTreeMap::new();
    if wanted.iter().all(|wanted| wanted.push.is_none()) {
        return rivals;
    }
    let mut older: Vec<_> = images.state().into_iter().filter(|o| age(o) < age(image)).collect();
    older.sort_by(|a, b| age(a).cmp(&age(b)));
    for wanted in wanted {
        let Some(push) = &wanted.push else { continue };
        let named = older.iter().find_map(|other| {
            let shared = push.tags().find(|tag| {
                let apart = architecture(&image.spec) != architecture(&other.spec);
                pushes(&other.spec).any(|there| {
                    there.image == push.image
                        && there.tags.iter().any(|theirs| theirs == tag)
                        && !(apart && push.index && there.index)
                })
            })?;
            let tag = format!("{}:{shared}", push.image);
            Some(Rival { tag, image: format!("{}/{}", other.namespace(), other.name()) })
        });
        if let Some(rival) = named {
            rivals.insert(wanted.target.clone(), rival);
        }
    }
    rivals
}

/// What decides who was first. An image that is being deleted pushes no more.
fn age(image: &Image) -> (bool, Option<jiff::Timestamp>, &str, &str) {
    let created = image.creation_timestamp().map(|time| time.0);
    (image.metadata.deletion_timestamp.is_some(), created, image.namespace(), image.name())
}

/// An image and tags that a stored spec names.
struct Pushed<'a> {
    image: &'a str,
    tags: Vec<&'a str>,
    index: bool,
}

/// Where a stored spec pushes, whatever else it says.
fn pushes(spec: &Value) -> impl Iterator<Item = Pushed<'_>> {
    let targets = spec["publish"].as_array().map(Vec::as_slice).unwrap_or_default();
    targets.iter().filter_map(|target| {
        let push = target.get("containerDisk").or_else(|| target.get("kernelBoot"))?;
        let tags = match push["tags"].as_array() {
            Some(tags) => tags.iter().filter_map(Value::as_str).collect(),
            None => vec!["latest"],
        };
        let index = push["index"].as_bool().unwrap_or_default();
        Some(Pushed { image: push["image"].as_str()?, tags, index })
    })
}

fn architecture(spec: &Value) -> &str {
    spec["architecture"].as_str().unwrap_or("amd64")
}
