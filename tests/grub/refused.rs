//! What is refused before it is written, and that GRUB would have refused it, too.

use fs_err as fs;
use vmimage::engine::base::{Content, Extent, Placement};
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::bootloader::grub::kernel::{self, Version};
use vmimage::engine::bootloader::grub::menu::{
    Access, Action, Entry, Filesystem, Menu, Root, Table, Terminal, menu_core,
};
use vmimage::engine::bootloader::grub::pc::{self, Core, CoreParams, Hybrid};

use crate::boots::{commands, menu, multiboot};
use crate::payload;

fn core(modules: &[&str]) -> Result<Core, String> {
    let modules = modules.iter().map(|name| (*name).to_owned()).collect();
    let params = CoreParams { modules, prefix: "/boot/grub".to_owned(), ..CoreParams::default() };
    pc::core(&params, &Assets::default()).map_err(|e| e.to_string())
}

fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
}

#[test]
fn modules_that_are_not_there() {
    says(&core(&["ext4"]).unwrap_err(), &["\"ext4\"", "near: ext2"]);
    says(&core(&["multi"]).unwrap_err(), &["multiboot, multiboot2"]);
    let desk = tempfile::tempdir().unwrap();
    let own = desk.path().join("grub/i386-pc");
    fs::create_dir_all(&own).unwrap();
    let assets = Assets::only(vec![desk.path().to_owned()]);
    let params = CoreParams { modules: vec!["ext2".into()], ..CoreParams::default() };
    let error = |assets: &Assets| pc::core(&params, assets).unwrap_err().to_string();
    says(&error(&assets), &["moddep.lst is missing", "grub-pc-bin"]);
    fs::write(own.join("moddep.lst"), "ext2: fshelp\nfshelp\n").unwrap();
    says(&error(&assets), &["moddep.lst, line 2"]);
    fs::write(own.join("moddep.lst"), b"ext2: \xff\n").unwrap();
    says(&error(&assets), &["moddep.lst is damaged", "byte 6"]);
    fs::write(own.join("moddep.lst"), "ext2: fshelp\n").unwrap();
    says(&error(&assets), &["\"fshelp\", which ext2 needs"]);
    fs::write(own.join("moddep.lst"), "ext2:\n").unwrap();
    says(&error(&assets), &["ext2.mod is missing"]);
    fs::write(own.join("ext2.mod"), "no module").unwrap();
    says(&error(&assets), &["ext2.mod is no ELF file"]);
}

#[test]
fn files_of_grub_that_are_damaged() {
    let desk = tempfile::tempdir().unwrap();
    let own = desk.path().join("grub/i386-pc");
    fs::create_dir_all(&own).unwrap();
    let assets = Assets::new(vec![desk.path().to_owned()]);
    let params = CoreParams { modules: vec!["ext2".into()], ..CoreParams::default() };
    let install = || pc::core(&params, &assets).map_err(|e| e.to_string());
    install().unwrap();
    let whole = |name: &str| fs::read(format!("/usr/lib/grub/i386-pc/{name}")).unwrap();
    for (name, len) in
        [("boot.img", 511), ("diskboot.img", 0), ("lzma_decompress.img", 9), ("kernel.img", 60)]
    {
        fs::write(own.join(name), &whole(name)[..len]).unwrap();
        says(&install().unwrap_err(), &["GRUB"]);
        fs::remove_file(own.join(name)).unwrap();
    }
    let mut boot = whole("boot.img");
    boot[0x66] = 0;
    fs::write(own.join("boot.img"), boot).unwrap();
    says(&install().unwrap_err(), &["boot.img has [00, 05] at 0x66"]);
    fs::remove_file(own.join("boot.img")).unwrap();
    // Every byte of the kernel's headers, turned over: refused or made, never a panic.
    let kernel = whole("kernel.img");
    for at in (0..52).chain(kernel.len() - 240..kernel.len()) {
        let mut kernel = kernel.clone();
        kernel[at] ^= 0xff;
        fs::write(own.join("kernel.img"), kernel).unwrap();
        let _ = pc::core(&CoreParams::default(), &assets);
    }
}

