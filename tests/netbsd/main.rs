//! The transform of NetBSD kernels on tables compiled from C, read back by gdb; on a real kernel
//! where `NETBSD_KERNEL` names one (plain or gzip).
//!
//! Invariant: what a kernel holds after the transform is what gdb says it holds.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod fixture;
mod refused;
#[path = "../support/tool.rs"]
mod tool;

use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::{ByteSource, FileSource, Scratch, SectorSource};
use vmimage::engine::transform::netbsd::{self, Layout, Machine};

use fixture::{GOOD, bytes, compile, gdb, kernel, names, source};

/// What is kept: `com` is no prefix of `com0x`, and `nfe` is not in the kernel.
const KEEP: &str = "mainbus cpu pci com ld vioif nfe";

#[test]
fn gdb_sees_the_drivers_disabled_and_enabled_again() {
    let desk = tempfile::tempdir().unwrap();
    for kind in GOOD {
        let path = compile(kind, desk.path(), true);
        let before = gdb(&path);
        assert_eq!(before.len(), 11, "{kind:?}");
        let original = fs::read(&path).unwrap();
        let made = netbsd::apply(&source(&original), &names(KEEP)).unwrap();
        let after = bytes(made.kernel.as_ref());
        let changed = desk.path().join("changed");
        fs::write(&changed, &after).unwrap();
        let kept = names(KEEP);
        let wanted: Vec<_> = before
            .iter()
            .map(|(name, unit, state)| match (kept.contains(name), state) {
                (true, _) => (name.clone(), *unit, *state),
                (false, 0) => (name.clone(), *unit, 4),
                (false, 2) => (name.clone(), *unit, 3),
                other => panic!("{name}: {other:?}"),
            })
            .collect();
        assert_eq!(gdb(&changed), wanted, "{kind:?}");
        // com0x, wd twice, we: four bytes, and the file keeps its length.
        assert_eq!(after.len(), original.len());
        let differ = original.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert_eq!(differ, 4, "{kind:?}");
        let restored = netbsd::restore(&source(&after)).unwrap();
        assert_eq!(bytes(restored.kernel.as_ref()), original, "{kind:?}");
        assert!(restored.report.disabled.is_empty());
    }
}

