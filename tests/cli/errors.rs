//! What the program says when it refuses, word for word, and the exit codes.

use std::process::Stdio;

use serde_json::Value;
use vmimage::report::Code;

use crate::support::{Desk, HELLO, document};

/// What `build` says about a document with this spec.
#[track_caller]
fn refused(spec: &str) -> String {
    let desk = Desk::new();
    desk.write("d.yaml", document(spec));
    let err = desk.run(&["build", "-f", "d.yaml"]).failed(65);
    assert_eq!(desk.names(), ["d.yaml"], "a refused document writes nothing");
    err
}

#[test]
fn an_unknown_field_is_shown_where_it_stands() {
    let expected = "\
error: spec.boot.sector.mesage: unknown field; did you mean message? known: message, source
 --> d.yaml:6:14
  |
6 |     sector: {mesage: hi}
  |              ^^^^^^
";
    assert_eq!(refused("  boot:\n    sector: {mesage: hi}\n"), expected);
}

#[test]
fn a_message_that_is_too_long_is_refused_with_its_place() {
    let long = "x".repeat(500);
    let err = refused(&format!("  boot:\n    sector: {{message: {long}}}\n"));
    assert!(err.starts_with("error: spec.boot.sector.message: "), "{err}");
    assert!(err.contains("\n --> d.yaml:6:14\n  |\n6 |     sector: {message: xxx"), "{err}");
    assert!(err.contains("bytes"), "{err}");
}

#[test]
fn a_sector_without_its_mark_is_refused() {
    // printf 'no boot sector' | base64
    let spec = "  boot: {sector: {source: {inline: {base64: bm8gYm9vdCBzZWN0b3I=}}}}\n";
    let desk = Desk::new();
    desk.write("d.yaml", document(spec));
    let err = desk.run(&["build", "-f", "d.yaml"]).failed(66);
    assert!(err.starts_with("error: spec.boot.sector.source: "), "{err}");
    assert!(err.to_lowercase().contains("55 aa"), "{err}");
    assert!(err.contains("--> d.yaml:5:19"), "{err}");
}

#[test]
fn sizes_show_both_readings_and_never_wrap() {
    let err = refused("  disk: {size: 512M}\n");
    let both = "512M is a decimal size, 512,000,000 bytes; write 512Mi for 536,870,912 bytes";
    assert!(err.starts_with(&format!("error: spec.disk.size: {both}\n")), "{err}");
    assert!(err.contains("--> d.yaml:5:"), "{err}");
    for size in ["99999999999999999999", "16Ei", "18014398509481984Ki", "-1", "1.5Gi", "1000"] {
        let err = refused(&format!("  disk: {{size: {size}}}\n"));
        assert!(err.starts_with("error: spec.disk.size: "), "{size}: {err}");
    }
    let small = refused("  boot: {sector: {message: hi}}\n  disk: {size: 0}\n");
    assert!(small.contains("spec.disk.size: "), "{small}");
}

#[test]
fn what_yaml_versions_read_differently_is_refused() {
    for scalar in ["0755", "no", "on", "1:30"] {
        let err = refused(&format!(
            "  disk: {{size: 1Mi}}\n  build: {{nodeSelector: {{mode: {scalar}}}}}\n"
        ));
        assert!(err.starts_with("error: spec.build.nodeSelector.mode: "), "{scalar}: {err}");
        assert!(err.contains(scalar), "{scalar}: {err}");
        assert!(err.contains("--> d.yaml:6:"), "{scalar}: {err}");
    }
}

#[test]
fn every_problem_is_printed() {
    let spec = "  architecture: arm64
  boot: {sector: {message: hi, source: {inline: {text: a, base64: YQ==}}}}
  formats: [{type: raw, qcow2: {}}, {type: raw}]
";
    let desk = Desk::new();
    desk.write("d.yaml", document(spec));
    let ran = desk.run(&["check", "d.yaml"]);
    let problems = ran.err.matches("error: spec.").count();
    assert!(problems >= 4, "{problems}: {}", ran.err);
    let ran = desk.run(&["check", "--json", "-f", "d.yaml"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(65), ""));
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["problems"].as_array().unwrap().len(), problems);
    for problem in value["problems"].as_array().unwrap() {
        assert!(problem["line"].as_u64().unwrap() >= 5, "{problem}");
        assert_eq!(problem["file"], "d.yaml");
    }
}

#[test]
fn check_accepts_what_can_be_built() {
    let desk = Desk::with_hello();
    let ran = desk.run(&["check", "hello.yaml", "-f", "hello.yaml"]);
    assert_eq!(ran.ok(), "hello.yaml: hello is valid, a disk of 512 bytes\n".repeat(2));
    let ran = desk.run_with_input(&["check", "-", "--json"], HELLO);
    let value: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(value[0]["file"], "<stdin>");
    assert_eq!(value[0]["virtualSize"], 512);
    assert_eq!(desk.names(), ["hello.yaml"]);
}

