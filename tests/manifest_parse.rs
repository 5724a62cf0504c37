//! What a text is taken for: messages, places, scalars, streams, aliases, limits.
//!
//! Does not test which documents are accepted (`manifest_check`) nor overrides (`manifest_set`).

use vmimage::manifest::parse::{MAX_DEPTH, MAX_NODES, MAX_TEXT};
use vmimage::manifest::{FieldPath, ParseError, parse};

/// A document with this spec, which begins in line 4.
fn with_spec(spec: &str) -> String {
    let head = "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: t}\n";
    format!("{head}{spec}")
}

fn refused(text: &str) -> ParseError {
    match parse(text, &[]) {
        Err(error) => error,
        Ok(documents) => panic!("accepted: {:?}", documents[0].image),
    }
}

/// "line:column path: message".
fn shown(error: &ParseError) -> String {
    let place = error.place().map(|at| format!("{}:{} ", at.line, at.column)).unwrap_or_default();
    let path = error.path().map(|path| format!("{path}: ")).unwrap_or_default();
    format!("{place}{path}{error}")
}

#[test]
fn what_does_not_fit_is_named_with_place_path_and_remedy() {
    for (spec, says) in [
        (
            "spec:\n  boot:\n    sector:\n      mesage: hi\n",
            "7:7 spec.boot.sector.mesage: unknown field; did you mean message? known: message, source",
        ),
        (
            "spec: {suspend: maybe}",
            "4:8 spec.suspend: expected true or false, found the text \"maybe\"",
        ),
        (
            "spec: {architecture: AMD64}",
            "4:8 spec.architecture: \"AMD64\" is not known; did you mean amd64? known: amd64, i386, arm64",
        ),
        (
            "spec:\n  formats:\n  - type: raw\n  - name: x\n",
            "7:5 spec.formats[1].type: missing; this field is required (raw, qcow2, vmdk, vhd, vhdx, vdi, iso, ova, box)",
        ),
        (
            "spec: {boot: {sector: {message: 5}}}",
            "4:24 spec.boot.sector.message: expected text, found the number 5; put it in quotes",
        ),
        (
            "spec: {publish: [{name: a, pvc: }]}",
            "4:28 spec.publish[0].pvc: has no value (null); leave the field out or write {} for the defaults",
        ),
        (
            "spec: {build: {timeoutSeconds: 5}}",
            "4:16 spec.build.timeoutSeconds: 5 is outside 10 to 86400",
        ),
        ("spec: {build: {maxAttempts: -1}}", "4:16 spec.build.maxAttempts: -1 is outside 1 to 10"),
        (
            "spec: {disk: {size: 512M}}",
            "4:15 spec.disk.size: 512M is a decimal size, 512,000,000 bytes; write 512Mi for 536,870,912 bytes",
        ),
        (
            "spec: {disk: {size: 0.5}}",
            "4:15 spec.disk.size: expected a whole number or text, found the number 0.5; put it in quotes",
        ),
        ("spec: {disk: [1]}", "4:8 spec.disk: expected an object with members, found a list"),
        ("spec: {formats: {type: raw}}", "4:8 spec.formats: expected a list, found an object"),
        (
            "spec: {build: {resources: {requests: {cpu: two}}}}",
            "4:39 spec.build.resources.requests.cpu: \"two\" is not an amount; write a number such as 2, 500m or 128Mi",
        ),
        (
            "spec: {build: {nodeSelector: {kubernetes.io/os: 7}}}",
            "4:31 spec.build.nodeSelector[\"kubernetes.io/os\"]: expected text, found the number 7; put it in quotes",
        ),
        ("Spec: {}", "1:1 spec: missing; this field is required"),
    ] {
        assert_eq!(shown(&refused(&with_spec(spec))), says);
    }
    let long = shown(&refused(&with_spec("spec: {disk: {size: \"0000000000000000001Mi\"}}")));
    assert_eq!(long, "4:15 spec.disk.size: has 21 characters, at most 20 are allowed");
    let negative = shown(&refused(&with_spec("spec: {disk: {size: -5}}")));
    assert!(negative.starts_with("4:15 spec.disk.size: \"-5\" is not a size"), "{negative}");
}

