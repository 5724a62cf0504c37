//! Everything a user can do with an untrusted image, in bounded steps.
//!
//! A panic, a hang or too much memory is the fuzzer's to see. Invariant judged here: extents are
//! in order and inside of the disk, and reading a place twice gives the same.

use std::sync::Arc;

use vmimage::engine::base::{Deny, SectorSource, Silent, Work};
use vmimage::engine::format::{self, FormatName};

/// Extents looked at: a file may name millions.
const EXTENTS: usize = 64;

/// Bytes read at once.
const READ: u64 = 96 << 10;

/// Opens the file and uses all that it offers.
pub fn exercise(source: Arc<dyn SectorSource>, format: FormatName) {
    let Ok(image) = format::open(source, format, &Deny) else { return };
    let _details = image.details();
    let _params = image.params();
    let _census = image.census();
    let _findings = image.check(&Work { threads: 1, progress: &Silent });
    let len = image.len();
    for at in [0, len / 2, len.saturating_sub(READ)] {
        read(&*image, at);
    }
    let mut at = 0;
    for _ in 0..EXTENTS {
        let Some(extent) = image.next_extent(at) else { break };
        assert!(extent.start() >= at && extent.end() <= len, "{extent:?} after {at} of {len}");
        read(&*image, extent.start());
        at = extent.end();
    }
    assert!(image.read_at(len, &mut [0]).is_err(), "a byte behind the end is read");
}

fn read(image: &dyn SectorSource, at: u64) {
    let len = image.len().saturating_sub(at).min(READ) as usize;
    let (mut first, mut second) = (vec![0x11; len], vec![0x22; len]);
    let once = image.read_at(at, &mut first).is_ok();
    assert_eq!(image.read_at(at, &mut second).is_ok(), once, "at {at}");
    assert!(!once || first == second, "two reads at {at} differ");
}
