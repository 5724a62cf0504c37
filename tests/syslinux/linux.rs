//! A real Linux kernel, with an initial filesystem in two parts.
//!
//! Invariant: what is expected is the digest that a program of the first part computed of the second.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};
use vmimage::engine::bootloader::syslinux::menu::{Boot, Config, Entry, Serial, Wait};
use vmimage::engine::filesystem::{Params, ext, fat};

use crate::boots::{PC, partitioned_with};
use crate::support::qemu::Qemu;
use crate::support::sparse::noise;
use crate::support::tool::run;
use crate::world::path;

/// Mounts /proc for the command line, tells what it sees, and ends the machine.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /proc
/bin/busybox mount -t proc proc /proc
read -r line </proc/cmdline
set -- $(/bin/busybox sha256sum /part)
echo \"DIGEST $1 $line\"
/bin/busybox reboot -f
";

fn kernel() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Command::new(root.join("e2e/guest/build")).stderr(Stdio::inherit()).output();
    let built = built.unwrap();
    assert!(built.status.success(), "e2e/guest/build: {}", built.status);
    let guest = PathBuf::from(String::from_utf8(built.stdout).unwrap().trim());
    fs_err::read(guest.join("vmlinuz")).unwrap()
}

/// An archive of newc as `cpio` makes it of these files.
fn archive(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes, mode) in files {
        let to = directory.path().join(name);
        fs_err::create_dir_all(to.parent().unwrap()).unwrap();
        fs_err::write(&to, bytes).unwrap();
        fs_err::set_permissions(&to, std::fs::Permissions::from_mode(*mode)).unwrap();
    }
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("cpio");
    let command = format!(
        "cd {} && find . | sort | cpio -o -H newc --quiet >{}",
        directory.path().display(),
        to.display()
    );
    run("cpio", "sh", &["-c", &command]);
    fs_err::read(to).unwrap()
}

fn boots(params: &Params, kind: &str) {
    let busybox = fs_err::read("/bin/busybox").expect("apt install busybox-static");
    let first = archive(&[("bin/busybox", &busybox, 0o755), ("init", INIT.as_bytes(), 0o755)]);
    let part = noise(100_000, 4);
    let second = archive(&[("part", &part, 0o644)]);
    let boot = Boot::Linux {
        kernel: path("/boot/vmlinuz"),
        initrds: vec![path("/boot/first"), path("/boot/second")],
        append: "console=ttyS0 quiet panic=-1 no_timer_check token=7412".to_owned(),
    };
    let config = Config {
        serial: Some(Serial { port: 0, baud: 115_200 }),
        wait: Wait::No,
        menu: None,
        default: 0,
        entries: vec![Entry { label: "linux".to_owned(), title: None, boot }],
    };
    let kernel = kernel();
    let more: [(&str, &[u8]); 3] =
        [("/boot/vmlinuz", &kernel), ("/boot/first", &first), ("/boot/second", &second)];
    let disk = partitioned_with(("dos", kind, 64 << 20), params, &config, &more);
    let (_, serial) = Qemu::start_large(PC, &disk.file, 256).wait_for_off();
    let text = String::from_utf8_lossy(&serial);
    let digest = hex::encode(Sha256::digest(&part));
    let told =
        "console=ttyS0 quiet panic=-1 no_timer_check token=7412 initrd=/boot/first,/boot/second";
    let wanted = format!("DIGEST {digest} BOOT_IMAGE=/boot/vmlinuz {told}");
    assert!(text.contains(&wanted), "{text}");
}

#[test]
fn linux_boots_from_fat16() {
    boots(&Params::Fat(fat::Params { bits: Some(fat::Bits::Sixteen), ..Default::default() }), "e");
}

#[test]
fn linux_boots_from_ext4() {
    boots(&Params::Ext(ext::Params::default()), "83");
}
