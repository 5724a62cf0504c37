//! The tables of `docs/boot.md`: every cell names a test that exists, or says that there is none.

use std::path::Path;

use fs_err as fs;

/// The functions of all test programs with `#[test]`, as `program::name`.
fn tests() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let program = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let files: Vec<_> = if path.is_dir() {
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect()
        } else {
            vec![path]
        };
        for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "rs")) {
            let text = fs::read_to_string(file).unwrap();
            for part in text.split("#[test]").skip(1) {
                let name = part.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
                found.extend(name.map(|name| format!("{program}::{name}")));
            }
        }
    }
    found
}

#[test]
fn every_cell_of_the_tables_names_a_test_or_says_not_tested() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/boot.md"));
    let text = text.unwrap();
    let section = text.split("## What boots where").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let tests = tests();
    let mut cells = 0;
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
    for row in rows {
        let columns: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        for cell in &columns[1..] {
            if matches!(*cell, "not tested" | "no") {
                continue;
            }
            for name in cell.split(", ") {
                let name = name.trim_matches('`');
                assert!(tests.iter().any(|test| test == name), "{name:?} in {row}");
                cells += 1;
            }
        }
    }
    assert!(cells > 40, "{cells} names of tests");
}
