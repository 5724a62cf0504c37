//! Several archives in one initrd, and the early one.

use std::process::Command;

use fs_err as fs;
use sha2::{Digest as _, Sha256};
use vmimage::engine::base::tree::{Meta, Time, Tree, TreePath};
use vmimage::engine::base::{Content, Origin, Scratch, Silent, Work};
use vmimage::engine::initrd::{Compression, Extra, Member, early, join, newc, place};

use crate::machine::{boot, small};
use crate::newc::bytes;
use crate::tool::run;
use crate::trees::noise;

const MICROCODE: &str = "kernel/x86/microcode/GenuineIntel.bin";

fn with_file(mut tree: Tree, path: &str, bytes: Vec<u8>) -> Tree {
    let path = TreePath::new(path.as_bytes()).unwrap();
    let extra = Extra::File { path, content: Content::Bytes(bytes.into()), mode: 0o644 };
    place(&mut tree, extra, Time::default(), &Origin::new("test")).unwrap();
    tree
}

fn empty() -> Tree {
    Tree::new(Meta::directory(Time::default()), Origin::new("test"))
}

fn member(tree: &Tree, compression: Compression) -> Member {
    let scratch = Scratch::new(&std::env::temp_dir(), 1 << 30);
    let work = Work { threads: 2, progress: &Silent };
    Member::build(tree, &newc::Params::default(), compression, &scratch, &work).unwrap()
}

/// Linux finds all of: the early archive, one of each form, and the one with /init, last.
#[test]
fn linux_takes_one_archive_after_the_other() {
    let microcode = noise(40, 70_001);
    let init = format!("cd /; busybox sha256sum {MICROCODE} none gzip xz zstd lz4 both");
    let mut members =
        vec![early(&with_file(empty(), MICROCODE, microcode.clone()), newc::Times::Own).unwrap()];
    let mut wanted = vec![(MICROCODE.to_owned(), microcode)];
    for (seed, compression) in (50..).zip(Compression::ALL) {
        let content = noise(seed, 100_000 + seed as usize);
        let tree = with_file(empty(), compression.as_str(), content.clone());
        // The later archive wins.
        let tree = with_file(tree, "both", content.clone());
        wanted.push((compression.to_string(), content));
        members.push(member(&tree, compression));
    }
    wanted.push(("both".to_owned(), noise(60, 9)));
    members.push(member(&with_file(small(&init), "both", noise(60, 9)), Compression::Gzip));
    let log = boot(&*join(members).unwrap(), 128);
    for (name, content) in wanted {
        let line = format!("{}  {name}", hex::encode(Sha256::digest(&content)));
        assert!(log.contains(&line), "no {line} in\n{log}");
    }
}

/// The body of an early archive begins at a multiple of 16, and tools list it under its plain name.
#[test]
fn microcode_lies_where_processors_take_it() {
    let directory = tempfile::tempdir().unwrap();
    for len in [1, 2048, 70_001] {
        let code = noise(40, len);
        let tree = with_file(empty(), MICROCODE, code.clone());
        let tree = with_file(tree, "kernel/x86/microcode/AuthenticAMD.bin", code.clone());
        let early = early(&tree, newc::Times::Own).unwrap();
        let archive = bytes(&**early.bytes());
        let found: Vec<_> = if len > 100 {
            archive
                .windows(32)
                .enumerate()
                .filter(|(_, w)| *w == &code[..32])
                .map(|(at, _)| at)
                .collect()
        } else {
            Vec::new()
        };
        assert_eq!(found.len(), if len > 100 { 2 } else { 0 });
        assert!(found.iter().all(|at| at % 16 == 0), "{found:?}");
        let file = directory.path().join("early");
        fs::write(&file, &archive).unwrap();
        let listed = run(Command::new("bsdtar").arg("-tf").arg(&file));
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.lines().any(|line| line == MICROCODE), "{listed}");
        let body = run(Command::new("bsdtar").arg("-xOf").arg(&file).arg(MICROCODE));
        assert!(body == code);
    }
}

#[test]
fn members_begin_at_blocks_behind_zeros() {
    let tree = with_file(empty(), "f", noise(1, 1000));
    let parts: Vec<Member> = Compression::ALL.map(|c| member(&tree, c)).into();
    let lens: Vec<_> = parts.iter().map(|part| part.bytes().len()).collect();
    let whole = bytes(&*join(parts.clone()).unwrap());
    let mut at = 0;
    for (part, len) in parts.iter().zip(&lens) {
        let (from, to) = (at as usize, (at + len) as usize);
        assert!(whole[from..to] == bytes(&**part.bytes()));
        let next = (at + len).next_multiple_of(512);
        let gap = whole[to..(next as usize).min(whole.len())].iter();
        assert!(gap.clone().all(|byte| *byte == 0));
        at = if at > 0 && next - (at + len) < 4 { next + 512 } else { next };
    }
    let error = join(Vec::new()).unwrap_err().to_string();
    assert_eq!(error, "an initrd has at least one archive");
    let nothing = Member::ready(
        std::sync::Arc::new(vmimage::engine::base::ByteSource::new(Vec::new())),
        Origin::new("spec.boot.direct.initrd"),
    );
    let error = join(vec![nothing, parts[0].clone()]).unwrap_err();
    assert_eq!(error.origin().unwrap().as_str(), "spec.boot.direct.initrd");
}
