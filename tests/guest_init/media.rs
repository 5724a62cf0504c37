//! Disks found by what lies on them: an ISO, a btrfs disk, a NoCloud volume.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::machine::Plan;

fn run(program: &str, package: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output();
    let done = done.unwrap_or_else(|e| panic!("{program}: {e}; apt install {package}"));
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An ISO with these files, as another program writes it.
fn iso(path: &Path, volume: &str, files: &[(&str, &str)]) {
    let tree = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(tree.path().join(name), text).unwrap();
    }
    let words = ["-quiet", "-R", "-V", volume, "-o"].into_iter();
    let tail = [path.to_str().unwrap(), tree.path().to_str().unwrap()];
    run("genisoimage", "genisoimage", &words.chain(tail).collect::<Vec<_>>());
}

fn btrfs(path: &Path, label: &str) {
    fs::File::create(path).unwrap().set_len(128 << 20).unwrap();
    run("mkfs.btrfs", "btrfs-progs", &["-q", "-L", label, path.to_str().unwrap()]);
}

/// Multiplies the number that a file holds.
const READ: &str = "echo \"app: number $(($(cat /iso/number) * 1001))\"\n";

#[test]
fn a_file_is_read_from_an_iso_on_each_bus() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.iso");
    iso(&file, "TINYBOOT", &[("number", "417\n")]);
    let file = file.display();
    for bus in [
        format!(
            "-drive file={file},format=raw,if=none,id=c,media=cdrom -device virtio-scsi-pci -device scsi-cd,drive=c"
        ),
        format!("-drive file={file},format=raw,if=virtio,readonly=on"),
    ] {
        let mut plan = Plan::new(READ).with("-nic none -no-reboot").with(&bus);
        plan.config.iso = vec!["/iso=TINYBOOT".parse().unwrap()];
        let (_, serial) = plan.start().off();
        assert!(serial.contains("app: number 417417"), "{bus}: {serial}");
        assert!(serial.contains("type=iso9660 label=TINYBOOT"), "{serial}");
        assert!(serial.contains("info unmounted path=/iso"), "{serial}");
    }
}

#[test]
fn a_counter_on_a_btrfs_disk_grows_over_two_boots_and_a_longer_label_is_another() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, other) = (directory.path().join("disk"), directory.path().join("other"));
    btrfs(&disk, "tinyboot");
    btrfs(&other, "tinyboot2");
    let mut plan = Plan::new(
        "n=$(($(cat /persistent/n 2>/dev/null || echo 40) + 1)); echo $n >/persistent/n\n\
         echo \"app: counter $((n * 100))\"\n",
    );
    plan.btrfs = true;
    // The disk with the longer label comes first by name.
    plan = plan.with("-nic none").with(&format!(
        "-drive file={},format=raw,if=virtio -drive file={},format=raw,if=virtio",
        other.display(),
        disk.display()
    ));
    plan.config.data = vec!["/persistent=tinyboot".parse().unwrap()];
    let mut machine = plan.start();
    let serial = machine.wait("app: counter 4200");
    assert!(serial.contains("app: counter 4100"), "{serial}");
    assert_eq!(
        serial.matches("path=/persistent device=/dev/vdb type=btrfs").count(),
        2,
        "{serial}"
    );
    assert!(serial.contains("info unmounted path=/persistent"), "{serial}");
    drop(machine);
    run("btrfs", "btrfs-progs", &["check", disk.to_str().unwrap()]);
}

#[test]
fn a_missing_disk_is_said_and_the_app_starts() {
    let mut plan = Plan::new(super::APP).with("-nic none -no-reboot");
    plan.config.data = vec!["/persistent=tinyboot".parse().unwrap()];
    plan.config.disk_wait = 1;
    let (_, serial) = plan.start().off();
    assert!(serial.contains("warn no-disk label=tinyboot path=/persistent"), "{serial}");
    assert!(serial.contains(super::SUM), "{serial}");
}

