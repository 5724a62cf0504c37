//! A VMImage as it is watched: metadata typed, spec and status as stored.
//!
//! Does not judge the spec. Invariant: any object that the apiserver returns can be decoded, so
//! one bad object never stops a watch.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Status;
use crate::manifest::{API_VERSION, GROUP, KIND, VERSION};

/// A VMImage with its spec and status as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Name, namespace, generation and the rest.
    pub metadata: ObjectMeta,
    /// The spec, whatever it is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub spec: Value,
    /// The status, whatever it is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub status: Value,
}

impl Image {
    /// The status, if it is one that this program wrote; the default one otherwise.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::deserialize(&self.status).unwrap_or_default()
    }

    /// The object's name; objects of the apiserver always have one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The object's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The object's UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The annotation with which its user asks to look at inputs again.
    #[must_use]
    pub fn rebuild(&self) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(super::labels::REBUILD).map(String::as_str)
    }

    /// The object's generation.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }
}

impl kube::Resource for Image {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn api_version((): &()) -> Cow<'_, str> {
        API_VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "vmimages".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stored_object_decodes() {
        let odd = serde_json::json!({
            "apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
            "metadata": {"name": "old", "namespace": "n"},
            "spec": "was a string once", "status": [1, 2],
        });
        let image: Image = serde_json::from_value(odd).unwrap();
        assert_eq!(image.name(), "old");
        assert_eq!(image.status(), Status::default());
    }
}
