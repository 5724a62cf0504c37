//! Archives of any bytes: unpacked into a tree, under limits.
//!
//! Invariant: the first byte chooses the format, or that it is guessed.

use std::sync::Arc;

use vmimage::engine::archive::Format;
use vmimage::engine::base::tree::{Limits, Meta, Time, Tree};
use vmimage::engine::base::{ByteSource, Origin, Scratch};
use vmimage::engine::payload::{self, Unpack};

/// What an archive may hold at most.
const LIMITS: Limits =
    Limits { nodes: 10_000, file: 1 << 40, total: 8 << 20, attributes: 1 << 16, depth: 64 };

/// Unpacks an archive.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let format = Format::ALL.get(usize::from(*kind) % (Format::ALL.len() + 1)).copied();
    let options = Unpack { format, limits: LIMITS, ..Unpack::default() };
    let origin = Origin::new("fuzz");
    let mut tree = Tree::new(Meta::directory(Time::default()), origin.clone());
    let scratch = Scratch::new(&std::env::temp_dir(), 64 << 20);
    let source = Arc::new(ByteSource::new(rest.to_vec()));
    let _summary = payload::unpack(&mut tree, source, &options, &scratch, &origin);
    assert!(tree.walk().count() <= 64 * LIMITS.nodes, "more names than entries can make");
}