#[test]
fn core_images_that_do_not_fit() {
    let core = core(&["biosdisk", "part_msdos", "ext2"]).unwrap();
    let len = core.len();
    let install = |from, to| {
        core.install(Extent::new(from, to).unwrap(), "the gap").map_err(|e| e.to_string())
    };
    let [code, body] = install(512, 512 + len).unwrap();
    assert_eq!(
        (code.offset, code.bytes.len(), body.offset, body.bytes.len() as u64),
        (0, 440, 512, len)
    );
    let message = install(512, 63 * 512 - 512 * 20).unwrap_err();
    let over = format!("{} bytes too large for the gap", len - 42 * 512);
    says(&message, &[&over, &format!("it takes {len}"), "room for 21504"]);
    says(&install(513, 1 << 20).unwrap_err(), &["byte 513"]);

    // A place that is known later gives the same bytes.
    let Content::Late(late) = core.content() else { panic!("it is late") };
    let place = Placement {
        extents: vec![Extent::new(4096, 4096 + len).unwrap()],
        medium: 1 << 20,
        volume: 0,
    };
    assert_eq!((late.finish)(&place), core.at(4096).unwrap());
    assert_eq!(
        core.at(4096).unwrap()[500..512],
        [9, 0, 0, 0, 0, 0, 0, 0, (len / 512 - 1) as u8, 0, 0x20, 8]
    );
    assert_eq!(
        core.code(4096).unwrap().bytes[0x5c..0x68],
        [8, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfa, 0x90, 0x90]
    );
    let hybrid = Hybrid::new(&Assets::default()).unwrap();
    assert_eq!(hybrid.code(68 * 1024).unwrap().bytes[0x1b0..], 140_u64.to_le_bytes());

    let all: Vec<String> = Assets::default()
        .names(vmimage::engine::bootloader::assets::Set::GrubPc)
        .unwrap()
        .iter()
        .filter_map(|name| name.strip_suffix(".mod").map(str::to_owned))
        .collect();
    let params = CoreParams { modules: all, ..CoreParams::default() };
    let message = pc::core(&params, &Assets::default()).unwrap_err().to_string();
    says(&message, &["too large", "454656"]);
}

#[test]
fn menus() {
    let good = menu(vec![multiboot(Version::One, "x", &[])], 0);
    let bad = |change: &dyn Fn(&mut Menu)| {
        let mut menu = good.clone();
        change(&mut menu);
        menu.config().unwrap_err().to_string()
    };
    says(&bad(&|menu| menu.default = 1), &["default is 1", "1 entries"]);
    says(&bad(&|menu| menu.entries.clear()), &["0 entries"]);
    says(&bad(&|menu| menu.entries[0].title = "a\nb".into()), &["menu entry 0", "control"]);
    says(&bad(&|menu| menu.entries[0].title = "--x".into()), &["begins with -"]);
    let serial = |unit, speed| vec![Terminal::Serial { unit, speed }];
    says(&bad(&|menu| menu.terminals = serial(4, 9600)), &["unit 4"]);
    says(&bad(&|menu| menu.terminals = serial(0, 9601)), &["9601", "115200"]);
    for text in ["}", "{", "echo 'x", "echo \"x", "a\0", "", " # x\n"] {
        let action = Action::Commands(text.to_owned());
        says(
            &bad(&|menu| menu.entries[0].action = action.clone()),
            &["menu entry 0: its commands"],
        );
    }
    let linux = |kernel: &str, arguments: &str| Action::Linux {
        kernel: kernel.into(),
        initrds: Vec::new(),
        arguments: arguments.into(),
    };
    says(
        &bad(&|menu| menu.entries[0].action = linux("boot/k", "")),
        &["\"boot/k\" does not begin with /"],
    );
    says(
        &bad(&|menu| menu.entries[0].action = linux("/k", "a\\b")),
        &["\"a\\\\b\" cannot be passed on"],
    );
    assert_eq!(good.paths(), [(0, b"/boot/kernel".as_slice())]);
    let access = Access { filesystem: Filesystem::Ext, table: Table::Mbr };
    let root = Root::Uuid("x; halt".into());
    let error = menu_core(access, &root, "/boot/grub", &good, "").unwrap_err().to_string();
    says(&error, &["no UUID"]);
}

