//! The rendered objects: pods, permissions, arguments, services, and the generated files.
//!
//! Invariant: expectations are written by hand, not read from the chart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::helm::{Rendered, file, helm, install_yaml, matrix, render, yaml};

#[test]
fn lint_has_no_complaint() {
    for values in matrix() {
        let values = values.display().to_string();
        let said = helm(&["lint", "--strict", "charts/vmimage-operator", "--values", &values]);
        said.unwrap_or_else(|complaint| panic!("{values}: {complaint}"));
    }
}

#[test]
fn the_pod_is_restricted_and_alone() {
    for values in matrix() {
        let rendered = render(&["--values", &values.display().to_string()]);
        let pods: Vec<&Value> =
            rendered.all().filter_map(|o| o.pointer("/spec/template/spec")).collect();
        assert_eq!(pods.len(), 1, "{}", values.display());
        for pod in pods {
            restricted(pod);
        }
        let deployment = &rendered.one("Deployment")["spec"];
        let single = (&deployment["replicas"], &deployment["strategy"]);
        assert_eq!(single, (&json!(1), &json!({"type": "Recreate"})));
    }
}

/// The *restricted* Pod Security Standard, and what this project asks for beyond it.
fn restricted(pod: &Value) {
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_ne!(context["runAsUser"], 0);
    assert_eq!(context["seccompProfile"], json!({"type": "RuntimeDefault"}));
    assert_eq!(pod["enableServiceLinks"], false);
    for host in ["hostNetwork", "hostPID", "hostIPC", "volumes", "initContainers"] {
        assert_eq!(pod.get(host), None, "{host}");
    }
    for container in pod["containers"].as_array().unwrap() {
        let wanted = json!({
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        assert_eq!(container["securityContext"], wanted);
        assert!(container["resources"]["requests"]["cpu"].is_string());
        assert!(container["resources"]["requests"]["memory"].is_string());
        assert!(container["resources"]["limits"]["memory"].is_string());
        assert!(container["ports"].as_array().unwrap().iter().all(|p| p.get("hostPort").is_none()));
    }
}

fn container(rendered: &Rendered) -> &Value {
    &rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn values_become_these_arguments() {
    let arguments = |values| -> Vec<String> {
        let rendered = render(&["--values", values]);
        serde_json::from_value(container(&rendered)["args"].clone()).unwrap()
    };
    let expected = [
        "--builder-image=vmimage.dev/vmimage-operator:0.1.0",
        "--image-pull-policy=IfNotPresent",
        "--filesystem-overhead=0.06",
        "--concurrency=8",
        "--listen=0.0.0.0:8080",
        "--log-format=text",
        "--log-level=info",
    ];
    assert_eq!(arguments("charts/vmimage-operator/ci/default-values.yaml"), expected);
    let expected = [
        "--builder-image=mirror.example:5000/team/builder:7",
        "--image-pull-policy=Never",
        "--build-service-account=image-builder",
        "--watch-namespaces=images",
        "--filesystem-overhead=0.00002",
        "--class-overhead=ceph-block=0.1,lvm.thin=0.25",
        "--class-minimum=*=8Mi,ceph-block=1Gi",
        "--concurrency=3",
        "--listen=[::]:8080",
        "--log-format=json",
        "--log-level=warn,vmimage=debug",
    ];
    assert_eq!(arguments("charts/vmimage-operator/ci/all-on-values.yaml"), expected);
}

#[test]
#[cfg(feature = "operator")]
fn the_operator_knows_every_argument() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_vmimage-operator"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let rendered = render(&["--values", "charts/vmimage-operator/ci/all-on-values.yaml"]);
    for argument in container(&rendered)["args"].as_array().unwrap() {
        let flag = argument.as_str().unwrap().split('=').next().unwrap();
        assert!(help.contains(&format!("{flag} <")), "{flag} is not in:\n{help}");
    }
}

#[test]
fn the_image_is_taken_by_digest_before_tag() {
    let image = |arguments: &[&str]| {
        let rendered = render(arguments);
        let operator = container(&rendered);
        let (image, builder) = (operator["image"].as_str(), operator["args"][0].as_str());
        assert_eq!(builder.unwrap().strip_prefix("--builder-image="), image);
        image.unwrap().to_owned()
    };
    let digest = format!("sha256:{}", "5".repeat(64));
    assert_eq!(image(&[]), "vmimage.dev/vmimage-operator:0.1.0");
    let tag = ["--set", "image.repository=a.example/b", "--set", "image.tag=t"];
    assert_eq!(image(&tag), "a.example/b:t");
    let by_digest = format!("image.digest={digest}");
    let pinned = [&tag[..], &["--set", &by_digest]].concat();
    assert_eq!(image(&pinned), format!("a.example/b@{digest}"));
}

/// What the controller does in a namespace: `group/resource` and its verbs.
const CALLS: [(&str, &str); 13] = [
    ("/configmaps", "create delete get"),
    ("/events", "list"),
    ("/persistentvolumeclaims", "create delete get list patch watch"),
    ("/pods", "list watch"),
    ("/pods/log", "get"),
    ("batch/jobs", "create delete get list watch"),
    ("cdi.kubevirt.io/datasources", "create delete get list patch"),
    ("cdi.kubevirt.io/datavolumes", "create delete get list patch"),
    ("events.k8s.io/events", "create patch"),
    ("kubevirt.io/virtualmachineinstances", "list"),
    ("kubevirt.io/virtualmachines", "list"),
    ("vmimage.dev/vmimages", "list watch"),
    ("vmimage.dev/vmimages/status", "patch"),
];

/// What it reads that belongs to no namespace.
const CLUSTER_CALLS: [(&str, &str); 2] =
    [("cdi.kubevirt.io/cdiconfigs", "get"), ("storage.k8s.io/storageclasses", "get list")];

/// The rules of a role as `group/resource` to its sorted verbs.
fn rules(role: &Value) -> BTreeMap<String, String> {
    let texts =
        |list: &Value| -> BTreeSet<String> { serde_json::from_value(list.clone()).unwrap() };
    let mut found = BTreeMap::new();
    for rule in role["rules"].as_array().unwrap() {
        assert_eq!(rule.as_object().unwrap().len(), 3, "{rule}");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let verbs: Vec<String> = texts(&rule["verbs"]).into_iter().collect();
                found.insert(format!("{group}/{resource}"), verbs.join(" "));
            }
        }
    }
    found
}

