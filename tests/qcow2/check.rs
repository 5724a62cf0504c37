//! Damaged files: what our check counts against what qemu's counts.

use std::path::Path;

use fs_err as fs;
use vmimage::engine::base::SectorSource as _;
use vmimage::engine::format::Severity;

use super::qemu_img::{output, qemu_img, run, text};
use super::{findings, open};

const CLUSTER: u64 = 65_536;

/// A file with its tables, for patches.
struct Victim {
    bytes: Vec<u8>,
    l2: u64,
    refcount_table: u64,
    block: u64,
}

impl Victim {
    fn new(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let number = |at: u64| u64::from_be_bytes(bytes[at as usize..][..8].try_into().unwrap());
        let (l1, refcount_table) = (number(40), number(48));
        let (l2, block) = (number(l1) & 0x00ff_ffff_ffff_fe00, number(refcount_table));
        Self { bytes, l2, refcount_table, block }
    }

    fn number(&self, at: u64) -> u64 {
        u64::from_be_bytes(self.bytes[at as usize..][..8].try_into().unwrap())
    }

    fn set(&mut self, at: u64, value: u64) {
        self.bytes[at as usize..][..8].copy_from_slice(&value.to_be_bytes());
    }

    fn set_count(&mut self, cluster: u64, count: u16) {
        self.bytes[(self.block + cluster * 2) as usize..][..2]
            .copy_from_slice(&count.to_be_bytes());
    }

    /// The cluster that the L2 entry `n` points to.
    fn data(&self, n: u64) -> u64 {
        (self.number(self.l2 + n * 8) & 0x00ff_ffff_ffff_fe00) / CLUSTER
    }
}

/// (corruptions, leaks) as qemu-img counts them.
fn theirs(path: &Path) -> (u64, u64) {
    let args = ["check", "--output=json", "-f", "qcow2", text(path)];
    let output = output("qemu-img", "qemu-utils", &args);
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let count = |name: &str| report.get(name).map_or(0, |n| n.as_u64().unwrap());
    (count("corruptions"), count("leaks"))
}

