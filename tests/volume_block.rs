//! A block device after publishing, after every failure, and after a kill: seen by foreign tools.
//!
//! Runs as root, on loop devices: what they hold is read from the file behind them. Invariant: bytes
//! and digests are compared with those made here by hand or by coreutils, never with our own word.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod support {
    pub(crate) mod loopback;
    pub(crate) mod publishing;
    pub(crate) mod tool;
}

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use support::loopback::Loop;
use support::publishing::{At, Dots, MIB, dense, killed, sha256sum, victim};
use support::tool;
use vmimage::engine::base::{self, ByteSource, Kind, Progress, SectorSource, Silent};
use vmimage::publish::volume::Published;
use vmimage::publish::{Error, block};

/// What a recycled device is full of.
const OLD: u8 = 0xA5;

fn publish(
    medium: &Arc<dyn SectorSource>,
    device: &Path,
    progress: &dyn Progress,
) -> Result<Published, Error> {
    block::publish(Arc::clone(medium), &block::Params { device }, progress)
}

/// A device that holds another one's bytes.
fn recycled(len: u64, flags: &[&str]) -> Loop {
    Loop::holding(&vec![OLD; usize::try_from(len).unwrap()], flags)
}

/// All bytes of a medium, and zeros up to `len`.
fn followed_by_zeros(medium: &Arc<dyn SectorSource>, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(medium.len()).unwrap()];
    medium.read_at(0, &mut bytes).unwrap();
    bytes.resize(usize::try_from(len).unwrap(), 0);
    bytes
}

/// The digest of some bytes, by coreutils.
fn digest_of(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bytes");
    fs::write(&path, bytes).unwrap();
    sha256sum(&path)
}

fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.file().write_all_at(bytes, offset).unwrap();
    file.sync_all().unwrap();
}

/// 3 MiB and a sector: the first MiB is full, then there are a long hole, a short one, and an end
/// that is no multiple of anything. On a device it has 4 MiB.
fn holed() -> Arc<dyn SectorSource> {
    let mut bytes = followed_by_zeros(&dense(MIB), 3 * MIB + 512);
    for at in [(2 << 20) + (192 << 10) + 7, (2 << 20) + (320 << 10), (3 << 20) + 511] {
        bytes[at] = 0x5A;
    }
    Arc::new(ByteSource::new(bytes))
}

/// Publishes `holed` on a device that is full of something else, and looks at each byte of it.
#[track_caller]
fn every_byte_is_written(device: &Loop) {
    let len = fs::metadata(device.backing()).unwrap().len();
    let wanted = followed_by_zeros(&holed(), len);
    let before = device.traffic();
    let published = publish(&holed(), device.path(), &Silent).unwrap();
    let after = device.traffic();
    assert!(fs::read(device.backing()).unwrap() == wanted, "the device holds other bytes");
    let digest = digest_of(&wanted[..4 << 20]);
    assert_eq!(published, Published { digest, size: 4 * MIB, reused: false });
    // The first look ends after 4 MiB; what is read back does not come out of the kernel's memory.
    let sectors = (len + 4 * MIB) / 512;
    assert!(after.0 - before.0 >= sectors, "{before:?} {after:?} of {sectors} sectors");
}

#[test]
fn the_disk_is_at_the_front_and_zeros_are_behind_it() {
    every_byte_is_written(&recycled(70 * MIB + 3 * 512, &[]));
    every_byte_is_written(&recycled(9 * MIB + 3 * 4096, &["--sector-size", "4096"]));
    every_byte_is_written(&recycled(4 * MIB, &[]));
}

/// A filesystem in memory that can neither punch holes nor zero ranges, mounted as long as it lives.
struct Ramfs(tempfile::TempDir);

impl Ramfs {
    fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        tool::run("mount", "mount", &["-t", "ramfs", "none", path]);
        Self(directory)
    }
}

impl Drop for Ramfs {
    fn drop(&mut self) {
        tool::run("mount", "umount", &[self.0.path().to_str().unwrap()]);
    }
}

