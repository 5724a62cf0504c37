//! A document is edited after it was published.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use kube::api::{Api, WatchEvent, WatchParams};
use serde_json::{Value, json};
use vmimage::api::Image;

use crate::harness::{
    Space, Use, annotation, boots, case, foreign, mount, name, place, reason_of, sha256sum, text,
};
use crate::hello;

/// Each message makes a claim of its own; Ready is never True for content that is not there; the
/// previous content stays beside the new one, the one before it goes.
#[test]
fn a_changed_message_makes_a_new_claim() {
    case("030_changed_message", Use::Shared, async |space| {
        space.apply("hello", hello("one")).await;
        let seen = watch(&space);
        let first = space.ready("hello").await;
        space.apply("hello", hello("two")).await;
        let second = space.ready("hello").await;
        let (one, two) = (place(&first).0, place(&second).0);
        assert_ne!(one, two, "claims of different content");
        let both = space.names("PersistentVolumeClaim", "hello").await;
        assert_eq!(both, sorted(&[&one, &two]), "the previous content stays");

        let grown =
            json!({"spec": {"boot": {"sector": {"message": "three"}}, "disk": {"size": "2Mi"}}});
        space.patch("VMImage", "hello", grown).await;
        let third = space.ready("hello").await;
        let three = place(&third).0;
        space.has("PersistentVolumeClaim", "hello", 2).await;
        let left = space.names("PersistentVolumeClaim", "hello").await;
        assert_eq!(left, sorted(&[&two, &three]), "the oldest content goes");
        space.has("ConfigMap", "hello", 2).await;
        assert_eq!(text(&third, "/status/content/virtualSizeBytes"), (2 << 20).to_string());

        if foreign() {
            eprintln!("030: not run here: digest and boot of the third disk");
        } else {
            let disk = mount(&space, &three).join("disk.img");
            assert_eq!(sha256sum(&disk), place(&third).1);
            boots(&disk, "three");
        }
        let seen = seen.lock().unwrap().clone();
        assert!(seen.len() >= 6, "expected to see the way of three builds; seen: {seen:?}");
        let wrong: Vec<_> = seen.iter().filter(|line| line.starts_with("WRONG")).collect();
        assert!(wrong.is_empty(), "Ready was True for content that is not there: {wrong:#?}");
        for generation in 1..=3 {
            let not_yet = format!("generation {generation} False");
            assert!(seen.iter().any(|line| line.starts_with(&not_yet)), "{not_yet} in {seen:#?}");
        }
    });
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// Looks at every version of the image's status, and at the claim behind each that is Ready.
fn watch(space: &Space) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (space, log) = (space.clone(), seen.clone());
    tokio::spawn(async move {
        let images: Api<Image> = Api::namespaced(space.client.clone(), &space.namespace);
        let every = WatchParams::default().fields("metadata.name=hello");
        let mut events = images.watch(&every, "0").await.unwrap().boxed();
        while let Some(Ok(event)) = events.next().await {
            let (WatchEvent::Added(image) | WatchEvent::Modified(image)) = event else { continue };
            let line = look(&space, &serde_json::to_value(image).unwrap()).await;
            log.lock().unwrap().push(line);
        }
    });
    seen
}

async fn look(space: &Space, image: &Value) -> String {
    let (status, reason) = reason_of(image);
    let (claim, digest, hash) = place(image);
    let line = format!("generation {} {status} {reason}", text(image, "/metadata/generation"));
    if status != "True" {
        return line;
    }
    let wanted = text(image, "/status/targets/0/targetHash");
    let found = space.find("PersistentVolumeClaim", &claim).await.unwrap_or_default();
    let marks = |key: &str| annotation(&found, &format!("vmimage.dev/{key}"));
    let there = name(&found) == claim
        && hash == wanted
        && (marks("complete"), marks("digest")) == (hash, digest)
        && marks("content-hash") == text(image, "/status/contentHash");
    if there { line } else { format!("WRONG {line} {}", image["status"]) }
}
