//! From a stored spec to what is wanted of each target.
//!
//! Pure. Invariant: what passes can be built; what does not is named by field.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::config::Config;
use super::observe::{Dress, Wanted};
use crate::api::{Image, labels, names};
use crate::manifest::types::{AccessMode, Pvc, Spec, Target, VolumeMode};
use crate::manifest::{check, disk_size, hash, parse, room};

/// Volumes hold disks in whole MiB.
const DISK_UNIT: u64 = 1 << 20;

/// An image whose spec was accepted.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    /// The spec.
    pub spec: Spec,
    /// contentHash.
    pub content_hash: String,
    /// Hash of `spec.build`.
    pub build_hash: String,
    /// What each target asks for.
    pub wanted: Vec<Wanted>,
    /// Digests of inputs that the spec gives none for, as they were when they were looked at.
    pub resolved: hash::InputDigests,
}

/// Why a spec was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The spec cannot be built.
    #[error("{0}")]
    InvalidSpec(String),
    /// There is no target.
    #[error("spec.publish is empty: name at least one target, such as {{name: golden, pvc: {{}}}}")]
    NothingToPublish,
    /// The operator's image has no files of a boot loader that the document needs.
    #[error(
        "spec.boot: this operator's image has no boot assets {set} (of Debian's package {packages}); \
         it needs an image that carries them"
    )]
    BootAssetsMissing {
        /// The set.
        set: &'static str,
        /// What brings it.
        packages: String,
    },
    /// Scripts run only where operator and namespace allow them.
    #[error(
        "spec.disk.scripts: scripts are not allowed here: the operator needs --allow-scripts \
         (allowScripts in the chart; it {operator}) and the namespace the label \
         vmimage.dev/allow-scripts: \"true\" (it {namespace})"
    )]
    ScriptsNotAllowed {
        /// Whether the operator has its flag.
        operator: &'static str,
        /// Whether the namespace has its label.
        namespace: &'static str,
    },
}

impl Refusal {
    /// The condition's reason.
    #[must_use]
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSpec(_) => "InvalidSpec",
            Self::NothingToPublish => "NothingToPublish",
            Self::BootAssetsMissing { .. } => "BootAssetsMissing",
            Self::ScriptsNotAllowed { .. } => "ScriptsNotAllowed",
        }
    }
}

/// Accepts or refuses an image whose inputs are all known from its spec.
#[cfg(test)]
pub(super) fn validate(image: &Image) -> Result<Accepted, Refusal> {
    accept(image, spec(image)?, &hash::InputDigests::new())
}

/// The spec of `image`, if it can be built.
pub(super) fn spec(image: &Image) -> Result<Spec, Refusal> {
    let invalid = |error: &dyn std::fmt::Display| Refusal::InvalidSpec(error.to_string());
    let spec = parse::from_json(image.spec.clone()).map_err(|error| match error.path() {
        Some(path) => Refusal::InvalidSpec(format!("{path}: {error}")),
        None => invalid(&error),
    })?;
    let mut problems = check::check_spec(&spec);
    problems.extend(check::check_for_cluster(&spec));
    if let Some(problem) = problems.first() {
        return Err(Refusal::InvalidSpec(format!("{}: {}", problem.path, problem.message)));
    }
    if spec.publish.is_empty() {
        return Err(Refusal::NothingToPublish);
    }
    Ok(spec)
}

/// The digests of the boot assets that the media of `spec` are made of.
pub(super) fn boot_assets(spec: &Spec, config: &Config) -> Result<hash::InputDigests, Refusal> {
    let known = |set: &'static str| {
        let entry = config.boot_assets.get(set);
        let digest = entry.and_then(|entry| entry.digest.clone());
        let packages = || entry.map(|entry| entry.packages.clone()).unwrap_or_default();
        let missing = || Refusal::BootAssetsMissing { set, packages: packages() };
        Ok((hash::asset_path(set), digest.ok_or_else(missing)?))
    };
    hash::assets(spec).into_iter().map(known).collect()
}

