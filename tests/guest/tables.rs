//! The guest's kernel finds the partitions that our tables name.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use uuid::Uuid;
use vmimage::engine::base::{Origin, Patch};
use vmimage::engine::partition::{
    Arranged, GptSlot, Ground, Hybrid, MbrSlot, Place, Scheme, Wish, arrange, gpt, mbr,
};

use super::guest::{self, Disk};

const MIB: u64 = 1 << 20;
const LINUX: Uuid = Uuid::from_u128(0x0fc63daf_8483_4772_8e79_3d69d8477de4);

fn arranged(scheme: Scheme, sector: u64, count: usize) -> Arranged {
    let wish = |index| Wish {
        origin: Origin::new("test"),
        size: (index as u64 + 1) * MIB,
        grow: false,
        logical: false,
    };
    let wishes: Vec<_> = (0..count).map(wish).collect();
    arrange(&Ground { scheme, sector, align: MIB, len: None }, &wishes).unwrap()
}

fn stored(directory: &Path, name: &str, len: u64, patches: &[Patch]) -> PathBuf {
    let path = directory.join(name);
    let file = fs::File::create(&path).unwrap().into_file();
    file.set_len(len).unwrap();
    patches.iter().for_each(|patch| file.write_all_at(&patch.bytes, patch.offset).unwrap());
    path
}

fn shown(place: &Place) -> MbrSlot {
    MbrSlot { place: place.clone(), kind: 0x83, active: false }
}

fn with_gpt(
    directory: &Path,
    name: &str,
    arranged: &Arranged,
    sector: u64,
    hybrid: bool,
) -> PathBuf {
    let slot = |place: &Place| GptSlot {
        place: place.clone(),
        kind: LINUX,
        id: Uuid::from_u128(0x1000 + u128::from(place.number)),
        name: format!("{name}-{}", place.number),
        attributes: 0,
    };
    let slots: Vec<_> = arranged.places.iter().map(slot).collect();
    let record = Hybrid { slots: vec![shown(&arranged.places[0])], signature: 7 };
    let hybrid = hybrid.then_some(&record);
    let patches = gpt(&slots, Uuid::from_u128(99), arranged.len, sector, hybrid).unwrap();
    stored(directory, name, arranged.len, &patches)
}

#[test]
fn the_kernel_finds_all_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let logical = arranged(Scheme::Mbr, 512, 7);
    let slots: Vec<_> = logical.places.iter().map(shown).collect();
    let small = arranged(Scheme::Gpt, 512, 20);
    let large = arranged(Scheme::Gpt, 4096, 3);
    let disks = [
        (stored(at, "mbr", logical.len, &mbr(&slots, 0xcafe_f00d, 512).unwrap()), 512, &logical),
        (with_gpt(at, "gpt", &small, 512, false), 512, &small),
        (with_gpt(at, "gpt4096", &large, 4096, false), 4096, &large),
        (with_gpt(at, "hybrid", &small, 512, true), 512, &small),
    ];
    let job = "for p in /sys/class/block/vd[c-f][0-9]*; do\n\
        echo ${p##*/} $(cat $p/start) $(cat $p/size) $(sed -n 's/^PARTNAME=//p' $p/uevent)\n\
        done >/out/partitions\n/judge/blkid -s PARTUUID /dev/vdc1 /dev/vdc5 /dev/vdd20 >/out/ids\n";
    let given: Vec<_> = disks
        .iter()
        .map(|(file, sector, _)| Disk { file: file.clone(), sector: *sector })
        .collect();
    let files = guest::run(job, &given);
    let text = String::from_utf8(files["partitions"].clone()).unwrap();
    let mut seen: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
    // The extended partition is no place for anything.
    seen.retain(|fields| fields[0] != "vdc4");
    seen.sort();
    let mut wanted = Vec::new();
    for ((_, _, arranged), (letter, name)) in
        disks.iter().zip([('c', ""), ('d', "gpt"), ('e', "gpt4096"), ('f', "hybrid")])
    {
        for place in &arranged.places {
            let mut fields = vec![
                format!("vd{letter}{}", place.number),
                (place.extent.start() / 512).to_string(),
                (place.extent.len() / 512).to_string(),
            ];
            fields.extend((!name.is_empty()).then(|| format!("{name}-{}", place.number)));
            wanted.push(fields);
        }
    }
    wanted.sort();
    assert_eq!(seen, wanted);
    let ids = String::from_utf8(files["ids"].clone()).unwrap();
    let gpt = Uuid::from_u128(0x1000 + 20);
    let id = |name: &str, id: &str| format!("/dev/{name}: PARTUUID=\"{id}\"\n");
    let named = [("vdc1", "cafef00d-01"), ("vdc5", "cafef00d-05"), ("vdd20", &gpt.to_string())];
    assert_eq!(ids, named.map(|(name, of)| id(name, of)).concat(), "as blkid reads them");
}
