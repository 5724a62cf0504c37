//! Reads the ConfigMaps that a document takes bytes from, for their digests.
//!
//! Reads no Secret and fetches nothing: build pods do. Invariant: each ConfigMap is read once a run,
//! by its name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;

use super::context::Context;
use crate::api::Image;
use crate::manifest::hash::InputDigests;
use crate::manifest::source;
use crate::manifest::types::{KeyReference, Spec};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Digests by field.
    pub(super) digests: InputDigests,
    /// What is not there, in one sentence each.
    pub(super) missing: Vec<String>,
}

/// Reads the ConfigMaps that `spec` names.
pub(super) async fn look(
    image: &Image,
    spec: &Spec,
    context: &Context,
) -> Result<Found, kube::Error> {
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), image.namespace());
    let mut read: BTreeMap<&str, Option<ConfigMap>> = BTreeMap::new();
    let mut found = Found::default();
    for (path, source) in source::sources(spec) {
        let Some(KeyReference { name, key }) = &source.config_map_key_ref else { continue };
        if !read.contains_key(name.as_str()) {
            read.insert(name, maps.get_opt(name).await?);
        }
        let map = read.get(name.as_str()).and_then(Option::as_ref);
        match (map, map.and_then(|map| bytes(map, key))) {
            (None, _) => found.missing.push(format!("{path}: there is no ConfigMap {name}")),
            (_, None) => found.missing.push(format!("{path}: ConfigMap {name} has no key {key}")),
            (_, Some(bytes)) => {
                let digest = source.digest.clone().unwrap_or_else(|| source::digest(bytes));
                found.digests.insert(path, digest);
            }
        }
    }
    Ok(found)
}

fn bytes<'a>(map: &'a ConfigMap, key: &str) -> Option<&'a [u8]> {
    let text = map.data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
    text.or_else(|| map.binary_data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice()))
}
