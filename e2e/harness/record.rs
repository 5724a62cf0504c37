//! What becomes of objects, version by version, as a watch tells it.
//!
//! Judges nothing. Invariant: versions are kept in the order in which the apiserver made them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use serde_json::Value;

use super::objects::uid;

/// A watch that has been started.
pub(crate) struct Record(Arc<Mutex<Vec<Value>>>);

impl Record {
    /// Must be called in a runtime.
    pub(super) fn start(objects: Api<DynamicObject>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            let mut events = objects.watch(&WatchParams::default(), "0").await.unwrap().boxed();
            while let Some(Ok(event)) = events.next().await {
                if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                    log.lock().unwrap().push(serde_json::to_value(object).unwrap());
                }
            }
        });
        Self(seen)
    }

    /// All versions of all objects.
    pub(crate) fn versions(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }

    /// Every object as it was made.
    pub(crate) fn made(&self) -> Vec<Value> {
        let mut known = BTreeSet::new();
        self.versions().into_iter().filter(|object| known.insert(uid(object))).collect()
    }
}
