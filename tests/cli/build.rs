//! `vmimage build`: the files it writes, and what it says about them.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::support::{Desk, HELLO, Ran, document, sha256sum, tool};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn hello_becomes_one_sector_with_the_digest_that_is_printed() {
    let desk = Desk::with_hello();
    let out = desk.run(&["build", "-f", "hello.yaml"]).ok();
    assert_eq!(desk.names(), ["hello.build.json", "hello.raw", "hello.yaml"]);
    let sector = desk.read("hello.raw");
    assert_eq!(sector.len(), 512);
    assert_eq!(sector[510..], [0x55, 0xaa]);
    let text = b"Hello from a test";
    assert!(sector.windows(text.len()).any(|window| window == text));

    let digest = sha256sum(&desk.path("hello.raw"));
    let manifest_digest = sha256sum(&desk.path("hello.build.json"));
    let size = desk.read("hello.build.json").len();
    let expected =
        format!("hello.raw\t512\t{digest}\nhello.build.json\t{size}\t{manifest_digest}\n");
    assert_eq!(out, expected);

    let text = String::from_utf8(desk.read("hello.build.json")).unwrap();
    assert!(text.starts_with("{\n  \"v\": 1,\n") && text.ends_with("}\n"), "{text}");
    let manifest = json(&text);
    assert_eq!(manifest["name"], "hello");
    assert_eq!(manifest["contentDigest"], digest);
    assert_eq!(manifest["virtualSize"], 512);
    assert_eq!(manifest["outputs"][0]["file"], "hello.raw");
    assert_eq!(manifest["outputs"][0]["digest"], digest);
    assert_eq!(manifest["outputs"][0]["size"], 512);
    let writers: Vec<_> = manifest["writers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["name"].as_str().unwrap())
        .collect();
    assert_eq!(writers, ["sector", "raw"]);
}

