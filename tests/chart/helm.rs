//! Runs Helm on the chart and reads what it renders.
//!
//! Expects nothing. Invariant: without Helm it panics.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// The oldest Kubernetes the chart is for; without it Helm assumes one of its own.
const KUBERNETES: [&str; 2] = ["--kube-version", "1.33.0"];

pub(super) struct Rendered(Vec<Value>);

impl Rendered {
    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    /// The only object of this kind.
    pub(super) fn one(&self, kind: &str) -> &Value {
        let found: Vec<&Value> = self.all().filter(|object| object["kind"] == kind).collect();
        let [object] = found[..] else { panic!("{} objects of kind {kind}", found.len()) };
        object
    }

    pub(super) fn named(&self, kind: &str, name: &str) -> &Value {
        let same = |o: &&Value| o["kind"] == kind && o["metadata"]["name"] == name;
        self.all().find(same).unwrap_or_else(|| panic!("no {kind} {name}"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        if let Some(helm) = std::env::var_os("VMIMAGE_HELM") {
            return helm.into();
        }
        let built = run(Command::new("e2e/tools/build").arg("helm"));
        let built = built.expect("Helm: set VMIMAGE_HELM, or install Go for e2e/tools/build helm");
        built.trim().into()
    })
}

fn run(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if status.success() { Ok(text(stdout)) } else { Err(text(stdout) + &text(stderr)) }
}

/// What Helm prints, or its complaint.
pub(super) fn helm(arguments: &[&str]) -> Result<String, String> {
    run(Command::new(program()).args(arguments).args(KUBERNETES))
}

/// What Helm renders of the chart, or its complaint.
pub(super) fn try_render(arguments: &[&str]) -> Result<Rendered, String> {
    let fixed = [
        "template",
        "vmimage-operator",
        "charts/vmimage-operator",
        "--namespace",
        "vmimage-system",
    ];
    helm(&[&fixed[..], arguments].concat()).map(|text| Rendered(yaml(&text)))
}

pub(super) fn render(arguments: &[&str]) -> Rendered {
    try_render(arguments).unwrap_or_else(|complaint| panic!("{arguments:?}: {complaint}"))
}

/// `charts/install.yaml` as it would be written now.
pub(super) fn install_yaml() -> String {
    run(Command::new("charts/render").arg("--stdout").env("VMIMAGE_HELM", program())).unwrap()
}

/// The values files that every rendering test goes through.
pub(super) fn matrix() -> Vec<PathBuf> {
    let folder = root().join("charts/vmimage-operator/ci");
    let mut found: Vec<PathBuf> =
        fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert_eq!(found.len(), 3);
    found
}

/// A file of the repository.
pub(super) fn file(path: &str) -> String {
    fs_err::read_to_string(root().join(path)).unwrap()
}

/// The documents of a YAML stream.
pub(super) fn yaml(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}
