//! The Job of one attempt, and its pod, which the *restricted* Pod Security Standard admits.
//!
//! Invariant: the Job never retries by itself; the pod has no token, no privilege, no writable root
//! and no device, and every container has requests and limits.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, LocalObjectReference, PodSecurityContext,
    PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext, Toleration,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::config::Config;
use super::super::observe::Wanted;
use super::super::validate::Accepted;
use super::document::KEY;
use super::{place, scripts, sources};
use crate::api::{Image, labels, names};
use crate::manifest::hash;
use crate::manifest::types::{self, Build, Spec};
use crate::report::{Class, Code};
use crate::units::ByteSize;

/// The name of the one container.
pub(in crate::controller) const CONTAINER: &str = "build";
/// The user and group that KubeVirt runs QEMU as; the files of a volume belong to it.
const QEMU: i64 = 107;
/// Bytes of ephemeral storage beside temporary files: logs.
const LOCAL: u64 = 64 << 20;
/// Seconds that a pod has to remove its partial file.
const GRACE_SECONDS: i64 = 10;

/// The Job of attempt `number`.
pub(in crate::controller) fn job(
    image: &Image,
    accepted: &Accepted,
    wanted: &Wanted,
    number: u32,
    config: &Config,
) -> Job {
    let mut metadata = super::metadata(image, wanted, &names::job(&wanted.base, number), true);
    let own = super::strings([
        (labels::GENERATION, &image.generation().to_string()),
        (labels::BUILD_HASH, &accepted.build_hash),
    ]);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.extend(own);
    // A push is done again when its user asks for it.
    let rebuild = image.rebuild().filter(|_| wanted.push.is_some());
    annotations.extend(rebuild.map(|token| (labels::REBUILD.to_owned(), token.to_owned())));
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            pod_failure_policy: Some(failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(super::our_labels(image, wanted)),
                    annotations: Some(super::our_annotations(image, wanted)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(&accepted.spec, wanted, config)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// A pod that was evicted or preempted does not count; an exit code that no repetition can change
/// ends the Job at once.
fn failure_policy() -> PodFailurePolicy {
    let terminal = |code: &Code| *code != Code::Ok && code.class() != Class::Transient;
    let mut exits: Vec<i32> =
        Code::ALL.iter().filter(|code| terminal(code)).map(|code| i32::from(code.exit())).collect();
    exits.sort_unstable();
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".to_owned(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".to_owned(),
                    status: "True".to_owned(),
                }]),
                on_exit_codes: None,
            },
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(CONTAINER.to_owned()),
                    operator: "In".to_owned(),
                    values: exits,
                }),
                on_pod_conditions: None,
            },
        ],
    }
}

