//! `vmimage builder`: the contract between controller and build pod.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::geteuid;
use serde_json::{Value, json};
use vmimage::engine::Inputs;
use vmimage::manifest::{hash, parse};
use vmimage::report::{BuildManifest, BuildResult, Code, Report};

use crate::support::{Desk, PROGRAM, Ran, ended, sha256sum, signal, wait_until};

/// A desk with `vmimage.json` as the controller writes it, and an empty volume.
pub(crate) struct Pod {
    pub(crate) desk: Desk,
    content_hash: String,
    target_hash: String,
}

impl Pod {
    pub(crate) fn new(spec: &Value) -> Self {
        Self::of(spec, json!({"pvc": {}}))
    }

    /// With this target.
    pub(crate) fn of(spec: &Value, mut target: Value) -> Self {
        let mut spec = spec.clone();
        target["name"] = "golden".into();
        spec["publish"] = json!([{"name": "other", "pvc": {"name": "x"}}, target]);
        let document = json!({
            "apiVersion": "vmimage.dev/v1alpha1",
            "kind": "VMImage",
            "metadata": {"name": "hello", "namespace": "tests"},
            "spec": spec,
        });
        let desk = Desk::new();
        desk.write("vmimage.json", document.to_string());
        fs_err::create_dir(desk.path("volume")).unwrap();
        let mut pod = Self { desk, content_hash: "none".into(), target_hash: "none".into() };
        if let Ok(documents) = parse::parse(&document.to_string(), &[]) {
            let spec = &documents[0].image.spec;
            if let Ok(inputs) = Inputs::resolve(spec, None) {
                pod.content_hash = hash::content_hash(spec, &inputs.digests()).unwrap();
                let target = hash::target_hash(&pod.content_hash, spec, &spec.publish[1]);
                pod.target_hash = target.unwrap();
            }
        }
        pod
    }

    pub(crate) fn hello() -> Self {
        Self::new(&json!({"boot": {"sector": {"message": "Hello from a pod"}}}))
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let text = |text: &str| text.to_owned();
        let path = |name: &str| self.desk.path(name).to_str().unwrap().to_owned();
        [
            text("builder"),
            text("--document"),
            path("vmimage.json"),
            text("--target"),
            text("golden"),
            text("--volume"),
            path("volume"),
            text("--content-hash"),
            self.content_hash.clone(),
            text("--target-hash"),
            self.target_hash.clone(),
            text("--termination-log"),
            path("termination-log"),
        ]
        .into()
    }

    fn run(&self) -> Ran {
        self.desk.run(&self.arguments())
    }

    fn report(&self) -> Report {
        Report::parse(&String::from_utf8(self.desk.read("termination-log")).unwrap()).unwrap()
    }

    /// Asserts success and returns the result.
    #[track_caller]
    pub(crate) fn succeeded(&self, ran: Ran) -> (BuildResult, String) {
        let out = ran.ok();
        let report = self.report();
        assert_eq!(report.code, Code::Ok);
        (report.result.unwrap(), out)
    }

    /// Asserts this failure and returns the report.
    #[track_caller]
    pub(crate) fn failed(&self, ran: Ran, code: Code) -> Report {
        assert_eq!(ran.out, "");
        ran.failed(i32::from(code.exit()));
        let report = self.report();
        assert_eq!((report.code, &report.result), (code, &None));
        assert!(!report.message.is_empty());
        report
    }

