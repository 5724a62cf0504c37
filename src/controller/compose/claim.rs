//! The PersistentVolumeClaim of a target, and the marks that say it is complete.
//!
//! Invariant: the marks are a separate, later write.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::config::ClaimRules;
use super::super::observe::{Marks, Wanted};
use crate::api::{Image, labels};
use crate::units::SizeOverflow;

/// The claim for `wanted`, whose StorageClass is `class` if it is known.
pub(in crate::controller) fn claim(
    image: &Image,
    wanted: &Wanted,
    class: Option<&str>,
    rules: &ClaimRules,
) -> Result<PersistentVolumeClaim, SizeOverflow> {
    let request = match wanted.request {
        Some(request) => request,
        None => rules.request(wanted.holds, class)?,
    };
    let storage = ("storage".to_owned(), Quantity(request.get().to_string()));
    Ok(PersistentVolumeClaim {
        metadata: super::metadata(image, wanted, &wanted.claim, false),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(wanted.access_modes.clone()),
            resources: Some(VolumeResourceRequirements {
                requests: Some([storage].into()),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: wanted.class.clone(),
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}

/// The annotations that mark the claim with this UID complete, for server-side apply. The UID
/// makes the write fail if the claim was replaced meanwhile.
pub(in crate::controller) fn marks(
    image: &Image,
    wanted: &Wanted,
    uid: &str,
    marks: &Marks,
) -> PersistentVolumeClaim {
    let annotations = super::strings([
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
