//! A Linux guest mounts every filesystem that we write and sees the tree, writes to those that can
//! be written, and reads our partition tables.
//!
//! Invariant: what the guest tells is computed by its kernel and by GNU tools, never by us.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "../support/guest.rs"]
mod guest;
#[path = "../support/listing.rs"]
mod listing;
#[path = "../support/tool.rs"]
mod tool;
#[path = "../support/trees.rs"]
mod trees;

mod seen;
mod tables;
mod written;

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use trees::Grower;
use uuid::Uuid;
use vmimage::engine::base::{Extent, Placement, Scratch, SectorSource, Silent, Work};
use vmimage::engine::filesystem::{self, Identity, Params, Request, Room};

const WORK: Work<'_> = Work { threads: 2, progress: &Silent };

const TIGHT: Room = Room::Fit { percent: 0, bytes: 0 };

/// Writes a filesystem to a file.
fn build(params: &Params, tree: Grower, room: Room, file: &Path) -> u64 {
    let scratch = Scratch::new(file.parent().unwrap(), 8 << 30);
    let request = Request {
        tree: Arc::new(tree.tree),
        identity: Identity { label: None, uuid: None, seed: Uuid::from_u128(7) },
        room,
        time: trees::MOMENT,
        sector: 512,
        scratch: &scratch,
        work: WORK,
    };
    let planned = filesystem::plan(params, &request).unwrap();
    let len = planned.len();
    let place = Placement { extents: vec![Extent::new(0, len).unwrap()], medium: len, volume: 0 };
    let source = planned.render(&place).unwrap();
    assert_eq!(source.len(), len);
    store(source.as_ref(), file);
    len
}

/// Writes the extents of a medium to a sparse file.
fn store(source: &dyn SectorSource, file: &Path) {
    let out = fs::File::create(file).unwrap();
    out.set_len(source.len()).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for extent in source.extents() {
        let mut at = extent.start();
        while at < extent.end() {
            let now = (extent.end() - at).min(buffer.len() as u64) as usize;
            source.read_at(at, &mut buffer[..now]).unwrap();
            out.file().write_all_at(&buffer[..now], at).unwrap();
            at += now as u64;
        }
    }
}

/// The guest's name of the disk with this number of ours.
fn device(number: usize) -> String {
    let letter = char::from(b'c' + number as u8);
    format!("/dev/vd{letter}")
}