#[test]
fn a_seed_names_the_machine_and_hands_user_data_to_the_app() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("seed.iso");
    iso(
        &file,
        "cidata",
        &[
            ("meta-data", "instance-id: i-7\nlocal-hostname: seeded\n"),
            ("user-data", "#cloud-config\nnumber: 31\n"),
        ],
    );
    let app = "n=$(busybox awk '/number/ {print $2}' \"$VMIMAGE_USER_DATA\")\n\
        echo \"app: $(busybox hostname) $VMIMAGE_INSTANCE_ID $((n * 37))\"\n";
    let plan = Plan::new(app)
        .with("-nic none -no-reboot")
        .with(&format!("-drive file={},format=raw,if=virtio,readonly=on", file.display()));
    let (_, serial) = plan.start().off();
    assert!(serial.contains("app: seeded i-7 1147"), "{serial}");
}

/// A GPT disk with one ext4 partition that holds a root filesystem: much smaller than the disk.
fn small_root(disk: &Path, label: &str) {
    let tree = tempfile::tempdir().unwrap();
    for directory in ["bin", "dev", "proc", "sys", "run", "sbin"] {
        fs::create_dir(tree.path().join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", tree.path().join("bin/busybox")).unwrap();
    let init = "#!/bin/busybox sh\n\
        set -- $(/bin/busybox df -m / | /bin/busybox tail -n 1)\n\
        /bin/busybox echo \"app: root of $(($2 > 200 && $2 < 256)) from $(($$ * 77))\"\n\
        /bin/busybox mount -o remount,ro / && /bin/busybox poweroff -f\n";
    fs::write(tree.path().join("sbin/init"), init).unwrap();
    run("chmod", "coreutils", &["755", tree.path().join("sbin/init").to_str().unwrap()]);
    fs::File::create(disk).unwrap().set_len(40 << 20).unwrap();
    let name = disk.to_str().unwrap();
    run("sgdisk", "gdisk", &["-n", "1:2048:67583", "-c", "1:root", name]);
    let offset = "offset=1048576";
    let from = tree.path().to_str().unwrap();
    run(
        "mke2fs",
        "e2fsprogs",
        &["-q", "-t", "ext4", "-L", label, "-E", offset, "-d", from, name, "32M"],
    );
    // The disk is made larger afterwards, as a cloud does: the backup header is no longer at its end.
    fs::OpenOptions::new().write(true).open(disk).unwrap().set_len(256 << 20).unwrap();
}

#[test]
fn a_root_filesystem_grows_to_its_disk_and_takes_over() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    small_root(&disk, "slim-rootfs");
    let mut plan = Plan::new("").with("-nic none -no-reboot");
    plan = plan.with(&format!("-drive file={},format=raw,if=virtio", disk.display()));
    plan.config.grow = true;
    plan.command_line = "root=LABEL=slim-rootfs".into();
    let (_, serial) = plan.start().off();
    // The program of the root filesystem is the first process: its number is 1.
    assert!(serial.contains("app: root of 1 from 77"), "{serial}");
    assert!(serial.contains("info grown partition=vda1 bytes="), "{serial}");
    // Foreign tools see one table at both ends, and a sound filesystem of the new size.
    run("sgdisk", "gdisk", &["-v", disk.to_str().unwrap()]);
    let told = Command::new("sgdisk").args(["-v", disk.to_str().unwrap()]).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("No problems found"), "{told}");
    let part = directory.path().join("part");
    let bytes = fs::read(&disk).unwrap();
    fs::write(&part, &bytes[1 << 20..]).unwrap();
    run("e2fsck", "e2fsprogs", &["-fn", part.to_str().unwrap()]);
    // A second boot by PARTUUID finds nothing to do.
    let uuid = Command::new("sgdisk").args(["-i", "1", disk.to_str().unwrap()]).output().unwrap();
    let uuid = String::from_utf8_lossy(&uuid.stdout).into_owned();
    let uuid = uuid.lines().find_map(|line| line.strip_prefix("Partition unique GUID: ")).unwrap();
    plan.command_line = format!("root=PARTUUID={uuid}");
    let (_, serial) = plan.start().off();
    assert!(serial.contains("app: root of 1 from 77"), "{serial}");
    assert!(!serial.contains("grow"), "{serial}");
}