/// GRUB's own parser takes every menu.
#[test]
fn menus_are_what_grub_script_check_takes() {
    let text = "if [ a = b ]; then # }\n  echo \"}\" '{' \\} ${x}\nfi";
    let linux = Action::Linux {
        kernel: b"/boot/vm linuz".to_vec(),
        initrds: vec![b"/a'b".to_vec(), b"/$c".to_vec()],
        arguments: b"x=\"a b\" $(c) `d`".to_vec(),
    };
    let mut menu = menu(
        vec![Action::Commands(text.into()), linux, multiboot(Version::Two, "#", &[("/;", "}")])],
        2,
    );
    menu.entries
        .push(Entry { title: "it's {$x} \"\\".into(), action: Action::Commands("halt".into()) });
    menu.terminals.push(Terminal::Graphics { font: b"/boot/f.pf2".to_vec() });
    let desk = tempfile::tempdir().unwrap();
    let path = desk.path().join("grub.cfg");
    fs::write(&path, menu.config().unwrap()).unwrap();
    let output = std::process::Command::new("grub-script-check")
        .arg(&path)
        .output()
        .expect("apt install grub-common");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        fs::read_to_string(&path).unwrap()
    );
    let modules = menu.modules(&commands());
    for name in ["normal", "serial", "gfxterm", "linux", "multiboot2", "test", "echo"] {
        assert!(modules.contains(name), "{name}: {modules:?}");
    }
}

#[test]
fn kernels() {
    let kernel = payload::kernel();
    for version in [Version::One, Version::Two] {
        let found = kernel::multiboot(&kernel, version, "k").unwrap();
        assert_eq!((found.wide, found.memory.0), (false, 0x10_0000), "{found:?}");
    }
    let refuse = |bytes: &[u8], version| {
        kernel::multiboot(bytes, version, "the kernel").unwrap_err().to_string()
    };
    says(
        &refuse(&[0x1f, 0x8b, 8, 0], Version::One),
        &["no Multiboot header in its first 8192", "gzip"],
    );
    says(&refuse(&[], Version::Two), &["no Multiboot 2 header"]);
    let low = payload::compiled(&["-Wl,-Ttext-segment=0x8000"]);
    says(&refuse(&low, Version::One), &["at 0x8000", "below 0x100000"]);
    // The second segment over the first.
    let mut over = kernel.clone();
    let at = 52 + 32 + 12;
    over[at..at + 4].copy_from_slice(&0x10_0010_u32.to_le_bytes());
    says(&refuse(&over, Version::Two), &["segments that overlap", "0x100010"]);
    let mut machine = kernel.clone();
    machine[18] = 40;
    says(&refuse(&machine, Version::One), &["machine 40"]);
    let mut entry = kernel.clone();
    entry[24..28].fill(0);
    says(&refuse(&entry, Version::One), &["entry 0x0 outside"]);
    let mut cut = kernel.clone();
    // More bytes of the first segment than the file has.
    for at in [52 + 16, 52 + 20] {
        cut[at..at + 4].copy_from_slice(&0x8000_u32.to_le_bytes());
    }
    says(&refuse(&cut, Version::One), &["loads 32768 bytes from 0", "the file has"]);
    for at in 0..kernel.len().min(1100) {
        for mask in [0xff, 0x01, 0x80] {
            let mut bytes = kernel.clone();
            bytes[at] ^= mask;
            let _ = kernel::multiboot(&bytes, Version::One, "k");
            let _ = kernel::multiboot(&bytes, Version::Two, "k");
        }
    }
}
