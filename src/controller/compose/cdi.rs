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

#[cfg(test)]
mod tests {
    use serde_json::from_str;

    use super::super::super::validate::validate;
    use super::*;

    /// The image and the only target of the objects in tests/kubevirt/made, which KubeVirt's types
    /// have judged.
    fn given(pvc: Value) -> (Image, Wanted) {
        let spec = json!({"disk": {"size": "64Mi"}, "publish": [{"name": "golden", "pvc": pvc}]});
        let uid = "5d7f1b0e-0c52-4f3b-9a3f-0a8b6f6f3c11";
        let metadata = json!({"name": "tiny", "namespace": "fleet", "uid": uid});
        let image = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
        let mut wanted = validate(&image).unwrap().wanted.remove(0);
        wanted.target_hash = "1".repeat(64);
        wanted.content_hash = "2".repeat(64);
        (image, wanted)
    }

    #[test]
    fn what_is_composed_is_what_kubevirts_types_have_judged() {
        let pvc = json!({"name": "tiny-v1", "dataVolume": {}, "dataSource": {"name": "tiny"}});
        let (image, wanted) = given(pvc);
        // ceil(64 MiB × 1.06).
        let volume = data_volume(&image, &wanted, ByteSize::bytes(71_135_396));
        let judged: Value =
            from_str(include_str!("../../../tests/kubevirt/made/datavolume.json")).unwrap();
        assert_eq!(json!(volume), judged);
        let source = data_source(&image, &wanted, "tiny");
        let judged: Value =
            from_str(include_str!("../../../tests/kubevirt/made/datasource.json")).unwrap();
        assert_eq!(json!(source), judged);
    }

    #[test]
    fn another_claim_is_pointed_at_without_what_is_stale() {
        let (image, wanted) = given(json!({"name": "tiny-v2"}));
        let stale = BTreeSet::from(["instancetype.kubevirt.io/default-preference".to_owned()]);
        let patch = pointed(&image, &wanted, "u", Some("tiny-v2"), &stale);
        let labels = &patch["metadata"]["labels"];
        assert_eq!(labels["instancetype.kubevirt.io/default-preference"], Value::Null);
        assert_eq!(labels["vmimage.dev/image"], "tiny");
        let pvc = json!({"name": "tiny-v2", "namespace": "fleet"});
        assert_eq!(patch["spec"]["source"]["pvc"], pvc);
        assert_eq!(
            pointed(&image, &wanted, "u", None, &stale)["spec"]["source"]["pvc"],
            Value::Null
        );
    }
}
