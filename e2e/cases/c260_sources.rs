//! Sources: keys of ConfigMaps, and servers that no build may reach.

use serde_json::{Value, json};

use crate::harness::{Use, case, condition, text};

/// A boot sector in base64: 55 AA at its end.
fn sector(first: u8) -> String {
    let mut bytes = [0; 512];
    bytes[..2].copy_from_slice(&[0xeb, first]);
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

fn from(source: Value) -> Value {
    json!({"boot": {"sector": {"source": source}}, "publish": [{"name": "golden", "pvc": {}}]})
}

/// A ConfigMap that is not there yet is waited for without an attempt; it is built when it appears.
#[test]
fn a_missing_config_map_is_waited_for() {
    case("260_config_map", Use::Shared, async |space| {
        let key = json!({"configMapKeyRef": {"name": "files", "key": "sector"}});
        space.apply("hello", from(key)).await;
        let image = space.waits("hello", "SourceMissing").await;
        let message = text(&condition(&image, "Ready").unwrap(), "/message");
        assert!(message.ends_with("there is no ConfigMap files"), "{message:?}");
        assert!(space.ours("Job").await.is_empty(), "no Job is made");
        let map = json!({"metadata": {"name": "files"}, "binaryData": {"sector": sector(0xfe)}});
        space.apply_object("ConfigMap", map).await;
        let image = space.ready("hello").await;
        assert_eq!(text(&image, "/status/content/virtualSizeBytes"), "512");
    });
}

/// The API server's own address, a metadata service and plain http are refused, with the flag.
#[test]
fn servers_inside_are_refused() {
    case("261_servers", Use::Shared, async |space| {
        for (name, url, wanted) in [
            (
                "cluster",
                "https://kubernetes.default.svc/api",
                "--allow-source-host=kubernetes.default.svc",
            ),
            ("metadata", "https://169.254.169.254/", "--allow-source-cidr=169.254.169.254"),
            ("plain", "http://example.com/", "--allow-source-http"),
        ] {
            let digest = format!("sha256:{}", "0".repeat(64));
            space.apply(name, from(json!({"http": {"url": url}, "digest": digest}))).await;
            let image = space.waits(name, "SourceRefused").await;
            let message = text(&condition(&image, "Stalled").unwrap(), "/message");
            assert!(message.contains(wanted), "{message:?}");
        }
    });
}
