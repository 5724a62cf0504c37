//! Boots under OVMF. Every payload prints a product of two numbers that stands in no file.

use std::path::Path;

use fs_err as fs;
use vmimage::engine::base::tree::{Kind, Meta, Missing, Time, Tree, TreePath};
use vmimage::engine::base::{ByteSource, Content};
use vmimage::engine::bootloader::assets::{Assets, Set};
use vmimage::engine::bootloader::efi::{
    Grub, Machine, Parts, distribution, fallback, read, script, signed, unified,
};
use vmimage::engine::bootloader::grub::efi::{MENU, Params, image};
use vmimage::engine::filesystem::{Params as Filesystem, ext};

use crate::image::tight;
use crate::made::{
    answer, arm64, bytes, cpio, esp, file, gpt, initrd, initrd_with, kernel, kernel_content,
    opened, origin, stub, volume, whole,
};
use crate::ovmf::{Firmware, boot};
use crate::tool;

const LINE: &str = "console=ttyS0 panic=-1 no_timer_check told=\"two words\"";
const UUID: &str = "5f3c1a52-8d1e-4b7e-9c53-3d9a1c0b7e11";
/// What OVMF says when it has nothing more to start, and what its shell says.
const NOTHING: [&str; 2] = ["Shell>", "No bootable option"];

fn uki(stub: &[u8], a: u64, b: u64) -> Vec<u8> {
    let parts = Parts {
        initrd: Some(bytes(&initrd(a, b))),
        command_line: Some(LINE.to_owned()),
        ..Parts::new(kernel_content())
    };
    whole(unified(Machine::X64, stub, parts).unwrap().as_ref())
}

fn disk(path: &Path, program: &[u8]) {
    esp(path, vec![fallback(Machine::X64, bytes(program), &origin())]);
}

#[test]
fn a_unified_image_boots_and_with_a_zeroed_initrd_it_says_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let made = uki(&stub(), 51_417, 70_001);
    disk(&path, &made);
    let said = boot(Firmware::Open, &[&path], &NOTHING);
    assert!(said.contains(&answer(51_417, 70_001)), "{said}");
    // The command line is the section's and nothing else.
    assert!(said.contains(&format!("cmdline={LINE}=")), "{said}");
    let found = read(&ByteSource::new(made.clone())).unwrap().unwrap();
    let section = found.section(".initrd").unwrap();
    let mut zeroed = made;
    zeroed[section.offset as usize..][..section.size as usize].fill(0);
    disk(&path, &zeroed);
    let said = boot(Firmware::Open, &[&path], &["Kernel panic", NOTHING[0], NOTHING[1]]);
    assert!(!said.contains("answer="), "{said}");
    assert!(said.contains("Kernel panic"), "{said}");
}

#[test]
fn a_stub_with_moved_data_boots_and_microcode_comes_first() {
    let directory = tempfile::tempdir().unwrap();
    let (path, early) = (directory.path().join("disk"), directory.path().join("early"));
    fs::create_dir(&early).unwrap();
    fs::write(early.join("early"), "x".repeat(777)).unwrap();
    let parts = Parts {
        microcode: Some(bytes(&cpio(&early))),
        initrd: Some(bytes(&initrd(90_001, 33_333))),
        command_line: Some(LINE.to_owned()),
        os_release: Some(b"ID=test\n"[..].into()),
        ..Parts::new(kernel_content())
    };
    let made = unified(Machine::X64, &tight(), parts).unwrap();
    disk(&path, &whole(made.as_ref()));
    let said = boot(Firmware::Open, &[&path], &NOTHING);
    assert!(said.contains(&answer(90_001, 33_333)), "{said}");
    assert!(said.contains("early=777="), "{said}");
}

