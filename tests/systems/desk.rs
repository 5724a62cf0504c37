//! Builds examples, and documents that differ from them in some lines, with the program.
//!
//! Invariant: a line that is to be changed stands in the example exactly once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fs_err as fs;
use tempfile::TempDir;

use crate::artifacts;
use crate::qemu::Qemu;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// A directory with the files that a document makes.
#[derive(Debug)]
pub(crate) struct Built(TempDir);

impl Built {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as tools take it.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// What `examples/inputs/make` makes.
pub(crate) fn inputs() -> &'static Path {
    static INPUTS: OnceLock<TempDir> = OnceLock::new();
    let directory = INPUTS.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let mut make = Command::new(format!("{EXAMPLES}/inputs/make"));
        run(make.arg(directory.path()));
        directory
    });
    directory.path()
}

/// Builds the example `name` with these parts of its text replaced.
pub(crate) fn build(name: &str, changes: &[(&str, &str)]) -> Built {
    written(&changed(name, changes), inputs())
}

fn changed(name: &str, changes: &[(&str, &str)]) -> String {
    let mut text = fs::read_to_string(format!("{EXAMPLES}/{name}.yaml")).unwrap();
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {name}.yaml");
        text = text.replace(from, to);
    }
    text
}

/// Why an example with this replaced wherever it stands is refused.
pub(crate) fn refused(name: &str, (from, to): (&str, &str)) -> String {
    let text = changed(name, &[]).replace(from, to);
    let out = tempfile::tempdir().unwrap();
    let output = build_command(&text, inputs(), out.path()).output().unwrap();
    assert!(!output.status.success(), "accepted: {text}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Builds the example `name` with inputs of others, whatever their digests are.
pub(crate) fn build_of(name: &str, inputs: &Path) -> Built {
    let text = fs::read_to_string(format!("{EXAMPLES}/{name}.yaml")).unwrap();
    let lines = text.lines().map(|line| match line.split_once("digest: sha256:") {
        Some((before, _)) => format!("{before}allowMutable: true\n"),
        None => format!("{line}\n"),
    });
    written(&lines.collect::<String>(), inputs)
}

fn written(text: &str, inputs: &Path) -> Built {
    let out = tempfile::tempdir().unwrap();
    run(&mut build_command(text, inputs, out.path()));
    Built(out)
}

fn build_command(text: &str, inputs: &Path, out: &Path) -> Command {
    let document = out.join("document.yaml");
    fs::write(&document, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["build", "--quiet", "--output"]).arg(out).arg("--file").arg(&document);
    command.arg("--pvc").arg(format!("inputs={}", inputs.display()));
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
}

/// Waits until the serial line has `text`; keeps it and the screen as `name`, and returns it.
#[track_caller]
pub(crate) fn waits(mut qemu: Qemu, name: &str, text: &str) -> String {
    let seen = qemu.wait_for_text(text);
    qemu.command(&artifacts::picture(name));
    artifacts::serial(name, seen.as_bytes());
    seen
}

/// The file with `bytes`, which stand in it exactly once, replaced by zeros.
pub(crate) fn zeroed(file: &Path, bytes: &[u8]) {
    let mut disk = fs::read(file).unwrap();
    // Whole files begin at a block of the filesystem.
    let places: Vec<usize> =
        (0..disk.len()).step_by(512).filter(|at| disk[*at..].starts_with(bytes)).collect();
    assert_eq!(places.len(), 1, "found at {places:?}");
    disk[places[0]..][..bytes.len()].fill(0);
    fs::write(file, disk).unwrap();
}