/// What is wanted of `spec`, whose inputs have the digests that it gives and those `found`.
pub(super) fn accept(
    image: &Image,
    spec: Spec,
    found: &hash::InputDigests,
) -> Result<Accepted, Refusal> {
    let invalid = |error: &dyn std::fmt::Display| Refusal::InvalidSpec(error.to_string());
    let mut digests = hash::known_digests(&spec);
    digests.extend(found.clone());
    let content_hash = hash::content_hash(&spec, &digests).map_err(|error| {
        let path = &error.path;
        Refusal::InvalidSpec(format!(
            "{path}: in a cluster this source needs digest: sha256:…, since its bytes decide what \
             is built again; or allowMutable: true, to take what is there when it is first built"
        ))
    })?;
    let wanted = spec
        .publish
        .iter()
        .map(|target| wanted(image, &spec, target, &content_hash))
        .collect::<Result<_, _>>()?;
    let build_hash = build_hash(&spec).map_err(|e| invalid(&e))?;
    Ok(Accepted { build_hash, content_hash, wanted, spec, resolved: hash::InputDigests::new() })
}

/// Hash of `spec.build`.
pub(super) fn build_hash(spec: &Spec) -> Result<String, serde_json::Error> {
    let build = serde_json::to_value(&spec.build)?;
    Ok(hex::encode(Sha256::digest(build.to_string())))
}

fn wanted(
    image: &Image,
    spec: &Spec,
    target: &Target,
    content_hash: &str,
) -> Result<Wanted, Refusal> {
    let Some(target_hash) = hash::target_hash(content_hash, spec, target) else {
        return Err(Refusal::InvalidSpec(format!("target {} has no kind", target.name)));
    };
    let base = names::base(image.namespace(), image.name(), &target.name, &target_hash);
    let holds = match &target.files {
        Some(_) => room(spec),
        None => disk_size(spec).round_up(DISK_UNIT),
    };
    let holds = holds.map_err(|e| Refusal::InvalidSpec(format!("spec.disk.size: {e}")))?;
    let none = Pvc::default();
    let pvc = target.claim().unwrap_or(&none);
    let claim = target.claim().map(|pvc| pvc.name.clone().unwrap_or_else(|| base.clone()));
    Ok(Wanted {
        target: target.name.clone(),
        kind: target.kind(),
        claim: claim.unwrap_or_default(),
        target_hash,
        content_hash: content_hash.to_owned(),
        base,
        class: pvc.storage_class_name.clone(),
        access_modes: pvc.access_modes.iter().map(|mode| access_mode(*mode).to_owned()).collect(),
        request: pvc.request.map(|size| size.0),
        holds,
        block: pvc.volume_mode == VolumeMode::Block,
        retain: pvc.retain.clone(),
        dress: dress(pvc),
        data_volume: pvc.data_volume.as_ref().map(|volume| volume.create),
        data_source: pvc.data_source.as_ref().map(|source| source.name.clone()),
        push: target.push().cloned(),
    })
}

/// The labels and annotations that a document gives a claim.
fn dress(pvc: &Pvc) -> Dress {
    let mut labels: BTreeMap<String, String> =
        pvc.labels.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    let defaults = [
        (labels::DEFAULT_INSTANCETYPE, &pvc.defaults.instancetype),
        (labels::DEFAULT_PREFERENCE, &pvc.defaults.preference),
    ];
    for (key, reference) in defaults {
        let Some(reference) = reference else { continue };
        labels.insert(key.to_owned(), reference.name.clone());
        if let Some(kind) = &reference.kind {
            labels.insert(format!("{key}-kind"), kind.clone());
        }
    }
    let annotations = pvc.annotations.iter();
    let annotations = annotations.map(|(key, value)| (key.clone(), value.0.clone())).collect();
    Dress { labels, annotations }
}

const fn access_mode(mode: AccessMode) -> &'static str {
    match mode {
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
        AccessMode::ReadWriteOncePod => "ReadWriteOncePod",
        AccessMode::ReadWriteMany => "ReadWriteMany",
    }
}
