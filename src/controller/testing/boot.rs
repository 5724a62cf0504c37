//! Documents with boot loaders: their contentHash covers the boot assets of the operator's image.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::World;
use crate::controller::config::BootAssets;

/// GRUB for BIOS is there, GRUB for UEFI is not.
pub(super) fn assets() -> BTreeMap<String, BootAssets> {
    let entry = |set: &str, digest: Option<char>, packages: &str| {
        let digest = digest.map(|digit| format!("sha256:{}", digit.to_string().repeat(64)));
        (set.to_owned(), BootAssets { digest, packages: packages.to_owned() })
    };
    let bios = entry("grub/i386-pc", Some('a'), "grub-pc-bin");
    BTreeMap::from([bios, entry("grub/x86_64-efi", None, "grub-efi-amd64-bin")])
}

fn document(firmware: Value) -> Value {
    let entry = json!({"title": "a", "commands": "halt"});
    json!({
        "boot": {"grub": {"firmware": firmware, "entries": [entry]}},
        "disk": {
            "size": "64Mi",
            "partitionTable": "GPT",
            "partitions": [
                {"name": "bios", "type": "biosBoot", "size": "1Mi"},
                {"name": "esp", "type": "esp", "size": "33Mi", "filesystem": {"type": "vfat"}},
                {"name": "root", "mountPath": "/", "filesystem": {"type": "ext4"}},
            ],
        },
        "publish": [{"name": "golden", "pvc": {}}],
    })
}

#[tokio::test]
async fn assets_that_the_operator_has_not_are_named() {
    let world = World::new();
    world.add("hello", document(json!(["bios", "uefi"])));
    world.run(&mut world.controller(), "hello").await;
    let (status, reason, message) = world.condition("hello", "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "BootAssetsMissing"), "{message}");
    for part in ["boot assets grub/x86_64-efi", "grub-efi-amd64-bin"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(world.server.lock().objects.all("jobs").is_empty(), "an attempt was made");
}

#[tokio::test]
async fn the_builder_is_told_their_digests() {
    let world = World::new();
    world.add("hello", document(json!(["bios"])));
    world.run(&mut world.controller(), "hello").await;
    let (_, job) = world.server.lock().objects.all("jobs").remove(0);
    let builder = &job["spec"]["template"]["spec"]["containers"][0];
    let flag = format!("--boot-asset-digest=grub/i386-pc=sha256:{}", "a".repeat(64));
    assert!(builder["args"].as_array().unwrap().contains(&json!(flag)), "{builder}");
}
