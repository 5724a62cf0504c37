//! Argo CD's health script, run by the Lua interpreter on each of its fixtures.
//!
//! Does not run Argo CD, whose Lua is 5.1; the script keeps to what 5.1 and 5.4 have in common.
//! Invariant: a missing interpreter is a failure.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn yaml(path: &Path) -> Value {
    serde_saphyr::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

/// A value as a Lua expression.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(lua).collect();
            format!("{{{}}}", items.join(", "))
        }
        Value::Object(fields) => {
            let field = |(name, value)| format!("[{name:?}] = {}", lua(value));
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

#[test]
fn health_is_what_the_fixtures_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gitops");
    let tests = yaml(&folder.join("health_test.yaml"));
    let tests = tests["tests"].as_array().unwrap();
    assert_eq!(tests.len(), fs_err::read_dir(folder.join("testdata")).unwrap().count());
    for test in tests {
        let input = test["inputPath"].as_str().unwrap();
        let program = format!(
            "obj = {}; local health = dofile('argocd-health.lua'); \
             io.write(health.status, '\\n', health.message)",
            lua(&yaml(&folder.join(input)))
        );
        let output = Command::new("lua5.4")
            .args(["-e", &program])
            .current_dir(&folder)
            .output()
            .expect("lua5.4 is needed: apt-get install lua5.4");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{input}: {complaint}");
        let found = String::from_utf8(output.stdout).unwrap();
        let expected = &test["healthStatus"];
        let (status, message) = (&expected["status"], &expected["message"]);
        let expected = format!("{}\n{}", status.as_str().unwrap(), message.as_str().unwrap());
        assert_eq!(found, expected, "{input}");
    }
}