#[test]
fn of_several_faults_the_first_in_the_text_is_told() {
    let text = with_spec("spec:\n  suspend: 1\n  disk: 2\n");
    assert!(shown(&refused(&text)).starts_with("5:3 spec.suspend:"));
}

#[test]
fn metadata_takes_what_kubernetes_writes_and_no_slips() {
    // As `kubectl get -o yaml --show-managed-fields` prints it.
    let text = r#"apiVersion: vmimage.dev/v1alpha1
kind: VMImage
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"vmimage.dev/v1alpha1","kind":"VMImage"}
  creationTimestamp: "2026-11-21T05:00:00Z"
  generation: 1
  labels: {app: x}
  managedFields:
  - apiVersion: vmimage.dev/v1alpha1
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata:
        f:annotations:
          .: {}
          f:kubectl.kubernetes.io/last-applied-configuration: {}
      f:status:
        f:conditions:
          k:{"type":"Ready"}:
            .: {}
            f:status: {}
    manager: kubectl
    operation: Apply
    time: "2026-11-21T05:00:00Z"
  name: t
  namespace: default
  resourceVersion: "123"
  uid: 5c1c7f2e-0000-4000-8000-000000000000
spec:
  disk:
    size: 1Mi
status:
  conditions:
  - lastTransitionTime: 2026-11-21
    anything: 0755
"#;
    let documents = parse(text, &[]).unwrap();
    assert_eq!(documents[0].image.metadata.name, "t");
    assert_eq!(documents[0].image.metadata.namespace.as_deref(), Some("default"));

    let error =
        refused("apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {nam: x}\nspec: {}\n");
    assert_eq!(shown(&error), "3:1 metadata.name: missing; this field is required");
    let error = refused(
        "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: x, lables: {}}\nspec: {}\n",
    );
    assert!(shown(&error).starts_with("3:21 metadata.lables: unknown field; did you mean labels?"));
}