fn table<'a>(calls: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> BTreeMap<String, String> {
    calls.into_iter().map(|(what, verbs)| ((*what).to_owned(), (*verbs).to_owned())).collect()
}

#[test]
fn permissions_are_exactly_these() {
    let rendered = render(&[]);
    let all = CALLS.iter().chain(&CLUSTER_CALLS);
    assert_eq!(rules(rendered.named("ClusterRole", "vmimage-operator")), table(all));
    bound(&rendered, "ClusterRoleBinding", None);
    assert_eq!(rendered.all().filter(|o| o["kind"] == "Role").count(), 0);
    let view = rules(rendered.named("ClusterRole", "vmimage-operator-view"));
    let own = [("vmimage.dev/vmimages", "get list watch"), ("vmimage.dev/vmimages/status", "get")];
    assert_eq!(view, table(&own));
    let edit = rules(rendered.named("ClusterRole", "vmimage-operator-edit"));
    let own = [("vmimage.dev/vmimages", "create delete deletecollection patch update")];
    assert_eq!(edit, table(&own));
}

#[test]
fn with_watched_namespaces_the_cluster_stays_closed() {
    let rendered = render(&["--values", "charts/vmimage-operator/ci/watch-namespaces-values.yaml"]);
    assert_eq!(rules(rendered.one("ClusterRole")), table(&CLUSTER_CALLS));
    bound(&rendered, "ClusterRoleBinding", None);
    for namespace in ["images-a", "images-b"] {
        let role = |o: &&Value| o["kind"] == "Role" && o["metadata"]["namespace"] == namespace;
        assert_eq!(rules(rendered.all().find(role).unwrap()), table(&CALLS));
        bound(&rendered, "RoleBinding", Some(namespace));
    }
    let pod = &rendered.one("Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"].get("runAsUser"), None);
}

#[test]
fn without_kubevirt_there_are_no_rights_to_it() {
    let rendered = render(&["--set", "kubevirt=false"]);
    let role = rules(rendered.named("ClusterRole", "vmimage-operator"));
    let left = CALLS.iter().chain(&CLUSTER_CALLS).filter(|(what, _)| !what.contains("kubevirt.io"));
    assert_eq!(role, table(left));
    let args = container(&rendered)["args"].as_array().unwrap();
    assert!(args.contains(&json!("--no-kubevirt")), "{args:?}");
}

