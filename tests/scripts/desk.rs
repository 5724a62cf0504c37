//! `vmimage build --allow-scripts` as users run it: real namespaces, an image with busybox, images
//! judged by debugfs.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A desk with a document and an image layout; everybody may read it.
pub(crate) struct Desk {
    place: tempfile::TempDir,
    image: String,
}

/// Programs of busybox that scripts here use.
const APPLETS: &str = "sh cat ls id mkdir ln chmod chown mknod mkfifo mount chroot nc ps dd sed rm \
    touch sleep unshare kill env stat true mv yes head seq setsid wc tr cp sync";

impl Desk {
    pub(crate) fn new() -> Self {
        let place = tempfile::Builder::new().prefix("vmimage-scripts").tempdir().unwrap();
        fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let desk = Self { image: layout(&place.path().join("layout")), place };
        fs::create_dir(desk.at("scratch")).unwrap();
        fs::create_dir(desk.at("out")).unwrap();
        for name in ["scratch", "out"] {
            fs::set_permissions(desk.at(name), std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        desk
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn script(&self, text: &str) -> Value {
        json!({"image": self.image, "text": text, "timeoutSeconds": 60})
    }

    /// A document with one ext4 partition that holds these steps, changed by these scripts.
    pub(crate) fn document(&self, contents: Value, scripts: Value) {
        let partition =
            json!({"name": "root", "filesystem": {"type": "ext4"}, "contents": contents});
        self.disk(json!({"partitions": [partition], "scripts": scripts}));
    }

    fn disk(&self, disk: Value) {
        let document = json!({
            "apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage", "metadata": {"name": "t"},
            "spec": {"disk": disk},
        });
        fs::write(self.at("d.yaml"), document.to_string()).unwrap();
    }

    /// The build of the document; `user` other than root starts it as that user.
    pub(crate) fn command(&self, user: &str, more: &[&str]) -> Command {
        let mut command = match user {
            "root" => Command::new(env!("CARGO_BIN_EXE_vmimage")),
            user => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", "65534", "--clear-groups", "--"]);
                command.arg(self.program());
                command
            }
        };
        command.args(["build", "--allow-scripts", "-f"]).arg(self.at("d.yaml"));
        command.arg("-o").arg(self.at("out")).arg("--scratch").arg(self.at("scratch"));
        command.arg("--script-image").arg(self.at("layout")).args(more).stdin(Stdio::null());
        command
    }

    /// The program where every user can start it.
    fn program(&self) -> PathBuf {
        let path = self.at("vmimage");
        if !path.exists() {
            fs::copy(env!("CARGO_BIN_EXE_vmimage"), &path).unwrap();
        }
        path
    }

    pub(crate) fn build(&self, user: &str, more: &[&str]) -> Output {
        let output = self.command(user, more).output().unwrap();
        let left: Vec<_> = fs::read_dir(self.at("scratch")).unwrap().collect();
        assert!(left.is_empty(), "{left:?} was left; {}", said(&output));
        output
    }

    /// What debugfs says about the image.
    pub(crate) fn debugfs(&self, request: &str) -> String {
        let mut command = Command::new("debugfs");
        let output = command.args(["-R", request]).arg(self.at("out/t.raw")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a layout with an image that has busybox; its name.
fn layout(directory: &Path) -> String {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let busybox = fs::read("/usr/bin/busybox").expect("Debian's busybox-static is needed");
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    layer.append_data(&mut header, "bin/busybox", &*busybox).unwrap();
    for applet in APPLETS.split_whitespace() {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    let blob = |bytes: &[u8]| {
        let digest = hex::encode(Sha256::digest(bytes));
        fs::write(blobs.join(&digest), bytes).unwrap();
        (format!("sha256:{digest}"), bytes.len())
    };
    let (layer, layer_size) = blob(&layer.into_inner().unwrap());
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({"architecture": machine, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer]}});
    let (config, config_size) = blob(config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config,
            "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer,
            "size": layer_size}],
    });
    let (manifest, _) = blob(manifest.to_string().as_bytes());
    format!("registry.example/busybox@{manifest}")
}

fn hello() -> Value {
    json!([
        {"file": {"path": "/etc/hello", "text": "hello\n", "uid": 5, "mode": "4755"}},
        {"file": {"path": "/etc/other", "text": "other\n", "uid": 6, "mode": "4755"}},
        {"device": {"path": "/dev/null", "type": "char", "major": 1, "minor": 3}},
    ])
}

#[test]
fn scripts_change_the_tree_and_nothing_else_of_it() {
    let desk = Desk::new();
    let mut second = desk.script("cat made >> made2; echo \"$WORD\" >> made2; [ $(id -u) = 107 ]");
    second["env"] = json!({"WORD": "there is"});
    let first = desk.script("echo one > made; chmod 4711 made; echo more >> etc/other; pwd");
    desk.document(hello(), json!([first, second]));
    for user in ["root", "nobody"] {
        let output = desk.build(user, &[]);
        assert!(output.status.success(), "{user}: {}", said(&output));
        assert!(said(&output).contains("script: /tree\n"), "{}", said(&output));
        assert_eq!(desk.debugfs("cat made2"), "one\nthere is\n");
        let stat = |name: &str| {
            let text = desk.debugfs(&format!("stat {name}"));
            let word = |key: &str| {
                let rest = text.split(key).nth(1).unwrap().trim_start();
                rest.split_whitespace().next().unwrap().to_owned()
            };
            format!("{} {} {}", word("Mode:"), word("User:"), word("Group:"))
        };
        assert_eq!(stat("etc/hello"), "04755 5 0");
        assert_eq!(stat("etc/other"), "0755 6 0");
        assert_eq!(stat("made"), "0711 0 0");
        assert!(desk.debugfs("stat dev/null").contains("Device major/minor number: 01:03"));
        let manifest = fs::read_to_string(desk.at("out/t.build.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["reproducible"], false);
        for name in ["out/t.raw", "out/t.build.json"] {
            fs::remove_file(desk.at(name)).unwrap();
        }
    }
}

#[test]
fn a_script_is_about_one_partition() {
    let desk = Desk::new();
    let partition = |name: &str, path: &str| json!({"name": name, "mountPath": path, "filesystem": {"type": "ext4"}, "size": "1Mi"});
    let mut boot = desk.script("echo boot > kernel");
    boot["partition"] = json!("boot");
    let root = desk.script("ls boot; echo root > file");
    desk.disk(json!({"partitionTable": "GPT", "scripts": [boot, root],
        "partitions": [partition("root", "/"), partition("boot", "/boot")]}));
    let output = desk.build("root", &[]);
    assert!(output.status.success(), "{}", said(&output));
    let image = fs::read(desk.at("out/t.raw")).unwrap();
    let cut = |from: usize| {
        fs::write(desk.at("out/t.raw"), &image[from << 20..(from + 1) << 20]).unwrap();
    };
    cut(1);
    assert_eq!(desk.debugfs("cat file"), "root\n");
    assert!(desk.debugfs("ls boot").contains(" .."));
    cut(2);
    assert_eq!(desk.debugfs("cat kernel"), "boot\n");
}

#[test]
fn without_the_flag_nothing_runs() {
    let desk = Desk::new();
    desk.document(json!([]), json!([desk.script("true")]));
    let run = |verb: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.arg(verb).arg("-f").arg(desk.at("d.yaml")).current_dir(desk.at("out"));
        command.output().unwrap()
    };
    let output = run("build");
    assert_eq!(output.status.code(), Some(77));
    assert!(said(&output).contains("spec.disk.scripts: scripts are not allowed here"));
    assert!(said(&output).contains("--allow-scripts"));
    assert!(run("check").status.success());
    assert_eq!(fs::read_dir(desk.at("out")).unwrap().count(), 0);
}

#[test]
fn a_script_that_fails_fails_the_build() {
    let desk = Desk::new();
    desk.document(
        json!([]),
        json!([desk.script("true"), desk.script("mkdir a; chmod 0 a; exit 3")]),
    );
    for user in ["root", "nobody"] {
        let output = desk.build(user, &[]);
        let text = said(&output);
        assert!(text.contains("spec.disk.scripts[1]: the script ended with exit code 3"), "{text}");
        assert_eq!(fs::read_dir(desk.at("out")).unwrap().count(), 0);
    }
    let mut script = desk.script("true");
    script["shell"] = json!("/bin/bash");
    desk.document(json!([]), json!([script]));
    let text = said(&desk.build("root", &[]));
    assert!(text.contains("starting /bin/bash of the script's image"), "{text}");
    let mut script = desk.script("true");
    script["image"] = json!(format!("127.0.0.1:1/none@sha256:{}", "0".repeat(64)));
    desk.document(json!([]), json!([script]));
    let text = said(&desk.build("root", &["--restrict-sources"]));
    assert!(text.contains("127.0.0.1"), "{text}");
}

#[test]
fn time_room_and_output_are_bounded() {
    let desk = Desk::new();
    let mut script = desk.script("setsid sleep 3600 & sleep 3600");
    script["timeoutSeconds"] = json!(1);
    desk.document(json!([]), json!([script]));
    let begun = Instant::now();
    let text = said(&desk.build("root", &[]));
    assert!(text.contains("scripts[0]: the script ran for more than 1 seconds"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(20));

    let flood = "for n in $(seq 1 64); do dd if=/dev/zero of=f$n bs=1M count=8; sync; done";
    desk.document(json!([]), json!([desk.script(flood)]));
    let text = said(&desk.build("root", &["--scratch-limit", "48Mi"]));
    assert!(text.contains("scripts[0]: the script wrote more than the"), "{text}");

    desk.document(json!([]), json!([desk.script("yes | head -c 20000000; echo end")]));
    let output = desk.build("root", &[]);
    assert!(output.status.success());
    assert!(output.stderr.len() < 4 << 20, "{}", output.stderr.len());
    assert!(said(&output).contains("more than is shown"));
}

#[test]
fn whoever_stops_the_build_stops_the_script() {
    let desk = Desk::new();
    desk.document(json!([]), json!([desk.script("echo begun; setsid sleep 4711 & sleep 4711")]));
    for signal in ["TERM", "KILL"] {
        let mut child = desk.command("root", &[]).stderr(Stdio::piped()).spawn().unwrap();
        let mut printed = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("begun") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut printed, &mut line).unwrap() > 0);
        }
        let id = child.id().to_string();
        Command::new("kill").args(["-s", signal, &id]).status().unwrap();
        assert!(!child.wait().unwrap().success());
        let end = Instant::now() + Duration::from_secs(10);
        while sleepers() > 0 {
            assert!(Instant::now() < end, "the script outlived a {signal}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let left = fs::read_dir(desk.at("scratch")).unwrap().count();
        assert!(signal == "KILL" || left == 0);
        std::io::stderr().flush().unwrap();
    }
}

/// Processes of the script above.
fn sleepers() -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.windows(10).any(|part| part == b"sleep\x004711")).count()
}