#[test]
fn documents_of_other_kinds_are_named_before_anything_else() {
    for (head, says) in [
        (
            "apiVersion: v1\nkind: ConfigMap\ndata: {mode: 0755}",
            "1:1 apiVersion: found apiVersion: v1 and kind: ConfigMap; expected apiVersion: vmimage.dev/v1alpha1 and kind: VMImage",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: []",
            "write the items of the list as documents of their own",
        ),
        (
            "apiVersion: vmimage.dev/v1beta1\nkind: VMImage",
            "found apiVersion: vmimage.dev/v1beta1 and kind: VMImage; expected apiVersion: vmimage.dev/v1alpha1",
        ),
        ("apiVersion: vmimage.dev/v1alpha1\nkind: VmImage", "2:1 kind: found"),
        ("a: b", "found no apiVersion and no kind"),
        ("- a", "a document is an object with apiVersion, kind, metadata and spec; found a list"),
        ("hello", "found a single value"),
    ] {
        let error = shown(&refused(head));
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn scalars_with_two_readings_are_refused_as_values_and_keys() {
    for (spec, says) in [
        (
            "spec: {suspend: yes}",
            "4:17 spec.suspend: yes without quotes is true to YAML 1.1 and the text \"yes\" to YAML 1.2; write \"yes\" in quotes, or true",
        ),
        (
            "spec: {disk: {size: 0755}}",
            "4:21 spec.disk.size: 0755 without quotes is the number 493 to YAML 1.1 and the number 755",
        ),
        (
            "spec: {build: {nodeSelector: {on: a}}}",
            "4:31 spec.build.nodeSelector.on: on without quotes is true to YAML 1.1",
        ),
        (
            "spec: {build: {nodeSelector: {1: a}}}",
            "4:31 spec.build.nodeSelector.1: a key must be text, found the number 1; put it in quotes",
        ),
        (
            "base: &b {}\nspec: {<<: *b}",
            "5:8 spec[\"<<\"]: << without quotes is a merge key to YAML 1.1 and the text \"<<\" to YAML 1.2; merge keys are not part of YAML 1.2: write the members out",
        ),
    ] {
        let error = shown(&refused(&with_spec(spec)));
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn quoted_and_block_scalars_are_text() {
    for (value, text) in [
        ("\"no\"", "no"),
        ("'0755'", "0755"),
        ("|\n        on\n", "on\n"),
        (">-\n        1:30\n", "1:30"),
        ("!!str 2001-12-14", "2001-12-14"),
        ("\"a\\u00e9\\n\"", "aé\n"),
    ] {
        let text_of = with_spec(&format!("spec:\n  boot:\n    sector:\n      message: {value}\n"));
        let documents = parse(&text_of, &[]).unwrap_or_else(|e| panic!("{value}: {}", shown(&e)));
        let boot = documents[0].image.spec.boot.as_ref().unwrap();
        assert_eq!(boot.sector.as_ref().unwrap().message.as_deref(), Some(text));
    }
}

#[test]
fn duplicate_keys_are_refused_with_both_places() {
    let error =
        refused(&with_spec("spec:\n  suspend: true\n  disk: {size: 1Mi}\n  \"suspend\": false\n"));
    assert_eq!(
        shown(&error),
        "7:3 \"suspend\" is already a key of this object, at line 5, column 3"
    );
}

#[test]
fn aliases_repeat_their_anchor_and_keep_its_places() {
    let text = with_spec(
        "spec:\n  publish:\n  - name: a\n    pvc: &p {accessModes: [ReadWriteMany]}\n  - {name: b, pvc: *p}\n",
    );
    let document = parse(&text, &[]).unwrap().remove(0);
    assert_eq!(document.image.spec.publish[0].pvc, document.image.spec.publish[1].pvc);
    let place = document.places.of(&FieldPath::new("spec.publish[1].pvc.accessModes[0]")).unwrap();
    assert_eq!((place.line, place.column), (7, 28));
    for spec in ["spec: *nothing", "spec: &s {disk: *s}"] {
        assert!(shown(&refused(&with_spec(spec))).contains("anchor"), "{spec}");
    }
    // Anchors end with their document.
    let two = format!(
        "{}---\n{}",
        with_spec("spec: {disk: &d {size: 1Mi}}\n"),
        with_spec("spec: {disk: *d}\n")
    );
    assert!(shown(&refused(&two)).contains("anchor"));
}

#[test]
fn aliases_that_grow_without_end_are_refused_at_once() {
    let mut text = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..40 {
        let before = format!("*a{}", n - 1);
        text.push_str(&format!("a{n}: &a{n} [{}]\n", [before.as_str(); 10].join(", ")));
    }
    let begin = std::time::Instant::now();
    let error = refused(&text);
    assert!(
        error.to_string().starts_with(&format!("more than {MAX_NODES} keys and values")),
        "{error}"
    );
    assert!(begin.elapsed().as_secs() < 5);
}

#[test]
fn depth_and_length_have_limits() {
    for text in [
        "[".repeat(MAX_TEXT),
        "{a: ".repeat(MAX_TEXT / 4),
        "- ".repeat(MAX_TEXT / 2),
        "? ".repeat(MAX_TEXT / 2),
    ] {
        let begin = std::time::Instant::now();
        let error = refused(&text);
        assert!(begin.elapsed().as_secs() < 10, "{} took {:?}", &text[..8], begin.elapsed());
        assert!(error.place().is_some(), "{error}");
        let says = error.to_string();
        let key = text.starts_with('?') && says == "a key must be text, not a list or an object";
        assert!(key || says == "lists and objects are nested more than 64 deep", "{says}");
    }
    // Just deep enough, and one too deep.
    for (depth, says) in [(MAX_DEPTH - 1, "found a list"), (MAX_DEPTH + 1, "nested more than 64")] {
        let error = refused(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(error.to_string().contains(says), "{depth}: {error}");
    }
    // An alias brings its depth along.
    let (open, close) = ("[".repeat(40), "]".repeat(40));
    let error = refused(&format!("a: &a {open}{close}\nb: {open}*a{close}\n"));
    assert_eq!(error.to_string(), "lists and objects are nested more than 64 deep");
    let error = refused(&" ".repeat(MAX_TEXT + 1));
    assert_eq!(error.to_string(), "the text has 1048577 bytes; at most 1048576 are read");
}

#[test]
fn tags_of_the_core_schema_only() {
    let error = refused(&with_spec("spec: {suspend: !!binary aGk=}"));
    assert_eq!(
        shown(&error),
        "4:17 the tag !!binary is not known here; known: !!str, !!int, !!bool, !!float, !!null, !!map, !!seq"
    );
    assert!(shown(&refused(&with_spec("spec: !Spec {}"))).contains("the tag !Spec is not known"));
    assert!(shown(&refused(&with_spec("spec: !!seq {}"))).contains("the tag !!seq"));
    assert!(
        parse(
            &with_spec("spec: !!map {suspend: !!bool \"true\", formats: !!seq [{type: raw}]}"),
            &[]
        )
        .is_ok()
    );
}

#[test]
fn what_is_not_yaml_has_a_place() {
    for (text, line) in [
        ("spec:\n\tdisk: 1\n", 5),
        ("spec:\n  a: b\n c: d\n", 6),
        ("spec: \"open\n", 4),
        ("spec: [1, 2\n", 4),
    ] {
        let error = refused(&with_spec(text));
        let place = error.place().unwrap();
        assert!(place.line >= line && place.line <= line + 2, "{}", shown(&error));
        assert!(error.to_string().starts_with("not YAML: "), "{error}");
    }
}

#[test]
fn streams_hold_several_documents_and_empty_ones_are_skipped() {
    let one = with_spec("spec: {disk: {size: 1Mi}}\n");
    let text = format!("\u{feff}---\n# nothing\n---\n{one}---\n---\n{one}...\n");
    assert_eq!(parse(&text, &[]).unwrap().len(), 2);
    for text in ["", "---\n", "# only a comment\n", "---\n---\n", "\u{feff}"] {
        assert_eq!(refused(text).to_string(), "there is no document in this text", "{text:?}");
    }
}

#[test]
fn line_ends_of_windows_change_nothing() {
    let text =
        with_spec("spec:\n  boot:\n    sector:\n      message: |\n        one\n        two\n");
    let windows = parse(&text.replace('\n', "\r\n"), &[]).unwrap().remove(0);
    assert_eq!(windows.image, parse(&text, &[]).unwrap()[0].image);
    assert_eq!(windows.places.of(&FieldPath::new("spec.boot.sector.message")).unwrap().line, 7);
}

#[test]
fn json_is_read_by_the_same_parser() {
    let text = "{\n\t\"apiVersion\": \"vmimage.dev/v1alpha1\",\n\t\"kind\": \"VMImage\",\n\t\"metadata\": {\"name\": \"t\"},\n\t\"spec\": {\"boot\": {\"sector\": {\"message\": \"a\\/\\u0041\\n\"}}, \"suspend\": true}\n}\n";
    let document = parse(text, &[]).unwrap().remove(0);
    let sector = document.image.spec.boot.as_ref().unwrap().sector.as_ref().unwrap();
    assert_eq!(sector.message.as_deref(), Some("a/A\n"));
    assert_eq!(document.places.of(&FieldPath::new("spec.suspend")).unwrap().line, 5);
    let pair = text.replace("\\u0041", "\\ud83d\\ude00");
    let pair = parse(&pair, &[]).unwrap().remove(0).image.spec.boot.unwrap().sector.unwrap();
    assert_eq!(pair.message.as_deref(), Some("a/😀\n"));
    let minified: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(parse(&minified.to_string(), &[]).unwrap()[0].image, document.image);
}

#[test]
fn a_field_that_is_not_there_has_the_place_of_what_holds_it() {
    let document = parse(&with_spec("spec:\n  disk:\n    size: 1Mi\n"), &[]).unwrap().remove(0);
    for (path, at) in [
        ("spec.disk.size", (6, 5)),
        ("spec.disk.nothing.at.all", (5, 3)),
        ("spec.formats[0]", (4, 1)),
        ("other", (1, 1)),
    ] {
        let place = document.places.of(&FieldPath::new(path)).unwrap();
        assert_eq!((place.line, place.column), at, "{path}");
    }
}