/// The operator's account is bound to its role, and only it.
fn bound(rendered: &Rendered, kind: &str, namespace: Option<&str>) {
    let of = |o: &&Value| o["kind"] == kind && o["metadata"]["namespace"].as_str() == namespace;
    let bindings: Vec<&Value> = rendered.all().filter(of).collect();
    let [binding] = bindings[..] else { panic!("{} of {kind}", bindings.len()) };
    let role = json!({
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": kind.trim_end_matches("Binding"),
        "name": "vmimage-operator",
    });
    assert_eq!(binding["roleRef"], role);
    let account = json!({
        "kind": "ServiceAccount", "name": "vmimage-operator", "namespace": "vmimage-system",
    });
    assert_eq!(binding["subjects"], json!([account]));
    let pod = &rendered.one("Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "vmimage-operator");
    assert_eq!(pod["automountServiceAccountToken"], true);
    assert_eq!(rendered.one("ServiceAccount")["automountServiceAccountToken"], false);
}

#[test]
fn services_find_the_pod() {
    for values in matrix() {
        let rendered = render(&["--values", &values.display().to_string()]);
        let deployment = rendered.one("Deployment");
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let service = rendered.one("Service");
        let monitor = rendered.all().find(|o| o["kind"] == "ServiceMonitor");
        assert_eq!(monitor.is_some(), values.ends_with("all-on-values.yaml"));
        // A Deployment's selector can never change: only what is the same in every version.
        let selector = deployment["spec"]["selector"]["matchLabels"].as_object().unwrap();
        let keys: Vec<&String> = selector.keys().collect();
        assert_eq!(keys, ["app.kubernetes.io/instance", "app.kubernetes.io/name"]);
        let mut selections = vec![
            (&deployment["spec"]["selector"]["matchLabels"], labels),
            (&service["spec"]["selector"], labels),
        ];
        if let Some(monitor) = monitor {
            let chosen = &monitor["spec"]["selector"]["matchLabels"];
            selections.push((chosen, &service["metadata"]["labels"]));
        }
        for (selector, labels) in selections {
            let selector = selector.as_object().unwrap();
            assert!(!selector.is_empty());
            assert!(selector.iter().all(|(key, value)| labels[key] == *value), "{labels}");
        }
    }
}

#[test]
fn the_definition_is_the_generated_one() {
    let generated = file("crds/vmimages.vmimage.dev.yaml");
    assert_eq!(file("charts/vmimage-operator/files/vmimages.vmimage.dev.yaml"), generated);
    for keep in [true, false] {
        let rendered = render(&["--set", &format!("crds.keep={keep}")]);
        let mut definition = rendered.one("CustomResourceDefinition").clone();
        let metadata = definition["metadata"].as_object_mut().unwrap();
        assert!(metadata.remove("labels").is_some());
        let kept = keep.then(|| json!({"helm.sh/resource-policy": "keep"}));
        assert_eq!(metadata.remove("annotations"), kept);
        assert_eq!(vec![definition], yaml(&generated));
    }
    let without = render(&["--set", "crds.enabled=false"]);
    assert!(without.all().all(|object| object["kind"] != "CustomResourceDefinition"));
}

#[test]
fn the_plain_manifest_is_the_rendered_chart() {
    let written = file("charts/install.yaml");
    assert_eq!(install_yaml(), written, "run charts/render");
    let objects = yaml(&written);
    assert_eq!(objects[0]["kind"], "Namespace");
    let restricted = "restricted";
    for mode in ["enforce", "audit", "warn"] {
        let label = format!("pod-security.kubernetes.io/{mode}");
        assert_eq!(objects[0]["metadata"]["labels"][label], restricted);
    }
    // What Helm makes of the defaults, but for the marks of Helm.
    let count = render(&[]).all().count();
    assert_eq!(objects.len(), count + 1);
    assert!(!written.contains("helm.sh/") && !written.contains("managed-by: Helm"));
}

#[test]
fn one_version_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = &yaml(&file("charts/vmimage-operator/Chart.yaml"))[0];
    assert_eq!(chart["appVersion"], version);
    let line = format!("ARG VERSION={version}");
    assert!(file("Dockerfile").lines().any(|found| found == line), "Dockerfile lacks {line}");
}
