//! Documents from elsewhere than their text: values given with `--set`, specs of the API server.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use proptest::prelude::*;
use vmimage::manifest::types::{Compression, FormatKind};
use vmimage::manifest::{Override, ParseError, from_json, parse};

/// A document with this spec, which begins in line 4.
fn with_spec(spec: &str) -> String {
    let head = "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: t}\n";
    format!("{head}{spec}")
}

/// "line:column path: message".
fn shown(error: &ParseError) -> String {
    let place = error.place().map(|at| format!("{}:{} ", at.line, at.column)).unwrap_or_default();
    let path = error.path().map(|path| format!("{path}: ")).unwrap_or_default();
    format!("{place}{path}{error}")
}

fn set(text: &str) -> Override {
    text.parse().unwrap()
}

#[test]
fn overrides_change_add_and_append() {
    let text = with_spec("spec:\n  disk: {size: 1Mi}\n  formats: [{type: raw}]\n");
    let given = [
        "spec.disk.size=64Mi",
        "spec.formats[0].type=qcow2",
        "spec.formats[0].qcow2.compression=zstd",
        "spec.formats[1]={type: raw}",
        "spec.boot.sector.message=on: [it's] #1",
        "spec.build.nodeSelector[\"kubernetes.io/os\"]=0755",
        "spec.publish=[{name: a, pvc: {}}]",
        "spec.suspend=true",
        "metadata.name=other",
    ]
    .map(set);
    let document = parse(&text, &given).unwrap().remove(0);
    let spec = &document.image.spec;
    assert_eq!(document.image.metadata.name, "other");
    assert_eq!(spec.disk.as_ref().unwrap().size.unwrap().0.get(), 64 << 20);
    assert_eq!(spec.formats[0].qcow2.as_ref().unwrap().compression, Compression::Zstd);
    assert_eq!(spec.formats[1].kind, FormatKind::Raw);
    let sector = spec.boot.as_ref().unwrap().sector.as_ref().unwrap();
    assert_eq!(sector.message.as_deref(), Some("on: [it's] #1"));
    assert_eq!(spec.build.node_selector["kubernetes.io/os"], "0755");
    assert_eq!(spec.publish.len(), 1);
    assert!(spec.suspend);
    let quoted = parse(&text, &[set("spec.boot.sector.message=\"a\\nb\"")]).unwrap().remove(0);
    let sector = quoted.image.spec.boot.unwrap().sector.unwrap();
    assert_eq!(sector.message.as_deref(), Some("a\nb"));
}

#[test]
fn overrides_that_do_not_fit_say_where_they_come_from() {
    let text = with_spec("spec:\n  disk: {size: 1Mi}\n");
    for (given, says) in [
        (
            "spec.boot.sector.mesage=x",
            "spec.boot.sector.mesage: unknown field; did you mean message? known: message, source (given with --set)",
        ),
        (
            "spec.suspend=yes",
            "spec.suspend: yes without quotes is true to YAML 1.1 and the text \"yes\" to YAML 1.2; write \"yes\" in quotes, or true (given with --set)",
        ),
        (
            "spec.disk.size.x=1",
            "spec.disk.size.x: spec.disk.size has no members that could be set with --set: it is a single value",
        ),
        (
            "spec.formats[2].type=raw",
            "spec.formats[2].type: the list has 0 elements; --set can change 0 to 0 and append with index 0",
        ),
        ("spec.disk=[", "not YAML"),
        ("spec.suspend=true\n---\nfalse", "is not one YAML value"),
        ("spec.disk=", "spec.disk: the value \"\" given with --set is not one YAML value"),
    ] {
        let error = shown(&parse(&text, &[set(given)]).unwrap_err());
        assert!(error.contains(says), "{given}: {error}");
    }
    for form in ["spec", "=x", "spec..a=1", "spec[=1", "a b=1"] {
        assert!(form.parse::<Override>().is_err(), "{form}");
    }
}

#[test]
fn the_controller_reads_what_the_api_server_stored() {
    let stored = serde_json::json!({
        "architecture": "amd64", "suspend": false, "build": {
            "timeoutSeconds": 3600, "maxAttempts": 3,
            "resources": {"requests": {"cpu": 2, "memory": "64Mi"}},
        },
        "disk": {"size": 1048576}, "formats": [{"type": "qcow2", "qcow2": {"compression": "none"}}],
        "publish": [{"name": "a", "pvc": {"accessModes": ["ReadWriteOnce"]}}],
    });
    let spec = from_json(stored).unwrap();
    assert_eq!(spec.build.resources.requests["cpu"].as_str(), "2");
    assert_eq!(spec.disk.unwrap().size.unwrap().0.get(), 1 << 20);
    let error = from_json(serde_json::json!({"newField": 1})).unwrap_err();
    assert!(shown(&error).starts_with("spec.newField: unknown field"), "{error}");
    let error = from_json(serde_json::json!({"disk": {"size": "1M"}})).unwrap_err();
    assert!(shown(&error).starts_with("spec.disk.size: 1M is a decimal size"), "{error}");
    assert!(from_json(serde_json::json!("text")).is_err());
}

const WHOLE: &str = include_str!("../examples/hello.yaml");

proptest! {
    #[test]
    fn any_override_is_answered(path in "[a-c.\\[\\]0-9\"]{0,12}", value in "[-a:{}\\[\\],\"'|&*! \n0]{0,8}") {
        if let Ok(given) = format!("spec.{path}={value}").parse::<Override>() {
            let _ = parse(WHOLE, &[given]);
        }
    }
}
