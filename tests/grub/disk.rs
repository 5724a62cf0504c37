//! Disks with GRUB, made of the engine's public pieces, and machines that boot them.
//!
//! Invariant: nothing but the engine writes them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;
use vmimage::engine::base::tree::Time;
use vmimage::engine::base::{Extent, Patch, Placement, Scratch, Silent, Work};
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::bootloader::grub::menu::Table;
use vmimage::engine::bootloader::grub::pc::{self, CoreParams};
use vmimage::engine::filesystem::{self, Identity, Params, Planned, Request, Room};
use vmimage::engine::partition::{self, GptSlot, MbrSlot, Place};

use crate::qemu::{Machine, Qemu};
use crate::trees::{Grower, MOMENT};

pub(crate) const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(240);

/// A UUID in the way its filesystem writes them.
pub(crate) const UUID: &str = "11111111-2222-4333-8444-555555555555";

/// A filesystem of `len` bytes.
pub(crate) fn planned(params: &Params, tree: Grower, len: Room) -> Box<dyn Planned> {
    let uuid = match params {
        Params::Fat(_) => Some("1234-ABCD".to_owned()),
        Params::Iso9660(_) => None,
        _ => Some(UUID.to_owned()),
    };
    let scratch = Scratch::new(Path::new("/nowhere"), 0);
    let request = Request {
        tree: Arc::new(tree.tree),
        identity: Identity { label: None, uuid, seed: Uuid::from_bytes([7; 16]) },
        room: len,
        time: Time { nanos: 0, ..MOMENT },
        sector: if matches!(params, Params::Iso9660(_)) { 2048 } else { 512 },
        scratch: &scratch,
        work: Work { threads: 1, progress: &Silent },
    };
    filesystem::plan(params, &request).unwrap()
}

/// The bytes of a filesystem that is a whole medium.
pub(crate) fn whole(planned: Box<dyn Planned>) -> Vec<u8> {
    let mut medium = vec![0; usize::try_from(planned.len()).unwrap()];
    write(&mut medium, planned, 0);
    medium
}

/// Puts `len` bytes of a filesystem at `start` of the disk.
fn write(disk: &mut [u8], planned: Box<dyn Planned>, start: u64) {
    let extent = Extent::new(start, start + planned.len()).unwrap();
    let place = Placement { extents: vec![extent], medium: disk.len() as u64, volume: 0 };
    let sectors = planned.render(&place).unwrap();
    let range = usize::try_from(start).unwrap()..usize::try_from(extent.end()).unwrap();
    sectors.read_at(0, &mut disk[range]).unwrap();
}

fn patch(disk: &mut [u8], patches: impl IntoIterator<Item = Patch>) {
    for Patch { offset, bytes } in patches {
        let at = usize::try_from(offset).unwrap();
        disk[at..at + bytes.len()].copy_from_slice(&bytes);
    }
}

/// The number of the partition with the filesystem.
pub(crate) const fn number(table: Table) -> u32 {
    match table {
        Table::Gpt => 2,
        Table::Mbr | Table::None => 1,
    }
}

/// A disk with one filesystem, and with GRUB in the gap behind its record or in a BIOS boot
/// partition.
pub(crate) fn disk(
    params: &Params,
    table: Table,
    tree: Grower,
    len: u64,
    core: &CoreParams,
) -> Vec<u8> {
    let core = pc::core(core, &Assets::default()).unwrap();
    let mut disk = vec![0; usize::try_from(len + 3 * MIB).unwrap()];
    let medium = disk.len() as u64;
    let place = |number, start, end| Place {
        number,
        extent: Extent::new(start, end).unwrap(),
        record: None,
    };
    let (start, room) = match table {
        Table::Mbr => {
            let slot = MbrSlot { place: place(1, MIB, MIB + len), kind: 0x83, active: true };
            patch(&mut disk, partition::mbr(&[slot], 0x1234_5678, 512).unwrap());
            (MIB, Extent::new(512, MIB).unwrap())
        }
        Table::Gpt => {
            let slot = |number, kind: &str, start, end| GptSlot {
                place: place(number, start, end),
                kind: Uuid::parse_str(kind).unwrap(),
                id: Uuid::from_bytes([number as u8; 16]),
                name: String::new(),
                attributes: 0,
            };
            let slots = [
                slot(1, "21686148-6449-6e6f-744e-656564454649", MIB, 2 * MIB),
                slot(2, "0fc63daf-8483-4772-8e79-3d69d8477de4", 2 * MIB, 2 * MIB + len),
            ];
            let id = Uuid::from_bytes([9; 16]);
            patch(&mut disk, partition::gpt(&slots, id, medium, 512, None).unwrap());
            (2 * MIB, slots[0].place.extent)
        }
        Table::None => panic!("a disk has a table here"),
    };
    let before = disk[440..512].to_vec();
    patch(&mut disk, core.install(room, "the test's room").unwrap());
    assert_eq!(disk[440..512], before, "id and table are not touched");
    write(&mut disk, planned(params, tree, Room::Exactly(len)), start);
    disk
}

pub(crate) const PC: Machine<'_> = Machine { machine: "pc", bus: "ide", serial: true };

/// Boots `disk` until the serial line has carried `text`; all of the line.
pub(crate) fn shows(machine: Machine<'_>, disk: &[u8], text: &str) -> String {
    waits(&Qemu::start(machine, disk), text)
}

/// The same of a machine that runs.
pub(crate) fn waits(qemu: &Qemu, text: &str) -> String {
    let start = Instant::now();
    loop {
        let line = String::from_utf8_lossy(&qemu.serial()).replace('\r', "");
        if line.contains(text) {
            return line;
        }
        assert!(start.elapsed() < PATIENCE, "no {text:?} in {line}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Boots `disk` until the test's kernel has said its last word; all of the serial line.
pub(crate) fn runs(machine: Machine<'_>, disk: &[u8]) -> String {
    shows(machine, disk, "over\n")
}
