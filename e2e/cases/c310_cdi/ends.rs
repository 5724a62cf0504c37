//! Volumes that nobody publishes any more: when they go, and when they stay.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    adopted, bytes_are_told, data_volume, gone, owners, points_at, published, served, the,
    with_cdi, written,
};
use crate::harness::{
    Space, annotation, condition, mount, operator_requests, place, run, text, uid, until, within,
};

/// How long a DataVolume that is wanted no more may stay: two looks, 25 s apart, see it unchanged.
const SETTLED: Duration = Duration::from_secs(75);

/// How long a volume that nobody uses any more may stay: the operator looks every 60 s.
const LOOKED: Duration = Duration::from_secs(75);

/// A pod that does nothing but hold a claim.
async fn holder(space: &Space, claim: &str) {
    let pod = json!({"metadata": {"name": "holder"}, "spec": {
        "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsUser": 107, "runAsGroup": 107, "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "pause", "image": "cluster.vmimage.dev/pause:1",
            "imagePullPolicy": "Never", "volumeMounts": [{"name": "disk", "mountPath": "/disk"}],
            "securityContext": {"allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]}}}],
        "volumes": [{"name": "disk", "persistentVolumeClaim": {"claimName": claim}}]}});
    space.apply_object("Pod", pod).await;
    until("the pod holder runs", async || {
        let pod = the(space, "Pod", "holder").await;
        let phase = text(&pod, "/status/phase");
        if phase == "Running" { Ok(()) } else { Err(pod["status"].to_string()) }
    })
    .await;
}

/// A machine that is stopped, with a claim as its disk.
async fn machine(space: &Space, claim: &str) {
    let disk = json!({"name": "disk", "persistentVolumeClaim": {"claimName": claim}});
    let machine = json!({"metadata": {"name": "stopped"}, "spec": {"runStrategy": "Halted",
        "template": {"spec": {"domain": {"devices": {}}, "volumes": [disk]}}}});
    space.apply_object("VirtualMachine", machine).await;
}

/// Waits until the image tells that old volumes stay, with all these words; returns the message.
async fn kept(space: &Space, words: &[&str]) -> String {
    until(&format!("OldVolumesKept InUse with {words:?}"), async || {
        let kept = condition(&space.image("hello").await, "OldVolumesKept").unwrap_or_default();
        let (reason, message) = (text(&kept, "/reason"), text(&kept, "/message"));
        let all = words.iter().all(|word| message.contains(word));
        if reason == "InUse" && all { Ok(message) } else { Err(format!("{reason} {message}")) }
    })
    .await
}

/// A volume of earlier content stays while a pod, a copy that is not done or a machine has it, even
/// one that is stopped, and goes when nobody has.
#[test]
fn old_volumes_stay_while_used() {
    with_cdi("313_old_volumes", async |space| {
        let none = json!({"retain": {"previous": 0}});
        space.apply("hello", served("one", "golden-1", none.clone())).await;
        space.ready("hello").await;
        holder(space, "golden-1").await;
        machine(space, "golden-1").await;
        let from = json!({"pvc": {"name": "golden-1", "namespace": space.namespace}});
        let later = json!({super::WAITS_FOR: "copy"});
        data_volume(space, "copy", later, from).await;

        space.apply("hello", served("two", "golden-2", none)).await;
        until("the DataSource points at golden-2", async || {
            let source = the(space, "DataSource", "golden").await;
            let claim = points_at(&source);
            if claim == "golden-1" {
                return Err(claim);
            }
            assert_eq!(claim, "golden-2");
            let volume = the(space, "DataVolume", "golden-2").await;
            assert_eq!(text(&volume, "/status/phase"), "Succeeded", "it flips too early");
            Ok(())
        })
        .await;
        bytes_are_told(space, &space.ready("hello").await);
        let all = ["golden-1", "pod holder", "VirtualMachine stopped"];
        let copy = format!("DataVolume {}/copy", space.namespace);
        kept(space, &[&all[..], &[&copy]].concat()).await;

        space.delete("Pod", "holder").await;
        space.delete("DataVolume", "copy").await;
        gone(space, "Pod", "holder").await;
        // Asks it to look now.
        let look = json!({"metadata": {"annotations": {"vmimage.dev/rebuild": "now"}}});
        space.patch("VMImage", "hello", look).await;
        until("the machine alone has the volume", async || {
            let message = kept(space, &["VirtualMachine stopped"]).await;
            if message.contains("holder") || message.contains("copy") {
                Err(message)
            } else {
                Ok(())
            }
        })
        .await;
        the(space, "PersistentVolumeClaim", "golden-1").await;
        adopted(space, "golden-1").await;

        space.delete("VirtualMachine", "stopped").await;
        within(LOOKED, "golden-1 goes, and with it the condition", async || {
            let claim = space.find("PersistentVolumeClaim", "golden-1").await.is_some();
            let volume = space.find("DataVolume", "golden-1").await.is_some();
            let told = condition(&space.image("hello").await, "OldVolumesKept").is_some();
            if claim || volume || told { Err(format!("{claim} {volume} {told}")) } else { Ok(()) }
        })
        .await;
        let (claim, _, _) = place(&space.ready("hello").await);
        assert_eq!(points_at(&the(space, "DataSource", "golden").await), claim);
        let lists = operator_requests();
        for machines in ["virtualmachines", "virtualmachineinstances"] {
            let here = |entry: &crate::harness::Entry| {
                entry.namespace == space.namespace && entry.resource == machines
            };
            assert!(lists.iter().any(here), "{machines} are looked at");
        }
    });
}

/// Inode and times of the disk in a claim.
fn stat(space: &Space, claim: &str) -> String {
    let disk = mount(space, claim).join("disk.img");
    run("stat", &["-c", "%i %Y %y %z", disk.to_str().unwrap()])
}

async fn claim_and_volume(space: &Space) -> [Value; 2] {
    let claim = the(space, "PersistentVolumeClaim", "golden-1").await;
    [claim, the(space, "DataVolume", "golden-1").await]
}

/// What is retained outlives its image and is taken over by the next one of that name, byte for byte;
/// what is not goes with it.
#[test]
fn retained() {
    with_cdi("314_retained", async |space| {
        let document = |on_delete: &str| {
            served("kept", "golden-1", json!({"retain": {"onDelete": on_delete}}))
        };
        space.apply("hello", document("Retain")).await;
        let first = space.ready("hello").await;
        let before = claim_and_volume(space).await;
        assert_eq!(owners(&before[0]), ["DataVolume/golden-1*"]);
        assert_eq!(owners(&before[1]), [""; 0]);
        let written_before = stat(space, "golden-1");
        space.delete("VMImage", "hello").await;
        gone(space, "VMImage", "hello").await;
        // Once this is collected, all that will be is.
        gone(space, "DataSource", "golden").await;
        let left = claim_and_volume(space).await;
        assert_eq!(left.each_ref().map(uid), before.each_ref().map(uid));

        space.apply("hello", document("Retain")).await;
        let second = space.ready("hello").await;
        assert_ne!(uid(&second), uid(&first));
        assert_eq!(place(&second), place(&first));
        bytes_are_told(space, &second);
        assert_eq!(stat(space, "golden-1"), written_before, "not written again");
        let taken = claim_and_volume(space).await;
        assert_eq!(taken.each_ref().map(uid), before.each_ref().map(uid));
        for object in &taken {
            assert_eq!(annotation(object, "vmimage.dev/owner-uid"), uid(&second));
        }
        let jobs = written(space, &["jobs"]);
        let builds = jobs.iter().filter(|entry| *entry == "create jobs 201").count();
        assert_eq!(builds, 2, "one that fills it and one that verifies it: {jobs:?}");

        space.apply("hello", document("Delete")).await;
        until("claim and DataVolume go with the image", async || {
            let [claim, volume] = claim_and_volume(space).await;
            let seen = (owners(&claim), owners(&volume));
            let both = ["DataVolume/golden-1*", "VMImage/hello"];
            if seen.0 == both && seen.1 == ["VMImage/hello"] {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await;
        space.ready("hello").await;
        space.delete("VMImage", "hello").await;
        space.gone("hello").await;
        gone(space, "DataVolume", "golden-1").await;
        gone(space, "DataSource", "golden").await;
    });
}

/// A DataVolume that is wanted no more goes, even one that has only just adopted; its claim stays.
#[test]
fn given_up() {
    with_cdi("317_given_up", async |space| {
        let retain = json!({"onDelete": "Retain"});
        let more = json!({"retain": retain});
        space.apply("hello", served("kept", "golden-1", more)).await;
        let image = space.ready("hello").await;
        let [before, _] = claim_and_volume(space).await;
        assert_eq!(owners(&before), ["DataVolume/golden-1*"]);
        let claim = json!({"name": "golden-1", "dataSource": {"name": "golden"}, "retain": retain});
        space.apply("hello", published("kept", &claim)).await;
        within(SETTLED, "no DataVolume golden-1", async || {
            let volume = space.find("DataVolume", "golden-1").await;
            volume.map_or(Ok(()), |volume| Err(volume["metadata"].to_string()))
        })
        .await;
        // The garbage collector is done with the claim.
        until("the claim has no owner", async || {
            let claim = the(space, "PersistentVolumeClaim", "golden-1").await;
            let seen = (owners(&claim), text(&claim, "/metadata/deletionTimestamp"));
            if seen.0.is_empty() && seen.1.is_empty() { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
        let after = the(space, "PersistentVolumeClaim", "golden-1").await;
        assert_eq!(uid(&after), uid(&before));
        bytes_are_told(space, &image);
        space.ready("hello").await;
    });
}
