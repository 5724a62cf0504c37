//! Partition tables judged by `sgdisk`, `sfdisk` and `parted`.
//!
//! Invariant: the places that are expected come from these tools, not from our own reader.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[expect(dead_code, reason = "other programs use the rest")]
#[path = "support/qemu_img.rs"]
mod qemu_img;

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use qemu_img::{run, text};
use serde_json::Value;
use uuid::Uuid;
use vmimage::engine::base::{FileSource, Origin, Patch};
use vmimage::engine::partition::{
    Arranged, GptSlot, Ground, Hybrid, Kind, MbrSlot, Place, Scheme, Wish, arrange, gpt, mbr, read,
};

const MIB: u64 = 1 << 20;
const LINUX: Uuid = Uuid::from_u128(0x0fc63daf_8483_4772_8e79_3d69d8477de4);
const SIGNATURE: u32 = 0xdead_beef;

fn arranged(scheme: Scheme, sizes: &[u64], len: Option<u64>) -> Arranged {
    let wish =
        |size: &u64| Wish { origin: Origin::new("test"), size: *size, grow: false, logical: false };
    let wishes: Vec<_> = sizes.iter().map(wish).collect();
    arrange(&Ground { scheme, sector: 512, align: MIB, len }, &wishes).unwrap()
}

fn disk(directory: &Path, len: u64, patches: &[Patch]) -> PathBuf {
    let path = directory.join("disk");
    let file = fs_err::File::create(&path).unwrap().into_file();
    file.set_len(len).unwrap();
    patches.iter().for_each(|patch| file.write_all_at(&patch.bytes, patch.offset).unwrap());
    path
}

fn gpt_disk(directory: &Path, arranged: &Arranged) -> PathBuf {
    let slot = |place: &Place| GptSlot {
        place: place.clone(),
        kind: LINUX,
        id: Uuid::from_u128(u128::from(place.number)),
        name: format!("größe {}", place.number),
        attributes: if place.number == 1 { 1 << 2 } else { 0 },
    };
    let slots: Vec<_> = arranged.places.iter().map(slot).collect();
    let patches = gpt(&slots, Uuid::from_u128(99), arranged.len, 512, None).unwrap();
    disk(directory, arranged.len, &patches)
}

fn mbr_disk(directory: &Path, arranged: &Arranged) -> PathBuf {
    let slot =
        |place: &Place| MbrSlot { place: place.clone(), kind: 0x83, active: place.number == 2 };
    let slots: Vec<_> = arranged.places.iter().map(slot).collect();
    disk(directory, arranged.len, &mbr(&slots, SIGNATURE, 512).unwrap())
}

fn sfdisk(path: &Path) -> Value {
    let json = run("sfdisk", "fdisk", &["--json", text(path)]);
    serde_json::from_str(&json).unwrap()
}

/// First sector and number of sectors of what `sfdisk` sees, without extended partitions.
fn places(dump: &Value) -> Vec<(u64, u64)> {
    let partitions = dump["partitiontable"]["partitions"].as_array().unwrap();
    let data = partitions.iter().filter(|p| p["type"] != "f");
    data.map(|p| (p["start"].as_u64().unwrap(), p["size"].as_u64().unwrap())).collect()
}

fn ours(arranged: &Arranged) -> Vec<(u64, u64)> {
    arranged.places.iter().map(|p| (p.extent.start() / 512, p.extent.len() / 512)).collect()
}

