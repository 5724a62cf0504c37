//! `vmimage push` as users run it.
//!
//! Invariant: exit codes and lines are those of the documentation.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;

use crate::docker::Served;
use crate::shell::shell;
use crate::{bytes, disk, server, write};

fn vmimage(directory: &Path, args: &[impl AsRef<OsStr>]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmimage"))
        .args(args)
        .current_dir(directory)
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .output()
        .unwrap()
}

/// Standard output of a run that ends well.
#[track_caller]
fn done(directory: &Path, args: &[impl AsRef<OsStr> + Debug]) -> String {
    let output = vmimage(directory, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_image_file_goes_to_a_registry() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    server::certificates(at);
    let served = Served::start(at, Some(("user", "pass")), Some(("server.pem", "server.key")));
    let name = format!("{}/team/disk", served.host);
    let config = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpwYXNz"}}}}}}"#, served.host);
    write(at, "config.json", config.as_bytes());
    write(at, "disk.raw", &bytes(&*disk()));
    shell(at, "qemu-utils", "qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2");
    shell(at, "qemu-utils", "qemu-img convert -f raw -O vmdk disk.raw disk.vmdk");
    let to = format!("{name}:v1");
    let flags = ["--docker-config", "config.json", "--ca", "ca.pem", "--quiet"];
    let push = |args: &[&'static str], to: &str| {
        let args: Vec<_> =
            ["push"].iter().chain(args).chain(&flags).map(|arg| (*arg).to_owned()).collect();
        args.into_iter().chain([to.to_owned()]).collect::<Vec<_>>()
    };
    let dry = done(at, &["push", "--dry-run", "--tag", "v2", "--threads", "1", "disk.qcow2", &to]);
    let wet = done(at, &push(&["--tag", "v2", "--threads", "2", "disk.qcow2"], &to));
    assert_eq!(dry, wet);
    let lines: Vec<_> = wet.lines().map(|line| line.split('\t').collect::<Vec<_>>()).collect();
    let [[one, len, digest], [two, ..]] =
        &[lines[0].clone(), lines[1].clone()].map(|l| <[&str; 3]>::try_from(l).unwrap());
    assert_eq!((*one, *two), (&*to, &*format!("{name}:v2")));
    // What lies in it is the file itself.
    let curl = format!(
        "curl -sSf --http1.1 --cacert ca.pem -u user:pass https://{}/v2/team/disk",
        served.host
    );
    let accept = "-H 'Accept: application/vnd.oci.image.manifest.v1+json'";
    let script = format!(
        "{curl}/manifests/v2 {accept} > manifest\n\
         echo sha256:$(sha256sum < manifest | cut -d' ' -f1)\n\
         python3 -c 'import json; print(json.load(open(\"manifest\"))[\"layers\"][0][\"size\"])'\n\
         layer=$(python3 -c 'import json; print(json.load(open(\"manifest\"))[\"layers\"][0][\"digest\"])')\n\
         {curl}/blobs/$layer | tar -xzO disk/disk.qcow2 | cmp - disk.qcow2"
    );
    assert_eq!(shell(at, "curl", &script), format!("{digest}\n{len}"));
    // Another format is written as qcow2, and the defaults of KubeVirt stand in the configuration.
    let json = done(
        at,
        &push(
            &[
                "--json",
                "--default-instancetype",
                "u1.small",
                "--default-preference",
                "fedora",
                "--architecture",
                "arm64",
                "--compression",
                "none",
                "--index",
                "disk.vmdk",
            ],
            &format!("{name}:many"),
        ),
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["reused"], false);
    assert_eq!(
        (&json["image"], &json["tags"][0], &json["architecture"]),
        (&name.clone().into(), &"many".into(), &"arm64".into())
    );
    let script = format!(
        "{curl}/manifests/many -H 'Accept: application/vnd.oci.image.index.v1+json' > index\n\
         m=$(python3 -c 'import json; [m] = json.load(open(\"index\"))[\"manifests\"]; print(m[\"digest\"])')\n\
         {curl}/manifests/$m {accept} > manifest\n\
         read c l < <(python3 -c 'import json; m = json.load(open(\"manifest\")); print(m[\"config\"][\"digest\"], m[\"layers\"][0][\"digest\"])')\n\
         {curl}/blobs/$c | python3 -c 'import json, sys; c = json.load(sys.stdin); print(c[\"architecture\"], *c[\"config\"][\"Env\"], *c[\"config\"][\"Labels\"].values())'\n\
         {curl}/blobs/$l | tar -xO disk/disk.qcow2 > pulled.qcow2\n\
         qemu-img compare -f qcow2 -F raw pulled.qcow2 disk.raw > /dev/null; echo $m"
    );
    let content = shell(at, "coreutils", "sha256sum disk.raw | cut -d' ' -f1");
    let wanted = format!(
        "arm64 INSTANCETYPE_KUBEVIRT_IO_DEFAULT_INSTANCETYPE=u1.small \
         INSTANCETYPE_KUBEVIRT_IO_DEFAULT_PREFERENCE=fedora sha256:{content}\n{}",
        json["digest"].as_str().unwrap()
    );
    assert_eq!(shell(at, "curl", &script), wanted);
}

#[test]
fn a_kernel_goes_alone() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let served = Served::start(at, None, None);
    fs::write(at.join("vmlinuz"), "a kernel").unwrap();
    fs::write(at.join("initrd"), "an initrd").unwrap();
    let to = format!("{}/team/kernel", served.host);
    let args = ["push", "-q", "--insecure", "--kernel", "vmlinuz", "--initrd", "initrd", &to];
    assert!(done(at, &args).starts_with(&format!("{to}:latest\t")));
    let base = format!("http://{}/v2/team/kernel", served.host);
    let script = format!(
        "l=$(curl -sSf -H 'Accept: application/vnd.oci.image.manifest.v1+json' {base}/manifests/latest | \
         python3 -c 'import json, sys; print(json.load(sys.stdin)[\"layers\"][0][\"digest\"])')\n\
         curl -sSf {base}/blobs/$l > layer; tar -tzf layer; tar -xzOf layer boot/vmlinuz boot/initrd"
    );
    let wanted = "boot/\nboot/initrd\nboot/vmlinuz\nan initrda kernel";
    assert_eq!(shell(at, "curl", &script), wanted);
}

