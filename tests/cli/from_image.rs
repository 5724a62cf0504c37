//! Documents that begin with the files of an image that another tool made.
//!
//! Invariant: `e2fsck` and the original directory judge the result.

use std::ffi::OsStr;

use crate::support::{Desk, document, tool};

#[track_caller]
fn bash(desk: &Desk, package: &str, line: &str) -> String {
    let line = format!("export LC_ALL=C.UTF-8; cd '{}' && {line}", desk.root().display());
    tool(package, "bash", &[OsStr::new("-euc"), OsStr::new(&line)])
}

/// A compressed qcow2 with a GPT, an ESP and an ext4 root, as clouds have them.
fn cloud(desk: &Desk) {
    let script = "\
mkdir -p src/etc src/var/log src/boot
echo NAME=cloud > src/etc/os-release
echo old > src/var/log/messages
head -c 300000 /dev/urandom > src/boot/vmlinuz
ln src/boot/vmlinuz src/boot/vmlinuz.old
ln -s os-release src/etc/release
chmod 4755 src/etc/os-release
mke2fs -q -F -t ext4 -L cloud -d src root.fs 8M
printf 'mknod dev c 1 3\\nset_inode_field etc/os-release uid 4711\\nea_set etc/os-release user.note hi\\n' |
  debugfs -w root.fs >/dev/null 2>&1
truncate -s 2M esp.fs && mkfs.fat esp.fs >/dev/null && mcopy -i esp.fs src/boot/vmlinuz ::loader
truncate -s 16M disk.raw
printf 'label: gpt\\nstart=2048,size=4096,type=uefi\\nstart=6144,size=16384\\n' | sfdisk -q disk.raw
dd if=esp.fs of=disk.raw bs=512 seek=2048 conv=notrunc status=none
dd if=root.fs of=disk.raw bs=512 seek=6144 conv=notrunc status=none
qemu-img convert -f raw -O qcow2 -c disk.raw cloud.qcow2
";
    bash(desk, "e2fsprogs fdisk dosfstools mtools qemu-utils", script);
}

/// A document with one ext4 partition and these steps.
fn disk(steps: &str) -> String {
    document(&format!(
        "  disk:\n    partitionTable: GPT\n    partitions:\n    - name: root\n      size: 24Mi\n      \
         filesystem: {{type: ext4}}\n      contents:\n{steps}"
    ))
}

#[test]
fn take_this_cloud_image_add_a_file_and_grow_it() {
    let desk = Desk::new();
    cloud(&desk);
    let steps = "      - fromImage: {source: {file: cloud.qcow2}, format: qcow2, partition: 2, exclude: [var/log/messages]}
      - file: {path: /etc/motd, text: \"hello\\n\"}
";
    desk.write("d.yaml", disk(steps));
    desk.run(&["build", "-f", "d.yaml"]).ok();
    let ran = desk.run(&["diff", "--times", "cloud.qcow2:2", "hello.raw"]);
    let lines: Vec<_> = ran.out.lines().filter(|line| !line.contains("/lost+found")).collect();
    // What was added and left out, and the directory that the new file lies in keeps its time.
    assert_eq!(lines, ["+ /etc/motd", "- /var/log/messages"], "{ran:?}");
    bash(
        &desk,
        "e2fsprogs",
        "dd if=hello.raw of=fs bs=1M skip=1 count=24 status=none; e2fsck -fn fs >&2",
    );
    let stat = bash(&desk, "e2fsprogs", "debugfs -R 'stat etc/os-release' fs 2>&1");
    assert!(stat.contains("Mode:  04755") && stat.contains("User:  4711"), "{stat}");
    assert!(stat.contains("user.note (2)"), "{stat}");
    bash(&desk, "e2fsprogs", "debugfs -R 'dump boot/vmlinuz.old k' fs; cmp k src/boot/vmlinuz");
    let stat = bash(&desk, "e2fsprogs", "debugfs -R 'stat boot/vmlinuz' fs 2>&1");
    assert!(stat.contains("Links: 2"), "{stat}");
}

#[test]
fn a_part_of_an_image_goes_where_the_document_says() {
    let desk = Desk::new();
    cloud(&desk);
    let steps = "      - fromImage: {source: {file: cloud.qcow2}, format: auto, partition: 2, from: /boot, include: ['vmlinuz*'], path: /srv/k}
      - fromImage: {source: {file: root.fs}, from: /etc/os-release, path: /release}
";
    desk.write("d.yaml", disk(steps));
    desk.run(&["build", "-f", "d.yaml"]).ok();
    let out = desk.run(&["ls", "-R", "hello.raw"]).ok();
    let names: Vec<_> = out.lines().filter(|line| !line.ends_with("lost+found")).collect();
    assert_eq!(names, ["/release", "/srv", "/srv/k", "/srv/k/vmlinuz", "/srv/k/vmlinuz.old"]);
}

#[test]
fn what_cannot_be_taken_is_told_with_its_field() {
    let desk = Desk::new();
    cloud(&desk);
    let field = "spec.disk.partitions[0].contents[0].fromImage";
    for (step, code, wanted) in [
        ("source: {file: cloud.qcow2}, format: qcow2", 66, "partition: 2 partitions with files"),
        (
            "source: {file: cloud.qcow2}, format: qcow2, partition: 7",
            66,
            "partition: no partition has the number 7",
        ),
        // Raw is not guessed: the bytes of a qcow2 file are no filesystem.
        ("source: {file: cloud.qcow2}", 66, "partition: the disk holds no files"),
        ("source: {file: root.fs}, format: qcow2", 66, ": "),
        ("source: {file: root.fs}, from: /none", 66, ": there is no \"/none\""),
        ("source: {file: root.fs}, include: [none]", 66, ": "),
    ] {
        desk.write("d.yaml", disk(&format!("      - fromImage: {{{step}}}\n")));
        let err = desk.run(&["build", "-f", "d.yaml"]).failed(code);
        assert!(err.contains(field) && err.contains(wanted), "{step}: {err}");
    }
    // A file that the image names is not opened.
    bash(&desk, "qemu-utils", "qemu-img create -q -f qcow2 -b root.fs -F raw over.qcow2");
    desk.write("d.yaml", disk("      - fromImage: {source: {file: over.qcow2}, format: qcow2}\n"));
    let err = desk.run(&["build", "-f", "d.yaml"]).failed(66);
    assert!(err.contains("root.fs") && err.contains("not opened unless allowed"), "{err}");
}