#[test]
fn a_device_that_cannot_zero_by_itself_is_zeroed_all_the_same() {
    let memory = Ramfs::mount();
    let backing = memory.0.path().join("backing");
    fs::write(&backing, vec![OLD; 9 << 20]).unwrap();
    let device = Loop::over(&backing, &[]);
    let name = device.path().file_name().unwrap().to_str().unwrap();
    let limit = format!("/sys/block/{name}/queue/write_zeroes_max_bytes");
    assert_eq!(fs::read_to_string(limit).unwrap().trim(), "0", "it can");
    every_byte_is_written(&device);
}

#[test]
fn the_same_disk_is_kept_and_any_other_overwritten() {
    let device = recycled(6 * MIB, &[]);
    let wanted = followed_by_zeros(&holed(), 6 * MIB);
    let first = publish(&holed(), device.path(), &Silent).unwrap();
    let (_, before) = device.traffic();
    let second = publish(&holed(), device.path(), &Silent).unwrap();
    assert_eq!(device.traffic().1, before, "nothing is written");
    assert_eq!(second, Published { reused: true, ..first.clone() });
    // One byte of the disk, of its padding, and of the rest, each by itself.
    for at in [0, 2 * MIB, 4 * MIB - 1, 4 * MIB, 6 * MIB - 1] {
        write_at(device.path(), at, b"x");
        let again = publish(&holed(), device.path(), &Silent).unwrap();
        assert_eq!(again, first, "{at}");
        assert!(fs::read(device.backing()).unwrap() == wanted, "{at}");
    }
    // A shorter one leaves nothing of the longer one.
    publish(&dense(6 * MIB), device.path(), &Silent).unwrap();
    assert!(!publish(&dense(512), device.path(), &Silent).unwrap().reused);
    let wanted = followed_by_zeros(&dense(512), 6 * MIB);
    assert!(fs::read(device.backing()).unwrap() == wanted);
}

#[test]
fn a_device_that_is_a_sector_too_small_is_told_with_both_numbers() {
    for (sector, flags) in [(512, &[][..]), (4096, &["--sector-size", "4096"])] {
        let device = recycled(4 * MIB - sector, flags);
        let error = publish(&holed(), device.path(), &Silent).unwrap_err();
        let numbers = format!(
            "the disk needs 4194304 bytes but the volume has room for {}; ask for more with \
             spec.publish[].pvc.request",
            (4 << 20) - sector
        );
        assert_eq!(error.to_string(), numbers);
        assert!(fs::read(device.backing()).unwrap().iter().all(|byte| *byte == OLD));
    }
}

#[test]
fn a_read_only_device_is_told() {
    let device = recycled(4 * MIB, &["--read-only"]);
    let error = publish(&holed(), device.path(), &Silent).unwrap_err();
    let path = device.path().display();
    assert_eq!(error.to_string(), format!("the block device {path} is read-only"));
    assert!(fs::read(device.backing()).unwrap().iter().all(|byte| *byte == OLD));
}

#[test]
fn what_is_no_block_device_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, vec![OLD; 8 << 20]).unwrap();
    for path in [&file, directory.path(), Path::new("/dev/null")] {
        let error = publish(&holed(), path, &Silent).unwrap_err();
        let Error::Engine(error) = error else { panic!("{error}") };
        assert_eq!(error.kind(), Kind::Document);
        assert_eq!(error.to_string(), format!("{} is not a block device", path.display()));
    }
    assert!(fs::read(&file).unwrap().iter().all(|byte| *byte == OLD));
    let error = publish(&holed(), &directory.path().join("none"), &Silent).unwrap_err();
    assert!(matches!(&error, Error::Engine(e) if e.kind() == Kind::Io), "{error}");
}

#[test]
fn a_mounted_device_is_refused() {
    let device = recycled(8 * MIB, &[]);
    let path = device.path().to_str().unwrap();
    tool::run("e2fsprogs", "mkfs.ext4", &["-q", path]);
    let root = tempfile::tempdir().unwrap();
    tool::run("mount", "mount", &[path, root.path().to_str().unwrap()]);
    let attempt = publish(&holed(), device.path(), &Silent);
    tool::run("mount", "umount", &[root.path().to_str().unwrap()]);
    let error = attempt.unwrap_err();
    let message = format!(
        "the block device {path} is in use: it is mounted, or another process is publishing onto it"
    );
    assert_eq!(error.to_string(), message);
    tool::run("e2fsprogs", "e2fsck", &["-fn", path]);
}

