//! What only the host can do: real `sha256sum`, QEMU, a look into a volume from outside.
//!
//! Invariant: a tool that is missing or fails is a failed case, never a skipped one.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::space::Space;

const CLUSTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/cluster/cluster");

/// Whether this is a cluster of the user's own, whose volumes and audit log the host cannot see.
pub(crate) fn foreign() -> bool {
    std::env::var_os("VMIMAGE_E2E_FOREIGN").is_some()
}

/// Runs a program and returns its standard output; panics unless it ends with 0.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; e2e/test installs what is needed"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn kubectl_path() -> String {
    std::env::var("VMIMAGE_CLUSTER_BIN").map_or("kubectl".into(), |bin| format!("{bin}/kubectl"))
}

/// `kubectl` as a user types it.
pub(crate) fn kubectl(args: &[&str]) -> String {
    run(&kubectl_path(), args)
}

/// `kubectl`, with whatever it says.
pub(crate) fn try_kubectl(args: &[&str]) -> String {
    match Command::new(kubectl_path()).args(args).output() {
        Ok(output) => {
            let both = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&both).into_owned()
        }
        Err(error) => error.to_string(),
    }
}

/// Where the host sees the volume of a claim.
pub(crate) fn mount(space: &Space, claim: &str) -> PathBuf {
    let netns = std::env::var("VMIMAGE_CLUSTER_NETNS")
        .expect("VMIMAGE_CLUSTER_NETNS is set by `cluster exec`; on another cluster set VMIMAGE_E2E_FOREIGN=1");
    let cluster = netns.trim_start_matches("vmimg-");
    let claim = format!("{}/{claim}", space.namespace);
    PathBuf::from(run(CLUSTER, &["volume", "--name", cluster, &claim]).trim())
}

/// The digest that the real `sha256sum` prints, with our prefix.
pub(crate) fn sha256sum(path: &Path) -> String {
    let printed = run("sha256sum", &["-b", path.to_str().unwrap()]);
    format!("sha256:{}", printed.split_whitespace().next().unwrap_or_default())
}

/// The digest that the real `sha256sum` prints of the first bytes of a file or a device.
pub(crate) fn first_sha256sum(path: &str, bytes: u64) -> String {
    let script = "head -c \"$2\" \"$1\" | sha256sum -b";
    let printed = run("bash", &["-o", "pipefail", "-c", script, "sh", path, &bytes.to_string()]);
    format!("sha256:{}", printed.split_whitespace().next().unwrap_or_default())
}

/// Builds a document with `vmimage build` as on a desk; the directory holds its files.
pub(crate) fn build_on_desk(document: &Path) -> tempfile::TempDir {
    build_on_desk_with(document, &[])
}

/// The same with more flags.
pub(crate) fn build_on_desk_with(document: &Path, flags: &[&str]) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let (document, to) = (document.to_str().unwrap(), out.path().to_str().unwrap());
    let build = ["build", "-f", document, "-o", to];
    run(env!("CARGO_BIN_EXE_vmimage"), &[&build[..], flags].concat());
    out
}

/// Boots a raw disk under QEMU and waits for `expected` on the first serial port.
pub(crate) fn boots(disk: &Path, expected: &str) {
    let drive = format!("file={},format=raw,snapshot=on", disk.display());
    let args = ["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-net"];
    let mut machine = Command::new("qemu-system-x86_64")
        .args(args)
        .args(["none", "-m", "16", "-drive", &drive])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|e| panic!("qemu-system-x86_64: {e}; install qemu-system-x86"));
    let mut serial = machine.stdout.take().unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(n @ 1..) = serial.read(&mut buffer) {
            if send.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    let (start, deadline, mut seen) = (Instant::now(), Duration::from_secs(60), String::new());
    while !seen.contains(expected) && start.elapsed() < deadline {
        match receive.recv_timeout(deadline - start.elapsed()) {
            Ok(bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
            Err(_) => break,
        }
    }
    machine.kill().unwrap();
    machine.wait().unwrap();
    assert!(seen.contains(expected), "expected {expected:?} on the serial port; seen: {seen:?}");
}
