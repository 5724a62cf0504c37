//! The objects that the controller makes, one file each.
//!
//! Pure. Invariant: labels and annotations are ours alone, nothing of the image's own is copied;
//! the same wish composes the same object.

mod cdi;
mod claim;
mod document;
mod job;
mod place;
mod scripts;
mod sources;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub(super) use cdi::{data_source, data_volume, pointed};
pub(super) use claim::{claim, dressed, marks, request};
pub(super) use document::{document, manifest};
pub(super) use job::{CONTAINER, job};
pub(super) use scripts::{STAGE, number as script_number};

use super::observe::Wanted;
use crate::api::{Image, labels};
use crate::manifest::{API_VERSION, KIND};

/// Metadata of an object made for `wanted`.
fn metadata(image: &Image, wanted: &Wanted, name: &str, controls: bool) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: image.metadata.namespace.clone(),
        labels: Some(our_labels(image, wanted)),
        annotations: Some(our_annotations(image, wanted)),
        owner_references: Some(vec![owner(image, controls)]),
        ..ObjectMeta::default()
    }
}

fn our_labels(image: &Image, wanted: &Wanted) -> BTreeMap<String, String> {
    strings([
        (labels::MANAGED_BY, labels::MANAGER),
        (labels::IMAGE, image.name()),
        (labels::TARGET, &wanted.target),
    ])
}

fn our_annotations(image: &Image, wanted: &Wanted) -> BTreeMap<String, String> {
    strings([
        (labels::OWNER_UID, image.uid()),
        (labels::TARGET_HASH, &wanted.target_hash),
        (labels::CONTENT_HASH, &wanted.content_hash),
    ])
}

fn strings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The image as owner. A claim's owner never is its controller: whoever adopts the claim later
/// (CDI does) needs that place.
pub(super) fn owner(image: &Image, controls: bool) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        name: image.name().to_owned(),
        uid: image.uid().to_owned(),
        controller: controls.then_some(true),
        block_owner_deletion: None,
    }
}