#[test]
fn the_report_names_what_is_kept_disabled_and_unknown() {
    for kind in GOOD {
        let original = source(&kernel(kind));
        let made = netbsd::apply(&original, &names(KEEP)).unwrap();
        let told = |drivers: &[netbsd::Driver]| {
            let one = |d: &netbsd::Driver| format!("{} {}", d.name, d.entries);
            drivers.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let report = &made.report;
        assert_eq!(told(&report.kept), "com 2, cpu 1, ld 1, mainbus 1, pci 1, vioif 1");
        assert_eq!(told(&report.disabled), "com0x 1, wd 2, we 1");
        assert_eq!(report.unknown, ["nfe"]);
        let roots: Vec<_> = report.kept.iter().filter(|d| d.root).map(|d| &d.name).collect();
        assert_eq!(roots, ["mainbus"]);
        let machine = if kind.wide { Machine::Amd64 } else { Machine::I386 };
        let layout = if kind.layout == 9 { Layout::Netbsd9 } else { Layout::Netbsd10 };
        assert_eq!((report.machine, report.layout), (machine, layout));
        let seen = netbsd::look(made.kernel.as_ref()).unwrap();
        assert_eq!((&seen.kept, &seen.disabled), (&report.kept, &report.disabled));
        let untouched = netbsd::look(original.as_ref()).unwrap();
        assert!(untouched.disabled.is_empty() && untouched.kept.len() == 9);
    }
}

#[test]
fn twice_is_once_and_the_last_names_win() {
    for kind in GOOD {
        let original = source(&kernel(kind));
        let once = netbsd::apply(&original, &names(KEEP)).unwrap();
        let twice = netbsd::apply(&once.kernel, &names(KEEP)).unwrap();
        assert_eq!(bytes(once.kernel.as_ref()), bytes(twice.kernel.as_ref()));
        assert_eq!(once.report, twice.report);
        let others = names("mainbus wd");
        let direct = netbsd::apply(&original, &others).unwrap();
        let behind = netbsd::apply(&once.kernel, &others).unwrap();
        assert_eq!(bytes(direct.kernel.as_ref()), bytes(behind.kernel.as_ref()));
    }
}

#[test]
fn the_state_is_where_kstrip_wrote_it() {
    // On i386 until NetBSD 9 kstrip wrote to the address of the entry plus 10.
    let desk = tempfile::tempdir().unwrap();
    let path = compile(GOOD[0], desk.path(), true);
    let at = tool::run("binutils", "nm", &[&path.display().to_string()]);
    let table = at.lines().find_map(|line| line.strip_suffix(" D cfdata")).unwrap();
    let table = u64::from_str_radix(table, 16).unwrap();
    let sections = tool::run("binutils", "objdump", &["-h", &path.display().to_string()]);
    let data = sections.lines().find(|line| line.contains(" .data ")).unwrap();
    let number =
        |n: usize| u64::from_str_radix(data.split_whitespace().nth(n).unwrap(), 16).unwrap();
    let (address, offset) = (number(3), number(5));
    let original = fs::read(&path).unwrap();
    let made = netbsd::apply(&source(&original), &names(KEEP)).unwrap();
    let after = bytes(made.kernel.as_ref());
    let places: Vec<_> =
        (0..original.len()).filter(|i| original[*i] != after[*i]).map(|i| i as u64).collect();
    // com0x, wd, wd and we are the entries 5, 6, 7 and 10 of 24 bytes.
    let wanted = [5, 6, 7, 10].map(|entry| table + entry * 24 + 10 - address + offset);
    assert_eq!(places, wanted);
}

#[test]
fn gzip_is_taken_off_within_a_bound() {
    let desk = tempfile::tempdir().unwrap();
    let path = compile(GOOD[1], desk.path(), false);
    let plain = fs::read(&path).unwrap();
    tool::run("gzip", "gzip", &["-9n", &path.display().to_string()]);
    let packed = fs::read(
        path.with_file_name(format!("{}.gz", path.file_name().unwrap().to_str().unwrap())),
    )
    .unwrap();
    let scratch = Scratch::new(desk.path(), 1 << 30);
    let unpacked = netbsd::gunzip(&source(&packed), &scratch).unwrap();
    assert_eq!(bytes(unpacked.as_ref()), plain);
    assert!(netbsd::apply(&unpacked, &names(KEEP)).is_ok());
    assert_eq!(bytes(netbsd::gunzip(&source(&plain), &scratch).unwrap().as_ref()), plain);
    assert_eq!(netbsd::gunzip(&source(b"\x1f"), &scratch).unwrap().len(), 1);
    let packed_is_refused = netbsd::apply(&source(&packed), &names(KEEP)).unwrap_err().to_string();
    assert!(packed_is_refused.contains("1f8b0800"), "{packed_is_refused}");

    let cut = &packed[..packed.len() - 9];
    assert!(netbsd::gunzip(&source(cut), &scratch).is_err());
    let huge = desk.path().join("huge");
    fs::File::create(&huge).unwrap().file().set_len(netbsd::LARGEST + 1).unwrap();
    tool::run("gzip", "gzip", &["-1", &huge.display().to_string()]);
    let huge = fs::read(desk.path().join("huge.gz")).unwrap();
    let error = netbsd::gunzip(&source(&huge), &scratch).unwrap_err().to_string();
    assert!(error.contains("268435456"), "{error}");
}

/// Without a real kernel nothing is said about one; docs/netbsd.md says so, too.
#[test]
fn a_real_kernel_where_one_is_given() {
    let Ok(path) = std::env::var("NETBSD_KERNEL") else { return };
    let desk = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(desk.path(), 1 << 30);
    let file: Arc<dyn SectorSource> = Arc::new(FileSource::open(path.as_ref()).unwrap());
    let plain = netbsd::gunzip(&file, &scratch).unwrap();
    let keep = "mainbus cpu acpicpu ioapic pci isa pcdisplay wsdisplay com virtio ld vioif";
    let made = netbsd::apply(&plain, &names(keep)).unwrap();
    assert!(made.report.disabled.len() > 20, "{:?}", made.report);
    let original = bytes(plain.as_ref());
    let held: Arc<dyn SectorSource> = Arc::new(ByteSource::new(bytes(made.kernel.as_ref())));
    assert_eq!(bytes(netbsd::restore(&held).unwrap().kernel.as_ref()), original);
}
