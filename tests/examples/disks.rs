//! Debian roots on disks with a GPT and an EFI system partition.

use fs_err as fs;

use crate::desk::desk;
use crate::roots::{clean, debugfs, superblock};
use crate::tool;
use crate::volumes::blkid;

/// A partition as sgdisk tells it, and a file with its bytes.
struct Partition {
    told: String,
    file: String,
}

impl Partition {
    /// Takes partition `number` out of a raw disk.
    fn of(disk: &str, number: &str) -> Self {
        let told = tool::run("gdisk", "sgdisk", &["-i", number, disk]);
        let field = |name: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        let (first, last) = (field("First sector: "), field("Last sector: "));
        let file = format!("{disk}.{number}");
        let count = format!("count={}", last + 1 - first);
        let (from, to) = (format!("if={disk}"), format!("of={file}"));
        let skip = format!("skip={first}");
        tool::run(
            "coreutils",
            "dd",
            &[&from, &to, "bs=512", &skip, &count, "conv=sparse", "status=none"],
        );
        Self { told, file }
    }

    fn guid(&self) -> String {
        let line = self.told.lines().find_map(|line| line.strip_prefix("Partition unique GUID: "));
        line.unwrap().to_lowercase()
    }
}

/// The value of a field as blkid writes it.
fn field(said: &str, name: &str) -> String {
    let (_, rest) = said.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("{said}"));
    rest.split('"').next().unwrap().to_owned()
}

