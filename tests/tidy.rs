//! House rules that no compiler keeps: who may import whom, no orphan files, no cycles, and a
//! header in every file.
//!
//! Reads sources as text. Invariant: the table below is the whole truth; a pair that is not in it
//! fails.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// A module and what it may name beside itself.
const TABLE: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("manifest", &["units"]),
    ("report", &["units"]),
    ("guest", &[]),
    ("api", &["units", "manifest", "report"]),
    ("engine::base", &["units"]),
    ("engine::codec", &["units", "engine::base"]),
    ("engine::archive", &["units", "engine::base"]),
    ("engine::bootloader", &["units", "engine::base", "engine::codec"]),
    ("engine::format", &["units", "engine::base", "engine::codec", "engine::archive"]),
    ("engine::filesystem", &["units", "engine::base", "engine::codec"]),
    ("engine::initrd", &["units", "engine::base", "engine::codec"]),
    ("engine::partition", &["units", "engine::base"]),
    ("engine::stage", &["units", "engine::base"]),
    ("engine::transform", &["units", "engine::base", "engine::codec"]),
    ("engine::payload", &["units", "engine::base", "engine::codec", "engine::archive", "oci"]),
    (
        "engine::view",
        &["engine::archive", "engine::base", "engine::filesystem", "engine::partition"],
    ),
    ("fetch", &["units", "engine::base"]),
    (
        "sources",
        &["units", "manifest", "engine", "engine::base", "engine::bootloader", "fetch", "oci"],
    ),
    ("oci", &["units", "engine::base", "engine::codec", "engine::archive", "fetch"]),
    (
        "engine",
        &[
            "units",
            "manifest",
            "guest",
            "engine::archive",
            "engine::base",
            "engine::codec",
            "engine::bootloader",
            "engine::filesystem",
            "engine::format",
            "engine::initrd",
            "engine::partition",
            "engine::payload",
            "engine::view",
            "oci",
            "engine::stage",
            "engine::transform",
        ],
    ),
    (
        "publish",
        &["units", "engine::archive", "engine::base", "engine::codec", "engine::format", "oci"],
    ),
    ("sandbox", &["engine::base", "engine::payload", "fetch", "oci"]),
    (
        "inspect",
        &[
            "units",
            "engine::archive",
            "engine::base",
            "engine::bootloader",
            "engine::codec",
            "engine::filesystem",
            "engine::format",
            "engine::partition",
            "engine::view",
        ],
    ),
    (
        "builder",
        &[
            "units",
            "manifest",
            "report",
            "publish",
            "sources",
            "oci",
            "fetch",
            "engine",
            "engine::base",
            "engine::codec",
            "engine::format",
        ],
    ),
    ("run", &["engine::base", "engine::view"]),
    ("controller", &["units", "manifest", "api", "report", "metrics"]),
    (
        "cli",
        &[
            "units",
            "manifest",
            "api",
            "report",
            "publish",
            "builder",
            "sources",
            "fetch",
            "inspect",
            "engine",
            "engine::archive",
            "engine::base",
            "engine::codec",
            "engine::filesystem",
            "engine::format",
            "engine::partition",
            "engine::payload",
            "engine::view",
            "engine::stage",
            "oci",
            "sandbox",
            "run",
        ],
    ),
    ("metrics", &[]),
    ("telemetry", &[]),
];

/// Parts of the engine that have a row of their own.
const ENGINE_PARTS: &[&str] = &[
    "base",
    "codec",
    "archive",
    "bootloader",
    "filesystem",
    "format",
    "initrd",
    "partition",
    "payload",
    "view",
    "stage",
    "transform",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What cargo makes is not ours.
                open.extend((!path.ends_with("target")).then_some(path));
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The module path of a file below `src`: `engine/base/file.rs` is `engine::base::file`.
fn module_path(file: &Path) -> Vec<String> {
    let relative = file.strip_prefix(root().join("src")).unwrap().with_extension("");
    let parts = relative.iter().map(|part| part.to_str().unwrap().to_owned());
    parts.filter(|part| part != "mod" && part != "lib").collect()
}

/// The row of the table that a module path belongs to.
fn row(path: &[String]) -> Option<String> {
    let first = path.first()?;
    let second = path.get(1).filter(|second| ENGINE_PARTS.contains(&second.as_str()));
    match second {
        Some(second) if first == "engine" => Some(format!("engine::{second}")),
        _ => Some(first.clone()),
    }
}

/// The source without comments, strings and the bodies of test modules at the end of a file.
fn code(text: &str) -> String {
    let without_tests = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = without_tests.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path that begins with `crate` in `code`, `use crate::{a, b}` included, and every `super`
/// path made absolute.
fn named(code: &str, module: &[String], is_mod: bool) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        found.extend(expand(&code[at + 7..]));
    }
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let ups = code[at..].split("::").take_while(|part| part.ends_with("super")).count();
        let keep = (module.len() + usize::from(is_mod)).saturating_sub(ups);
        let base = module.get(..keep.min(module.len())).unwrap();
        for rest in expand(&code[at + 7 * ups..]) {
            found.insert(base.iter().cloned().chain(rest).collect());
        }
    }
    found
}

