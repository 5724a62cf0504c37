//! The DataVolume of a claim and the DataSource that points at it.
//!
//! Invariant: a DataVolume of ours waits for the claim of its name, and CDI never makes one for it; a
//! DataSource names a claim that is complete, or none.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::observe::Wanted;
use crate::api::Image;
use crate::api::cdi::{DataSource, DataVolume, PRE_POPULATED};
use crate::units::ByteSize;

/// The DataVolume of `wanted`'s claim, which asks for `request`.
pub(in crate::controller) fn data_volume(
    image: &Image,
    wanted: &Wanted,
    request: ByteSize,
) -> DataVolume {
    let mut metadata = super::metadata(image, wanted, &wanted.claim, false);
    let waits = super::strings([(PRE_POPULATED, wanted.claim.as_str())]);
    metadata.annotations.get_or_insert_default().extend(waits);
    let mut claim = json!({
        "accessModes": wanted.access_modes,
        "resources": {"requests": {"storage": request.get().to_string()}},
        "volumeMode": if wanted.block { "Block" } else { "Filesystem" },
    });
    if let Some(class) = &wanted.class {
        claim["storageClassName"] = class.as_str().into();
    }
    // The source is never used: CDI asks for one.
    DataVolume::new(metadata, json!({"source": {"blank": {}}, "pvc": claim}))
}

/// The DataSource `name` that points at `wanted`'s claim.
pub(in crate::controller) fn data_source(image: &Image, wanted: &Wanted, name: &str) -> DataSource {
    let metadata = super::metadata(image, wanted, name, false);
    let namespace = image.namespace();
    let spec = json!({"source": {"pvc": {"name": wanted.claim, "namespace": namespace}}});
    DataSource::new(metadata, spec)
}

/// The merge patch that makes the DataSource with this UID point at `claim` alone, or at nothing, and
/// takes `stale` labels from it.
pub(in crate::controller) fn pointed(
    image: &Image,
    wanted: &Wanted,
    uid: &str,
    claim: Option<&str>,
    stale: &BTreeSet<String>,
) -> Value {
    let mut labels: Map<String, Value> =
        stale.iter().map(|key| (key.clone(), Value::Null)).collect();
    let own = super::our_labels(image, wanted);
    labels.extend(own.into_iter().map(|(key, value)| (key, value.into())));
    let pvc = claim.map(|name| json!({"name": name, "namespace": image.namespace()}));
    json!({
        "metadata": {
            "uid": uid,
            "labels": labels,
            "annotations": super::our_annotations(image, wanted),
        },
        "spec": {"source": {"pvc": pvc, "snapshot": null, "dataSource": null}},
    })
}
