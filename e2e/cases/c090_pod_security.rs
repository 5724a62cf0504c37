//! Something in the cluster meddles with pods, so that Pod Security refuses them.

use serde_json::json;

use crate::harness::{Use, case, condition, text};
use crate::hello;

/// An injector gives build pods the host's network: the namespace refuses them, the reason is told
/// although no pod ever appears; without the injector it goes on.
#[test]
fn a_refused_pod_is_told_and_waited_for() {
    case("090_pod_security", Use::Shared, async |space| {
        let name = format!("{}-injector", space.namespace);
        let policy = json!({"metadata": {"name": name}, "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space.namespace}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            },
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
                "expression": "Object{spec: Object.spec{hostNetwork: true}}",
            }}],
        }});
        space.apply_cluster("MutatingAdmissionPolicy", policy).await;
        let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name}});
        space.apply_cluster("MutatingAdmissionPolicyBinding", binding).await;
        wait_for_the_policy(&space).await;

        space.apply("hello", hello("hello")).await;
        let image = space.waits("hello", "PodSecurityDenied").await;
        let message = text(&condition(&image, "Ready").unwrap(), "/message");
        assert!(message.contains("restricted") && message.contains("host"), "{message:?}");
        assert!(space.of("Pod", "hello").await.is_empty(), "no pod appears");
        space.delete_cluster("MutatingAdmissionPolicyBinding", &name).await;
        space.delete_cluster("MutatingAdmissionPolicy", &name).await;
        space.ready("hello").await;
    });
}

/// The apiserver reads new policies with some delay: try with a pod of our own.
async fn wait_for_the_policy(space: &crate::harness::Space) {
    crate::harness::until("the policy meddles with a dry-run pod", async || {
        let pod = tempfile::NamedTempFile::new().unwrap();
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": space.namespace},
            "spec": {
                "securityContext": {"runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "c", "image": "x", "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
            },
        });
        fs_err::write(pod.path(), object.to_string()).unwrap();
        let path = pod.path().to_str().unwrap();
        let answer = crate::harness::try_kubectl(&["create", "--dry-run=server", "-f", path]);
        if answer.contains("violates PodSecurity") { Ok(()) } else { Err(answer) }
    })
    .await;
}
