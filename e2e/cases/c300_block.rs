//! Disks on block devices: raw bytes from the first one on, zeros behind them up to the last.
//!
//! The devices of the cluster's provisioner are full of 0xA5.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{
    Entry, Space, Use, annotation, boots, case, condition, first_sha256sum, foreign, kubectl,
    mount, name, operator_requests, place, run, text, uid, until,
};
use crate::{hello, with};

/// A disk whose last MiB is not whole.
const DISK: u64 = (5 << 20) + 512;
/// That disk in whole MiB.
const PADDED: u64 = 6 << 20;

/// A device with this disk; `more` is merged into its claim.
fn block(message: &str, more: Value) -> Value {
    let pvc = with(json!({"volumeMode": "Block"}), more);
    with(
        hello(message),
        json!({"disk": {"size": DISK}, "publish": [{"name": "golden", "pvc": pvc}]}),
    )
}

fn request(claim: &Value) -> u64 {
    text(claim, "/spec/resources/requests/storage").parse().unwrap()
}

/// What lies on the device is the disk that the status tells, and nothing behind it.
fn holds(device: &Path, image: &Value, size: u64) {
    let device = device.to_str().unwrap();
    let told = |field: &str| text(image, &format!("/status/{field}"));
    assert_eq!(told("content/virtualSizeBytes"), DISK.to_string());
    assert_eq!(told("content/digest"), first_sha256sum(device, DISK), "the disk on {device}");
    assert_eq!(told("targets/0/current/sizeBytes"), PADDED.to_string());
    assert_eq!(place(image).1, first_sha256sum(device, PADDED), "the padded disk on {device}");
    assert_eq!(run("blockdev", &["--getsize64", device]).trim(), size.to_string());
    let behind = "tail -c +$(($2 + 1)) \"$1\" | tr -d '\\0' | wc -c";
    let rest = run("bash", &["-o", "pipefail", "-c", behind, "sh", device, &DISK.to_string()]);
    assert_eq!(rest.trim(), "0", "bytes behind the disk on {device} that are not zero");
}

/// Claims ask for the padded disk to the byte, or for what the document says; each edit fills
/// another device, and the one before it stays for one round.
#[test]
fn a_disk_on_a_device_boots() {
    case("300_block", Use::Shared, async |space| {
        space.apply("exact", block("exactly so", json!({}))).await;
        space.apply("roomy", block("with room", json!({"request": "16Mi"}))).await;
        for (image, message, size) in
            [("exact", "exactly so", PADDED), ("roomy", "with room", 16 << 20)]
        {
            let image = space.ready(image).await;
            let claim = space.complete_claim(&image).await;
            assert_eq!(text(&claim, "/spec/volumeMode"), "Block");
            assert_eq!(request(&claim), size, "{}", name(&claim));
            if foreign() {
                eprintln!("300: not run here: digests and boots on the host");
                continue;
            }
            let device = mount(&space, &name(&claim));
            holds(&device, &image, size);
            boots(&device, message);
        }
        let first = place(&space.image("exact").await).0;
        space.apply("exact", block("another", json!({}))).await;
        let second = space.ready("exact").await;
        space.has("PersistentVolumeClaim", "exact", 2).await;
        if !foreign() {
            let old = mount(&space, &first);
            assert_ne!(place(&second).0, first, "other content, another device");
            holds(&mount(&space, &place(&second).0), &second, PADDED);
            boots(&old, "exactly so");
        }
        space.apply("exact", block("a third", json!({}))).await;
        let third = space.ready("exact").await;
        space.has("PersistentVolumeClaim", "exact", 2).await;
        let mut left = [place(&second).0, place(&third).0];
        left.sort();
        assert_eq!(space.names("PersistentVolumeClaim", "exact").await, left, "the oldest goes");
    });
}

