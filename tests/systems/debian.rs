//! A desk with Debian's kernel and busybox on it: builds and boots examples.
//!
//! Judges nothing but exit codes. Invariant: what a machine said and showed is kept as an artifact.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fs_err as fs;

use crate::artifacts;
use crate::tool;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// On a busy host the kernel's check of the timer fails at random.
const CALM: &str = "no_timer_check";

/// What lies on the desk.
pub(crate) struct Desk {
    /// The claim `inputs`.
    inputs: PathBuf,
    /// The same with zeros in the place of busybox.
    zeroed: PathBuf,
    /// Files of boot loaders that no package brings: our init.
    assets: PathBuf,
}

/// The desk, made once.
pub(crate) fn desk() -> &'static Desk {
    static DESK: OnceLock<Desk> = OnceLock::new();
    DESK.get_or_init(|| {
        let inputs = Path::new(SCRATCH).join("debian");
        let made = Command::new(format!("{EXAMPLES}/inputs/debian"))
            .arg(&inputs)
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "examples/inputs/debian failed");
        Desk { zeroed: zeroed(&inputs), assets: assets(), inputs }
    })
}

/// The inputs with a package whose program has as many bytes, all of them zero.
fn zeroed(inputs: &Path) -> PathBuf {
    let to = Path::new(SCRATCH).join("zeroed");
    let tree = Path::new(SCRATCH).join("zeroed.tree");
    for old in [&to, &tree].into_iter().filter(|old| old.exists()) {
        fs::remove_dir_all(old).unwrap();
    }
    fs::create_dir(&to).unwrap();
    for same in ["linux.deb", "vmlinuz"] {
        fs::hard_link(inputs.join(same), to.join(same)).unwrap();
    }
    let [from, tree_name] = [inputs.join("busybox.deb"), tree.clone()].map(text);
    tool::run("dpkg", "dpkg-deb", &["--raw-extract", &from, &tree_name]);
    let program = tree.join("bin/busybox");
    let size = fs::metadata(&program).unwrap().len();
    fs::write(&program, vec![0; size as usize]).unwrap();
    let package = text(to.join("busybox.deb"));
    tool::run(
        "dpkg",
        "dpkg-deb",
        &["--build", "-Znone", "--root-owner-group", &tree_name, &package],
    );
    to
}

fn assets() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/init/build");
    let made = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(made.status.success(), "e2e/init/build: {}", made.status);
    let program = String::from_utf8(made.stdout).unwrap();
    let assets = Path::new(SCRATCH).join("assets");
    fs::create_dir_all(assets.join("init")).unwrap();
    fs::copy(program.trim(), assets.join("init/vmimage-init.amd64")).unwrap();
    assets
}

pub(crate) fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}

/// Which inputs a document is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Real,
    Zeroed,
}

impl Desk {
    /// The flags that a document needs here; `set` is for its fields.
    fn flags(&self, payload: Payload, set: &[String]) -> Vec<String> {
        let inputs = if payload == Payload::Real { &self.inputs } else { &self.zeroed };
        let mut flags = vec![
            "--pvc".to_owned(),
            format!("inputs={}", text(inputs)),
            "--configmap".to_owned(),
            format!("cidata={EXAMPLES}/inputs/cidata"),
            "--boot-assets".to_owned(),
            text(&self.assets),
        ];
        flags.extend(set.iter().flat_map(|one| ["--set".to_owned(), one.clone()]));
        flags
    }

    /// Builds an example into a directory; what it said on standard error.
    pub(crate) fn build(
        &self,
        example: &str,
        payload: Payload,
        set: &[String],
        out: &Path,
    ) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.args(["build", "--file", &document(example), "--output", &text(out)]);
        let done = command.args(self.flags(payload, set)).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{example}: {said}");
        said
    }

    /// Boots an example by `vmimage run` until its serial line has a match; all that it said.
    pub(crate) fn run(
        &self,
        example: &str,
        payload: Payload,
        set: &[String],
        expect: &str,
    ) -> String {
        let mut words = vec![document(example)];
        words.extend(self.flags(payload, set));
        run(&format!("{example}-{payload:?}"), &words, expect)
    }
}

/// Boots by `vmimage run` until the serial line has a match; all that the machine said.
pub(crate) fn run(name: &str, words: &[String], expect: &str) -> String {
    let log = artifacts::path(&format!("{name}.serial"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["--quiet", "run", "--expect", expect, "--timeout", "240s"]);
    command
        .arg("--serial")
        .arg(&log)
        .arg("--screenshot")
        .arg(artifacts::path(&format!("{name}.png")));
    command.args(words);
    let done = command.output().unwrap();
    let serial = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).replace('\r', "");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{name}: {}\n{said}\n{serial}", done.status);
    serial
}

fn document(example: &str) -> String {
    format!("{EXAMPLES}/{example}.yaml")
}

/// The override that gives a command line.
pub(crate) fn command_line(field: &str, line: &str) -> String {
    format!("{field}={line} {CALM}")
}
