//! What a user types at `kubectl`.

use crate::harness::{Use, case, kubectl, text, until};
use crate::hello;

/// Columns, short name, category, wait, jsonpath and explain work; deleting leaves nothing, the
/// PersistentVolume included.
#[test]
fn kubectl_works_as_expected() {
    case("020_as_a_user", Use::Shared, async |space| {
        let here = |args: &[&str]| kubectl(&[&["-n", space.namespace.as_str()], args].concat());
        space.apply("hello", hello("Hello World!")).await;
        here(&["wait", "--for=condition=Ready", "vmimg/hello", "--timeout=90s"]);

        let table = here(&["get", "vmimg"]);
        let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["NAME", "READY", "REASON", "FORMAT", "SIZE", "AGE"], "{table}");
        assert_eq!(rows[1][..5], ["hello", "True", "Published", "raw", "512"], "{table}");
        let digest = here(&["get", "vmimg", "hello", "-o", "jsonpath={.status.content.digest}"]);
        assert!(digest.starts_with("sha256:") && digest.len() == 71, "digest: {digest:?}");
        let wide = here(&["get", "vmimg", "-o", "wide"]);
        assert!(wide.contains(&digest), "expected the digest {digest} in\n{wide}");
        assert!(here(&["get", "vmimages", "-o", "name"]).contains("vmimage.vmimage.dev/hello"));
        let all = here(&["get", "all", "-o", "name"]);
        assert!(!all.contains("vmimage.vmimage.dev"), "images are no part of `all`:\n{all}");

        let tree = kubectl(&["explain", "vmimg.spec", "--recursive"]);
        for field in ["boot", "sector", "message", "publish", "pvc", "storageClassName", "suspend"]
        {
            assert!(tree.contains(field), "expected {field} in\n{tree}");
        }
        let leaf = kubectl(&["explain", "vmimg.spec.boot.sector.message"]);
        let told = leaf.split_once("DESCRIPTION:").map(|(_, text)| text.trim()).unwrap_or_default();
        assert!(told.len() > 20 && !told.starts_with("<empty>"), "expected a text in\n{leaf}");

        let claim = space.complete_claim(&space.image("hello").await).await;
        let volume = text(&claim, "/spec/volumeName");
        here(&["delete", "vmimg", "hello"]);
        space.gone("hello").await;
        until(&format!("PersistentVolume {volume} gone"), async || {
            let left = kubectl(&["get", "pv", "-o", "name"]);
            if left.contains(&volume) { Err(left) } else { Ok(()) }
        })
        .await;
    });
}