#[test]
fn exit_codes_are_those_of_the_table() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let served = Served::start(at, Some(("user", "pass")), None);
    write(at, "disk.raw", &[1; 512]);
    write(at, "wrong.json", br#"{"auths": {"127.0.0.1": 7}}"#);
    let to = format!("{}/team/disk:v1", served.host);
    let digest = format!("{to}@sha256:{}", "0".repeat(64));
    for (args, code, wanted) in [
        (&["--insecure", "disk.raw", &to][..], 73, "wants a name and a password, none are given"),
        (&["disk.raw", "127.0.0.1:1/a/b"], 74, "127.0.0.1:1"),
        (
            &["--insecure", "--docker-config", "wrong.json", "disk.raw", &to],
            66,
            "no Docker configuration",
        ),
        (&["--insecure", "none.raw", &to], 66, "none.raw"),
        (&["--dry-run", "disk", &to], 66, "does not follow from its name"),
        (&["--dry-run", "disk.raw", &digest], 65, "name a tag"),
        (&["disk.raw"], 2, ""),
        (&["--tag", "a b", "disk.raw", &to], 2, "--tag"),
        (&["disk.raw", "not//a name"], 2, ""),
        (&["--kernel", "disk.raw", "not//a name"], 65, "is no image such as"),
        (&["--initrd", "disk.raw", "disk.raw", &to], 2, "--kernel"),
    ] {
        let output = vmimage(at, &[&["push", "-q"], args].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(wanted), "{args:?}: {text}");
    }
    let output = vmimage(at, &["push", "--json", "--insecure", "disk.raw", &to]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["error"]["code"], output.stderr.len()), (&"PushRefused".into(), 0));
}
