//! `vmimage push` as users run it.
//!
//! Invariant: exit codes and lines are those of the documentation.

use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;

use crate::docker::Served;
use crate::shell::shell;
use crate::{bytes, disk, server, write};

fn vmimage(directory: &Path, args: &[&str]) -> Output {
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
fn done(directory: &Path, args: &[&str]) -> String {
    let output = vmimage(directory, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A registry with TLS and a password, and a disk in three formats.
struct Desk {
    directory: tempfile::TempDir,
    served: Served,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        server::certificates(at);
        let served = Served::start(at, Some(("user", "pass")), Some(("server.pem", "server.key")));
        let config = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpwYXNz"}}}}}}"#, served.host);
        write(at, "config.json", config.as_bytes());
        write(at, "disk.raw", &bytes(&*disk()));
        shell(at, "qemu-utils", "qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2");
        shell(at, "qemu-utils", "qemu-img convert -f raw -O vmdk disk.raw disk.vmdk");
        Self { directory, served }
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    fn name(&self) -> String {
        format!("{}/team/disk", self.served.host)
    }

    fn push(&self, args: &[&str], to: &str) -> String {
        let flags = ["--docker-config", "config.json", "--ca", "ca.pem", "--quiet", to];
        done(self.at(), &[&["push"], args, &flags].concat())
    }

    /// Runs a script with a function that gets what lies below the repository, and one that reads JSON.
    fn told(&self, script: &str) -> String {
        let script = format!(
            "get() {{ curl -sSf --http1.1 --cacert ca.pem -u user:pass \\\n\
             -H \"Accept: application/vnd.oci.image.${{2:-manifest}}.v1+json\" \\\n\
             https://{}/v2/team/disk/$1; }}\n\
             json() {{ python3 -c \"import json, sys; j = json.load(sys.stdin); print($1)\"; }}\n\
             {script}",
            self.served.host
        );
        shell(self.at(), "curl", &script)
    }
}

#[test]
fn an_image_file_goes_to_a_registry() {
    let desk = Desk::new();
    let (at, name) = (desk.at(), desk.name());
    let to = format!("{name}:v1");
    let dry = done(at, &["push", "--dry-run", "--tag", "v2", "--threads", "1", "disk.qcow2", &to]);
    let wet = desk.push(&["--tag", "v2", "--threads", "2", "disk.qcow2"], &to);
    assert_eq!(dry, wet);
    let lines: Vec<Vec<_>> = wet.lines().map(|line| line.split('\t').collect()).collect();
    let [one, two] = lines.as_slice() else { panic!("{wet}") };
    assert_eq!((one[0], two[0].to_owned()), (&*to, format!("{name}:v2")));
    assert_eq!(one[1..], two[1..]);
    // What lies in it is the file itself.
    let told = desk.told(
        "get manifests/v2 > m; echo sha256:$(sha256sum < m | cut -d' ' -f1)\n\
         json \"j['layers'][0]['size']\" < m\n\
         get blobs/$(json \"j['layers'][0]['digest']\" < m) | tar -xzO disk/disk.qcow2 | cmp - disk.qcow2",
    );
    assert_eq!(told, format!("{}\n{}", one[2], one[1]));
}

/// Another format is written as qcow2, and the defaults of KubeVirt stand in the configuration.
#[test]
fn any_format_becomes_an_entry_of_an_index() {
    let desk = Desk::new();
    let defaults = ["--default-instancetype=u1.small", "--default-preference=fedora"];
    let flags = ["--json", "--architecture=arm64", "--compression=none", "--index", "disk.vmdk"];
    let json = desk.push(&[&defaults[..], &flags].concat(), &format!("{}:many", desk.name()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["image"], desk.name());
    assert_eq!((&json["reused"], &json["pushed"]), (&false.into(), &true.into()));
    assert_eq!((&json["tags"][0], &json["architecture"]), (&"many".into(), &"arm64".into()));
    let told = desk.told(
        "m=$(get manifests/many index | json \"j['manifests'][0]['digest'], len(j['manifests'])\")\n\
         get manifests/${m% *} > m; c=$(json \"j['config']['digest']\" < m)\n\
         get blobs/$c | json \"j['architecture'], *j['config']['Env'], *j['config']['Labels'].values()\"\n\
         get blobs/$(json \"j['layers'][0]['digest']\" < m) | tar -xO disk/disk.qcow2 > pulled.qcow2\n\
         qemu-img compare -f qcow2 -F raw pulled.qcow2 disk.raw > /dev/null; echo $m",
    );
    let content = shell(desk.at(), "coreutils", "sha256sum disk.raw | cut -d' ' -f1");
    let wanted = format!(
        "arm64 INSTANCETYPE_KUBEVIRT_IO_DEFAULT_INSTANCETYPE=u1.small \
         INSTANCETYPE_KUBEVIRT_IO_DEFAULT_PREFERENCE=fedora sha256:{content}\n{} 1",
        json["digest"].as_str().unwrap()
    );
    assert_eq!(told, wanted);
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
