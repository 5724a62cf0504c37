//! `--watch-namespaces`: an operator for a few namespaces, without rights beyond them.

use serde_json::{Value, json};

use crate::harness::{Operator, Space, Use, audit, case, foreign, kubectl, scale, text};
use crate::hello;

/// With Roles in two namespaces only, images there are built and one elsewhere is not even seen.
#[test]
fn only_the_watched_namespaces_are_served() {
    case("190_watch_namespaces", Use::Alone, async |space| {
        let (second, other) = (format!("{}-b", space.namespace), format!("{}-x", space.namespace));
        for namespace in [&second, &other] {
            space.namespace(namespace).await;
        }
        scale(0).await;
        kubectl(&["-n", &space.namespace, "create", "serviceaccount", "narrow"]);
        let (second, other) = (space.at(&second), space.at(&other));
        allow(&space, &space.namespace).await;
        allow(&second, &space.namespace).await;
        let classes = json!({"metadata": {"name": space.namespace}, "rules": [
            {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get", "list"]},
        ]});
        space.apply_cluster("ClusterRole", classes).await;
        let bound = binding("ClusterRole", &space.namespace, &space.namespace);
        space.apply_cluster("ClusterRoleBinding", bound).await;

        let watch = format!("--watch-namespaces={},{}", space.namespace, second.namespace);
        let config = Operator::kubeconfig(&space.namespace, "narrow");
        let operator = Operator::start(&[&watch], &config);
        operator.is_ready().await;
        for place in [&space, &second, &other] {
            place.apply("hello", hello("hello")).await;
        }
        space.ready("hello").await;
        second.ready("hello").await;
        let untouched = other.image("hello").await;
        assert_eq!(untouched["status"], Value::Null, "an image that is not watched");
        if !foreign() {
            let user = format!("system:serviceaccount:{}:narrow", space.namespace);
            let refused: Vec<_> =
                audit(&user).into_iter().filter(|e| e.code == "403").map(|e| e.path).collect();
            assert!(refused.is_empty(), "requests that were refused: {refused:#?}");
        }
        operator.leave().await;
        other.ready("hello").await;
        space.delete_cluster("ClusterRoleBinding", &space.namespace).await;
        space.delete_cluster("ClusterRole", &space.namespace).await;
        for place in [second, other] {
            space.delete_cluster("Namespace", &place.namespace).await;
        }
    });
}

/// A Role with the namespaced rules of the chart's ClusterRole.
async fn allow(space: &Space, home: &str) {
    let role = kubectl(&["get", "clusterrole", "vmimage-operator", "-o", "json"]);
    let role: Value = serde_json::from_str(&role).unwrap();
    let of_the_cluster = ["storageclasses", "cdiconfigs"];
    let namespaced = |rule: &&Value| !of_the_cluster.contains(&&*text(rule, "/resources/0"));
    let rules: Vec<_> = role["rules"].as_array().unwrap().iter().filter(namespaced).collect();
    space.apply_object("Role", json!({"metadata": {"name": home}, "rules": rules})).await;
    space.apply_object("RoleBinding", binding("Role", home, home)).await;
}

fn binding(kind: &str, role: &str, home: &str) -> Value {
    json!({
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "narrow", "namespace": home}],
    })
}