#[test]
fn json_errors_say_where() {
    let desk = Desk::new();
    desk.write("d.yaml", document("  boot:\n    sector: {mesage: hi}\n"));
    let ran = desk.run(&["--json", "build", "-f", "d.yaml"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(65), ""));
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    let expected = serde_json::json!({"error": {
        "code": "InvalidDocument",
        "message": "unknown field; did you mean message? known: message, source",
        "field": "spec.boot.sector.mesage",
        "file": "d.yaml",
        "line": 6,
        "column": 14,
    }});
    assert_eq!(value, expected);
}

#[test]
fn files_that_cannot_be_read() {
    let desk = Desk::new();
    let err = desk.run(&["build", "-f", "none.yaml"]).failed(66);
    assert!(err.starts_with("error: reading none.yaml: "), "{err}");
    desk.run(&["build", "-f", "."]).failed(66);
    desk.write("d.yaml", document("  boot: {sector: {source: {file: gone.bin}}}\n"));
    let err = desk.run(&["build", "-f", "d.yaml"]).failed(66);
    assert!(err.starts_with("error: spec.boot.sector.source"), "{err}");
    assert!(err.contains("gone.bin"), "{err}");
    desk.write("d.yaml", b"apiVersion: \xff\n");
    let err = desk.run(&["check", "d.yaml"]).failed(65);
    assert_eq!(err, "error: byte 12 is not UTF-8\n  --> d.yaml\n");
    desk.write("empty.yaml", "");
    desk.run(&["check", "empty.yaml"]).failed(65);
}

#[test]
fn an_input_with_another_digest_is_refused() {
    let zeros = "0".repeat(64);
    // printf a | sha256sum
    let digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    for (source, code, field) in [
        ("inline: {text: a}", 65, "spec.boot.sector.source.digest"),
        ("file: a", 66, "spec.boot.sector.source"),
    ] {
        let desk = Desk::new();
        desk.write("a", "a");
        let spec =
            format!("  boot: {{sector: {{source: {{{source}, digest: \"sha256:{zeros}\"}}}}}}\n");
        desk.write("d.yaml", document(&spec));
        let err = desk.run(&["build", "-f", "d.yaml"]).failed(code);
        assert!(err.starts_with(&format!("error: {field}: ")), "{err}");
        assert!(err.contains(digest) && err.contains("d.yaml:5:"), "{err}");
    }
}

#[test]
fn control_characters_of_a_document_do_not_reach_the_terminal() {
    let desk = Desk::new();
    for spec in ["  boot: {\"a\\e[31mb\": hi}\n", "  boot: {sektor: {}} # \u{1b}[31m\u{9b}31m\n"] {
        desk.write("d.yaml", document(spec));
        let err = desk.run(&["check", "d.yaml", "--color", "never"]).failed(65);
        assert!(err.contains("5 |   boot: {"), "the line is shown: {err:?}");
        assert!(!err.chars().any(|c| c.is_control() && c != '\n'), "{err:?}");
    }
}

#[test]
fn colours_are_used_when_asked() {
    let desk = Desk::new();
    let run = |flags: &[&str]| desk.run(&[flags, &["check", "none.yaml"]].concat()).failed(66);
    assert!(run(&["--color", "always"]).contains("\u{1b}[1;31merror:"));
    assert!(!run(&["--color", "never"]).contains('\u{1b}'));
    assert!(!run(&[]).contains('\u{1b}'), "not into a pipe");
}

#[test]
fn wrong_usage_is_told_apart() {
    let desk = Desk::new();
    for arguments in [
        &["frob"][..],
        &[],
        &["build"],
        &["check"],
        &["build", "-f", "x", "--threads", "0"],
        &["build", "-f", "x", "--set", "no value"],
    ] {
        let ran = desk.run(arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert_eq!(ran.out, "");
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure_but_a_full_disk_is() {
    let desk = Desk::with_hello();
    let mut command = desk.command(&["explain", "--recursive"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));

    let full = fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = desk.command(&["explain"]);
    let output = command.stdout(Stdio::from(full.into_file())).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.starts_with("error: writing to standard output: "), "{err}");
}

#[test]
fn the_documented_codes_are_the_real_ones() {
    let page = include_str!("../../docs/reference/exit-codes.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let number: u8 = cells.next()?.parse().ok()?;
        Some((number, cells.next()?.trim_matches('`').to_owned()))
    });
    let mut documented: Vec<_> = rows.collect();
    documented.sort();
    let codes = Code::ALL.iter().map(|code| (code.exit(), code.as_str().to_owned()));
    let others = [
        (vmimage::cli::USAGE, "Usage"),
        (vmimage::cli::DIFFERENT, "Different"),
        (vmimage::cli::LEAKS, "Leaks"),
        (vmimage::cli::TIMED_OUT, "TimedOut"),
        (vmimage::cli::ENDED, "Ended"),
        (vmimage::cli::INTERRUPTED, "Interrupted"),
    ];
    let mut real: Vec<_> = codes.collect();
    real.extend(others.map(|(number, name)| (number, name.to_owned())));
    real.sort();
    assert_eq!(documented, real);
}
