//! Which documents are accepted: every row of the table, the bounds of the schema, the examples.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/documents.rs"]
mod documents;

use std::collections::BTreeSet;

use documents::{accepted, cases};
use serde_json::Value;
use vmimage::manifest::check::{ROWS, Scope};
use vmimage::manifest::{
    FieldPath, Problem, check, check_for_cluster, check_spec, disk_size, parse, schema,
};

fn problems(spec: &str) -> Vec<Problem> {
    let text = format!(
        "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: t}}\nspec: {spec}\n"
    );
    let document = parse(&text, &[]).unwrap_or_else(|e| panic!("{spec}: {e}")).remove(0);
    let mut problems = check(&document.image);
    problems.extend(check_for_cluster(&document.image.spec));
    problems
}

/// "path: message" of the only problem.
fn only(spec: &str) -> String {
    let problems = problems(spec);
    assert_eq!(problems.len(), 1, "{spec}: {problems:#?}");
    format!("{}: {}", problems[0].path, problems[0].message)
}

#[test]
fn every_row_refuses_what_it_is_for() {
    for (name, spec, path, end) in cases() {
        let row = ROWS.iter().find(|row| row.name == *name).unwrap_or_else(|| panic!("{name}"));
        let found: Vec<_> =
            problems(spec).into_iter().filter(|p| p.message.starts_with(row.message)).collect();
        assert_eq!(found.len(), 1, "{name}: {spec}: {found:?}");
        assert_eq!(found[0].path.as_str(), *path, "{name}");
        assert!(found[0].message.ends_with(end), "{name}: {}", found[0].message);
    }
    // These two need documents that are too long or too odd for the list above.
    let beyond = ["inline-total", "file-name"];
    for row in ROWS {
        let tried = cases().any(|(name, ..)| *name == row.name);
        assert!(tried || beyond.contains(&row.name), "{} has no case", row.name);
    }
}

#[test]
fn what_stands_just_inside_a_limit_is_accepted() {
    for spec in accepted() {
        assert_eq!(problems(spec), [], "{spec}");
    }
}

#[test]
fn inline_bytes_have_a_limit_together() {
    // 128 KiB and one byte in base64.
    use base64::Engine as _;
    let encode = |len: usize| base64::engine::general_purpose::STANDARD.encode(vec![0u8; len]);
    let spec =
        |len| format!("{{boot: {{sector: {{source: {{inline: {{base64: {}}}}}}}}}}}", encode(len));
    assert_eq!(problems(&spec(131_072)), []);
    assert!(only(&spec(131_073)).ends_with("at most 128 KiB: here are 131073"));
}

#[test]
fn a_file_name_without_meaning_is_refused() {
    let text = "{boot: {sector: {source: {file: \"a\\0b\"}}}}";
    assert!(problems(text).iter().any(|p| p.message == "a file's name cannot hold NUL"));
}

#[test]
fn bounds_of_the_schema_hold_on_the_desk() {
    let long = "x".repeat(511);
    for (spec, says) in [
        (format!("{{boot: {{sector: {{message: {long}}}}}}}"), "spec.boot.sector.message: has 511 characters, at most 510 are allowed"),
        ("{boot: {sector: {message: \"\"}}}".to_owned(), "spec.boot.sector.message: is empty; leave the field out or give it a value"),
        ("{disk: {size: 1Mi}, formats: []}".to_owned(), "spec.formats: has 0 elements, at least 1 needed"),
        ("{disk: {size: 1Mi}, formats: [{name: A, type: raw}]}".to_owned(), "spec.formats[0].name: \"A\" does not have the form ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"),
        ("{disk: {size: 1Mi}, publish: [{name: a, pvc: {}}, {name: a, pvc: {}}]}".to_owned(), "spec.publish[1]: name \"a\" is in this list already"),
        ("{disk: {size: 1Mi}, publish: [{name: a, pvc: {accessModes: []}}]}".to_owned(), "spec.publish[0].pvc.accessModes: has 0 elements, at least 1 needed"),
        ("{disk: {size: 1Mi}, publish: [{name: a, pvc: {accessModes: [ReadWriteMany, ReadWriteMany]}}]}".to_owned(), "spec.publish[0].pvc.accessModes[1]: \"ReadWriteMany\" is in this list already"),
        ("{disk: {size: 1Mi}, build: {imagePullSecrets: [{name: a}, {name: a}]}}".to_owned(), "spec.build.imagePullSecrets[1]: name \"a\" is in this list already"),
    ] {
        assert_eq!(only(&spec), says);
    }
    for path in ["/a", "a/", "a//b", "..", "a/../b", ".hidden", "a/.b", "lost+found", "a b", "é"] {
        let says = only(&format!(
            "{{disk: {{size: 1Mi}}, publish: [{{name: a, files: {{path: '{path}'}}}}]}}"
        ));
        assert!(says.starts_with("spec.publish[0].files.path: "), "{says}");
        assert!(says.contains("does not have the form"), "{says}");
    }
    let digest = "{boot: {sector: {source: {inline: {text: a}, digest: md5}}}}";
    assert!(problems(digest).iter().any(|p| p.message.contains("does not have the form ^sha256:")));
}

