//! Inputs without digest: a Job of their own looks at them, its answer is kept in the status.
//!
//! Pure. Invariant: the same sources and rebuild annotation are looked at once; what was found then
//! is what is built, until one of them is edited.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::observe::{Dress, Wanted};
use super::validate::{Accepted, Refusal, build_hash};
use crate::api::status::{ResolvedInput, ResolvedInputs};
use crate::api::{Image, Status, names};
use crate::manifest::hash::InputDigests;
use crate::manifest::types::{Retain, Spec};
use crate::manifest::{FieldPath, source};
use crate::report::MAX_DIGESTS;
use crate::units::ByteSize;

/// The inputs of a spec that have no digest; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    key: String,
    fields: Vec<FieldPath>,
}

impl Open {
    /// Those of `spec`, if there are any.
    pub(super) fn of(image: &Image, spec: &Spec) -> Result<Option<Self>, Refusal> {
        let mutable = source::mutable(spec);
        if mutable.is_empty() {
            return Ok(None);
        }
        if mutable.len() > MAX_DIGESTS {
            return Err(Refusal::InvalidSpec(format!(
                "{} sources have allowMutable and no digest, {MAX_DIGESTS} are allowed",
                mutable.len()
            )));
        }
        let rebuild = image.rebuild();
        let sources: Vec<_> = mutable.iter().map(|(path, s)| json!([path.as_str(), s])).collect();
        let key = json!({"sources": sources, "architecture": spec.architecture.as_str(),
            "rebuild": rebuild})
        .to_string();
        let key = hex::encode(Sha256::digest(key));
        let fields = mutable.into_iter().map(|(path, _)| path).collect();
        Ok(Some(Self { key, fields }))
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.fields.len()
    }

    /// What was found when they were looked at.
    pub(super) fn known(&self, previous: &Status) -> Option<InputDigests> {
        let inputs = previous.inputs.as_ref().filter(|inputs| inputs.key == self.key)?;
        let digest = |field: &FieldPath| {
            let found = inputs.digests.iter().find(|input| input.field == field.as_str());
            Some((field.clone(), found?.digest.clone()))
        };
        self.fields.iter().map(digest).collect()
    }

    /// The status' entry for these digests, which are in the order of the fields.
    pub(super) fn found(&self, digests: Vec<String>) -> ResolvedInputs {
        let fields = self.fields.iter().map(|field| field.as_str().to_owned());
        let digests =
            fields.zip(digests).map(|(field, digest)| ResolvedInput { field, digest }).collect();
        ResolvedInputs { key: self.key.clone(), digests }
    }

    /// What a Job that looks at them is made from: a target without name and claim.
    pub(super) fn task(&self, image: &Image, spec: Spec) -> Result<Accepted, Refusal> {
        let build_hash = build_hash(&spec).map_err(|e| Refusal::InvalidSpec(e.to_string()))?;
        let base = names::base(image.namespace(), image.name(), "", &self.key);
        let wanted = Wanted {
            target: String::new(),
            kind: "inputs",
            target_hash: self.key.clone(),
            content_hash: self.key.clone(),
            base,
            claim: String::new(),
            class: None,
            access_modes: Vec::new(),
            request: None,
            holds: ByteSize::bytes(0),
            block: false,
            retain: Retain::default(),
            dress: Dress::default(),
            data_volume: None,
            data_source: None,
            push: None,
        };
        let content_hash = self.key.clone();
        let resolved = InputDigests::new();
        Ok(Accepted { spec, content_hash, build_hash, wanted: vec![wanted], resolved })
    }
}
