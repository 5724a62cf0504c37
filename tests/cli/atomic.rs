//! A build that fails or is interrupted changes nothing.

use std::process::{Child, Command};

use rustix::process::geteuid;

use crate::support::{Desk, HELLO, PROGRAM, Ran, document, signal, wait_until};

/// A disk that takes longer to hash than any test waits.
const ENDLESS: &str = "  disk: {size: 1Ti}\n  formats: [{type: qcow2}, {type: raw}]\n";

fn earlier(desk: &Desk) {
    desk.write("hello.raw", "an earlier build");
    desk.write("hello.build.json", "{}");
}

#[track_caller]
fn is_as_before(desk: &Desk, others: &[&str]) {
    assert_eq!(desk.read("hello.raw"), b"an earlier build");
    assert_eq!(desk.read("hello.build.json"), b"{}");
    let mut expected = vec!["hello.build.json", "hello.raw"];
    expected.extend(others);
    expected.sort_unstable();
    assert_eq!(desk.names(), expected);
}

#[test]
fn existing_files_are_replaced() {
    let desk = Desk::with_hello();
    earlier(&desk);
    desk.run(&["build", "-f", "hello.yaml"]).ok();
    assert_eq!(desk.read("hello.raw").len(), 512);
    assert_eq!(desk.names(), ["hello.build.json", "hello.raw", "hello.yaml"]);
}

#[test]
fn one_bad_document_of_several_writes_none() {
    let desk = Desk::new();
    earlier(&desk);
    let bad = document("  architecture: arm64\n  boot: {sector: {message: hi}}\n")
        .replace("name: hello", "name: bad");
    desk.write("d.yaml", [HELLO, "---\n", &bad].concat());
    let err = desk.run(&["build", "-f", "d.yaml", "-o", "."]).failed(65);
    assert!(err.contains("arm64"), "{err}");
    is_as_before(&desk, &["d.yaml"]);
}

#[test]
fn a_directory_in_the_way_stops_the_whole_build() {
    let desk = Desk::new();
    earlier(&desk);
    fs_err::create_dir(desk.path("hello.qcow2")).unwrap();
    desk.write("d.yaml", format!("{HELLO}  formats: [{{type: raw}}, {{type: qcow2}}]\n"));
    let err = desk.run(&["build", "-f", "d.yaml"]).failed(74);
    assert_eq!(err.matches("error:").count(), 1, "{err}");
    assert!(err.contains("hello.qcow2: a directory is in its place"), "{err}");
    is_as_before(&desk, &["d.yaml", "hello.qcow2"]);
}

#[test]
fn a_limit_on_file_sizes_is_one_clear_error() {
    let desk = Desk::new();
    earlier(&desk);
    desk.write("d.yaml", document("  disk: {size: 1Mi}\n"));
    let mut command = Command::new("sh");
    // The signal that comes with the limit would end the program before it can say anything.
    let script = "trap '' XFSZ; exec prlimit --fsize=4096 \"$0\" build -q -f d.yaml";
    command.args(["-c", script, PROGRAM]);
    desk.at_home(&mut command);
    let err = Ran::from(command.output().unwrap()).failed(74);
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.starts_with("error: making hello.raw 1048576 bytes long: "), "{err}");
    assert!(err.contains("File too large"), "{err}");
    is_as_before(&desk, &["d.yaml"]);
}

/// Needs a mount namespace: as root, or as a user who may make user namespaces.
#[test]
fn a_full_disk_is_one_clear_error() {
    let desk = Desk::new();
    fs_err::create_dir(desk.path("out")).unwrap();
    let formats = "  formats: [{type: raw}, {type: qcow2}]\n";
    desk.write("d.yaml", format!("{HELLO}{formats}"));
    let flags = if geteuid().is_root() { "-m" } else { "-Urm" };
    let script = "mount -t tmpfs -o size=16k none out || exit 99
        \"$0\" build -q -f d.yaml -o out; code=$?
        ls -A out; exit $code";
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", script, PROGRAM]);
    desk.at_home(&mut command);
    let ran = Ran::from(command.output().unwrap_or_else(|e| {
        panic!("unshare: {e}; apt-get install util-linux");
    }));
    assert_eq!(ran.out, "", "nothing is left: {ran:?}");
    let err = ran.failed(67);
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.contains("hello.qcow2") && err.contains("No space left on device"), "{err}");
}

/// A build of ENDLESS that has begun to write.
fn endless(desk: &Desk) -> Child {
    desk.write("endless.yaml", document(ENDLESS));
    let mut child = desk.command(&["build", "-f", "endless.yaml"]).spawn().unwrap();
    let raw_begun = || desk.names().iter().any(|name| name.starts_with(".hello.raw."));
    wait_until(&mut child, "a temporary file", raw_begun);
    child
}

#[test]
fn an_interrupt_leaves_nothing() {
    for (name, desk) in [("INT", Desk::new()), ("TERM", Desk::new())] {
        earlier(&desk);
        let child = endless(&desk);
        signal(&child, name);
        let ran = Ran::from(child.wait_with_output().unwrap());
        let err = ran.failed(130);
        assert!(err.ends_with("error: interrupted; nothing was changed\n"), "{name}: {err}");
        is_as_before(&desk, &["endless.yaml"]);
    }
}

#[test]
fn what_a_killed_build_left_is_in_nobodys_way() {
    let desk = Desk::with_hello();
    let mut child = endless(&desk);
    signal(&child, "KILL");
    child.wait().unwrap();
    let left = desk.names().iter().filter(|name| name.ends_with(".partial")).count();
    assert!(left > 0);
    desk.run(&["build", "-f", "hello.yaml"]).ok();
}

#[test]
fn a_name_that_is_taken_by_a_leftover_is_passed_over() {
    // In a container every build is process 1: the leftover of one has the name of the next.
    let desk = Desk::with_hello();
    let mut command = Command::new("sh");
    let script = "echo old > .hello.raw.$$.0.partial; exec \"$0\" build -f hello.yaml";
    command.args(["-c", script, PROGRAM]);
    desk.at_home(&mut command);
    Ran::from(command.output().unwrap()).ok();
    assert_eq!(desk.read("hello.raw").len(), 512);
}