#[test]
fn names_are_dns_names_that_fit_a_label() {
    let fits = |name: &str| {
        let text = format!(
            "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: {name:?}}}\nspec: {{disk: {{size: 1Mi}}}}\n"
        );
        check(&parse(&text, &[]).unwrap()[0].image).is_empty()
    };
    let (fine, long) = ("a".repeat(63), "a".repeat(64));
    for name in ["a", "a-b.c", "0", fine.as_str()] {
        assert!(fits(name), "{name}");
    }
    for name in ["", "A", "-a", "a-", "a..b", ".a", "a_b", "a/b", "é", long.as_str()] {
        assert!(!fits(name), "{name}");
    }
}

/// The messages of all CEL rules in `schema`.
fn rules(schema: &Value, into: &mut BTreeSet<String>) {
    let list = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    for rule in list.into_iter().flatten() {
        assert!(rule["rule"].is_string() && rule["message"].is_string(), "{rule}");
        into.insert(rule["message"].as_str().unwrap().to_owned());
    }
    match schema {
        Value::Object(object) => {
            object
                .iter()
                .filter(|(key, _)| *key != "default")
                .for_each(|(_, inner)| rules(inner, into));
        }
        Value::Array(list) => list.iter().for_each(|inner| rules(inner, into)),
        _ => {}
    }
}

#[test]
fn every_cel_rule_has_a_row_and_every_row_that_cel_can_express_a_rule() {
    let mut cel = BTreeSet::new();
    rules(schema(), &mut cel);
    // The form of a size is the type's own: parsing refuses it.
    cel.retain(|message| !message.starts_with("must be a size such as"));
    let rows: BTreeSet<String> =
        ROWS.iter().filter(|row| row.cel).map(|row| row.message.to_owned()).collect();
    assert_eq!(cel, rows);
    assert!(ROWS.iter().any(|row| row.scope == Scope::Cluster));
}

#[test]
fn what_is_only_wrong_in_a_cluster_is_accepted_on_the_desk() {
    let spec = "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: t}\nspec: {boot: {sector: {source: {file: ../boot.bin}}}}\n";
    let document = parse(spec, &[]).unwrap().remove(0);
    assert_eq!(check_spec(&document.image.spec), []);
    let found = check_for_cluster(&document.image.spec);
    assert_eq!(found[0].path, FieldPath::new("spec.boot.sector.source.file"));
}

#[test]
fn the_disk_size_is_known_without_building() {
    for (spec, bytes) in [
        ("{disk: {size: 64Mi}}", 67_108_864),
        ("{boot: {sector: {message: a}}}", 512),
        ("{disk: {size: 1024}, boot: {sector: {message: a}}}", 1024),
    ] {
        let text = format!(
            "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: t}}\nspec: {spec}\n"
        );
        let document = parse(&text, &[]).unwrap().remove(0);
        assert_eq!(disk_size(&document.image.spec).get(), bytes, "{spec}");
    }
}

#[test]
fn every_example_is_accepted_and_listed() {
    let list = fs_err::read_to_string("examples/README.md").unwrap();
    let mut seen = 0;
    for entry in fs_err::read_dir("examples").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs_err::read_to_string(&path).unwrap();
        let documents = parse(&text, &[]).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for document in documents {
            assert_eq!(check(&document.image), [], "{}", path.display());
            assert_eq!(check_for_cluster(&document.image.spec), [], "{}", path.display());
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(list.contains(&format!("* `{name}`: ")), "examples/README.md lacks {name}");
        seen += 1;
    }
    assert!(seen >= 3, "{seen} examples");
}