/// The paths that begin `text`: `a::b`, or `{a::b, c}` one level deep.
fn expand(text: &str) -> Vec<Vec<String>> {
    let path = |text: &str| -> Vec<String> {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let text = &text[..end.unwrap_or(text.len())];
        text.split("::").filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect()
    };
    let plain = path(text);
    let rest = &text
        [text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len())..];
    if !rest.starts_with('{') {
        return vec![plain];
    }
    let inner = &rest[1..rest.find("};").unwrap_or(rest.len())];
    let mut depth = 0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.map(|part| plain.iter().cloned().chain(path(part.trim())).collect()).collect()
}

/// Which row names which, with one file that does.
fn arrows() -> BTreeMap<(String, String), PathBuf> {
    let mut arrows = BTreeMap::new();
    for file in rust_files(&root().join("src")) {
        let module = module_path(&file);
        let Some(from) = row(&module).filter(|from| from != "bin") else { continue };
        let is_mod = file.file_name().unwrap() == "mod.rs";
        for path in named(&code(&fs::read_to_string(&file).unwrap()), &module, is_mod) {
            let Some(to) = row(&path) else { continue };
            let known = TABLE.iter().any(|(name, _)| *name == to);
            if known
                && to != from
                && !(from.starts_with("engine") && to == "engine" && path.len() == 1)
            {
                arrows.insert((from.clone(), to), file.clone());
            }
        }
    }
    arrows
}

#[test]
fn modules_name_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for ((from, to), file) in arrows() {
        let allowed = TABLE.iter().find(|(name, _)| *name == from).map(|(_, allowed)| *allowed);
        if !allowed.is_some_and(|allowed| allowed.contains(&to.as_str())) {
            wrong.push(format!("{from} names {to} in {}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "not in the import table:\n{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_imports() {
    let seen = arrows();
    for pair in [("engine", "manifest"), ("controller", "api"), ("engine::format", "engine::base")]
    {
        assert!(seen.contains_key(&(pair.0.to_owned(), pair.1.to_owned())), "{pair:?} is not seen");
    }
    let module = ["engine".to_owned(), "format".to_owned(), "raw".to_owned()];
    let found =
        named("use super::super::manifest::Spec; use crate::{api::x, cli};", &module, false);
    let rows: Vec<_> = found.iter().filter_map(|path| row(path)).collect();
    assert_eq!(rows, ["api", "cli", "engine"]);
}

#[test]
fn the_table_has_no_cycle() {
    let mut open: BTreeMap<&str, BTreeSet<&str>> =
        TABLE.iter().map(|(name, allowed)| (*name, allowed.iter().copied().collect())).collect();
    while !open.is_empty() {
        let free: Vec<&str> =
            open.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| *name).collect();
        assert!(!free.is_empty(), "a cycle among {:?}", open.keys());
        for name in free {
            open.remove(name);
            open.values_mut().for_each(|needs| {
                needs.remove(name);
            });
        }
    }
}

#[test]
fn every_file_is_declared_by_a_module() {
    for file in rust_files(&root().join("src")) {
        let module = module_path(&file);
        if module.first().is_none_or(|first| first == "bin") {
            continue;
        }
        let (name, parent) = module.split_last().unwrap();
        let mut directory = root().join("src");
        directory.extend(parent);
        let declared_in =
            if parent.is_empty() { directory.join("lib.rs") } else { directory.join("mod.rs") };
        let text = fs::read_to_string(&declared_in).unwrap();
        let declared = text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};")));
        assert!(declared, "{} is declared nowhere in {}", file.display(), declared_in.display());
    }
}

#[test]
fn every_file_says_what_it_is() {
    for directory in ["src", "init", "tests", "benches", "e2e", "fuzz"] {
        let directory = root().join(directory);
        if !directory.exists() {
            continue;
        }
        for file in rust_files(&directory) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//! "), "{} does not open with //!", file.display());
        }
    }
}

/// Functions and files that outgrow these are hard to hold in one's head.
#[test]
fn files_stay_small() {
    let init = rust_files(&root().join("init/src"));
    for file in rust_files(&root().join("src")).into_iter().chain(init) {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.split("\n#[cfg(test)]\n").next().unwrap().lines().count();
        let tables = ["types.rs"];
        let exempt =
            tables.iter().any(|name| file.ends_with(name)) || file.ends_with("decide/tests.rs");
        assert!(lines <= 400 || exempt, "{} has {lines} lines; split it", file.display());
    }
}
