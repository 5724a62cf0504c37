//! What a build pod is given of the namespace: the keys, volumes and credentials that a document
//! names, and room for what is fetched.
//!
//! Pure. Invariant: everything is mounted read-only; of an object only the keys that the document
//! names, except the Secrets whose keys are headers.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, PersistentVolumeClaimVolumeSource,
    SecretVolumeSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::manifest::types::{Build, KeyReference, Spec};
use crate::manifest::{source, types};

/// Where objects are mounted; the builder looks there.
pub(super) const ROOT: &str = "/sources";
/// Where temporary files go.
pub(super) const SCRATCH: &str = "/scratch";
/// The key of a pull secret (`kubernetes.io/dockerconfigjson`).
pub(super) const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// What is mounted.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Mounted {
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

/// The keys of objects by name; no keys: all.
type Keys<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The objects that a document names.
#[derive(Debug, Default)]
struct Named<'a> {
    config_maps: Keys<'a>,
    secrets: Keys<'a>,
    /// Secrets that are taken whole.
    whole: BTreeSet<&'a str>,
    claims: BTreeSet<&'a str>,
}

impl<'a> Named<'a> {
    fn of(spec: &'a Spec) -> Self {
        let mut named = Self::default();
        for (_, source) in source::sources(spec) {
            let types::Source { config_map_key_ref, secret_key_ref, pvc, http, oci, .. } = source;
            let bundles = [
                http.as_ref().and_then(|http| http.ca_bundle.as_ref()),
                oci.as_ref().and_then(|oci| oci.ca_bundle.as_ref()),
            ];
            let bundles = bundles.into_iter().flatten().map(|bundle| &bundle.config_map_key_ref);
            for KeyReference { name, key } in config_map_key_ref.iter().chain(bundles) {
                named.config_maps.entry(name).or_default().insert(key);
            }
            if let Some(KeyReference { name, key }) = secret_key_ref {
                named.secrets.entry(name).or_default().insert(key);
            }
            if let Some(secret) = oci.as_ref().and_then(|oci| oci.pull_secret_ref.as_ref()) {
                named.secrets.entry(&secret.name).or_default().insert(DOCKER_CONFIG);
            }
            if let Some(secret) = http.as_ref().and_then(|http| http.headers_secret_ref.as_ref()) {
                named.secrets.entry(&secret.name).or_default();
                named.whole.insert(&secret.name);
            }
            named.claims.extend(pvc.as_ref().map(|pvc| pvc.claim_name.as_str()));
        }
        named
    }
}

/// What the build pod of `spec` is given.
pub(super) fn mounted(spec: &Spec) -> Mounted {
    let named = Named::of(spec);
    let mut mounted = Mounted::default();
    let scratch = EmptyDirVolumeSource {
        size_limit: Some(Quantity(scratch(&spec.build))),
        ..EmptyDirVolumeSource::default()
    };
    let volume = Volume { empty_dir: Some(scratch), ..Volume::default() };
    mounted.add("scratch".to_owned(), SCRATCH.to_owned(), volume, false);
    for (at, (name, keys)) in named.config_maps.iter().enumerate() {
        let config_map = ConfigMapVolumeSource {
            name: (*name).to_owned(),
            items: Some(items(keys)),
            ..ConfigMapVolumeSource::default()
        };
        let volume = Volume { config_map: Some(config_map), ..Volume::default() };
        mounted.add(format!("configmap-{at}"), format!("{ROOT}/configmap/{name}"), volume, true);
    }
    for (at, (name, keys)) in named.secrets.iter().enumerate() {
        let secret = SecretVolumeSource {
            secret_name: Some((*name).to_owned()),
            items: (!named.whole.contains(name)).then(|| items(keys)),
            // The pod's group reads them; nobody else does.
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        };
        let volume = Volume { secret: Some(secret), ..Volume::default() };
        mounted.add(format!("secret-{at}"), format!("{ROOT}/secret/{name}"), volume, true);
    }
    for (at, name) in named.claims.iter().enumerate() {
        let claim = PersistentVolumeClaimVolumeSource {
            claim_name: (*name).to_owned(),
            // The volume's, not only the mount's: else the kubelet gives the user's files to the
            // pod's group.
            read_only: Some(true),
        };
        let volume = Volume { persistent_volume_claim: Some(claim), ..Volume::default() };
        mounted.add(format!("pvc-{at}"), format!("{ROOT}/pvc/{name}"), volume, true);
    }
    mounted
}

/// The size of the temporary files.
pub(super) fn scratch(build: &Build) -> String {
    build.scratch.size_limit.0.0.to_string()
}

fn items(keys: &BTreeSet<&str>) -> Vec<KeyToPath> {
    let item = |key: &&str| KeyToPath {
        key: (*key).to_owned(),
        path: (*key).to_owned(),
        ..KeyToPath::default()
    };
    keys.iter().map(item).collect()
}

impl Mounted {
    fn add(&mut self, name: String, path: String, volume: Volume, read_only: bool) {
        self.volumes.push(Volume { name: name.clone(), ..volume });
        self.mounts.push(VolumeMount {
            name,
            mount_path: path,
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(source: Value) -> Value {
        let spec = json!({"boot": {"sector": {"source": source}}});
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let Mounted { volumes, mounts } = mounted(&spec);
        let pair = json!([volumes[1..], mounts[1..]]);
        assert_eq!(json!(volumes[0]), json!({"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}));
        pair
    }

    #[test]
    fn what_a_document_names_is_mounted_read_only() {
        let key = json!({"name": "files", "key": "a.txt"});
        assert_eq!(
            of(json!({"configMapKeyRef": key})),
            json!([
                [{"name": "configmap-0", "configMap": {"name": "files",
                    "items": [{"key": "a.txt", "path": "a.txt"}]}}],
                [{"name": "configmap-0", "mountPath": "/sources/configmap/files", "readOnly": true}],
            ])
        );
        assert_eq!(
            of(json!({"secretKeyRef": key}))[0],
            json!([{"name": "secret-0", "secret": {"secretName": "files", "defaultMode": 0o440,
                "items": [{"key": "a.txt", "path": "a.txt"}]}}])
        );
        assert_eq!(
            of(json!({"pvc": {"claimName": "disks", "path": "a"}, "allowMutable": true})),
            json!([
                [{"name": "pvc-0", "persistentVolumeClaim": {"claimName": "disks", "readOnly": true}}],
                [{"name": "pvc-0", "mountPath": "/sources/pvc/disks", "readOnly": true}],
            ])
        );
        let http = json!({"url": "https://a.example/", "headersSecretRef": {"name": "headers"},
            "caBundle": {"configMapKeyRef": {"name": "ca", "key": "ca.pem"}}});
        assert_eq!(
            of(json!({"http": http, "allowMutable": true}))[0],
            json!([
                {"name": "configmap-0", "configMap": {"name": "ca",
                    "items": [{"key": "ca.pem", "path": "ca.pem"}]}},
                {"name": "secret-0", "secret": {"secretName": "headers", "defaultMode": 0o440}},
            ])
        );
        let oci = json!({"image": "r.example/a", "pullSecretRef": {"name": "pull"}});
        assert_eq!(
            of(json!({"oci": oci, "allowMutable": true}))[0][0]["secret"]["items"],
            json!([{"key": ".dockerconfigjson", "path": ".dockerconfigjson"}])
        );
    }
}
