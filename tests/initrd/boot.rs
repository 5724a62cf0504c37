//! Linux unpacks our archives: a program in each tells the sum of a file that is larger than 32 MiB.

use sha2::{Digest as _, Sha256};
use vmimage::engine::base::tree::{Time, TreePath};
use vmimage::engine::base::{Content, Origin, Scratch, Silent, Work};
use vmimage::engine::initrd::{Compression, Extra, Member, join, newc, place};

use crate::machine::{boot, small};
use crate::packed::mixed;

/// Bytes of the file: more than 32 MiB.
const LEN: usize = 36 << 20;

const INIT: &str = "echo sum=$(busybox sha256sum /big) links=$(busybox stat -c %h /big) \
                    time=$(busybox stat -c %Y /big)";

/// What a guest prints whose big file has these bytes.
fn printed(big: Vec<u8>, compression: Compression) -> String {
    let mut tree = small(INIT);
    let (time, origin) = (Time { seconds: 1_600_000_000, nanos: 0 }, Origin::new("test"));
    let path = TreePath::new(b"big").unwrap();
    let extra =
        Extra::File { path: path.clone(), content: Content::Bytes(big.into()), mode: 0o600 };
    place(&mut tree, extra, time, &origin).unwrap();
    let file = tree.find(&path).unwrap();
    let name = vmimage::engine::base::tree::Name::new(b"also").unwrap();
    tree.link(vmimage::engine::base::tree::Tree::ROOT, name, file).unwrap();
    let scratch = Scratch::new(&std::env::temp_dir(), 1 << 30);
    let work = Work { threads: 2, progress: &Silent };
    let member =
        Member::build(&tree, &newc::Params::default(), compression, &scratch, &work).unwrap();
    boot(&*join(vec![member]).unwrap(), 256)
}

fn boots(compression: Compression) {
    let big = mixed(11, LEN);
    let sum = hex::encode(Sha256::digest(&big));
    let log = printed(big, compression);
    let wanted = format!("sum={sum} /big links=2 time=1600000000");
    assert!(log.contains(&wanted), "{compression}: no {wanted} in\n{log}");
    assert!(!log.contains("junk"), "{log}");
}

#[test]
fn linux_takes_an_archive_as_it_is() {
    boots(Compression::None);
}

#[test]
fn linux_takes_gzip() {
    boots(Compression::Gzip);
}

#[test]
fn linux_takes_xz() {
    boots(Compression::Xz);
}

#[test]
fn linux_takes_zstd() {
    boots(Compression::Zstd);
}

#[test]
fn linux_takes_lz4() {
    boots(Compression::Lz4);
}

/// The guest computes what it prints: with other bytes it prints another sum.
#[test]
fn a_file_of_zeros_has_another_sum() {
    let sum = hex::encode(Sha256::digest(mixed(11, LEN)));
    let log = printed(vec![0; LEN], Compression::Zstd);
    let zeros = hex::encode(Sha256::digest(vec![0; LEN]));
    assert!(!log.contains(&sum) && log.contains(&zeros), "{log}");
}
