//! Kernels of any bytes: NetBSD's, Multiboot's, Linux'.
//!
//! Invariants judged here: what `restore` gives is the kernel that `apply` was given, where nothing
//! was disabled in it; `apply` twice is `apply` once; a changed kernel differs in states alone.

use std::sync::Arc;

use vmimage::engine::base::{ByteSource, Scratch, SectorSource};
use vmimage::engine::bootloader::efi::{self, Machine};
use vmimage::engine::bootloader::grub::kernel::{self, Version};
use vmimage::engine::transform::netbsd;

use crate::all;

/// Bytes that a packed kernel may unpack to here.
const MOST: u64 = 8 << 20;

/// Shows one input to every reader: their magic numbers tell it apart. How many took it.
pub fn run(data: &[u8]) -> usize {
    let mut taken = 0;
    for version in [Version::One, Version::Two] {
        if let Ok(found) = kernel::multiboot(data, version, "the kernel") {
            let (from, to) = found.memory;
            assert!(from >= 1 << 20 && from <= found.entry && found.entry < to && to <= 1 << 32);
            taken += 1;
        }
    }
    taken += usize::from(kernel::linux(data, "the kernel").is_ok());
    let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(data.to_vec()));
    for machine in Machine::ALL {
        taken += usize::from(efi::kernel(source.as_ref(), machine).is_ok());
    }
    let scratch = Scratch::new(&std::env::temp_dir(), MOST);
    if let Ok(unpacked) = netbsd::gunzip(&source, &scratch) {
        taken += usize::from(netbsd(&unpacked, data.len()));
    }
    taken
}

fn netbsd(kernel: &Arc<dyn SectorSource>, choice: usize) -> bool {
    let Ok(seen) = netbsd::look(kernel.as_ref()) else { return false };
    let all_names = seen.kept.iter().chain(&seen.disabled).map(|driver| driver.name.clone());
    let mut names: Vec<_> = all_names.collect();
    names.dedup();
    // Half of them are kept: which half the input's length says.
    let keep: Vec<_> = names.iter().skip(choice % 2).step_by(2).cloned().collect();
    let restored = netbsd::restore(kernel).expect("a table that is understood is restored").kernel;
    let original = all(kernel.as_ref());
    if seen.disabled.is_empty() {
        assert_eq!(all(restored.as_ref()), original, "restoring what nothing was disabled in");
    }
    let Ok(once) = netbsd::apply(kernel, &keep) else {
        assert!(keep.is_empty() || !names.contains(&keep[0]), "{keep:?} of {names:?} is refused");
        return true;
    };
    let changed = all(once.kernel.as_ref());
    let differ = original.iter().zip(&changed).filter(|(one, other)| one != other);
    assert!(differ.clone().all(|(one, other)| *one <= 4 && *other <= 4), "more than states differ");
    // Where all is enabled, nothing may tell the two layouts apart any more.
    if once.report.disabled.is_empty() && netbsd::look(once.kernel.as_ref()).is_err() {
        return true;
    }
    let twice = netbsd::apply(&once.kernel, &keep).expect("what was applied is applied again");
    assert_eq!(all(twice.kernel.as_ref()), changed, "applying {keep:?} twice");
    assert_eq!(twice.report, once.report);
    let back = netbsd::restore(&once.kernel).expect("what was applied is restored");
    assert_eq!(all(back.kernel.as_ref()), all(restored.as_ref()), "restoring {keep:?}");
    true
}
