//! `--cache`: the same bytes with and without, whatever the cache holds.
//!
//! Needs GRUB's files (grub-pc-bin).

use fs_err as fs;

use crate::support::{Desk, document, sha256sum};

/// A disk with GRUB, whose core image is what the cache keeps.
fn desk() -> Desk {
    let desk = Desk::new();
    let text = "  architecture: i386
  boot: {grub: {firmware: [bios], entries: [{title: none, commands: halt}]}}
  disk:
    size: 4Mi
    partitionTable: MBR
    partitions:
    - {name: root, type: linux, filesystem: {type: ext2}, contents: [{directory: {path: /etc}}]}
";
    desk.write("d.yaml", document(text));
    desk
}

fn build(desk: &Desk, out: &str, more: &[&str]) -> Vec<u8> {
    let arguments = [&["build", "-f", "d.yaml", "-o", out], more].concat();
    desk.run(&arguments).ok();
    [format!("{out}/hello.raw"), format!("{out}/hello.build.json")]
        .map(|name| desk.read(&name))
        .concat()
}

/// The one entry of the cache.
fn entry(desk: &Desk) -> std::path::PathBuf {
    let entries = fs::read_dir(desk.path("cache")).unwrap().map(|entry| entry.unwrap().path());
    let entries: Vec<_> = entries.collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

#[test]
fn it_changes_no_byte_and_mends_itself() {
    let desk = desk();
    let plain = build(&desk, "plain", &[]);
    let cached = |out| build(&desk, out, &["--cache", "cache"]);
    assert!(cached("first") == plain);
    let kept = fs::read(entry(&desk)).unwrap();
    assert!(kept.len() > 50_000);
    assert!(cached("second") == plain);
    for at in [0, 40, kept.len() - 1] {
        let mut bad = kept.clone();
        bad[at] ^= 0x10;
        fs::write(entry(&desk), &bad).unwrap();
        assert!(cached("damaged") == plain, "byte {at}");
        assert!(fs::read(entry(&desk)).unwrap() == kept, "byte {at}");
    }
    fs::write(entry(&desk), &kept[..100]).unwrap();
    assert!(cached("short") == plain);
    // Another core image is another entry.
    desk.run(&["build", "-f", "d.yaml", "-o", "x", "--cache", "cache"]).ok();
    entry(&desk);
    let set = "spec.boot.grub.modules=[\"echo\"]";
    desk.run(&["build", "-f", "d.yaml", "-o", "x", "--cache", "cache", "--set", set]).ok();
    assert_eq!(fs::read_dir(desk.path("cache")).unwrap().count(), 2);
}

#[test]
fn what_is_kept_is_what_is_used() {
    let desk = desk();
    let plain = build(&desk, "plain", &["--cache", "cache"]);
    // An entry that is whole and holds other bytes: whoever writes the directory decides.
    let path = entry(&desk);
    let key = path.file_name().unwrap().to_str().unwrap().rsplit('-').next().unwrap().to_owned();
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16))
            .map(Result::unwrap)
            .collect()
    };
    let mut body = fs::read(&path).unwrap().split_off(32);
    body[1000] ^= 1;
    desk.write("sealed", [hex(&key), body.clone()].concat());
    let seal = hex(&sha256sum(&desk.path("sealed"))["sha256:".len()..]);
    fs::write(&path, [seal, body].concat()).unwrap();
    assert!(build(&desk, "other", &["--cache", "cache"]) != plain);
}

#[test]
fn many_builds_at_once_share_one() {
    let desk = desk();
    let plain = build(&desk, "plain", &[]);
    let outs = ["a", "b", "c", "d"];
    let builds = outs.map(|out| {
        desk.command(&["build", "-f", "d.yaml", "-o", out, "--cache", "cache"]).spawn().unwrap()
    });
    for (mut build, out) in builds.into_iter().zip(outs) {
        assert!(build.wait().unwrap().success());
        let made =
            ["hello.raw", "hello.build.json"].map(|name| desk.read(&format!("{out}/{name}")));
        assert!(made.concat() == plain);
    }
    entry(&desk);
}

#[test]
fn one_that_cannot_be_made_is_refused_and_one_that_cannot_be_written_is_not() {
    let desk = desk();
    desk.write("file", "");
    let ran = desk.run(&["build", "-f", "d.yaml", "--cache", "file/cache"]);
    assert_eq!(ran.code, Some(74), "{ran:?}");
    assert!(ran.err.contains("making the cache file/cache"), "{}", ran.err);
    // A directory stands where the entry belongs: nothing can be kept.
    let plain = build(&desk, "plain", &["--cache", "cache"]);
    let path = entry(&desk);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(build(&desk, "again", &["--cache", "cache"]) == plain);
}