    pub(crate) fn volume(&self) -> Vec<String> {
        self.list("volume")
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let entries = fs_err::read_dir(self.desk.path(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_target_is_published_and_reported() {
    let pod = Pod::hello();
    let ran = pod.run();
    let log = ran.err.clone();
    let (result, out) = pod.succeeded(ran);
    assert_eq!(pod.volume(), ["disk.img"]);
    let disk = pod.desk.read("volume/disk.img");
    assert_eq!((disk.len(), result.target_size), (1 << 20, 1 << 20));
    assert_eq!(result.target_digest, sha256sum(&pod.desk.path("volume/disk.img")));
    assert_eq!(result.virtual_size, 512);
    let content = pod.desk.write("content", &disk[..512]);
    assert_eq!(result.content_digest, sha256sum(&content));
    assert_eq!((&result.content_hash, &result.target_hash), (&pod.content_hash, &pod.target_hash));
    assert!(!result.reused);

    let (frame, rest) = out.strip_suffix('\n').unwrap().split_once(' ').unwrap();
    let (digest, manifest) = rest.split_once(' ').unwrap();
    assert_eq!(frame, "vmimage-build-manifest-v1");
    assert_eq!(format!("sha256:{digest}"), result.manifest_digest);
    assert_eq!(sha256sum(&pod.desk.write("manifest", manifest)), result.manifest_digest);
    let manifest: BuildManifest = serde_json::from_str(manifest).unwrap();
    assert_eq!(manifest.content_digest, result.content_digest);
    assert_eq!(manifest.outputs[0].digest, result.target_digest);
    assert_eq!((manifest.name.as_str(), manifest.outputs[0].file.as_str()), ("hello", "disk.img"));

    for stage in ["read", "inputs", "build", "digest", "publish"] {
        let lines = log.lines().filter(|l| l.ends_with(&format!(" ms  {stage}: done"))).count();
        assert_eq!(lines, 1, "{stage}: {log}");
    }
}

#[test]
fn content_is_what_a_desk_builds() {
    let pod = Pod::hello();
    let (result, _) = pod.succeeded(pod.run());
    let out = pod.desk.run(&["build", "-f", "vmimage.json"]).ok();
    assert!(out.contains(&result.content_digest), "{out}");
}

#[test]
fn a_second_run_finds_the_first() {
    let pod = Pod::hello();
    let (first, _) = pod.succeeded(pod.run());
    let (second, _) = pod.succeeded(pod.run());
    assert!(second.reused);
    assert_eq!(first.target_digest, second.target_digest);
    assert_eq!(first.manifest_digest, second.manifest_digest);
}

#[test]
fn bad_documents_end_with_65_and_the_field() {
    let pod = Pod::new(&json!({"architecture": "arm64", "boot": {"sector": {"message": "hi"}}}));
    let report = pod.failed(pod.run(), Code::InvalidDocument);
    assert!(report.field.unwrap().starts_with("spec."));
    let pod = Pod::new(&json!({"boot": {"sektor": {}}}));
    let report = pod.failed(pod.run(), Code::InvalidDocument);
    assert_eq!(report.field.as_deref(), Some("spec.boot.sektor"));
    let pod = Pod::new(&json!({"boot": {"sector": {"source": {"file": "/etc/passwd"}}}}));
    let report = pod.failed(pod.run(), Code::InvalidDocument);
    assert_eq!(report.field.as_deref(), Some("spec.boot.sector.source"));
    let pod = Pod::hello();
    let mut arguments = pod.arguments();
    arguments[4] = "nobody".to_owned();
    let report = pod.failed(pod.desk.run(&arguments), Code::InvalidDocument);
    assert!(report.message.contains("it has: other, golden"), "{report:?}");
    assert_eq!(pod.volume(), [""; 0]);
}

#[test]
fn hashes_that_differ_are_a_defect() {
    for at in [8, 10] {
        let pod = Pod::hello();
        let mut arguments = pod.arguments();
        arguments[at] = "0".repeat(64);
        let report = pod.failed(pod.desk.run(&arguments), Code::Bug);
        assert!(report.message.contains(&"0".repeat(64)), "{report:?}");
        assert_eq!(pod.volume(), [""; 0]);
    }
}

/// The controller's hash is over the files of its own image: those of another would be built instead.
#[test]
fn boot_assets_that_differ_are_named() {
    let pod = Pod::new(&json!({
        "boot": {"grub": {"entries": [{"title": "a", "commands": "halt"}]}},
        "disk": {"size": "16Mi", "partitionTable": "MBR", "partitions": [
            {"name": "root", "size": "8Mi", "mountPath": "/", "filesystem": {"type": "ext2"}}]},
    }));
    let other = format!("sha256:{}", "0".repeat(64));
    let set = format!("grub/i386-pc={other}");
    let arguments = [pod.arguments(), vec!["--boot-asset-digest".to_owned(), set]].concat();
    let report = pod.failed(pod.desk.run(&arguments), Code::InvalidInput);
    assert_eq!(report.field.as_deref(), Some("spec.boot"));
    for part in ["boot assets grub/i386-pc", &other, "must run the same image"] {
        assert!(report.message.contains(part), "{report:?}");
    }
    assert_eq!(pod.volume(), [""; 0]);
    // With the digest that is told as the builder's it builds.
    let here = report.message.split("image has ").nth(1).and_then(|rest| rest.split(',').next());
    let set = format!("grub/i386-pc={}", here.unwrap());
    let arguments = [pod.arguments(), vec!["--boot-asset-digest".to_owned(), set]].concat();
    pod.succeeded(pod.desk.run(&arguments));
}

#[test]
fn a_volume_with_other_content_is_left_alone() {
    let pod = Pod::hello();
    pod.desk.write("volume/precious", "data");
    let report = pod.failed(pod.run(), Code::VolumeHoldsOther);
    assert!(report.message.contains("precious"), "{report:?}");
    assert_eq!(pod.volume(), ["precious"]);
}

#[test]
fn a_volume_that_is_too_small_is_refused_with_numbers() {
    // No machine that runs tests has room for 4 EiB, and none can hash as much before the
    // deadline: the volume is measured first.
    let pod = Pod::new(&json!({"disk": {"size": "4Ei"}}));
    let arguments =
        [pod.arguments(), ["--timeout-seconds", "30"].map(String::from).into()].concat();
    let report = pod.failed(pod.desk.run(&arguments), Code::VolumeTooSmall);
    assert!(report.message.contains("4611686018427387904"), "{report:?}");
}

#[test]
fn no_termination_log_is_no_reason_to_fail() {
    let pod = Pod::hello();
    let mut arguments = pod.arguments();
    arguments[12] = "/nonexistent/log".to_owned();
    let ran = pod.desk.run(&arguments);
    assert!(ran.err.contains("no report could be left: "), "{ran:?}");
    ran.ok();
}

#[test]
fn a_missing_document_may_come_back() {
    let pod = Pod::hello();
    fs_err::remove_file(pod.desk.path("vmimage.json")).unwrap();
    pod.failed(pod.run(), Code::Io);
}

/// A pod that publishes for longer than a test waits.
fn slow() -> (Pod, Mounted) {
    let pod = Pod::new(&json!({"disk": {"size": "8Gi"}}));
    let mounted = Mounted::tmpfs(&pod.desk.path("volume"), "12g");
    (pod, mounted)
}

/// A filesystem in memory with room for files that are only holes, however full the disk is.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(path: &Path, size: &str) -> Self {
        assert!(geteuid().is_root(), "this test mounts: run it as root, as `make test` does");
        let size = format!("size={size}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(path).status();
        assert!(mount.unwrap().success());
        Self(path.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmount = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmount.unwrap().success());
    }
}

#[test]
fn the_deadline_is_kept_by_the_builder_itself() {
    let (pod, _mounted) = slow();
    let arguments = [pod.arguments(), ["--timeout-seconds", "1"].map(String::from).into()].concat();
    let report = pod.failed(pod.desk.run(&arguments), Code::Stopped);
    assert_eq!(report.message, "the build took longer than the 1 seconds allowed");
    assert_eq!(pod.volume(), [""; 0]);
}

#[track_caller]
fn stopped(pod: &Pod, child: Child) {
    signal(&child, "TERM");
    let report = pod.failed(ended(child), Code::Stopped);
    assert_eq!(report.message, "the build was told to stop");
    assert_eq!(pod.volume(), [""; 0], "the partial file is gone");
}

#[test]
fn sigterm_while_publishing_leaves_an_empty_volume() {
    let (pod, _mounted) = slow();
    let mut child = pod.desk.command(&pod.arguments()).spawn().unwrap();
    wait_until(&mut child, "a partial file", || !pod.volume().is_empty());
    stopped(&pod, child);
}

/// Needs root, for a read-only root and another user.
#[test]
fn any_user_and_a_read_only_root_are_enough() {
    use std::os::unix::fs::PermissionsExt as _;
    assert!(geteuid().is_root(), "this test mounts and becomes another user: run it as root");
    let pod = Pod::hello();
    for (name, mode) in [(".", 0o755), ("vmimage.json", 0o444), ("volume", 0o777)] {
        let mode = std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(pod.desk.path(name), mode).unwrap();
    }
    fs_err::copy(PROGRAM, pod.desk.path("vmimage")).unwrap();
    let log = pod.desk.write("termination-log", "");
    fs_err::set_permissions(&log, std::fs::Permissions::from_mode(0o666)).unwrap();
    // As the kubelet does: volume and log are mounts of their own, the rest is read-only.
    let script = "for path in volume termination-log; do
            mount --bind $path $path || exit 99
        done
        mount -o remount,bind,ro / || exit 99
        cd \"$PWD\"
        exec setpriv --reuid 12345 --regid 23456 --clear-groups ./vmimage \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).args(pod.arguments());
    pod.desk.at_home(&mut command);
    command.env("TMPDIR", "/nonexistent");
    let (result, _) = pod.succeeded(Ran::from(command.output().unwrap()));
    assert_eq!(result.target_digest, sha256sum(&pod.desk.path("volume/disk.img")));
}

/// A document with several files, one of them in two.
fn with_files() -> Value {
    json!({
        "boot": {"sector": {"message": "Hello from a pod"}},
        "disk": {"size": "4Mi"},
        "formats": [
            {"type": "raw"},
            {"type": "qcow2", "qcow2": {"compression": "zstd"}},
            {"type": "vmdk", "vmdk": {"subformat": "monolithicFlat"}},
            {"type": "vmdk", "name": "stream.vmdk", "vmdk": {"subformat": "streamOptimized"}},
        ],
    })
}

/// Kernel, initrd and command line of a document without a loader.
#[test]
fn files_beside_the_disk_are_summed_with_it() {
    let spec = json!({
        "boot": {
            "direct": {},
            "kernel": {"source": {"inline": {"text": "a kernel"}}},
            "initrd": {"source": {"inline": {"text": "an initrd"}}},
            "commandLine": "console=ttyS0",
        },
        "disk": {"size": "1Mi"},
        "formats": [{"type": "raw"}],
    });
    let pod = Pod::of(&spec, json!({"files": {}}));
    pod.succeeded(pod.run());
    let names = [
        "SHA256SUMS",
        "hello.build.json",
        "hello.cmdline",
        "hello.initrd",
        "hello.raw",
        "hello.vmlinuz",
    ];
    let mut found = pod.list("volume");
    found.retain(|name| !name.starts_with('.'));
    assert_eq!(found, names);
    assert_eq!(pod.desk.read("volume/hello.vmlinuz"), b"a kernel");
    assert_eq!(pod.desk.read("volume/hello.initrd"), b"an initrd");
    assert_eq!(pod.desk.read("volume/hello.cmdline"), b"console=ttyS0\n");
    for name in &names[1..] {
        let path = pod.desk.path(&format!("volume/{name}"));
        let line = format!("{}  {name}\n", sha256sum(&path).trim_start_matches("sha256:"));
        let sums = String::from_utf8(pod.desk.read("volume/SHA256SUMS")).unwrap();
        assert!(sums.contains(&line), "{line}{sums}");
    }
}

#[test]
fn files_are_those_of_the_desk() {
    let pod = Pod::of(&with_files(), json!({"files": {"path": "images/v1"}}));
    pod.desk.write("volume/beside", "of somebody else");
    let (result, out) = pod.succeeded(pod.run());
    pod.desk.run(&["build", "-f", "vmimage.json", "-o", "desk"]).ok();
    let names = pod.list("desk");
    assert_eq!(
        names,
        [
            "hello-flat.vmdk",
            "hello.build.json",
            "hello.qcow2",
            "hello.raw",
            "hello.stream.vmdk",
            "hello.vmdk",
        ]
    );
    assert_eq!(pod.list("volume/images/v1"), [&["SHA256SUMS".to_owned()], &names[..]].concat());
    let mut size = 0;
    for name in &names {
        let file = pod.desk.read(&format!("volume/images/v1/{name}"));
        assert!(file == pod.desk.read(&format!("desk/{name}")), "{name} differs");
        size += file.len() as u64;
    }
    let sums = pod.desk.path("volume/images/v1/SHA256SUMS");
    assert_eq!(result.target_digest, sha256sum(&sums));
    assert_eq!(
        result.target_size,
        size + pod.desk.read("volume/images/v1/SHA256SUMS").len() as u64
    );
    let check = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(pod.desk.path("volume/images/v1"))
        .output()
        .unwrap();
    let checked = String::from_utf8(check.stdout).unwrap();
    assert_eq!(checked.lines().filter(|line| line.ends_with(": OK")).count(), names.len());
    assert_eq!(result.content_digest, sha256sum(&pod.desk.path("desk/hello.raw")));
    let line: BuildManifest = serde_json::from_str(out.splitn(3, ' ').nth(2).unwrap()).unwrap();
    let file = pod.desk.read("desk/hello.build.json");
    assert_eq!(line, serde_json::from_slice(&file).unwrap(), "the log tells what the file says");
    assert_eq!(pod.desk.read("volume/beside"), b"of somebody else");
}

#[test]
fn what_an_earlier_attempt_left_of_files_is_made_anew() {
    let pod = Pod::of(&with_files(), json!({"files": {}}));
    let (first, _) = pod.succeeded(pod.run());
    pod.desk.write("volume/hello.raw", "damaged");
    pod.desk.write("volume/.hello.qcow2.1.0.partial", "half");
    let (second, _) = pod.succeeded(pod.run());
    assert!(!second.reused);
    assert_eq!(
        (first.target_digest, first.target_size),
        (second.target_digest, second.target_size)
    );
    assert_eq!(pod.volume().len(), 7);
    pod.desk.write("volume/precious", "data");
    let report = pod.failed(pod.run(), Code::VolumeHoldsOther);
    assert!(report.message.contains("precious"), "{report:?}");
    assert_eq!(pod.volume().len(), 8, "nothing is touched");
}

#[test]
fn sigterm_while_files_are_written_leaves_an_empty_volume() {
    let spec = json!({"disk": {"size": "8Gi"}, "formats": [{"type": "raw"}, {"type": "qcow2"}]});
    let pod = Pod::of(&spec, json!({"files": {}}));
    let mut child = pod.desk.command(&pod.arguments()).spawn().unwrap();
    wait_until(&mut child, "a partial file", || !pod.volume().is_empty());
    stopped(&pod, child);
}

/// A filesystem of three pages in memory, which only root can mount.
#[test]
fn files_that_do_not_fit_are_told_with_numbers() {
    assert!(geteuid().is_root(), "this test mounts: run it as root");
    let pod = Pod::of(&with_files(), json!({"files": {"pvc": {"request": "1"}}}));
    let script = "mount -t tmpfs -o size=12k none volume || exit 99
        \"$@\"; code=$?
        ls -A volume >left
        exit $code";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh", PROGRAM]).args(pod.arguments());
    pod.desk.at_home(&mut command);
    let report = pod.failed(Ran::from(command.output().unwrap()), Code::VolumeTooSmall);
    // Raw is 4 MiB; the others are that, 1/32 of it and 8 MiB, qcow2 with 12 clusters of 64 KiB
    // more; and 1 MiB beside them: 42.125 MiB, in whole MiB.
    let needed = 43 << 20;
    let says = format!("room for 12288 bytes, too little for the files; {needed} are enough");
    assert!(report.message.contains(&says), "{report:?}");
    assert!(report.message.contains("spec.publish[].files.pvc.request"), "{report:?}");
    assert_eq!(pod.desk.read("left"), b"", "what was written is removed");
}