#[test]
fn startup_nsh_starts_a_kernel_with_exactly_its_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let arguments = "loglevel=4 console=ttyS0 panic=-1 no_timer_check x=a,b;c*d?e[f]&g'h'$i initrd=\\initramfs.img";
    let text = script("vmlinuz", arguments).unwrap();
    let files = vec![
        file("vmlinuz", kernel_content()),
        file("initramfs.img", bytes(&initrd(41_213, 60_013))),
        file("startup.nsh", bytes(text.as_bytes())),
    ];
    esp(&path, files);
    let said = boot(Firmware::Open, &[&path], &["No bootable option"]);
    assert!(said.contains(&answer(41_213, 60_013)), "{said}");
    assert!(said.contains(&format!("cmdline=vmlinuz {arguments}=")), "{said}");
}

/// An ext4 root with kernel, initrd and a menu.
fn root(path: &Path, menu: &str, initrd: &[u8]) {
    let mut tree = Tree::new(Meta::directory(Time::default()), origin());
    for (name, content) in [
        ("boot/vmlinuz", kernel_content()),
        ("boot/initrd.img", bytes(initrd)),
        ("boot/grub/grub.cfg", bytes(menu.as_bytes())),
    ] {
        let place = TreePath::new(name.as_bytes()).unwrap();
        let (parent, name) = place.split().unwrap();
        let missing = Missing::Make(Meta::directory(Time::default()));
        let parent = tree.directory_at(&parent, missing, &origin()).unwrap();
        let meta = Meta::file(Time::default());
        tree.put(parent, name.clone(), Kind::File(content), meta, &origin()).unwrap();
    }
    volume(path, &Filesystem::Ext(ext::Params::default()), tree, Some(UUID));
}

#[test]
fn grub_finds_an_ext4_root_by_uuid_and_shows_its_menu() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let menu = format!(
        "set timeout=2\nset default=1\nserial --unit=0 --speed=115200\n\
         terminal_input serial console\nterminal_output serial\n\
         menuentry \"wrong one\" {{ halt }}\n\
         menuentry \"the right one\" {{ linux /boot/vmlinuz {LINE}\ninitrd /boot/initrd.img }}\n"
    );
    root(&path("root"), &menu, &initrd(77_777, 12_347));
    let params = Params {
        modules: MENU,
        prefix: "/boot/grub",
        config: &format!("search --fs-uuid --set=root {UUID}\nset prefix=($root)/boot/grub\n"),
        sbat: None,
    };
    let program = image(&Assets::default(), &params).unwrap();
    disk(&path("esp"), &program);
    gpt(&path("disk"), &[&path("esp"), &path("root")]);
    let said = boot(Firmware::Open, &[&path("disk")], &["grub>", NOTHING[0], NOTHING[1]]);
    assert!(said.contains("wrong one") && said.contains("the right one"), "{said}");
    assert!(said.contains(&answer(77_777, 12_347)), "{said}");
    assert!(said.contains("told=two words") || said.contains("told=\"two words\""), "{said}");
}

fn grub_files(initrd: &[u8]) -> (String, Vec<vmimage::engine::bootloader::efi::File>) {
    let config = format!(
        "set timeout=0\nmenuentry \"only\" {{ linux /vmlinuz {LINE}\ninitrd /initrd.img }}\n"
    );
    let kernel: Content = kernel_content();
    (config, vec![file("vmlinuz", kernel), file("initrd.img", bytes(initrd))])
}

#[test]
fn the_distributions_grub_boots() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let (config, mut files) = grub_files(&initrd(123_457, 9_999));
    let assets = Assets::default();
    files.extend(distribution(Machine::X64, Grub::Disk, &config, &assets, &origin()).unwrap());
    esp(&path, files);
    let said = boot(Firmware::Open, &[&path], &["grub>", NOTHING[0], NOTHING[1]]);
    assert!(said.contains(&answer(123_457, 9_999)), "{said}");
}

#[test]
fn with_secure_boot_the_signed_chain_boots() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let (config, mut files) = grub_files(&initrd(222_223, 4_441));
    files.extend(signed(Grub::Disk, &config, &Assets::default(), &origin()).unwrap());
    esp(&path, files);
    let said = boot(Firmware::Microsoft, &[&path], &["grub>", NOTHING[0], NOTHING[1]]);
    assert!(said.contains(&answer(222_223, 4_441)), "{said}");
    assert!(said.contains("Secure boot enabled"), "{said}");
}

