//! A volume after publishing, after every failure, and after a kill: seen by foreign tools.
//!
//! Runs as root where a filesystem of limited size is needed. Invariant: digests, lengths, modes
//! and free space are those that coreutils tell, never our own word.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod support {
    pub(crate) mod ext4;
    pub(crate) mod publishing;
    pub(crate) mod tool;
}

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use support::ext4::Ext4;
use support::publishing::{At, Dots, MIB, dense, killed, sha256sum, victim};
use support::tool;
use vmimage::engine::base::{self, ByteSource, Kind, Padded, Progress, SectorSource, Silent};
use vmimage::publish::{Error, volume};

const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const PARTIAL: &str = ".vmimage-0123456789ab.partial";

fn publish(
    medium: &Arc<dyn SectorSource>,
    directory: &Path,
    progress: &dyn Progress,
) -> Result<volume::Published, Error> {
    let params = volume::Params { directory, target_hash: HASH };
    volume::publish(Arc::clone(medium), &params, progress)
}

/// The names in `directory`, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What `stat` tells, in its own letters.
fn stat(format: &str, file: &Path) -> String {
    let text = tool::run("coreutils", "stat", &["-c", format, file.to_str().unwrap()]);
    text.trim().to_owned()
}

#[test]
fn the_disk_is_padded_private_and_told_truly() {
    let volume = tempfile::tempdir().unwrap();
    let disk = volume.path().join("disk.img");
    let previous = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let published = publish(&dense(512), volume.path(), &Silent).unwrap();
    rustix::process::umask(previous);
    assert_eq!(names(volume.path()), ["disk.img"]);
    assert_eq!(stat("%a %s", &disk), "660 1048576");
    let digest = sha256sum(&disk);
    assert_eq!(published, volume::Published { digest, size: MIB, reused: false });
    let mut expected = vec![0; 512];
    dense(512).read_at(0, &mut expected).unwrap();
    expected.resize(1 << 20, 0);
    assert_eq!(fs::read(&disk).unwrap(), expected);
}

#[test]
fn zeros_take_no_room_whatever_the_medium_says() {
    let volume = tempfile::tempdir().unwrap();
    let disk = volume.path().join("disk.img");
    // All of it is called data, but only two units are not zero.
    let mut bytes = vec![0; 8 << 20];
    bytes[5_000_000] = 1;
    bytes[(8 << 20) - 1] = 1;
    let held: Arc<dyn SectorSource> = Arc::new(ByteSource::new(bytes));
    let medium: Arc<dyn SectorSource> = Arc::new(Padded::new(held, 256 * MIB).unwrap());
    let published = publish(&medium, volume.path(), &Silent).unwrap();
    assert_eq!(stat("%s", &disk), (256 * MIB).to_string());
    assert_eq!(published.digest, sha256sum(&disk));
    let blocks: u64 = stat("%b", &disk).parse().unwrap();
    assert!(blocks * 512 <= 2 * (64 << 10), "{blocks} blocks of 512 bytes");
}

#[test]
fn the_same_disk_is_kept_and_any_other_replaced() {
    let volume = tempfile::tempdir().unwrap();
    let disk = volume.path().join("disk.img");
    let inode = || stat("%i", &disk);
    let medium = dense(3 * MIB);
    let first = publish(&medium, volume.path(), &Silent).unwrap();
    let kept = inode();
    fs::write(volume.path().join(".vmimage-older.partial"), "leftover").unwrap();
    let again = publish(&medium, volume.path(), &Silent).unwrap();
    assert_eq!((again.reused, &again.digest, inode()), (true, &first.digest, kept));
    assert_eq!(names(volume.path()), ["disk.img"]);

    let damage: [(&str, &dyn Fn()); 4] = [
        ("a byte", &|| {
            let mut bytes = fs::read(&disk).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&disk, bytes).unwrap();
        }),
        ("the length", &|| {
            let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
            file.set_len(4 * MIB).unwrap();
        }),
        ("the mode", &|| {
            tool::run("coreutils", "chmod", &["600", disk.to_str().unwrap()]);
        }),
        ("everything", &|| fs::write(&disk, "another disk").unwrap()),
    ];
    for (what, damage) in damage {
        damage();
        let mended = publish(&medium, volume.path(), &Silent).unwrap();
        assert!(!mended.reused, "{what}");
        assert_eq!(sha256sum(&disk), first.digest, "{what}");
        assert_eq!(stat("%a %s", &disk), "660 3145728", "{what}");
    }
}

#[test]
fn what_is_not_ours_is_named_and_left_alone() {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), "precious").unwrap();
    let link = |path: &Path| fs_err::os::unix::fs::symlink(elsewhere.path(), path).unwrap();
    let directory = |path: &Path| fs::create_dir(path).unwrap();
    let file = |path: &Path| fs::write(path, "data").unwrap();
    type Make<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Make<'_>); 7] = [
        ("data.db", &file),
        (".hidden", &file),
        ("disk.img", &link),
        ("disk.img", &directory),
        (PARTIAL, &link),
        (PARTIAL, &directory),
        ("lost+found", &file),
    ];
    for (name, make) in cases {
        let volume = tempfile::tempdir().unwrap();
        make(&volume.path().join(name));
        // Ours, yet not removed while something else is there too.
        file(&volume.path().join(".vmimage-older.partial"));
        // By name it comes last, so it is not the one that is told.
        file(&volume.path().join("zzz"));
        let before = names(volume.path());
        match publish(&dense(512), volume.path(), &Silent).unwrap_err() {
            Error::HoldsOther { name: told } => assert_eq!(told, name),
            other => panic!("{name}: {other}"),
        }
        assert_eq!(names(volume.path()), before);
        assert_eq!(fs::read_to_string(elsewhere.path()).unwrap(), "precious");
    }
}

