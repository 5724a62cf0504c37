//! The objects of the faked API server, and its rules: names, UIDs, apply, merge, deletion.
//!
//! Knows no HTTP. Invariant: what changes nothing leaves the resource version as it is.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

/// What is random in a real cluster.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    /// Part of every UID and of pods' names.
    pub(super) word: &'static str,
    /// Seconds before now at which the first object is made.
    pub(super) ago: i64,
}

impl Default for Seed {
    fn default() -> Self {
        Self { word: "a1b2c", ago: 3600 }
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(plural: &str, namespace: &str, name: &str) -> Self {
        Self { plural: plural.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// An answer that is no object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    fn missing(key: &Key) -> Self {
        Self::new(404, "NotFound", format!("{} \"{}\" not found", key.plural, key.name))
    }

    pub(super) fn to_status(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        })
    }
}

/// All objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    all: BTreeMap<Key, Value>,
    applied: BTreeMap<(Key, String), Value>,
    pub(super) seed: Seed,
    version: u64,
    made: i64,
}

impl Objects {
    pub(super) fn get(&self, key: &Key) -> Result<&Value, Refusal> {
        self.all.get(key).ok_or_else(|| Refusal::missing(key))
    }

    pub(super) fn all(&self, plural: &str) -> Vec<(Key, Value)> {
        let same = |(key, _): &(&Key, &Value)| key.plural == plural;
        self.all.iter().filter(same).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn create(&mut self, mut key: Key, mut object: Value) -> Result<Value, Refusal> {
        if let Some(prefix) = object["metadata"]["generateName"].as_str() {
            key.name = format!("{prefix}{}{}", self.seed.word, self.made);
        }
        if self.all.contains_key(&key) {
            let text = format!("{} \"{}\" already exists", key.plural, key.name);
            return Err(Refusal::new(409, "AlreadyExists", text));
        }
        self.made += 1;
        let time = Timestamp::now() - (self.seed.ago - self.made).seconds();
        let meta = &mut object["metadata"];
        meta["name"] = key.name.clone().into();
        meta["namespace"] = key.namespace.clone().into();
        meta["uid"] = format!("{}-{}", self.seed.word, self.made).into();
        meta["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
        meta["generation"] = 1.into();
        self.put(&key, object)
    }

    /// Stores the object under a new resource version, if it differs from what is stored.
    pub(super) fn put(&mut self, key: &Key, mut object: Value) -> Result<Value, Refusal> {
        if self.all.get(key) != Some(&object) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.all.insert(key.clone(), object.clone());
        }
        Ok(object)
    }

    /// Changes an object as somebody else would.
    pub(super) fn change(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(key).unwrap().clone();
        let before = object["spec"].clone();
        change(&mut object);
        if object["spec"] != before {
            let generation = object["metadata"]["generation"].as_i64().unwrap();
            object["metadata"]["generation"] = (generation + 1).into();
        }
        self.put(key, object).unwrap();
    }

    /// Server-side apply by `manager`, of status alone or of all but status.
    pub(super) fn apply(
        &mut self,
        key: &Key,
        manager: &str,
        mut wish: Value,
        status: bool,
    ) -> Result<Value, Refusal> {
        let uid = wish["metadata"]["uid"].as_str().map(str::to_owned);
        let Ok(there) = self.get(key) else {
            if status {
                return Err(Refusal::missing(key));
            }
            if uid.is_some() {
                return Err(Refusal::new(409, "Conflict", "uid given, and no such object"));
            }
            return self.create(key.clone(), wish);
        };
        if uid.is_some_and(|uid| there["metadata"]["uid"] != uid) {
            return Err(Refusal::new(409, "Conflict", "uid mismatch"));
        }
        let mut object = there.clone();
        if let Value::Object(members) = &mut wish {
            members.retain(|name, _| (name == "status") == status && name != "kind");
            members.remove("apiVersion");
        }
        let place = (key.clone(), manager.to_owned());
        if let Some(before) = self.applied.get(&place) {
            drop_unwished(&mut object, before, &wish);
        }
        merge(&mut object, &wish);
        self.applied.insert(place, wish);
        self.put(key, object)
    }

    /// JSON merge patch (RFC 7396).
    pub(super) fn merge(&mut self, key: &Key, patch: &Value) -> Result<Value, Refusal> {
        let mut object = self.get(key)?.clone();
        for field in ["uid", "resourceVersion"] {
            let expected = &patch["metadata"][field];
            if !expected.is_null() && object["metadata"][field] != *expected {
                return Err(Refusal::new(409, "Conflict", format!("{field} mismatch")));
            }
        }
        merge(&mut object, patch);
        self.put(key, object)
    }

    /// Deletes; a claim that a pod uses only begins to end.
    pub(super) fn delete(&mut self, key: &Key, uid: Option<&str>) -> Result<Value, Refusal> {
        let mut object = self.get(key)?.clone();
        if uid.is_some_and(|uid| object["metadata"]["uid"] != uid) {
            return Err(Refusal::new(409, "Conflict", "Precondition failed: UID in precondition"));
        }
        if key.plural == "persistentvolumeclaims" && self.is_used(key) {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            return self.put(key, object);
        }
        self.remove(key);
        Ok(object)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.version += 1;
        self.all.remove(key);
        self.applied.retain(|(of, _), _| of != key);
    }

    pub(super) fn is_used(&self, claim: &Key) -> bool {
        self.all("pods").iter().any(|(key, pod)| {
            let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
            key.namespace == claim.namespace
                && pod["status"]["phase"] != "Succeeded"
                && pod["status"]["phase"] != "Failed"
                && volumes.iter().any(|v| v["persistentVolumeClaim"]["claimName"] == claim.name)
        })
    }
}

/// Drops what this manager wished before and does not wish any more.
fn drop_unwished(object: &mut Value, before: &Value, wish: &Value) {
    let (Value::Object(object), Value::Object(before)) = (object, before) else { return };
    let nothing = Map::new();
    let wish = wish.as_object().unwrap_or(&nothing);
    for (name, inner) in before {
        match (object.get_mut(name), wish.get(name)) {
            (Some(_), None) => drop(object.remove(name)),
            (Some(there), Some(wish)) => drop_unwished(there, inner, wish),
            (None, _) => {}
        }
    }
}

fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        object.clone_from(patch);
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut object[name], value);
        }
    }
}