#[test]
fn sgdisk_sfdisk_and_parted_accept_a_gpt() {
    let directory = tempfile::tempdir().unwrap();
    for (sizes, len) in [
        (vec![MIB], None),
        (vec![3 * MIB, 512, 5 * MIB + 512], None),
        (vec![MIB; 20], Some(100 * MIB)),
        (vec![MIB, 2 << 40], None),
    ] {
        let arranged = arranged(Scheme::Gpt, &sizes, len);
        let path = gpt_disk(directory.path(), &arranged);
        let verdict = run("sgdisk", "gdisk", &["-v", text(&path)]);
        assert!(verdict.contains("No problems found"), "{verdict}");
        run("sfdisk", "fdisk", &["--verify", text(&path)]);
        let dump = sfdisk(&path);
        assert_eq!(dump["partitiontable"]["label"], "gpt");
        assert_eq!(
            dump["partitiontable"]["id"],
            "00000000-0000-0000-0000-000000000063".to_uppercase()
        );
        assert_eq!(places(&dump), ours(&arranged));
        let first = &dump["partitiontable"]["partitions"][0];
        assert_eq!(first["name"], "größe 1");
        assert_eq!(first["attrs"], "LegacyBIOSBootable");
        assert_eq!(first["type"], LINUX.to_string().to_uppercase());
        assert_eq!(first["uuid"], Uuid::from_u128(1).to_string().to_uppercase());
        let parted = run("parted", "parted", &["-sm", text(&path), "unit", "s", "print"]);
        assert_eq!(parted.lines().count(), 2 + sizes.len(), "{parted}");
        let table = read(&FileSource::open(&path).unwrap()).unwrap().unwrap();
        assert_eq!((table.kind, table.problems.len()), (Kind::Gpt, 0), "{:?}", table.problems);
    }
}

