//! A compiler for TypeScript as the judge of objects, with types out of the APIs' own descriptions.
//!
//! Expects nothing. Invariant: without Node.js and npm it panics; the compiler ran over every object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

fn run(command: &mut Command) -> Output {
    let name = command.get_program().display().to_string();
    command.output().unwrap_or_else(|error| panic!("{name}: {error}; Node.js with npm is needed"))
}

/// What `e2e/tools/fetch kubevirt` prints: the directory with the types and the compiler.
fn types() -> &'static Path {
    static TYPES: OnceLock<PathBuf> = OnceLock::new();
    TYPES.get_or_init(|| {
        let root = env!("CARGO_MANIFEST_DIR");
        let Output { status, stdout, stderr } =
            run(Command::new("e2e/tools/fetch").arg("kubevirt").current_dir(root));
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap().trim().into()
    })
}

/// What the compiler has to say to each object: nothing, if it is one of its kind. `set` is a name of
/// their own for their files.
pub(super) fn judge(set: &str, objects: &[Value]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubevirt").join(set);
    let _ = fs_err::remove_dir_all(&folder);
    fs_err::create_dir_all(&folder).unwrap();
    let types = types();
    let mut tsc = Command::new("node");
    tsc.arg(types.join("node_modules/typescript/lib/tsc.js")).current_dir(&folder);
    tsc.args(["--noEmit", "--strict", "--skipLibCheck", "--pretty", "false", "--target", "es2022"]);
    tsc.args(["--module", "esnext", "--moduleResolution", "bundler"]);
    for (number, object) in objects.iter().enumerate() {
        let kind = object["kind"].as_str().unwrap();
        let types = types.join("objects");
        let text = format!(
            "import type {{ {kind} }} from {types:?};\nexport const object: {kind} = {object:#};\n"
        );
        fs_err::write(folder.join(format!("{number}.ts")), text).unwrap();
        tsc.arg(format!("{number}.ts"));
    }
    let Output { status, stdout, stderr } = run(&mut tsc);
    let said = String::from_utf8(stdout).unwrap();
    let complaints = by_file(&said);
    let heard = complaints.keys().all(|&number| number < objects.len());
    assert!(heard && status.success() == complaints.is_empty(), "{said}{stderr:?}");
    (0..objects.len()).map(|number| complaints.get(&number).cloned().unwrap_or_default()).collect()
}

/// Lines by the number of their file; those that begin with a blank continue the one before them.
fn by_file(said: &str) -> BTreeMap<usize, String> {
    let mut complaints: BTreeMap<usize, String> = BTreeMap::new();
    let mut number = usize::MAX;
    for line in said.lines() {
        if !line.starts_with(' ') {
            let file = line.split_once(".ts(").map(|(number, _)| number);
            number = file.and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
        }
        *complaints.entry(number).or_default() += &format!("{line}\n");
    }
    complaints
}
