//! The ConfigMaps: the document that a build pod reads, and the build manifest kept afterwards.
//!
//! Invariant: both are immutable.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::super::observe::Wanted;
use crate::api::{Image, names};
use crate::manifest::hash::InputDigests;
use crate::manifest::{API_VERSION, KIND, source};

/// The document's key, and its file name in the pod.
pub(in crate::controller) const KEY: &str = "vmimage.json";

/// The document for the build pod, in which inputs have the digests that they were found with.
pub(in crate::controller) fn document(
    image: &Image,
    wanted: &Wanted,
    resolved: &InputDigests,
) -> ConfigMap {
    let mut spec = image.spec.clone();
    source::pin(&mut spec, resolved);
    let text = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": image.name(), "namespace": image.namespace()},
        "spec": spec,
    });
    config_map(image, wanted, &wanted.base, (KEY, &text.to_string()))
}

/// The build manifest of a complete volume.
pub(in crate::controller) fn manifest(image: &Image, wanted: &Wanted, json: &str) -> ConfigMap {
    config_map(image, wanted, &names::manifest(&wanted.base), ("build.json", json))
}

fn config_map(image: &Image, wanted: &Wanted, name: &str, entry: (&str, &str)) -> ConfigMap {
    ConfigMap {
        metadata: super::metadata(image, wanted, name, true),
        data: Some(super::strings([entry])),
        immutable: Some(true),
        binary_data: None,
    }
}
