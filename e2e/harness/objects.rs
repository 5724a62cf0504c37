//! Reading objects of the apiserver as JSON.
//!
//! Invariant: what is absent reads as an empty text, so comparisons can fail but never panic.

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// The resource of a kind that the cases use.
pub(crate) fn resource(kind: &str) -> ApiResource {
    let (group, version) = match kind {
        "VMImage" => ("vmimage.dev", "v1alpha1"),
        "Job" => ("batch", "v1"),
        "Deployment" => ("apps", "v1"),
        "StorageClass" => ("storage.k8s.io", "v1"),
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
            ("rbac.authorization.k8s.io", "v1")
        }
        "MutatingAdmissionPolicy" | "MutatingAdmissionPolicyBinding" => {
            ("admissionregistration.k8s.io", "v1")
        }
        "DataVolume" | "DataSource" | "CDI" | "CDIConfig" => ("cdi.kubevirt.io", "v1beta1"),
        "VirtualMachine" => ("kubevirt.io", "v1"),
        _ => ("", "v1"),
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The text at a JSON pointer; numbers and booleans as they are written; empty if there is none.
pub(crate) fn text(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The object's name.
pub(crate) fn name(object: &Value) -> String {
    text(object, "/metadata/name")
}

/// The object's UID.
pub(crate) fn uid(object: &Value) -> String {
    text(object, "/metadata/uid")
}

/// Whether the object is being deleted.
pub(crate) fn deleting(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// The phase that the object's status tells.
pub(crate) fn phase(object: &Value) -> String {
    text(object, "/status/phase")
}

/// An annotation.
pub(crate) fn annotation(object: &Value, key: &str) -> String {
    text(object, &format!("/metadata/annotations/{}", key.replace('/', "~1")))
}

/// A condition of the object.
pub(crate) fn condition(object: &Value, kind: &str) -> Option<Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| text(condition, "/type") == kind).cloned()
}

/// `status reason` of the condition Ready, if it is about the object's present generation.
pub(crate) fn reason_of(image: &Value) -> (String, String) {
    match condition(image, "Ready") {
        Some(ready)
            if text(&ready, "/observedGeneration") == text(image, "/metadata/generation") =>
        {
            (text(&ready, "/status"), text(&ready, "/reason"))
        }
        _ => (String::new(), String::new()),
    }
}

/// The claim, digest and hash that the first target's status tells.
pub(crate) fn place(image: &Value) -> (String, String, String) {
    let current = |field: &str| text(image, &format!("/status/targets/0/current/{field}"));
    (current("ref/name"), current("digest"), current("targetHash"))
}

/// The object's status in one line, for messages.
pub(crate) fn summary(image: &Value) -> String {
    let generation = text(image, "/metadata/generation");
    let ready = condition(image, "Ready").unwrap_or_default();
    format!(
        "{} generation {generation}: Ready={} {} for generation {}: {}",
        name(image),
        text(&ready, "/status"),
        text(&ready, "/reason"),
        text(&ready, "/observedGeneration"),
        text(&ready, "/message"),
    )
}