#[test]
fn every_format_holds_the_same_disk() {
    let desk = Desk::new();
    let spec = "  boot: {sector: {message: hi}}
  disk: {size: 3Mi}
  formats:
  - {type: raw}
  - {type: qcow2}
  - {type: qcow2, name: z.qcow2, qcow2: {compression: zstd}}
  - {type: qcow2, name: zlib.qcow2, qcow2: {compression: zlib}}
";
    desk.write("d.yaml", document(spec));
    desk.run(&["build", "-f", "d.yaml"]).ok();
    let manifest = json(&String::from_utf8(desk.read("hello.build.json")).unwrap());
    let outputs = manifest["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 4);
    let raw = desk.path("hello.raw");
    for output in outputs {
        let file = desk.path(output["file"].as_str().unwrap());
        assert_eq!(output["digest"], sha256sum(&file), "{output}");
        assert_eq!(output["size"], fs_err::metadata(&file).unwrap().len(), "{output}");
        let kind = output["type"].as_str().unwrap();
        let arguments = ["info", "-f", kind, "--output=json"].map(std::ffi::OsStr::new);
        let info = tool("qemu-utils", "qemu-img", &[&arguments[..], &[file.as_os_str()]].concat());
        assert_eq!(json(&info)["virtual-size"], 3 << 20);
        let arguments = ["compare", "-s", "-f", "raw", "-F", kind].map(std::ffi::OsStr::new);
        let same = tool(
            "qemu-utils",
            "qemu-img",
            &[&arguments[..1], &arguments[2..], &[raw.as_os_str(), file.as_os_str()]].concat(),
        );
        assert_eq!(same, "Images are identical.\n");
    }
    assert_eq!(outputs[1].get("options"), None);
    assert_eq!(outputs[2]["options"], serde_json::json!({"compression": "zstd"}));
    assert_eq!(manifest["contentDigest"], sha256sum(&raw));
}

#[test]
fn standard_input_and_set() {
    let desk = Desk::new();
    let arguments =
        ["build", "-f", "-", "--set", "spec.disk.size=1Mi", "--set", "metadata.name=other"];
    let out = desk.run_with_input(&arguments, HELLO).ok();
    assert!(out.starts_with("other.raw\t1048576\tsha256:"), "{out}");
    assert_eq!(desk.names(), ["other.build.json", "other.raw"]);
}

#[test]
fn an_object_from_a_cluster_can_be_built() {
    let desk = Desk::new();
    let text = HELLO
        .replace("{name: hello}", "{name: hello, uid: 1-2, generation: 3, labels: {a: b}}")
        + "status: {observedGeneration: 3, conditions: []}\n";
    desk.run_with_input(&["build", "-f", "-"], &text).ok();
}

#[test]
fn inputs_are_found_beside_the_document_and_listed() {
    let desk = Desk::new();
    fs_err::create_dir(desk.path("docs")).unwrap();
    let mut sector = vec![0x90; 510];
    sector.extend([0x55, 0xaa]);
    desk.write("docs/boot.bin", &sector);
    desk.write("docs/d.yaml", document("  boot: {sector: {source: {file: boot.bin}}}\n"));
    desk.run(&["build", "-f", "docs/d.yaml", "-o", "out/deep"]).ok();
    assert_eq!(desk.read("out/deep/hello.raw"), sector);
    let manifest = json(&String::from_utf8(desk.read("out/deep/hello.build.json")).unwrap());
    let input = &manifest["inputs"][0];
    assert_eq!(input["field"], "spec.boot.sector.source");
    assert_eq!(input["digest"], sha256sum(&desk.path("docs/boot.bin")));
    assert_eq!(input["size"], 512);
}

#[test]
fn a_file_of_documents_is_built_whole_or_by_name() {
    let fleet = [HELLO, "---\n", &HELLO.replace("hello", "second")].concat();
    let desk = Desk::new();
    desk.write("fleet.yaml", &fleet);
    desk.run(&["build", "-f", "fleet.yaml", "--name", "second"]).ok();
    assert_eq!(desk.names(), ["fleet.yaml", "second.build.json", "second.raw"]);
    desk.run(&["build", "-f", "fleet.yaml"]).ok();
    let all = ["fleet.yaml", "hello.build.json", "hello.raw", "second.build.json", "second.raw"];
    assert_eq!(desk.names(), all);
    let err = desk.run(&["build", "-f", "fleet.yaml", "--name", "third"]).failed(65);
    assert!(err.contains("no document has the name \"third\"; there are: hello, second"), "{err}");
}

#[test]
fn names_that_meet_are_refused() {
    let desk = Desk::new();
    desk.write("twice.yaml", [HELLO, "---\n", HELLO].concat());
    let err = desk.run(&["build", "-f", "twice.yaml"]).failed(65);
    assert!(err.contains("metadata.name: two documents have the name \"hello\""), "{err}");
    assert!(err.contains("--> twice.yaml:10:12"), "{err}");

    desk.write(
        "meet.yaml",
        document("  disk: {size: 1Mi}\n  formats: [{type: raw, name: build.json}]\n"),
    );
    let err = desk.run(&["build", "-f", "meet.yaml"]).failed(65);
    assert!(err.contains("spec.formats[0].name: the name build.json is taken"), "{err}");

    let dotted = HELLO.replace("name: hello", "name: hello.a");
    let other = format!("{HELLO}  formats: [{{type: raw, name: a.raw}}]\n");
    desk.write("cross.yaml", [&dotted, "---\n", &other].concat());
    let err = desk.run(&["build", "-f", "cross.yaml"]).failed(65);
    assert!(err.contains("hello.a and hello would both write hello.a.raw"), "{err}");
    assert_eq!(desk.names(), ["cross.yaml", "meet.yaml", "twice.yaml"]);
}

#[test]
fn json_is_one_document_with_every_path() {
    let desk = Desk::with_hello();
    let ran = desk.run(&["build", "-f", "hello.yaml", "-o", "out", "--json"]);
    assert_eq!(ran.err, "");
    let value = json(&ran.ok());
    assert_eq!(value[0]["manifest"]["name"], "hello");
    assert_eq!(value[0]["files"][0]["path"], "out/hello.raw");
    assert_eq!(value[0]["files"][0]["digest"], sha256sum(&desk.path("out/hello.raw")));
    assert_eq!(value[0]["files"][1]["path"], "out/hello.build.json");
}

#[test]
fn quiet_says_nothing_and_talk_is_on_standard_error() {
    let desk = Desk::with_hello();
    let ran = desk.run(&["build", "-f", "hello.yaml"]);
    assert!(ran.err.contains("hello.raw: "), "{ran:?}");
    let ran = desk.run(&["build", "-f", "hello.yaml", "-q"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(ran.out.lines().count(), 2);
}

#[test]
fn files_have_the_mode_that_the_umask_leaves() {
    let desk = Desk::with_hello();
    for (umask, mode) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        let mut command = Command::new("sh");
        command.args(["-c", "umask $0; exec \"$1\" build -f hello.yaml", umask]);
        command.arg(crate::support::PROGRAM);
        desk.at_home(&mut command);
        Ran::from(command.output().unwrap()).ok();
        for name in ["hello.raw", "hello.build.json"] {
            let metadata = fs_err::metadata(desk.path(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name} with {umask}");
        }
    }
}