#[test]
fn two_processes_do_not_publish_at_once() {
    let device = recycled(8 * MIB, &[]);
    let path = device.path().to_owned();
    let intrude = move || {
        let error = publish(&dense(MIB), &path, &Silent).unwrap_err();
        assert!(matches!(error, Error::DeviceInUse { .. }), "{error}");
        Ok(())
    };
    publish(&holed(), device.path(), &At::new(0, intrude)).unwrap();
    assert!(fs::read(device.backing()).unwrap() == followed_by_zeros(&holed(), 8 * MIB));
}

/// Changes a byte behind the device once all is written: what the kernel remembers is still right.
#[derive(Debug)]
struct Spoil {
    backing: PathBuf,
    at: u64,
}

impl Progress for Spoil {
    fn begin(&self, step: &str, _: u64) {
        if step == "reading back" {
            write_at(&self.backing, self.at, b"x");
        }
    }

    fn advance(&self, _: u64) -> Result<(), base::Error> {
        Ok(())
    }
}

#[test]
fn a_device_that_does_not_keep_what_is_written_is_told() {
    for at in [0, 3 * MIB, 4 * MIB - 1, 4 * MIB, 9 * MIB - 1] {
        let device = recycled(9 * MIB, &[]);
        let spoil = Spoil { backing: device.backing().to_owned(), at };
        let Error::DeviceDiffers { written, read, .. } =
            publish(&holed(), device.path(), &spoil).unwrap_err()
        else {
            panic!("another error")
        };
        assert_eq!(written, digest_of(&followed_by_zeros(&holed(), 4 * MIB)));
        let found = fs::read(device.backing()).unwrap();
        let expected = match at / (4 * MIB) {
            0 => digest_of(&found[..4 << 20]),
            // What is behind the disk is read in parts of 4 MiB.
            part => format!("something else than zeros from byte {} on", part * 4 * MIB),
        };
        assert_eq!(read, expected, "{at}");
        assert!(!publish(&holed(), device.path(), &Silent).unwrap().reused);
    }
}

#[test]
fn a_stop_after_any_number_of_bytes_is_made_good_by_the_next_run() {
    let medium = dense(5 * MIB);
    let wanted = followed_by_zeros(&medium, 7 * MIB);
    for after in [0, MIB - 1, MIB, 3 * MIB, 5 * MIB - 1] {
        let device = recycled(7 * MIB, &[]);
        let stop = || Err(base::Error::new(Kind::Cancelled, "told to stop"));
        let error = publish(&medium, device.path(), &At::new(after, stop)).unwrap_err();
        assert!(matches!(&error, Error::Engine(e) if e.kind() == Kind::Cancelled), "{error}");
        assert!(fs::read(device.path()).unwrap() != wanted, "after {after} bytes it is stopped");
        assert!(!publish(&medium, device.path(), &Silent).unwrap().reused, "after {after} bytes");
        assert!(fs::read(device.backing()).unwrap() == wanted, "after {after} bytes");
    }
}

#[test]
fn a_kill_at_any_time_is_made_good_by_the_next_run() {
    let medium = dense(16 * MIB);
    if let Some(device) = victim() {
        publish(&medium, &device, &Dots).unwrap();
        return;
    }
    let wanted = followed_by_zeros(&medium, 18 * MIB);
    let (mut unfinished, mut whole) = (0, 0);
    // 16 steps of writing and 5 of reading: at the first it is not killed in time.
    for steps in [1000, 19, 16, 8, 1] {
        let device = recycled(18 * MIB, &[]);
        killed("a_kill_at_any_time_is_made_good_by_the_next_run", device.path(), steps);
        let there = fs::read(device.path()).unwrap() == wanted;
        *(if there { &mut whole } else { &mut unfinished }) += 1;
        let next = publish(&medium, device.path(), &Silent).unwrap();
        assert_eq!(next.reused, there, "after {steps} steps");
        assert_eq!(next.digest, digest_of(&wanted[..16 << 20]));
        assert!(fs::read(device.backing()).unwrap() == wanted, "after {steps} steps");
    }
    assert!(unfinished > 0 && whole > 0, "{unfinished} killed at work, {whole} after it");
}
