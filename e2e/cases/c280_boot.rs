//! Documents with boot loaders: the operator's image has what they are made of. What a cluster
//! publishes is what the desk builds, and boots a real kernel in QEMU.
//!
//! What is expected on the serial line is a product that only the guest calculates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{
    Space, Use, build_on_desk_with, case, foreign, mount, name, place, run, sha256sum, text,
};
use crate::with;

const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/guest/build");
const BUSYBOX: &str = "/bin/busybox";
/// What the guest says; the document has the factors.
const SAYS: &str = "guest: 1099999197 Linux";
const SCRIPT: &str = "#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
echo \"guest: $((1234567 * 891)) $(/bin/busybox cut -d' ' -f1 /proc/version)\"
/bin/busybox poweroff -f
";
const LINE: &str = "console=ttyS0 no_timer_check panic=-1";

/// The claim `inputs` with a kernel and busybox, as sources.
struct Inputs {
    volume: PathBuf,
    kernel: Value,
    busybox: Value,
}

impl Inputs {
    async fn make(space: &Space) -> Self {
        let volume = space.inputs("64Mi").await;
        let guest = run(GUEST, &[]);
        let kernel = Path::new(guest.trim()).join("vmlinuz");
        let put = |from: &Path, to: &str| {
            fs_err::copy(from, volume.join(to)).unwrap();
            let pvc = json!({"claimName": "inputs", "path": to});
            json!({"pvc": pvc, "digest": sha256sum(from)})
        };
        let (kernel, busybox) = (put(&kernel, "vmlinuz"), put(Path::new(BUSYBOX), "busybox"));
        run("chmod", &["-R", "a+rX", volume.to_str().unwrap()]);
        Self { volume, kernel, busybox }
    }

    /// Kernel and initrd: `more` is merged into the recipe of the initrd.
    fn boot(&self, script: &str, more: Value) -> Value {
        let contents = json!([
            {"directory": {"paths": ["/proc", "/sys", "/run", "/tmp"]}},
            {"deviceSet": {"name": "linux"}},
            {"file": {"path": BUSYBOX, "mode": "0755", "source": self.busybox}},
            {"file": {"path": script, "mode": "0755", "text": SCRIPT}},
        ]);
        let build = with(json!({"contents": contents}), more);
        json!({"kernel": {"source": self.kernel}, "initrd": {"build": build}})
    }

    /// A document with this spec, as a file.
    fn build_on_desk(&self, title: &str, spec: &Value) -> tempfile::TempDir {
        let document = json!({"apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage",
            "metadata": {"name": title}, "spec": spec});
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("document.json");
        fs_err::write(&file, document.to_string()).unwrap();
        build_on_desk_with(&file, &["--pvc", &format!("inputs={}", self.volume.display())])
    }
}

/// Runs `vmimage run` with these arguments until the guest has spoken.
fn says(what: &[&str]) {
    let more = ["--memory", "512Mi", "--accel", "tcg", "--timeout", "180s", "--expect", SAYS];
    run(env!("CARGO_BIN_EXE_vmimage"), &[&["run"], what, &more].concat());
}

/// A disk with an EFI system partition and a root.
fn grub(inputs: &Inputs) -> Value {
    let linux =
        json!({"kernel": "/boot/vmlinuz", "initrd": "/boot/initrd.img", "commandLine": LINE});
    let grub = json!({"firmware": ["bios", "uefi"], "timeoutSeconds": 0, "serial": {},
        "entries": [{"title": "Linux", "linux": linux}]});
    let partitions = json!([
        {"name": "bios", "type": "biosBoot", "size": "1Mi"},
        {"name": "esp", "type": "esp", "size": "40Mi", "mountPath": "/boot/efi",
            "filesystem": {"type": "vfat"}},
        {"name": "root", "type": "linux", "mountPath": "/", "filesystem": {"type": "ext4"}},
    ]);
    json!({
        "boot": with(inputs.boot("/init", json!({})), json!({"grub": grub})),
        "disk": {"size": "96Mi", "partitionTable": "GPT", "partitions": partitions},
        "publish": [{"name": "golden", "pvc": {"request": "128Mi"}}],
    })
}

fn syslinux(inputs: &Inputs) -> Value {
    let boot = json!({"syslinux": {"timeoutSeconds": 0, "serial": {}}, "commandLine": LINE});
    let partition = json!({"name": "boot", "type": "0x0c", "attributes": ["active"],
        "filesystem": {"type": "vfat"}});
    json!({
        "boot": with(inputs.boot("/init", json!({})), boot),
        "disk": {"size": "64Mi", "partitionTable": "MBR", "partitions": [partition]},
        "publish": [{"name": "golden", "pvc": {"request": "96Mi"}}],
    })
}