#[test]
fn sfdisk_and_parted_accept_a_master_boot_record_with_logical_partitions() {
    let directory = tempfile::tempdir().unwrap();
    for sizes in [vec![MIB], vec![MIB, 512, 3 * MIB, MIB], vec![MIB; 5], vec![MIB + 512; 12]] {
        let arranged = arranged(Scheme::Mbr, &sizes, None);
        let path = mbr_disk(directory.path(), &arranged);
        run("sfdisk", "fdisk", &["--verify", text(&path)]);
        let dump = sfdisk(&path);
        assert_eq!(dump["partitiontable"]["label"], "dos");
        assert_eq!(dump["partitiontable"]["id"], "0xdeadbeef");
        assert_eq!(places(&dump), ours(&arranged));
        let active: Vec<_> = dump["partitiontable"]["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["bootable"] == true)
            .collect();
        assert_eq!(active.iter().position(|on| *on), (sizes.len() > 1).then_some(1));
        let extended = usize::from(sizes.len() > 4);
        let parted = run("parted", "parted", &["-sm", text(&path), "unit", "s", "print"]);
        assert_eq!(parted.lines().count(), 2 + extended + sizes.len(), "{parted}");
        let table = read(&FileSource::open(&path).unwrap()).unwrap().unwrap();
        assert!(table.problems.is_empty(), "{:?}", table.problems);
        let seen: Vec<_> = table
            .partitions
            .iter()
            .filter(|p| p.kind == "83")
            .map(|p| (p.number, p.start / 512, (p.end - p.start) / 512))
            .collect();
        let wanted: Vec<_> = arranged
            .places
            .iter()
            .map(|p| (p.number, p.extent.start() / 512, p.extent.len() / 512))
            .collect();
        assert_eq!(seen, wanted);
    }
}

#[test]
fn sgdisk_accepts_a_hybrid_and_a_bios_finds_its_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let arranged = arranged(Scheme::Gpt, &[MIB, 2 * MIB, 3 * MIB], None);
    let slot = |place: &Place| GptSlot {
        place: place.clone(),
        kind: LINUX,
        id: Uuid::from_u128(u128::from(place.number)),
        name: String::new(),
        attributes: 0,
    };
    let slots: Vec<_> = arranged.places.iter().map(slot).collect();
    let shown = |number: usize| MbrSlot {
        place: arranged.places[number - 1].clone(),
        kind: 0x83,
        active: number == 3,
    };
    let hybrid = Hybrid { slots: vec![shown(3), shown(1)], signature: SIGNATURE };
    let disk_id = Uuid::from_u128(99);
    let patches = gpt(&slots, disk_id, arranged.len, 512, Some(&hybrid)).unwrap();
    let path = disk(directory.path(), arranged.len, &patches);
    let verdict = run("sgdisk", "gdisk", &["-v", text(&path)]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let printed = run("gdisk", "gdisk", &["-l", text(&path)]);
    assert!(printed.contains("MBR: hybrid") && printed.contains("GPT: present"), "{printed}");
    // sfdisk looks at the record alone where it is told to.
    let json = run("sfdisk", "fdisk", &["--label-nested", "dos", "--json", text(&path)]);
    let dump: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(dump["partitiontable"]["id"], "0xdeadbeef");
    let partitions = dump["partitiontable"]["partitions"].as_array().unwrap();
    let seen: Vec<_> = partitions
        .iter()
        .map(|p| {
            let number = |field: &str| p[field].as_u64().unwrap();
            (p["type"].as_str().unwrap(), number("start"), number("size"), p["bootable"] == true)
        })
        .collect();
    let first = &arranged.places[0].extent;
    let third = &arranged.places[2].extent;
    let wanted = [
        ("ee", 1, 33, false),
        ("83", third.start() / 512, third.len() / 512, true),
        ("83", first.start() / 512, first.len() / 512, false),
    ];
    assert_eq!(seen, wanted);
    let table = read(&FileSource::open(&path).unwrap()).unwrap().unwrap();
    assert_eq!((table.kind, table.partitions.len()), (Kind::Gpt, 3), "{:?}", table.problems);
    let four = Hybrid { slots: vec![shown(1); 4], signature: 1 };
    let error = gpt(&slots, disk_id, arranged.len, 512, Some(&four)).unwrap_err().to_string();
    assert!(error.contains("at most 3"), "{error}");
}

#[test]
fn sgdisk_accepts_sectors_of_4096_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let wish = |size| Wish { origin: Origin::new("test"), size, grow: false, logical: false };
    let ground = Ground { scheme: Scheme::Gpt, sector: 4096, align: MIB, len: None };
    let arranged = arrange(&ground, &[wish(MIB), wish(5000)]).unwrap();
    let slot = |place: &Place| GptSlot {
        place: place.clone(),
        kind: LINUX,
        id: Uuid::from_u128(u128::from(place.number)),
        name: format!("p{}", place.number),
        attributes: 1 << 59,
    };
    let slots: Vec<_> = arranged.places.iter().map(slot).collect();
    let patches = gpt(&slots, Uuid::from_u128(99), arranged.len, 4096, None).unwrap();
    let path = disk(directory.path(), arranged.len, &patches);
    // A loop device has the sectors that the table wants; sgdisk reads them nowhere else.
    let device = run("losetup", "mount", &["-b", "4096", "--show", "-f", text(&path)]);
    let device = device.trim();
    let verdict = std::panic::catch_unwind(|| {
        let verdict = run("sgdisk", "gdisk", &["-v", "-i", "2", device]);
        (verdict, run("sfdisk", "fdisk", &["--json", device]))
    });
    run("losetup", "mount", &["-d", device]);
    let (verdict, json) = verdict.unwrap();
    assert!(verdict.contains("No problems found"), "{verdict}");
    assert!(verdict.contains("Attribute flags: 0800000000000000"), "{verdict}");
    let dump: Value = serde_json::from_str(&json).unwrap();
    let wanted: Vec<_> =
        arranged.places.iter().map(|p| (p.extent.start() / 4096, p.extent.len() / 4096)).collect();
    assert_eq!(
        (places(&dump), dump["partitiontable"]["sectorsize"].as_u64()),
        (wanted.clone(), Some(4096))
    );
    let table = read(&FileSource::open(&path).unwrap()).unwrap().unwrap();
    let seen: Vec<_> =
        table.partitions.iter().map(|p| (p.start / 4096, (p.end - p.start) / 4096)).collect();
    assert_eq!((seen, table.sector_size, table.problems.len()), (wanted, 4096, 0));
    assert_eq!(table.partitions[1].id, Uuid::from_u128(2).to_string());
}
