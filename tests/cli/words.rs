//! Help, completions, explanations and inspection: what the program says about itself and files.

use serde_json::Value;

use crate::support::{Desk, document};

const VERBS: [&str; 17] = [
    "build",
    "check",
    "inspect",
    "run",
    "convert",
    "compare",
    "measure",
    "resize",
    "digest",
    "push",
    "ls",
    "cat",
    "extract",
    "diff",
    "explain",
    "completions",
    "builder",
];

#[test]
fn completions_know_every_verb() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = desk.run(&["completions", shell]).ok();
        for word in VERBS.into_iter().chain(["--set", "--threads", "--recursive", "--color"]) {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
}

#[test]
fn help_names_every_verb_with_examples() {
    let desk = Desk::new();
    let help = desk.run(&["--help"]).ok();
    for verb in VERBS {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}: {help}");
        let help = desk.run(&[verb, "--help"]).ok();
        assert!(verb == "builder" || help.contains("Examples:\n"), "{help}");
    }
    let version = desk.run(&["--version"]).ok();
    assert_eq!(version, format!("vmimage {}\n", env!("CARGO_PKG_VERSION")));
}

/// Every path in `schema` with its field.
fn walk<'a>(schema: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    let inner = schema.get("items").unwrap_or(schema);
    for (name, field) in inner.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.push((path.clone(), field));
        walk(field, &path, found);
    }
}

#[test]
fn every_field_is_explained() {
    let desk = Desk::new();
    let root: Value = serde_json::from_str(&desk.run(&["explain", "--json"]).ok()).unwrap();
    let mut fields = Vec::new();
    walk(&root, "", &mut fields);
    assert!(fields.len() > 40, "{}", fields.len());
    let tree = desk.run(&["explain", "--recursive"]).ok();
    for (path, field) in fields {
        let text = field["description"].as_str().unwrap_or_default();
        assert!(text.len() > 5, "{path} has no description");
        let out = desk.run(&["explain", &path]).ok();
        let first = text.split_whitespace().next().unwrap();
        assert!(out.contains(&format!("DESCRIPTION:\n  {first}")), "{path}: {out}");
        assert!(!out.contains("An entry; its name is free"), "{path}");
        if let Some(default) = field.get("default").and_then(Value::as_str) {
            assert!(out.contains(&format!("\nDEFAULT: {default}\n")), "{out}");
        }
        let name = path.rsplit('.').next().unwrap();
        assert!(tree.contains(&format!(" {name} <")), "{name}: {tree}");
    }
}

#[test]
fn a_field_is_explained_like_this() {
    let desk = Desk::new();
    let out = desk.run(&["explain", "spec.formats.qcow2.compression"]).ok();
    assert!(out.starts_with("KIND:     VMImage\nVERSION:  vmimage.dev/v1alpha1\n\n"), "{out}");
    assert!(out.contains("\nFIELD: spec.formats.qcow2.compression <string>\n"), "{out}");
    assert!(out.contains("\nDEFAULT: none\n"), "{out}");
    assert!(out.contains("\nALLOWED: none, zlib, zstd\n"), "{out}");
    assert!(out.contains("\n    zstd: "), "each value has its meaning: {out}");
    for same in ["formats[0].qcow2.compression", "formats[].qcow2.compression"] {
        assert_eq!(desk.run(&["explain", same]).ok(), out);
    }
    let out = desk.run(&["explain", "build.timeoutSeconds"]).ok();
    assert!(out.contains("\nLIMITS:\n  - 10 to 86400\n"), "{out}");
    let out = desk.run(&["explain", "boot"]).ok();
    assert!(out.contains("\n  sector <Object>\n"), "{out}");
    let out = desk.run(&["explain", "build.nodeSelector.any"]).ok();
    assert!(out.contains("FIELD: spec.build.nodeSelector.any <string>"), "{out}");
}

#[test]
fn unknown_fields_have_neighbours() {
    let desk = Desk::new();
    let err = desk.run(&["explain", "spec.format"]).failed(65);
    assert_eq!(err, "error: spec has no field \"format\"; did you mean formats?\n");
    let err = desk.run(&["explain", "boot.sektor"]).failed(65);
    assert_eq!(err, "error: spec.boot has no field \"sektor\"; did you mean sector?\n");
    desk.run(&["explain", "spec..boot"]).failed(65);
}

#[test]
fn image_files_are_inspected_by_name_flag_or_guess() {
    let desk = Desk::new();
    let text = "  boot: {sector: {message: hi}}\n  disk: {size: 2Mi}\n  formats: [{type: raw}, {type: qcow2}]\n";
    desk.write("d.yaml", document(text));
    desk.run(&["build", "-f", "d.yaml"]).ok();
    for file in ["hello.raw", "hello.qcow2"] {
        let out = desk.run(&["inspect", file]).ok();
        assert!(!out.is_empty());
        let value: Value =
            serde_json::from_str(&desk.run(&["inspect", file, "--json"]).ok()).unwrap();
        assert!(value.is_object(), "{value}");
    }
    fs_err::hard_link(desk.path("hello.qcow2"), desk.path("mystery")).unwrap();
    let err = desk.run(&["inspect", "mystery"]).failed(66);
    assert!(err.contains("--from") && err.contains("--detect"), "{err}");
    let by_name = desk.run(&["inspect", "hello.qcow2", "--json"]).ok();
    let guessed = desk.run(&["inspect", "mystery", "--detect", "--json"]).ok();
    assert_eq!(guessed.replace("mystery", "hello.qcow2"), by_name);
    let told = desk.run(&["inspect", "mystery", "--from", "qcow2", "--json"]).ok();
    assert_eq!(told, guessed);
    // A guest's raw disk may look like anything; its name decides.
    fs_err::copy(desk.path("hello.qcow2"), desk.path("tricky.raw")).unwrap();
    let raw = desk.run(&["inspect", "tricky.raw", "--json"]).ok();
    assert_ne!(raw.replace("tricky.raw", "hello.qcow2"), by_name);
    desk.write("broken.qcow2", b"QFI\xfb");
    desk.run(&["inspect", "broken.qcow2"]).failed(66);
    desk.run(&["inspect", "none.qcow2"]).failed(66);
}
