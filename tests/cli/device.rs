//! `vmimage builder --device`: a target on a block device. All but the flags needs root, for loop
//! devices.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use vmimage::report::{BuildManifest, Code};

use crate::builder::Pod;
use crate::shared::loopback::Loop;
use crate::support::{Desk, PROGRAM, Ran, ended, sha256sum, signal, wait_until};

/// What a recycled device is full of.
const OLD: u8 = 0xA5;

/// The pod's arguments with the device in place of the volume.
fn arguments(pod: &Pod, device: &Path) -> Vec<String> {
    let mut arguments = pod.arguments();
    let at = arguments.iter().position(|argument| argument == "--volume").unwrap();
    arguments[at] = "--device".to_owned();
    arguments[at + 1] = device.to_str().unwrap().to_owned();
    arguments
}

#[test]
fn a_target_goes_to_one_place() {
    let desk = Desk::new();
    let task = ["builder", "--document", "d", "--target", "t"];
    let hashes = ["--content-hash", "c", "--target-hash", "h"];
    let run = |flags: &[&str]| desk.run(&[&task[..], &hashes, flags].concat());
    let err = run(&[]).failed(2);
    assert!(err.contains("not provided") && err.contains("--volume <DIR>"), "{err}");
    let err = run(&["--volume", "v", "--device", "d"]).failed(2);
    assert!(err.contains("--device <PATH>") && err.contains("cannot be used with"), "{err}");
    let err = desk.run(&["builder", "--document", "d", "--resolve", "--device", "d"]).failed(2);
    assert!(err.contains("--resolve") && err.contains("cannot be used with"), "{err}");
    // Understood, as far as the document that is not there.
    run(&["--device", "d"]).failed(74);
    run(&["--stage", "s"]).failed(74);
}

#[test]
fn a_device_takes_a_disk_and_must_be_one() {
    let pod = Pod::of(&json!({"boot": {"sector": {"message": "hi"}}}), json!({"files": {}}));
    let report =
        pod.failed(pod.desk.run(&arguments(&pod, Path::new("/dev/null"))), Code::InvalidDocument);
    assert_eq!(report.field.as_deref(), Some("spec.publish"));
    let says = "the entry \"golden\" of spec.publish needs --volume";
    assert_eq!(report.message, says);
    let pod = Pod::hello();
    let report =
        pod.failed(pod.desk.run(&arguments(&pod, Path::new("/dev/null"))), Code::InvalidDocument);
    assert_eq!(report.message, "/dev/null is not a block device");
}

#[test]
fn a_disk_is_published_on_a_device_and_reported() {
    let pod = Pod::hello();
    let device = Loop::holding(&vec![OLD; 3 << 20], &[]);
    let (result, out) = pod.succeeded(pod.desk.run(&arguments(&pod, device.path())));
    let found = fs_err::read(device.backing()).unwrap();
    assert!(found[512..].iter().all(|byte| *byte == 0), "zeros are behind the disk");
    let disk = pod.desk.write("disk", &found[..1 << 20]);
    assert_eq!((result.target_digest.as_str(), result.target_size), (&*sha256sum(&disk), 1 << 20));
    let content = pod.desk.write("content", &found[..512]);
    assert_eq!((result.content_digest.as_str(), result.virtual_size), (&*sha256sum(&content), 512));
    assert!(!result.reused);
    assert!(pod.volume().is_empty());
    let manifest: BuildManifest = serde_json::from_str(out.splitn(3, ' ').nth(2).unwrap()).unwrap();
    let [output] = &manifest.outputs[..] else { panic!("{manifest:?}") };
    assert_eq!((output.kind.as_str(), output.file.as_str()), ("raw", "disk"));
    assert_eq!((&output.digest, output.size), (&result.target_digest, result.target_size));

    let (_, written) = device.traffic();
    let (second, _) = pod.succeeded(pod.desk.run(&arguments(&pod, device.path())));
    assert_eq!(device.traffic().1, written);
    assert!(second.reused);
    assert_eq!(second.target_digest, result.target_digest);
}