/// The table, an ESP and a root; fstab names both by what foreign tools read of them.
fn judge(disk: &str) -> (Partition, Partition) {
    let said = tool::run("gdisk", "sgdisk", &["-v", disk]);
    assert!(said.contains("No problems found"), "{said}");
    let (esp, root) = (Partition::of(disk, "1"), Partition::of(disk, "2"));
    for (partition, guid, name) in [
        (&esp, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "'esp'"),
        (&root, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "'root'"),
    ] {
        assert!(partition.told.contains(guid), "{}", partition.told);
        assert!(partition.told.contains(&format!("Partition name: {name}")), "{}", partition.told);
    }
    tool::run("dosfstools", "fsck.fat", &["-n", &esp.file]);
    clean(&root.file);
    let (fat, ext) = (blkid(&esp.file), blkid(&root.file));
    assert_eq!((field(&fat, "LABEL"), field(&fat, "TYPE")), ("ESP".into(), "vfat".into()));
    assert_eq!((field(&ext, "LABEL"), field(&ext, "TYPE")), ("debian".into(), "ext4".into()));
    let fstab = format!(
        "UUID={} / ext4 discard,errors=remount-ro 0 1\nPARTUUID={} /boot/efi vfat umask=0077 0 2\n",
        field(&ext, "UUID"),
        esp.guid()
    );
    let words = |text: &str| {
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(words(&debugfs(&root.file, "cat /etc/fstab")), words(&fstab));
    assert_eq!(debugfs(&root.file, "cat /etc/hostname"), "debian\n");
    let mounted = debugfs(&root.file, "ls -p /boot/efi");
    assert_eq!(mounted.lines().filter(|line| line.starts_with('/')).count(), 2, "{mounted}");
    (esp, root)
}

/// Whether the file at `path` of a root is the one in a package.
fn same_as_in_package(root: &str, path: &str, package: &str) {
    let script = "debugfs -R \"cat /$2\" \"$1\" | sha256sum; dpkg-deb --fsys-tarfile \"$3\" | tar -xO \"./$2\" | sha256sum";
    let package = desk().path(&format!("home/volume/{package}.deb"));
    let said =
        tool::run("dpkg", "sh", &["-c", script, "sh", root, path, package.to_str().unwrap()]);
    let sums: Vec<&str> = said.lines().collect();
    assert!(sums.len() == 2 && sums[0] == sums[1], "{path}: {said}");
}

#[test]
fn packages_make_a_root_and_an_esp() {
    let disk = desk().file("debian-debs.raw");
    let (esp, root) = judge(&disk);
    let loader = tool::run("mtools", "mdir", &["-b", "-/", "-i", &esp.file, "::"]);
    let mut loader: Vec<&str> = loader.lines().filter(|line| !line.ends_with('/')).collect();
    loader.sort_unstable();
    assert_eq!(loader, ["::/EFI/BOOT/BOOTX64.EFI", "::/EFI/BOOT/grub.cfg"]);
    let config = tool::run("mtools", "mtype", &["-i", &esp.file, "::/EFI/BOOT/grub.cfg"]);
    let uuid = field(&blkid(&root.file), "UUID");
    assert_eq!(config, format!("search --set=root --fs-uuid {uuid}\n"));
    let program = format!("{}.efi", esp.file);
    tool::run("mtools", "mcopy", &["-n", "-i", &esp.file, "::/EFI/BOOT/BOOTX64.EFI", &program]);
    assert_eq!(fs::metadata(&program).unwrap().len(), 120_007);
    same_as_in_package(&root.file, "boot/vmlinuz-6.1.0", "kernel");
    same_as_in_package(&root.file, "usr/bin/busybox", "base");
    let share = debugfs(&root.file, "ls -p /usr/share");
    assert!(!share.contains("/doc/"), "{share}");
    let cache = debugfs(&root.file, "ls -p /var/cache/apt");
    assert!(!cache.contains("pkgcache"), "{cache}");
    let shell = debugfs(&root.file, "stat /usr/bin/sh");
    assert!(shell.contains("Links: 5"), "{shell}");
    let null = debugfs(&root.file, "stat /dev/null");
    assert!(null.contains("Device major/minor number: 01:03"), "{null}");
    let free = superblock(&root.file)["Free blocks"].parse::<u64>().unwrap();
    let size = superblock(&root.file)["Block size"].parse::<u64>().unwrap();
    assert!(free * size >= 16 << 20, "{free} blocks of {size}");
    let vmdk = desk().file("debian-debs.vmdk");
    tool::run("qemu-utils", "qemu-img", &["compare", "-f", "raw", "-F", "vmdk", &disk, &vmdk]);
}

/// The layers of the image are the trees of the packages `base` and `kernel`; the second takes the
/// documentation away, the document what lies in the cache.
#[test]
fn a_container_image_makes_a_root() {
    let (file, disk) = (desk().file("debian-root.qcow2"), desk().file("debian-root.img"));
    tool::run("qemu-utils", "qemu-img", &["check", &file]);
    tool::run("qemu-utils", "qemu-img", &["convert", "-f", "qcow2", "-O", "raw", &file, &disk]);
    assert_eq!(fs::metadata(&disk).unwrap().len(), 1 << 30);
    let (esp, root) = judge(&disk);
    // 1 MiB, the ESP, and the root up to the second table.
    assert!(esp.told.contains("First sector: 2048 ") && esp.told.contains("(64.0 MiB)"));
    // The 33 sectors of that are the last.
    assert!(root.told.contains("First sector: 133120 "), "{}", root.told);
    assert!(root.told.contains("Last sector: 2097118 "), "{}", root.told);
    let empty = tool::run("dosfstools", "fsck.fat", &["-n", &esp.file]);
    // The label counts as a file.
    assert!(empty.contains(": 1 files, 0/"), "{empty}");
    same_as_in_package(&root.file, "boot/vmlinuz-6.1.0", "kernel");
    same_as_in_package(&root.file, "usr/bin/busybox", "base");
    let names = |path: &str| {
        let said = debugfs(&root.file, &format!("ls -p {path}"));
        let names = said.lines().filter_map(|line| Some(line.split('/').nth(5)?.to_owned()));
        names.filter(|name| name != "." && name != "..").collect::<Vec<_>>()
    };
    assert_eq!(names("/usr/share/doc"), [""; 0]);
    assert_eq!(names("/var/cache/apt"), [""; 0]);
    assert_eq!(names("/usr/bin"), ["busybox", "cat", "ls", "mount", "sh"]);
    let shell = debugfs(&root.file, "stat /usr/bin/sh");
    assert!(shell.contains("Links: 5"), "{shell}");
    let link = debugfs(&root.file, "stat /bin");
    assert!(link.contains("Fast link dest: \"usr/bin\""), "{link}");
}
