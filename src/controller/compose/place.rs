//! Where a build pod publishes: the claim as a directory or as a device, or the credentials for a
//! registry; and the flags that tell the builder.
//!
//! Pure. Invariant: a push secret is mounted in the builder's container only, and only one key of it.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, KeyToPath, PersistentVolumeClaimVolumeSource,
    ProjectedVolumeSource, SecretProjection, Volume, VolumeDevice, VolumeMount, VolumeProjection,
};

use super::super::observe::Wanted;
use super::sources::DOCKER_CONFIG;
use crate::manifest::types::Push;

/// The volume's name in the pod.
pub(super) const TARGET: &str = "target";
/// Where a claim is mounted.
const VOLUME: &str = "/target";
/// Where a block device appears.
const DEVICE: &str = "/dev/target";
/// Where credentials and certificates of a registry lie.
const PUSH: &str = "/push";

/// The flags that tell the builder where to publish.
pub(super) fn flags(wanted: &Wanted) -> [&'static str; 2] {
    match wanted {
        Wanted { push: Some(_), .. } => ["--push", PUSH],
        Wanted { block: true, .. } => ["--device", DEVICE],
        _ => ["--volume", VOLUME],
    }
}

/// The pod's volume; none for a pod that looks at inputs only, or a registry that asks for nothing.
pub(super) fn volume(wanted: &Wanted) -> Option<Volume> {
    let name = TARGET.to_owned();
    if let Some(push) = &wanted.push {
        let sources = credentials(push);
        let projected = ProjectedVolumeSource { default_mode: Some(0o440), sources: Some(sources) };
        return Some(Volume { name, projected: Some(projected), ..Volume::default() });
    }
    let claim =
        PersistentVolumeClaimVolumeSource { claim_name: wanted.claim.clone(), read_only: None };
    wanted.has_claim().then(|| Volume {
        name,
        persistent_volume_claim: Some(claim),
        ..Volume::default()
    })
}

/// Hands the volume to the builder's container.
pub(super) fn hand(wanted: &Wanted, builder: &mut Container) {
    if !wanted.has_claim() && wanted.push.is_none() {
        return;
    }
    if wanted.block {
        let device = VolumeDevice { name: TARGET.to_owned(), device_path: DEVICE.to_owned() };
        builder.volume_devices = Some(vec![device]);
        return;
    }
    let path = if wanted.push.is_some() { PUSH } else { VOLUME };
    builder.volume_mounts.get_or_insert_default().push(VolumeMount {
        name: TARGET.to_owned(),
        mount_path: path.to_owned(),
        read_only: wanted.push.as_ref().map(|_| true),
        ..VolumeMount::default()
    });
}

/// The files of the registry's directory: `config.json` and `ca.crt`, of those that are named.
fn credentials(push: &Push) -> Vec<VolumeProjection> {
    let item = |key: &str, path: &str| {
        Some(vec![KeyToPath { key: key.to_owned(), path: path.to_owned(), ..KeyToPath::default() }])
    };
    let secret = push.push_secret_ref.as_ref().map(|secret| VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.name.clone(),
            items: item(DOCKER_CONFIG, "config.json"),
            optional: None,
        }),
        ..VolumeProjection::default()
    });
    let ca = push.ca_bundle.as_ref().map(|bundle| VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: bundle.config_map_key_ref.name.clone(),
            items: item(&bundle.config_map_key_ref.key, "ca.crt"),
            optional: None,
        }),
        ..VolumeProjection::default()
    });
    secret.into_iter().chain(ca).collect()
}