fn pod(spec: &Spec, wanted: &Wanted, config: &Config) -> PodSpec {
    let build = &spec.build;
    let given = sources::mounted(spec);
    let references =
        |name: &types::LocalReference| LocalObjectReference { name: name.name.clone() };
    let account = build.service_account_name.clone().or(config.build_service_account.clone());
    let mut builder = container(build, wanted, config, given.mounts);
    let mut volumes: Vec<Volume> = volumes(wanted).into_iter().chain(given.volumes).collect();
    builder.args.get_or_insert_default().extend(boot_assets(spec, wanted, config));
    let init_containers = scripts::scripts(spec, &mut builder, &mut volumes);
    place::hand(wanted, &mut builder);
    PodSpec {
        active_deadline_seconds: Some(i64::from(build.timeout_seconds.0)),
        automount_service_account_token: Some(false),
        containers: vec![builder],
        init_containers,
        enable_service_links: Some(false),
        image_pull_secrets: not_empty(build.image_pull_secrets.iter().map(references).collect()),
        node_selector: (!build.node_selector.is_empty()).then(|| build.node_selector.clone()),
        priority_class_name: build.priority_class_name.clone(),
        restart_policy: Some("Never".to_owned()),
        runtime_class_name: build.runtime_class_name.clone(),
        security_context: Some(PodSecurityContext {
            run_as_user: Some(QEMU),
            run_as_group: Some(QEMU),
            fs_group: Some(QEMU),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            run_as_non_root: Some(true),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        service_account_name: account,
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        tolerations: not_empty(build.tolerations.iter().map(toleration).collect()),
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn not_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }
}

fn volumes(wanted: &Wanted) -> Vec<Volume> {
    let document = Volume {
        name: "document".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: wanted.base.clone(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    [document].into_iter().chain(place::volume(wanted)).collect()
}

fn container(
    build: &Build,
    wanted: &Wanted,
    config: &Config,
    given: Vec<VolumeMount>,
) -> Container {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(config.builder_image.clone()),
        image_pull_policy: Some(config.image_pull_policy.clone()),
        command: Some(vec!["/vmimage".to_owned()]),
        args: Some(arguments(build, wanted, config)),
        resources: Some(resources(&build.resources, build.scratch.size_limit.0.0)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            seccomp_profile: Some(runtime_default()),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(
            [mount("document", "/document", Some(true))].into_iter().chain(given).collect(),
        ),
        ..Container::default()
    }
}

/// What the builder's boot assets must be: an image of another release may have others.
fn boot_assets(spec: &Spec, wanted: &Wanted, config: &Config) -> Vec<String> {
    let needed = if wanted.only_looks() { Vec::new() } else { hash::assets(spec) };
    let flag = |set: &str| {
        let digest = config.boot_assets.get(set)?.digest.as_ref()?;
        Some(format!("--boot-asset-digest={set}={digest}"))
    };
    needed.into_iter().filter_map(flag).collect()
}

fn arguments(build: &Build, wanted: &Wanted, config: &Config) -> Vec<String> {
    let scratch = sources::scratch(build);
    let timeout = build.timeout_seconds.0.to_string();
    let document = format!("/document/{KEY}");
    let [flag, place] = place::flags(wanted);
    let build = [
        "--target",
        &wanted.target,
        flag,
        place,
        "--content-hash",
        &wanted.content_hash,
        "--target-hash",
        &wanted.target_hash,
    ];
    let task = if wanted.only_looks() { &["--resolve"][..] } else { &build };
    let rest = [
        "--timeout-seconds",
        &timeout,
        "--sources",
        sources::ROOT,
        "--scratch",
        sources::SCRATCH,
        "--scratch-limit",
        &scratch,
    ];
    ["builder", "--document", &document]
        .into_iter()
        .chain(task.iter().copied())
        .chain(rest)
        .map(str::to_owned)
        .chain(config.source_flags.iter().cloned())
        .collect()
}

/// The document's resources over our defaults. Where it gives one of request and limit, our default
/// for the other one stays unless it would contradict: the apiserver refuses requests above limits.
///
/// Temporary files count as ephemeral storage: the limit has room for all of them.
pub(super) fn resources(given: &types::Resources, scratch: ByteSize) -> ResourceRequirements {
    let local = ByteSize::bytes(scratch.get().saturating_add(LOCAL)).to_string();
    let defaults = |pairs: [(&str, &str); 3]| super::strings(pairs);
    let mut requests =
        defaults([("cpu", "100m"), ("memory", "64Mi"), ("ephemeral-storage", "16Mi")]);
    let mut limits = defaults([("cpu", "2"), ("memory", "512Mi"), ("ephemeral-storage", &local)]);
    let is = |ordering, one: Option<&String>, other: &crate::manifest::Quantity| {
        let one = one.and_then(|one| crate::manifest::Quantity::new(one).ok());
        one.and_then(|one| one.compare(other)) == Some(ordering)
    };
    for (name, limit) in &given.limits {
        limits.insert(name.clone(), limit.to_string());
        if !is(Ordering::Less, requests.get(name), limit) {
            requests.insert(name.clone(), limit.to_string());
        }
    }
    for (name, request) in &given.requests {
        requests.insert(name.clone(), request.to_string());
        if !given.limits.contains_key(name) && !is(Ordering::Greater, limits.get(name), request) {
            limits.insert(name.clone(), request.to_string());
        }
    }
    let quantities = |map: BTreeMap<String, String>| {
        Some(map.into_iter().map(|(name, value)| (name, Quantity(value))).collect())
    };
    ResourceRequirements {
        requests: quantities(requests),
        limits: quantities(limits),
        ..ResourceRequirements::default()
    }
}

fn toleration(given: &types::Toleration) -> Toleration {
    let types::Toleration { key, operator, value, effect, toleration_seconds } = given;
    let operator = operator.map(|operator| match operator {
        types::TolerationOperator::Exists => "Exists".to_owned(),
        types::TolerationOperator::Equal => "Equal".to_owned(),
    });
    let effect = effect.map(|effect| match effect {
        types::TaintEffect::NoSchedule => "NoSchedule".to_owned(),
        types::TaintEffect::PreferNoSchedule => "PreferNoSchedule".to_owned(),
        types::TaintEffect::NoExecute => "NoExecute".to_owned(),
    });
    Toleration {
        key: key.clone(),
        operator,
        value: value.clone(),
        effect,
        toleration_seconds: *toleration_seconds,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(given: Value) -> Value {
        let given = serde_json::from_value(given).unwrap();
        serde_json::to_value(resources(&given, ByteSize::mib(1024))).unwrap()
    }

    #[test]
    fn a_higher_limit_reserves_no_more() {
        let found = of(json!({"limits": {"memory": "4Gi", "cpu": "4"}}));
        assert_eq!(found["limits"]["memory"], "4Gi");
        assert_eq!(
            (&found["requests"]["memory"], &found["requests"]["cpu"]),
            (&json!("64Mi"), &json!("100m"))
        );
    }

    #[test]
    fn a_request_never_is_above_its_limit() {
        let found = of(json!({"limits": {"memory": "32Mi", "cpu": "20m"}}));
        assert_eq!(
            (&found["requests"]["memory"], &found["requests"]["cpu"]),
            (&json!("32Mi"), &json!("20m"))
        );
        let found = of(json!({"requests": {"memory": "1Gi"}}));
        assert_eq!(found["limits"]["memory"], "1Gi");
    }

    #[test]
    fn a_small_request_lowers_no_limit() {
        let found = of(json!({"requests": {"memory": "128Mi"}}));
        assert_eq!(
            (&found["requests"]["memory"], &found["limits"]["memory"]),
            (&json!("128Mi"), &json!("512Mi"))
        );
    }

    #[test]
    fn other_resources_are_asked_for_in_full() {
        let found = of(json!({"limits": {"example.com/fast": "1"}}));
        assert_eq!(found["requests"]["example.com/fast"], "1");
    }
}
