//! A table of documents, each judged by the API server and by the desk.
//!
//! A file in `refused` names in its first line a part of the API server's message; all others are
//! accepted, the examples among them. Invariant: both sides agree but for the list below.

use std::collections::BTreeMap;

use kube::api::{Api, DynamicObject, PostParams};
use vmimage::manifest::check::ROWS;
use vmimage::manifest::{check, parse};

use crate::harness::{any, document, kubectl, namespace, shared};

#[path = "../../tests/support/documents.rs"]
mod specs;

/// Where the two may differ: the file, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("refused/source-file", "a desk can read files, a cluster cannot reach them"),
    ("accepted/desk-path-up", "a pattern for it could not be read; told as InvalidSpec"),
    ("accepted/desk-reference-unknown", "CEL has no way to find references; told as InvalidSpec"),
    ("accepted/desk-no-base64", "CEL cannot decode; the controller tells it as InvalidSpec"),
    ("accepted/desk-other-digest", "CEL cannot hash; the controller tells it as InvalidSpec"),
    ("accepted/desk-request-over-limit", "would cost a rule over two maps; told as InvalidSpec"),
    ("accepted/desk-resource-unknown", "keys of a map have no schema; told as InvalidSpec"),
    ("accepted/desk-key-twice", "kubectl takes the last of two equal keys"),
    ("accepted/desk-null", "kubectl drops nulls before the server sees them"),
];

fn desk(text: &str) -> Result<(), String> {
    let (documents, _) = parse::parse_beside_config_maps(text, &[]).map_err(|e| e.to_string())?;
    let problems: Vec<String> = documents
        .iter()
        .flat_map(|document| check::check(&document.image))
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn files() -> BTreeMap<String, String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut files = BTreeMap::new();
    for (part, directory) in [
        ("accepted", "e2e/api/documents/accepted"),
        ("refused", "e2e/api/documents/refused"),
        ("examples", "examples"),
        ("kubevirt", "examples/kubevirt"),
    ] {
        let entries = fs_err::read_dir(format!("{root}/{directory}")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        for path in paths.filter(|path| path.extension().is_some_and(|e| e == "yaml")) {
            // tests/kubevirt judges the machines, whose kind this cluster does not know.
            if fs_err::read_to_string(&path).unwrap().contains("\nkind: VirtualMachine\n") {
                continue;
            }
            let stem = path.file_stem().unwrap().to_str().unwrap();
            files.insert(format!("{part}/{stem}"), path.to_str().unwrap().to_owned());
        }
    }
    files
}

#[tokio::test]
async fn api_server_and_desk_judge_alike() {
    let (_gate, client) = shared().await;
    let space = namespace(&client, "documents").await;
    let mut wrong = Vec::new();
    let files = files();
    for (name, path) in &files {
        let text = fs_err::read_to_string(path).unwrap();
        let verb = ["-n", &space, "create", "--dry-run=server", "--validate=strict", "-f", path];
        let (accepted, said) = kubectl(&verb);
        if accepted == name.starts_with("refused/") {
            wrong.push(format!("{name}: the API server said {said}"));
        }
        let first = text.lines().next().unwrap_or_default();
        if let Some(part) = first.strip_prefix("# refused: ")
            && !said.contains(part)
        {
            wrong.push(format!("{name}: expected {part:?} in: {said}"));
        }
        let desk = desk(&text);
        let differ = desk.is_ok() != accepted;
        let listed = DIFFERENT.iter().any(|(file, _)| file == name);
        if differ != listed {
            wrong.push(format!(
                "{name}: the API server said {said}the desk {desk:?}; listed {listed}"
            ));
        }
    }
    println!("{} documents, {} differ for a reason", files.len(), DIFFERENT.len());
    assert!(files.len() > 80, "{}", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The words of the API server about this spec; nothing if it takes it.
async fn said(images: &Api<DynamicObject>, spec: &str) -> Option<String> {
    let text = format!(
        "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: t}}\nspec: {spec}\n"
    );
    let parsed = parse::parse(&text, &[]).unwrap_or_else(|e| panic!("{spec}: {e}")).remove(0);
    let object = document("t", &serde_json::to_value(&parsed.image.spec).unwrap());
    let object = serde_json::from_value(object).unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    images.create(&dry, &object).await.err().map(|e| e.to_string())
}

#[tokio::test]
async fn every_row_with_a_rule_is_told_in_the_same_words() {
    let (_gate, client) = shared().await;
    let space = namespace(&client, "rows").await;
    let images = any(&client, &space, "vmimages.vmimage.dev/v1alpha1");
    let (mut wrong, mut judged) = (Vec::new(), 0);
    for (name, spec, ..) in specs::cases() {
        let row = ROWS.iter().find(|row| row.name == *name).unwrap();
        let told = said(&images, spec).await;
        judged += 1;
        let alike = match &told {
            Some(text) => row.cel && text.contains(row.message),
            None => !row.cel,
        };
        if !alike {
            wrong.push(format!("{name}: {spec}: {told:?}"));
        }
    }
    for spec in specs::accepted() {
        judged += 1;
        wrong.extend(said(&images, spec).await.map(|told| format!("{spec}: {told}")));
    }
    println!("{judged} specs");
    assert!(judged > 80, "{judged}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
