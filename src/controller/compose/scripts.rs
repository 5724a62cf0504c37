//! The init containers of a document with scripts: one that lays its trees out, one for each script.
//!
//! Pure. Invariants: a script's container gets its tree and an empty `/tmp`, nothing else: no
//! journal, no source, no target, no token; it is as restricted as the builder is.

use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, EnvVar, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::manifest::types::{Build, Script, Spec};

/// Where the trees lie in our containers.
const STAGED: &str = "/staged";
/// The volume with them.
const VOLUME: &str = "staged";
/// Where a script finds its tree.
const TREE: &str = "/tree";
/// Bytes of a script's `/tmp`.
const TMP: &str = "64Mi";
/// The name of the container that lays them out.
pub(in crate::controller) const STAGE: &str = "stage";

/// Adds what the scripts of `spec` need to its pod, whose builder is `container`: volumes, and the
/// init containers, which are returned.
pub(super) fn scripts(
    spec: &Spec,
    container: &mut Container,
    volumes: &mut Vec<Volume>,
) -> Option<Vec<Container>> {
    let disk = spec.disk.as_ref().filter(|disk| !disk.scripts.is_empty())?;
    let empty = |name: &str, size: String| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(size)),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    };
    volumes.push(empty(VOLUME, super::sources::scratch(&spec.build)));
    volumes.extend((1..=disk.scripts.len()).map(|number| empty(&tmp(number), TMP.to_owned())));
    let mut stage = Container { name: STAGE.to_owned(), ..container.clone() };
    hand(&mut stage, "--stage");
    hand(container, "--staged");
    let given = disk.scripts.iter().enumerate();
    let scripts = given.filter_map(|(at, script)| {
        let partition = disk.changed_by(script)?;
        Some(of(script, at + 1, partition, container, &spec.build))
    });
    Some(std::iter::once(stage).chain(scripts).collect())
}

/// Tells one of our containers where the trees are.
fn hand(container: &mut Container, flag: &str) {
    let flags = [flag.to_owned(), STAGED.to_owned()];
    container.args.get_or_insert_default().extend(flags);
    container.volume_mounts.get_or_insert_default().push(mount(VOLUME, STAGED));
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

fn tmp(number: usize) -> String {
    format!("tmp-{number}")
}

/// The name of the container of the script with this number, from 1.
fn name(number: usize) -> String {
    format!("script-{number}")
}

/// The number of the script that the container with this name runs.
pub(in crate::controller) fn number(name: &str) -> Option<usize> {
    name.strip_prefix("script-")?.parse().ok()
}

fn of(
    script: &Script,
    number: usize,
    partition: usize,
    builder: &Container,
    build: &Build,
) -> Container {
    let variable = |(name, value): (&String, &String)| EnvVar {
        name: name.clone(),
        // The kubelet would put other variables in place of $(NAME).
        value: Some(value.replace('$', "$$")),
        ..EnvVar::default()
    };
    let home = [("HOME".to_owned(), "/tmp".to_owned())];
    let variables = home.iter().map(|(name, value)| (name, value)).chain(&script.env);
    let tree = VolumeMount { sub_path: Some(format!("trees/{partition}")), ..mount(VOLUME, TREE) };
    Container {
        name: name(number),
        image: Some(script.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec![script.shell.to_string(), "-c".to_owned()]),
        args: Some(vec![script.text.replace('$', "$$")]),
        env: Some(variables.map(variable).collect()),
        working_dir: Some(TREE.to_owned()),
        resources: Some(super::job::resources(&build.resources, build.scratch.size_limit.0.0)),
        security_context: builder.security_context.clone(),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![tree, mount(&tmp(number), "/tmp")]),
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use k8s_openapi::api::core::v1::SecurityContext;

    use super::*;

    fn of(scripts: Value) -> (Value, Value, Value) {
        let partitions = json!([
            {"name": "a", "mountPath": "/boot", "filesystem": {"type": "ext4"}},
            {"name": "b", "mountPath": "/", "filesystem": {"type": "ext4"}},
        ]);
        let disk = json!({"partitionTable": "GPT", "partitions": partitions, "scripts": scripts});
        let spec: Spec = serde_json::from_value(json!({"disk": disk})).unwrap();
        let mut builder = Container {
            name: "build".to_owned(),
            args: Some(vec!["builder".to_owned()]),
            volume_mounts: Some(vec![mount("scratch", "/scratch")]),
            security_context: Some(SecurityContext {
                run_as_non_root: Some(true),
                ..SecurityContext::default()
            }),
            ..Container::default()
        };
        let mut volumes = Vec::new();
        let init = super::scripts(&spec, &mut builder, &mut volumes);
        (json!(init), json!(builder), json!(volumes))
    }

    #[test]
    fn without_scripts_nothing_is_added() {
        let (init, builder, volumes) = of(json!([]));
        assert_eq!((init, volumes), (json!(null), json!([])));
        assert_eq!(builder["args"], json!(["builder"]));
    }

    #[test]
    fn scripts_get_their_tree_alone() {
        let image = format!("r/a@sha256:{}", "a".repeat(64));
        let (init, builder, volumes) = of(json!([
            {"image": image, "text": "echo $(id) $A", "env": {"A": "$(B)"}},
            {"image": image, "text": "true", "partition": "a", "shell": "/bin/ash"},
        ]));
        let names: Vec<_> = init.as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["stage", "script-1", "script-2"]);
        assert_eq!(init[0]["args"], json!(["builder", "--stage", "/staged"]));
        assert_eq!(
            init[0]["volumeMounts"],
            json!([
                {"name": "scratch", "mountPath": "/scratch"},
                {"name": "staged", "mountPath": "/staged"},
            ])
        );
        assert_eq!(builder["args"], json!(["builder", "--staged", "/staged"]));
        let first = &init[1];
        assert_eq!(first["image"], image);
        assert_eq!(first["command"], json!(["/bin/sh", "-c"]));
        assert_eq!(first["args"], json!(["echo $$(id) $$A"]));
        assert_eq!(
            first["env"],
            json!([{"name": "HOME", "value": "/tmp"}, {"name": "A", "value": "$$(B)"}])
        );
        assert_eq!(first["workingDir"], "/tree");
        assert_eq!(first["securityContext"], json!({"runAsNonRoot": true}));
        assert_eq!(
            first["volumeMounts"],
            json!([
                {"name": "staged", "mountPath": "/tree", "subPath": "trees/1"},
                {"name": "tmp-1", "mountPath": "/tmp"},
            ])
        );
        assert!(first["resources"]["limits"]["memory"].is_string());
        let second = &init[2];
        assert_eq!(second["command"], json!(["/bin/ash", "-c"]));
        assert_eq!(second["volumeMounts"][0]["subPath"], "trees/0");
        assert_eq!(
            volumes,
            json!([
                {"name": "staged", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "tmp-1", "emptyDir": {"sizeLimit": "64Mi"}},
                {"name": "tmp-2", "emptyDir": {"sizeLimit": "64Mi"}},
            ])
        );
        assert_eq!((number("script-2"), number("stage"), number("build")), (Some(2), None, None));
    }
}