/// An ISO whose guest our init starts the app in.
fn uki(inputs: &Inputs) -> Value {
    let init = json!({"init": "builtin", "app": {"path": "/app", "onExit": "powerOff"}});
    let boot = json!({"efi": {"style": "UKI"}, "commandLine": LINE});
    json!({
        "boot": with(inputs.boot("/app", init), boot),
        "iso": {"volumeId": "E2E"},
        "formats": [{"type": "iso"}],
        "publish": [{"name": "golden", "pvc": {"request": "96Mi"}}],
    })
}

fn direct(inputs: &Inputs) -> Value {
    let boot = json!({"direct": {}, "commandLine": LINE});
    let partition = json!({"name": "root", "filesystem": {"type": "ext4"}});
    json!({
        "boot": with(inputs.boot("/init", json!({})), boot),
        "disk": {"size": "8Mi", "partitionTable": "None", "partitions": [partition]},
        "formats": [{"type": "raw"}],
        "publish": [{"name": "golden", "files": {"pvc": {"request": "96Mi"}}}],
    })
}

/// The published disk, whose bytes are the desk's; the desk's own files.
async fn published(space: &Space, inputs: &Inputs, image: &str, spec: &Value) -> PathBuf {
    let built = space.ready(image).await;
    let extension = if spec.get("iso").is_some() { "iso" } else { "raw" };
    let desk = inputs.build_on_desk(image, spec);
    let wanted = sha256sum(&desk.path().join(format!("{image}.{extension}")));
    assert_eq!(text(&built, "/status/content/digest"), wanted, "{image}");
    let (claim, digest, _) = place(&built);
    let disk = mount(space, &claim).join("disk.img");
    assert_eq!(sha256sum(&disk), digest, "{image}");
    disk
}

/// Names and digests of the plain files in a directory.
fn digests(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files
        .map(|entry| (entry.file_name().into_string().unwrap(), sha256sum(&entry.path())))
        .collect()
}

/// Kernel, initrd and command line beside the disk, which QEMU is given.
async fn beside(space: &Space, inputs: &Inputs, spec: &Value) {
    let image = space.ready("direct").await;
    let volume = mount(space, &name(&space.complete_claim(&image).await));
    let mut found = digests(&volume);
    found.remove("SHA256SUMS").expect("SHA256SUMS is there");
    let desk = digests(inputs.build_on_desk("direct", spec).path());
    assert_eq!(found, desk, "files of the volume and of the desk");
    let file = |kind: &str| volume.join(format!("direct.{kind}")).to_str().unwrap().to_owned();
    let line = fs_err::read_to_string(file("cmdline")).unwrap();
    let (kernel, initrd) = (file("vmlinuz"), file("initrd"));
    says(&["--kernel", &kernel, "--initrd", &initrd, "--append", line.trim()]);
}

#[test]
fn what_the_cluster_publishes_boots() {
    case("280_boot", Use::Shared, async |space| {
        if foreign() {
            eprintln!("280: not run here: inputs on a volume, digests and QEMU on the host");
            return;
        }
        let inputs = Inputs::make(&space).await;
        let specs = [
            ("grub", grub(&inputs)),
            ("syslinux", syslinux(&inputs)),
            ("uki", uki(&inputs)),
            ("direct", direct(&inputs)),
        ];
        for (image, spec) in &specs {
            space.apply(image, spec.clone()).await;
        }
        let [(_, grub), (_, syslinux), (_, uki), (_, direct)] = &specs;
        let disk = published(&space, &inputs, "grub", grub).await;
        let disk = disk.to_str().unwrap();
        says(&[disk, "--from", "raw", "--firmware", "bios"]);
        says(&[disk, "--from", "raw", "--firmware", "uefi"]);
        let disk = published(&space, &inputs, "syslinux", syslinux).await;
        says(&[disk.to_str().unwrap(), "--from", "raw"]);
        let disc = published(&space, &inputs, "uki", uki).await;
        says(&[disc.to_str().unwrap(), "--from", "raw", "--cd"]);
        beside(&space, &inputs, direct).await;
    });
}

/// A machine of which the operator's image has no boot files: said at once, without an attempt.
#[test]
fn assets_that_are_not_there_are_named() {
    case("281_assets", Use::Shared, async |space| {
        let linux = json!({"title": "a", "commands": "halt"});
        let partitions = json!([{"name": "esp", "type": "esp", "size": "40Mi",
            "filesystem": {"type": "vfat"}}]);
        let spec = json!({
            "architecture": "arm64",
            "boot": {"grub": {"firmware": ["uefi"], "entries": [linux],
                "efiImage": "distribution"}},
            "disk": {"partitionTable": "GPT", "partitions": partitions},
            "publish": [{"name": "golden", "pvc": {"request": "64Mi"}}],
        });
        space.apply("arm", spec).await;
        let image = space.waits("arm", "BootAssetsMissing").await;
        let stalled = crate::harness::condition(&image, "Stalled").unwrap();
        let message = text(&stalled, "/message");
        for part in ["boot assets grub/arm64-efi", "grub-efi-arm64-bin"] {
            assert!(message.contains(part), "{message:?}");
        }
        assert!(space.ours("Job").await.is_empty(), "no Job is made");
    });
}
