//! Who builds, where and how, changes nothing, and nothing but files is asked for.

use std::collections::BTreeSet;

use fs_err as fs;

use crate::desk::{BUILT, EXAMPLES, How, desk, sha256sum};

const PINNED: &str = include_str!("../golden/examples.sha256");

/// Their bytes follow the versions of Debian's boot loaders and kernels, too.
const FOLLOWING: &[&str] =
    &["lites", "slim-direct", "slim-initrd", "slim-isolinux", "slim-uefi", "tinyboot"];

/// The files of all examples below `out`, with their digests, as sha256sum prints them.
fn digests(out: &str) -> String {
    let files = BUILT.iter().flat_map(|(_, files)| *files);
    let digest = |file: &&str| sha256sum(&desk().path(&format!("home/{out}/{file}")));
    files.map(|file| format!("{}  {file}\n", digest(file))).collect()
}

/// See CONTRIBUTING.md, "When a golden digest or dump changes".
#[test]
fn the_digests_are_pinned() {
    let pinned = BUILT.iter().filter(|(example, _)| !FOLLOWING.contains(example));
    let pinned: Vec<&str> = pinned.flat_map(|(_, files)| *files).copied().collect();
    let found: String = digests("first")
        .split_inclusive('\n')
        .filter(|line| pinned.iter().any(|file| line.ends_with(&format!("  {file}\n"))))
        .collect();
    assert_eq!(found, PINNED, "found:\n{found}");
}

#[test]
fn threads_umask_zone_and_language_do_not_matter() {
    let variables = ["TZ=Pacific/Chatham", "LANG=tr_TR.UTF-8", "LC_ALL=de_DE.UTF-8", "HOME=/none"];
    for (example, _) in BUILT {
        let how =
            How { out: "again", threads: "1", umask: "000", variables: &variables, log: None };
        desk().build(example, &how);
    }
    assert_eq!(digests("again"), digests("first"));
}

/// strace saw no program started but ours, no mount, no device, no other owner, no loop device.
#[test]
fn nothing_but_files_is_asked_for() {
    for (example, _) in BUILT {
        let log = desk().path(&format!("home/{example}.log"));
        let log = fs::read_to_string(log).unwrap();
        let mut started = 0;
        for line in log.lines() {
            let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
            // A call that another thread cut in two: `<... clone3 resumed>`; its start was judged.
            let name = call.split(['(', ' ']).next().unwrap_or_default();
            match name {
                "execve" => started += 1,
                "clone" | "clone3" => {
                    assert!(call.contains("CLONE_THREAD"), "{example}: a process: {line}");
                }
                "openat" | "openat2" => {
                    let device = call.contains("\"/dev/") && !call.contains("\"/dev/null\"");
                    assert!(!device, "{example}: a device: {line}");
                }
                // FICLONE and others are asked of files; LOOP_* are not.
                "ioctl" => assert!(!call.contains("LOOP_"), "{example}: {line}"),
                "<..." | "+++" | "---" => {}
                _ => panic!("{example}: {line}"),
            }
        }
        assert_eq!(started, 1, "{example}: programs, ours included\n{log}");
        assert!(log.contains("openat("), "{example}: strace saw nothing\n{log}");
    }
}

/// A new example is built here, or known to need nothing but itself.
#[test]
fn every_example_is_tested() {
    const OTHERS: &[&str] = &["empty-disk", "files", "formats", "hello", "own-sector", "presets"];
    let known = BUILT.iter().map(|(name, _)| name).chain(OTHERS).copied();
    let known: BTreeSet<String> = known.map(str::to_owned).collect();
    let entries = fs::read_dir(EXAMPLES).unwrap();
    let names = entries.filter_map(|entry| {
        entry.unwrap().file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned)
    });
    assert_eq!(names.collect::<BTreeSet<_>>(), known);
}