/// Labels, annotations and defaults of the document are put on the claim that is there, and taken
/// away again, without a build; what others put there stays.
#[test]
fn a_claim_is_dressed_in_place() {
    case("301_dress", Use::Shared, async |space| {
        let document = |labels: Value, annotations: Value, defaults: Value| {
            let dress = json!({"labels": labels, "annotations": annotations, "defaults": defaults});
            block("dressed", dress)
        };
        let small = json!({"instancetype": {"name": "u1.small"}});
        let first = document(json!({"tier": "gold", "team": "a"}), json!({"note": "one"}), small);
        space.apply("hello", first).await;
        let image = space.ready("hello").await;
        let (claim_name, digest, _) = place(&image);
        let before = space.complete_claim(&image).await;
        let kubevirt = "instancetype.kubevirt.io/default";
        let label = |claim: &Value, key: &str| {
            text(claim, &format!("/metadata/labels/{}", key.replace('/', "~1")))
        };
        assert_eq!(label(&before, "tier"), "gold");
        assert_eq!(label(&before, "team"), "a");
        assert_eq!(label(&before, &format!("{kubevirt}-instancetype")), "u1.small");
        assert_eq!(annotation(&before, "note"), "one");
        let own = json!({"metadata": {"labels": {"of-a-user": "stays"}}});
        space.patch("PersistentVolumeClaim", &claim_name, own).await;

        let preference =
            json!({"preference": {"name": "fedora", "kind": "VirtualMachinePreference"}});
        let second = document(json!({"tier": "silver"}), json!({"more": "two"}), preference);
        space.apply("hello", second).await;
        let after = until("the claim in its other dress", async || {
            let claim = space.find("PersistentVolumeClaim", &claim_name).await.unwrap();
            if label(&claim, "tier") == "silver" { Ok(claim) } else { Err(claim.to_string()) }
        })
        .await;
        let seen = ["tier", "team", "of-a-user"].map(|key| label(&after, key));
        assert_eq!(seen, ["silver", "", "stays"]);
        let defaults = ["instancetype", "preference", "preference-kind"]
            .map(|what| label(&after, &format!("{kubevirt}-{what}")));
        assert_eq!(defaults, ["", "fedora", "VirtualMachinePreference"]);
        let notes = ["note", "more"].map(|key| annotation(&after, key));
        assert_eq!(notes, ["", "two"]);
        assert_eq!(uid(&after), uid(&before), "the same claim");
        let image = space.ready("hello").await;
        assert_eq!((place(&image).0, place(&image).1), (claim_name, digest));
        space.complete_claim(&image).await;
        if foreign() {
            eprintln!("301: not run here: audit log");
            return;
        }
        let ours = |entry: &Entry| entry.namespace == space.namespace;
        let requests: Vec<_> = operator_requests().into_iter().filter(ours).collect();
        let jobs = |entry: &&_| is(entry, "create", "jobs", "201");
        assert_eq!(requests.iter().filter(jobs).count(), 1, "Jobs that were created");
        let refused: Vec<_> = requests.iter().filter(|entry| entry.code == "403").collect();
        assert!(refused.is_empty(), "requests that were refused: {refused:#?}");
    });
}

fn is(entry: &Entry, verb: &str, resource: &str, code: &str) -> bool {
    (&*entry.verb, &*entry.resource, &*entry.code) == (verb, resource, code)
}

/// A device of one MiB, of which its PersistentVolume says that it has sixteen.
struct Liar {
    device: PathBuf,
    _file: tempfile::NamedTempFile,
}

impl Liar {
    async fn make(space: &Space) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let device = run("losetup", &["-f", "--show", file.path().to_str().unwrap()]);
        let liar = Self { device: device.trim().into(), _file: file };
        let class = json!({"metadata": {"name": space.namespace},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"});
        space.apply_cluster("StorageClass", class).await;
        let node = kubectl(&["get", "node", "-o", "jsonpath={.items[0].metadata.name}"]);
        let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
        let volume = json!({"metadata": {"name": space.namespace}, "spec": {
            "capacity": {"storage": "16Mi"}, "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Block", "storageClassName": space.namespace,
            "persistentVolumeReclaimPolicy": "Retain", "local": {"path": liar.device},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}}});
        space.apply_cluster("PersistentVolume", volume).await;
        liar
    }

    /// Whether the kubelet has a loop device of its own on it.
    fn in_use(&self) -> bool {
        let device = self.device.to_str().unwrap();
        !run("losetup", &["-n", "-O", "NAME", "-j", device]).trim().is_empty()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        run("losetup", &["-d", self.device.to_str().unwrap()]);
    }
}

/// A device that is smaller than its claim says: final, with both numbers, and the device stays as it
/// was.
#[test]
fn a_device_that_is_too_small_is_told() {
    case("302_small_device", Use::Shared, async |space| {
        if foreign() {
            eprintln!("302 is not run: its device is made on the host");
            return;
        }
        let liar = Liar::make(&space).await;
        let class = json!({"storageClassName": space.namespace});
        space.apply("hello", block("hello", class)).await;
        let image = space.waits("hello", "VolumeTooSmall").await;
        let message = text(&condition(&image, "Stalled").unwrap(), "/message");
        for number in [PADDED, 1 << 20] {
            assert!(message.contains(&number.to_string()), "{message:?}");
        }
        let device = liar.device.to_str().unwrap();
        let zeros = run("cmp", &["-n", "1048576", device, "/dev/zero"]);
        assert_eq!(zeros, "", "nothing is written");
        space.delete("VMImage", "hello").await;
        space.gone("hello").await;
        until("the kubelet lets go of the device", async || {
            if liar.in_use() { Err("it has a loop device on it".to_owned()) } else { Ok(()) }
        })
        .await;
        space.delete_cluster("PersistentVolume", &space.namespace).await;
        space.delete_cluster("StorageClass", &space.namespace).await;
    });
}
