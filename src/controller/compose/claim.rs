//! The PersistentVolumeClaim of a target, and the marks that say it is complete.
//!
//! Invariant: the marks are a separate, later write.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::super::config::ClaimRules;
use super::super::observe::{Dress, Marks, Wanted};
use crate::api::{Image, labels};
use crate::units::{ByteSize, SizeOverflow};

/// The claim for `wanted`, whose StorageClass is `class` if it is known.
pub(in crate::controller) fn claim(
    image: &Image,
    wanted: &Wanted,
    class: Option<&str>,
    rules: &ClaimRules,
) -> Result<PersistentVolumeClaim, SizeOverflow> {
    let request = request(wanted, class, rules)?;
    let mut metadata = super::metadata(image, wanted, &wanted.claim, false);
    metadata.labels.get_or_insert_default().extend(wanted.dress.labels.clone());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.extend(wanted.dress.annotations.clone());
    annotations.extend(wanted.dress.written().map(|text| (labels::DRESS.to_owned(), text)));
    let storage = ("storage".to_owned(), Quantity(request.get().to_string()));
    Ok(PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(wanted.access_modes.clone()),
            resources: Some(VolumeResourceRequirements {
                requests: Some([storage].into()),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: wanted.class.clone(),
            volume_mode: Some(if wanted.block { "Block" } else { "Filesystem" }.to_owned()),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}

/// A merge patch that gives the claim with this UID the labels and annotations of its document, and
/// takes those away that it had `before` from it.
pub(in crate::controller) fn dressed(wanted: &Wanted, uid: &str, before: &Dress) -> Value {
    let change = |old: &BTreeMap<String, String>, new: &BTreeMap<String, String>| {
        let gone = old.keys().map(|key| (key.clone(), Value::Null));
        let given = new.iter().map(|(key, text)| (key.clone(), json!(text)));
        gone.chain(given).collect::<Map<_, _>>()
    };
    let mut annotations = change(&before.annotations, &wanted.dress.annotations);
    annotations.insert(labels::DRESS.to_owned(), json!(wanted.dress.written()));
    json!({"metadata": {
        "uid": uid,
        "labels": change(&before.labels, &wanted.dress.labels),
        "annotations": annotations,
    }})
}

/// The request of `wanted`'s claim, whose StorageClass is `class` if it is known.
pub(in crate::controller) fn request(
    wanted: &Wanted,
    class: Option<&str>,
    rules: &ClaimRules,
) -> Result<ByteSize, SizeOverflow> {
    match wanted.request {
        Some(request) => Ok(request),
        None if wanted.block => Ok(rules.device(wanted.holds, class)),
        None => rules.request(wanted.holds, class),
    }
}

/// The annotations that mark the claim with this UID complete, for server-side apply. The UID
/// makes the write fail if the claim was replaced meanwhile.
pub(in crate::controller) fn marks(
    image: &Image,
    wanted: &Wanted,
    uid: &str,
    marks: &Marks,
) -> PersistentVolumeClaim {
    // A claim that an earlier image of this name left behind becomes this image's with its marks.
    let annotations = super::strings([
        (labels::OWNER_UID, image.uid()),
        (labels::COMPLETE, wanted.target_hash.as_str()),
        (labels::DIGEST, &marks.digest),
        (labels::SIZE, &marks.size.to_string()),
        (labels::CONTENT_DIGEST, &marks.content_digest),
        (labels::VIRTUAL_SIZE, &marks.virtual_size.to_string()),
        (labels::MANIFEST_DIGEST, &marks.manifest_digest),
        (labels::ATTEMPT, &marks.attempt.to_string()),
    ]);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(wanted.claim.clone()),
            namespace: image.metadata.namespace.clone(),
            uid: Some(uid.to_owned()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        ..PersistentVolumeClaim::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::validate;
    use super::*;

    /// The claim of the only target of this document.
    fn of(formats: Value, target: Value) -> Value {
        let mut target = target;
        target["name"] = "golden".into();
        let spec = json!({"disk": {"size": "64Mi"}, "formats": formats, "publish": [target]});
        let mut image = Image { spec, ..Image::default() };
        image.metadata.name = Some("hello".into());
        image.metadata.uid = Some("uid-1".into());
        let accepted = validate(&image).unwrap();
        let rules = ClaimRules { overhead: 60_000, ..ClaimRules::default() };
        serde_json::to_value(claim(&image, &accepted.wanted[0], None, &rules).unwrap()).unwrap()
    }

    fn request(claim: &Value) -> &Value {
        &claim["spec"]["resources"]["requests"]["storage"]
    }

    #[test]
    fn a_claim_has_room_for_the_disk_or_for_all_files() {
        let formats = json!([{"type": "raw"}, {"type": "vdi"}]);
        // ceil(64 MiB × 1.06).
        assert_eq!(request(&of(formats.clone(), json!({"pvc": {}}))), "71135396");
        // ceil(139 MiB × 1.06): raw 64, vdi 64 + 2 + 8, and 1 beside them.
        assert_eq!(request(&of(formats.clone(), json!({"files": {}}))), "154497188");
        let asked = json!({"files": {"pvc": {"request": "8Mi"}}});
        assert_eq!(request(&of(formats, asked)), "8388608");
    }

    #[test]
    fn a_claim_for_files_is_as_it_was_asked_for() {
        let pvc =
            json!({"name": "shelf", "storageClassName": "slow", "accessModes": ["ReadWriteMany"]});
        let found = of(json!([{"type": "raw"}]), json!({"files": {"path": "a/b", "pvc": pvc}}));
        assert_eq!(found["metadata"]["name"], "shelf");
        assert_eq!(found["metadata"]["labels"]["vmimage.dev/target"], "golden");
        assert_eq!(
            found["spec"],
            json!({
                "accessModes": ["ReadWriteMany"],
                // ceil(65 MiB × 1.06).
                "resources": {"requests": {"storage": "72246887"}},
                "storageClassName": "slow",
                "volumeMode": "Filesystem",
            })
        );
    }
}