#[test]
fn a_stop_after_any_number_of_bytes_leaves_nothing() {
    let volume = tempfile::tempdir().unwrap();
    let medium = dense(5 * MIB);
    for after in [0, 1, MIB - 1, MIB, 3 * MIB, 5 * MIB - 1] {
        let stop = || Err(base::Error::new(Kind::Cancelled, "told to stop"));
        let progress = At::new(after, stop);
        let error = publish(&medium, volume.path(), &progress).unwrap_err();
        assert!(matches!(&error, Error::Engine(e) if e.kind() == Kind::Cancelled), "{error}");
        assert_eq!(names(volume.path()), [""; 0], "after {after} bytes");
    }
    assert!(!publish(&medium, volume.path(), &Silent).unwrap().reused);
}

#[test]
fn two_processes_do_not_publish_at_once() {
    let volume = tempfile::tempdir().unwrap();
    let path = volume.path().to_owned();
    let medium = dense(2 * MIB);
    let second = Arc::clone(&medium);
    let intrude = move || {
        let error = publish(&second, &path, &Silent).unwrap_err();
        assert!(error.to_string().starts_with("another process is publishing into "), "{error}");
        assert_eq!(names(&path), [PARTIAL], "the first one's file is still there");
        Ok(())
    };
    let progress = At::new(0, intrude);
    publish(&medium, volume.path(), &progress).unwrap();
    assert_eq!(names(volume.path()), ["disk.img"]);
}

#[test]
fn a_kill_at_any_time_leaves_a_whole_disk_or_none() {
    let medium = dense(16 * MIB);
    if let Some(directory) = victim() {
        publish(&medium, &directory, &Dots).unwrap();
        return;
    }
    let volume = tempfile::tempdir().unwrap();
    let disk = volume.path().join("disk.img");
    let (mut unfinished, mut whole) = (0, 0);
    // 16 steps and the end: at the first it is not killed in time, at the last surely at work.
    for steps in [1000, 16, 15, 12, 8, 4, 1] {
        killed("a_kill_at_any_time_leaves_a_whole_disk_or_none", volume.path(), steps);
        match names(volume.path()).iter().map(String::as_str).collect::<Vec<_>>()[..] {
            // Left there for the next one to clear away.
            [PARTIAL] => unfinished += 1,
            ["disk.img"] => {
                whole += 1;
                assert!(publish(&medium, volume.path(), &Silent).unwrap().reused, "{steps}");
                fs::remove_file(&disk).unwrap();
            }
            ref other => panic!("{steps}: {other:?}"),
        }
    }
    assert!(unfinished > 0 && whole > 0, "{unfinished} killed at work, {whole} after it");
    let published = publish(&medium, volume.path(), &Silent).unwrap();
    assert_eq!(published.digest, sha256sum(&disk));
    assert_eq!(names(volume.path()), ["disk.img"]);
}

#[test]
fn a_volume_that_is_too_small_is_told_with_both_numbers() {
    let volume = Ext4::mount("16M");
    let free = volume.free();
    assert_eq!(names(volume.path()), ["lost+found"]);
    // Sparse, but a machine will fill it.
    let empty: Arc<dyn SectorSource> = Arc::new(ByteSource::new([]));
    let needed = free.next_multiple_of(MIB);
    let medium: Arc<dyn SectorSource> = Arc::new(Padded::new(empty, needed).unwrap());
    match publish(&medium, volume.path(), &Silent).unwrap_err() {
        Error::TooSmall { needed: told, available } => {
            assert_eq!((told, available), (needed, free))
        }
        other => panic!("{other}"),
    }
    assert_eq!(names(volume.path()), ["lost+found"]);
}

#[test]
fn an_outdated_disk_makes_room_for_its_successor() {
    let volume = Ext4::mount("16M");
    let size = volume.free() / MIB * MIB - MIB;
    publish(&dense(size), volume.path(), &Silent).unwrap();
    assert!(volume.free() < size / 2, "both cannot lie in it together");
    let mut other = vec![7; usize::try_from(size).unwrap()];
    other[0] = 8;
    let other: Arc<dyn SectorSource> = Arc::new(ByteSource::new(other));
    let published = publish(&other, volume.path(), &Silent).unwrap();
    assert_eq!(names(volume.path()), ["disk.img", "lost+found"]);
    assert_eq!(published.digest, sha256sum(&volume.path().join("disk.img")));
    // One that is too large for the whole volume does not cost the one that is there.
    let error = publish(&dense(size + 4 * MIB), volume.path(), &Silent).unwrap_err();
    assert!(matches!(error, Error::TooSmall { .. }), "{error}");
    assert_eq!(published.digest, sha256sum(&volume.path().join("disk.img")));
}

/// Room that vanishes between the check and the last write.
#[test]
fn a_volume_that_fills_up_while_we_write_is_too_small() {
    let volume = Ext4::mount("16M");
    let size = volume.free() / MIB * MIB - 2 * MIB;
    let path = volume.path().to_owned();
    let fill = move || {
        // Fails by design once the volume is full.
        let _ = fs::write(path.join("lost+found/filler"), vec![1; 16 << 20]);
        Ok(())
    };
    let progress = At::new(0, fill);
    match publish(&dense(size), volume.path(), &progress).unwrap_err() {
        Error::TooSmall { needed, available } => {
            assert_eq!((needed, available), (size, volume.free()));
            assert!(available < needed);
        }
        other => panic!("{other}"),
    }
    assert_eq!(names(volume.path()), ["lost+found"]);
}