#[test]
fn with_secure_boot_the_signed_chain_boots_from_a_cd() {
    let directory = tempfile::tempdir().unwrap();
    let (root, iso) = (directory.path().join("root"), directory.path().join("cd.iso"));
    for name in [".disk", "boot/grub"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let (config, _) = grub_files(&[]);
    fs::write(root.join(".disk/info"), "test").unwrap();
    fs::write(root.join("boot/grub/grub.cfg"), config).unwrap();
    fs::write(root.join("initrd.img"), initrd(310_007, 5_003)).unwrap();
    fs::copy(kernel(), root.join("vmlinuz")).unwrap();
    let files = signed(Grub::Cd, "", &Assets::default(), &origin()).unwrap();
    esp(&root.join("esp.img"), files);
    let names = [iso.to_str().unwrap(), root.to_str().unwrap()];
    let options = ["-as", "mkisofs", "-R", "-e", "esp.img", "-no-emul-boot", "-o"];
    tool::run("xorriso", "xorriso", &[&options[..], &names].concat());
    let said = boot(Firmware::Microsoft, &[&iso], &["grub>", NOTHING[0], NOTHING[1]]);
    assert!(said.contains(&answer(310_007, 5_003)), "{said}");
    assert!(said.contains("Secure boot enabled"), "{said}");
}

#[test]
fn with_secure_boot_what_nobody_signed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    disk(&path, &uki(&stub(), 51_419, 70_003));
    let said =
        boot(Firmware::Microsoft, &[&path], &["Access Denied", "Security Violation", NOTHING[0]]);
    assert!(!said.contains("answer="), "{said}");
    assert!(said.contains("Access Denied") || said.contains("Security Violation"), "{said}");
}

#[test]
fn on_arm64_a_unified_image_boots() {
    let (directory, arm) = (tempfile::tempdir().unwrap(), arm64());
    let path = directory.path().join("disk");
    let stub = Assets::only(vec![arm.clone()]).read(Set::EfiStub, Machine::Arm64.stub()).unwrap();
    let line = "console=ttyAMA0 panic=-1 told=arm";
    let parts = Parts {
        initrd: Some(bytes(&initrd_with(&arm.join("busybox"), 77_773, 99_991))),
        command_line: Some(line.to_owned()),
        ..Parts::new(opened(&arm.join("vmlinuz")))
    };
    let made = unified(Machine::Arm64, &stub, parts).unwrap();
    esp(&path, vec![fallback(Machine::Arm64, Content::Sectors(made), &origin())]);
    let said = boot(Firmware::Arm64, &[&path], &NOTHING);
    assert!(said.contains(&answer(77_773, 99_991)), "{said}");
    assert!(said.contains(&format!("cmdline={line}=")), "{said}");
}

#[test]
fn on_arm64_the_distributions_grub_boots() {
    let (directory, arm) = (tempfile::tempdir().unwrap(), arm64());
    let path = directory.path().join("disk");
    let config = "set timeout=0\nmenuentry \"only\" { linux /vmlinuz console=ttyAMA0 panic=-1\n\
                  initrd /initrd.img }\n";
    let assets = Assets::only(vec![arm.clone()]);
    let mut files = distribution(Machine::Arm64, Grub::Disk, config, &assets, &origin()).unwrap();
    files.push(file("vmlinuz", opened(&arm.join("vmlinuz"))));
    let initrd = initrd_with(&arm.join("busybox"), 31_337, 86_423);
    files.push(file("initrd.img", bytes(&initrd)));
    esp(&path, files);
    let said = boot(Firmware::Arm64, &[&path], &["grub>", NOTHING[0], NOTHING[1]]);
    assert!(said.contains(&answer(31_337, 86_423)), "{said}");
}