#[test]
fn a_device_that_is_too_small_is_refused_with_numbers() {
    let pod = Pod::hello();
    let device = Loop::holding(&vec![OLD; (1 << 20) - 512], &[]);
    let ran = pod.desk.run(&arguments(&pod, device.path()));
    let report = pod.failed(ran, Code::VolumeTooSmall);
    for part in ["1048576 bytes", "room for 1048064", "spec.publish[].pvc.request"] {
        assert!(report.message.contains(part), "{report:?}");
    }
}

/// As a pod runs: what its runtime does with the device's owner decides.
#[test]
fn a_device_that_is_not_given_to_the_user_is_explained() {
    use std::os::unix::fs::PermissionsExt as _;
    let pod = Pod::hello();
    let device = Loop::holding(&vec![OLD; 1 << 20], &[]);
    let mode = |path: &Path, mode| {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(pod.desk.root(), 0o755);
    mode(&pod.desk.write("termination-log", ""), 0o666);
    fs_err::copy(PROGRAM, pod.desk.path("vmimage")).unwrap();
    // A node of its own, as in a container: the one in /dev belongs to the whole machine.
    let script = "numbers=$(stat -c '0x%t 0x%T' \"$1\") || exit 99
        mknod -m 660 device b $numbers || exit 99
        chown \"$2\" device || exit 99
        shift 2
        setpriv --reuid 107 --regid 107 --clear-groups ./vmimage \"$@\"; code=$?
        rm device; exit $code";
    let run = |owner: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(device.path()).arg(owner);
        command.args(arguments(&pod, &pod.desk.path("device")));
        pod.desk.at_home(&mut command);
        Ran::from(command.output().unwrap())
    };
    let report = pod.failed(run("0:0"), Code::Io);
    for part in [
        "user 107 has no access to the block device ",
        "device_ownership_from_security_context = true in the configuration of containerd or CRI-O",
        "Permission denied (os error 13)",
    ] {
        assert!(report.message.contains(part), "{report:?}");
    }
    assert!(fs_err::read(device.backing()).unwrap().iter().all(|byte| *byte == OLD));
    let (result, _) = pod.succeeded(run("107:107"));
    assert_eq!(result.target_digest, sha256sum(device.backing()));
}

/// Ends a builder by `signal` while it publishes 1 GiB; a second one makes it good.
fn interrupted(signal: impl Fn(&Pod, std::process::Child)) {
    use std::os::unix::fs::FileExt as _;
    let pod = Pod::new(&json!({
        "boot": {"sector": {"message": "Hello from a pod"}},
        "disk": {"size": "1Gi"},
    }));
    // Full of something else where the disk begins and where it ends.
    let file = fs_err::File::create(pod.desk.path("backing")).unwrap();
    file.set_len(1 << 30).unwrap();
    for at in [0, (1 << 30) - (1 << 20)] {
        file.file().write_all_at(&vec![OLD; 1 << 20], at).unwrap();
    }
    let device = Loop::over(&pod.desk.path("backing"), &[]);
    let byte = |at| {
        let mut byte = [0];
        fs_err::File::open(device.path()).unwrap().file().read_exact_at(&mut byte, at).unwrap();
        byte[0]
    };
    let mut child = pod.desk.command(&arguments(&pod, device.path())).spawn().unwrap();
    wait_until(&mut child, "a first byte", || byte(0) != OLD);
    signal(&pod, child);
    assert_eq!(byte((1 << 30) - 1), OLD, "it was ended in the middle");
    let (result, _) = pod.succeeded(pod.desk.run(&arguments(&pod, device.path())));
    assert!(!result.reused);
    assert_eq!(result.target_size, 1 << 30);
    assert_eq!(result.target_digest, sha256sum(device.backing()));
}

#[test]
fn sigterm_in_the_middle_of_a_device_is_made_good() {
    interrupted(|pod, child| {
        signal(&child, "TERM");
        let report = pod.failed(ended(child), Code::Stopped);
        assert_eq!(report.message, "the build was told to stop");
    });
}

#[test]
fn sigkill_in_the_middle_of_a_device_is_made_good() {
    interrupted(|_, mut child| {
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None);
    });
}