/// A damage: its name, and how it is done.
type Damage = (&'static str, fn(&mut Victim));

const DAMAGES: &[Damage] = &[
    ("nothing", |_| {}),
    ("count of a data cluster is 0", |v| v.set_count(v.data(1), 0)),
    ("count of a data cluster is 2", |v| v.set_count(v.data(1), 2)),
    ("count of the header is 0", |v| v.set_count(0, 0)),
    ("count of an L2 table is 0", |v| v.set_count(v.l2 / CLUSTER, 0)),
    ("count of the refcount table is 7", |v| v.set_count(v.refcount_table / CLUSTER, 7)),
    ("clusters behind the end of all are counted", |v| {
        let end = v.bytes.len() as u64;
        v.bytes.resize((end + 3 * CLUSTER) as usize, 0);
        v.set_count(end.div_ceil(CLUSTER), 1);
        v.set_count(end.div_ceil(CLUSTER) + 1, 5);
    }),
    ("two entries share a cluster", |v| v.set(v.l2 + 8, v.number(v.l2))),
    ("an entry is forgotten", |v| v.set(v.l2 + 8, 0)),
    ("bit 63 of an L2 entry is missing", |v| v.set(v.l2 + 8, v.number(v.l2 + 8) & !(1 << 63))),
    ("bit 63 of an L1 entry is missing", |v| {
        let l1 = v.number(40);
        v.set(l1, v.number(l1) & !(1 << 63));
    }),
    ("an entry points to the L2 table itself", |v| v.set(v.l2 + 8, 1 << 63 | v.l2)),
    ("an entry is not aligned", |v| v.set(v.l2 + 8, v.number(v.l2 + 8) + 512)),
    ("an entry points behind the end", |v| v.set(v.l2 + 8, 1 << 63 | 1 << 40)),
    ("a new entry points into nothing, not counted", |v| {
        let end = (v.bytes.len() as u64).next_multiple_of(CLUSTER);
        v.bytes.resize((end + CLUSTER) as usize, 0);
        v.set(v.l2 + 40 * 8, 1 << 63 | end);
    }),
];

#[test]
fn damage_is_counted_as_qemu_counts_it() {
    let directory = tempfile::tempdir().unwrap();
    for snapshot in [false, true] {
        let good = directory.path().join(format!("good-{snapshot}"));
        qemu_img(&["create", "-q", "-f", "qcow2", text(&good), "16M"]);
        let fill =
            ["-f", "qcow2", "-c", "write -P 1 0 1M", "-c", "write -P 2 4M 128k", text(&good)];
        run("qemu-io", "qemu-utils", &fill);
        if snapshot {
            qemu_img(&["snapshot", "-c", "one", text(&good)]);
            run("qemu-io", "qemu-utils", &["-f", "qcow2", "-c", "write -P 3 0 256k", text(&good)]);
        }
        for (name, damage) in DAMAGES {
            let mut victim = Victim::new(&good);
            damage(&mut victim);
            let path = directory.path().join("bad");
            fs::write(&path, &victim.bytes).unwrap();
            let found = findings(&open(&path));
            let ours = (found.errors, found.leaks);
            assert_eq!(ours, theirs(&path), "{name}, snapshot {snapshot}: {found:#?}");
            assert_eq!(found.is_clean(), *name == "nothing");
        }
    }
}

#[test]
fn findings_say_where_and_what() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    qemu_img(&["create", "-q", "-f", "qcow2", text(&path), "1M"]);
    run("qemu-io", "qemu-utils", &["-f", "qcow2", "-c", "write -P 1 0 128k", text(&path)]);
    let mut victim = Victim::new(&path);
    let data = victim.data(1);
    victim.set_count(data, 0);
    fs::write(&path, &victim.bytes).unwrap();
    let image = open(&path);
    let found = findings(&image);
    let said: Vec<_> = found.listed.iter().map(|f| (f.severity, f.offset, &*f.message)).collect();
    let bit = format!(
        "L2 entry is {:#x}: bit 63 is 1, but cluster {data} has a count of 0",
        (1 << 63) | (data * CLUSTER)
    );
    let count = format!("cluster {data} has a count of 0, 1 is right");
    assert_eq!(
        said,
        [(Severity::Error, victim.l2 + 8, &*bit), (Severity::Error, data * CLUSTER, &*count),]
    );
    // What is damaged only there is read all the same.
    image.read_at(0, &mut [0; 131_072]).unwrap();
}

#[test]
fn broken_tables_of_snapshots_and_bitmaps_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    qemu_img(&["create", "-q", "-f", "qcow2", text(&path), "1M"]);
    run("qemu-io", "qemu-utils", &["-f", "qcow2", "-c", "write -P 1 0 128k", text(&path)]);
    qemu_img(&["snapshot", "-c", "one", text(&path)]);
    qemu_img(&["bitmap", "--add", text(&path), "map"]);
    let good = Victim::new(&path);
    let snapshots = good.number(64);
    let place = good.bytes.windows(4).position(|four| four == [0x23, 0x85, 0x28, 0x75]).unwrap();
    let directory_offset = good.number(place as u64 + 24);
    for (at, value, says) in [
        (snapshots, 1 << 40, "L1 table of a snapshot of 8 bytes at offset 1099511627776"),
        (snapshots, 512, "L1 table of a snapshot of 8 bytes at offset 512"),
        (snapshots + 8, u64::MAX, "an L1 table of 4294967295 entries"),
        (snapshots + 32, 0xffff_ffff, "4294967295 bytes of extra data, at most 1024 are known"),
        (directory_offset, 777, "bitmap table of 8 bytes at offset 777"),
        (directory_offset + 8, u64::MAX, "a bitmap table of 4294967295 entries"),
        (place as u64 + 24, 3, "bitmap directory of"),
        (place as u64 + 16, 24, "bitmap 1 at offset"),
    ] {
        let mut victim = Victim::new(&path);
        victim.set(at, value);
        if says.starts_with("bitmap 1") {
            victim.bytes[place + 11] = 2;
            let size = victim.number(place as u64 + 16);
            assert_eq!(size, 24);
            victim.set(place as u64 + 16, good.number(place as u64 + 16));
        }
        let bad = directory.path().join("bad");
        fs::write(&bad, &victim.bytes).unwrap();
        let found = findings(&open(&bad));
        assert!(found.listed.iter().any(|f| f.message.contains(says)), "{says}: {found:#?}");
    }
}
