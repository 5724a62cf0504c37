//! One byte changed anywhere in the metadata: told, or read as it is; never a panic or a hang.
//!
//! Invariant: with checksums, no change of what describes files goes by unseen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vmimage::engine::base::tree::{Kind, Limits};
use vmimage::engine::base::{ByteSource, SectorSource};
use vmimage::engine::filesystem::ext::{self, Params, Variant};

use crate::same::{Seen, seen};
use crate::sample::{META, attributes, bytes, holes, link, noise, put, render, tree};
use crate::written::FIT;

fn image(params: &Params) -> Vec<u8> {
    let mut tree = tree();
    put(&mut tree, b"a/file", bytes(b"contents"), META);
    put(&mut tree, b"a/link", link(b"to"), META);
    let slow = put(&mut tree, b"a/slow", link(&[b's'; 80]), META);
    attributes(&mut tree, slow, &[("user.long", &noise(300, 1)), ("user.x", b"y")]);
    let comb = (0..8).map(|n| (n * 4096, noise(100, n as u32))).collect();
    put(&mut tree, b"comb", holes(8 * 4096, comb), META);
    for n in 0..30 {
        put(&mut tree, format!("many/{n:060}").as_bytes(), Kind::Fifo, META);
    }
    let source = render(&Arc::new(tree), params, FIT);
    let mut all = vec![0; source.len() as usize];
    source.read_at(0, &mut all).unwrap();
    all
}

/// Everything the reader says, contents included; none if it refuses.
fn look(bytes: Vec<u8>) -> Option<Seen> {
    let medium: Arc<dyn SectorSource> = Arc::new(ByteSource::new(bytes));
    ext::look(medium.as_ref()).ok()??;
    let limits = Limits { file: 1 << 30, total: 1 << 30, ..Limits::default() };
    let tree = ext::read(medium, &limits).ok()?;
    for step in tree.walk() {
        // `seen` would panic on contents that cannot be read: ask first.
        if let Kind::File(vmimage::engine::base::Content::Sectors(source)) =
            &tree.node(step.node).kind
        {
            let mut buffer = [0; 4096];
            for extent in source.extents().take(1000) {
                let len = extent.len().min(4096) as usize;
                source.read_at(extent.start(), &mut buffer[..len]).ok()?;
            }
        }
    }
    Some(seen(&tree, true))
}

#[test]
fn a_changed_byte_is_told_or_harmless() {
    let toggles = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    for (variant, list) in [
        (Variant::Ext4, &["-resize_inode", "-has_journal"][..]),
        (Variant::Ext2, &["-resize_inode"]),
    ] {
        let params = Params { variant, toggles: toggles(list), ..Params::default() };
        let good = image(&params);
        let mut expected = look(good.clone()).unwrap();
        expected.retain(|path, _| !["/a/file", "/a/slow", "/comb"].contains(&path.as_str()));
        let begin = Instant::now();
        let mut told = 0;
        let mut tried = 0;
        let mut unseen = Vec::new();
        // Every byte that is not zero, and some of the others.
        for at in (1024..good.len()).filter(|at| good[*at] != 0 || at % 331 == 0) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            tried += 1;
            match look(bad) {
                None => told += 1,
                // Contents and the text of slow links have no checksum.
                Some(mut seen) => {
                    for path in ["/a/file", "/a/slow", "/comb"] {
                        seen.remove(path);
                    }
                    if seen != expected {
                        unseen.push(at);
                    }
                }
            }
        }
        eprintln!("{variant:?}: {told} of {tried} told, {} unseen", unseen.len());
        assert!(begin.elapsed() < Duration::from_secs(60));
        assert!(told > 200);
        if variant == Variant::Ext4 {
            assert_eq!(unseen, [0; 0], "changes that are not of contents");
        }
    }
}

#[test]
fn noise_is_no_filesystem() {
    for seed in 0..50 {
        let mut bytes = noise(64 << 10, seed);
        assert!(look(bytes.clone()).is_none());
        // With the magic number it is one that cannot be.
        bytes[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        let medium = ByteSource::new(bytes);
        assert!(ext::look(&medium).is_err());
    }
    assert!(ext::look(&ByteSource::new(vec![0; 100])).unwrap().is_none());
}
