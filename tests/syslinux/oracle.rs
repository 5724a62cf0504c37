//! What `syslinux -i` and `extlinux --install` write, compared with what we write for the same place.

use std::path::Path;

use vmimage::engine::base::{Content, Extent, Placement};
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::bootloader::syslinux::{Installed, Parts, Volume, install};

use crate::support::tool::run;
use crate::world::{Disk, parts, path};

/// What a late content is at a place.
fn settled(content: &Content, placement: &Placement) -> Vec<u8> {
    match content.clone().settle(placement).unwrap() {
        Content::Bytes(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

/// Where a file of a FAT volume lies, from its clusters as mtools lists them.
fn fat_placement(disk: &Disk, start: u64, name: &str, len: u64) -> Placement {
    let image = format!("{}@@{start}", disk.name());
    let listed = run("mtools", "mshowfat", &["-i", &image, &format!("::{name}")]);
    let boot = disk.read(start, 512);
    let cluster = u64::from(boot[13]) * 512;
    let fat = match u16_at(&boot, 22) {
        0 => u16_at(&boot, 36) + (u16_at(&boot, 38) << 16),
        fat => fat,
    };
    let root = u16_at(&boot, 17) * 32 / 512;
    let data = start + (u16_at(&boot, 14) + u64::from(boot[16]) * fat + root) * 512;
    let mut left = len;
    let extents = listed.split('<').skip(1).map(|run| {
        let run = run.split('>').next().unwrap();
        let (from, to) = run.split_once('-').unwrap_or((run, run));
        let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
        let at = data + (from - 2) * cluster;
        let bytes = ((to + 1 - from) * cluster).min(left);
        left -= bytes;
        Extent::new(at, at + bytes).unwrap()
    });
    let extents = extents.collect();
    Placement { extents, medium: start + (64 << 20), volume: start }
}

/// Compares what an installer left with ours.
fn compare(installed: &Installed, placement: &Placement, sys: &[u8], boot: &[u8], fat: bool) {
    let [(_, image), _] = &installed.files;
    assert_eq!(image.len(), sys.len() as u64);
    let ours = settled(image, placement);
    let differ: Vec<_> = (0..sys.len()).filter(|at| ours[*at] != sys[*at]).collect();
    assert!(differ.is_empty(), "{} bytes of ldlinux.sys differ: {differ:x?}", differ.len());
    let mut code = (installed.code)(std::slice::from_ref(placement));
    assert_eq!(code.len(), 512);
    if fat {
        // The volume's own parameters.
        code[11..90].copy_from_slice(&boot[11..90]);
    } else {
        // How many sectors there are, which nothing reads.
        code[19..21].copy_from_slice(&boot[19..21]);
        code[32..36].copy_from_slice(&boot[32..36]);
    }
    assert_eq!(code, boot);
}

/// Fills a FAT volume with holes: every second of these files is taken away.
fn scatter(disk: &Disk, start: u64, bytes: usize) {
    let image = format!("{}@@{start}", disk.name());
    let directory = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..60).map(|n| format!("F{n}")).collect();
    for name in &names {
        fs_err::write(directory.path().join(name), vec![7; bytes]).unwrap();
    }
    let files: Vec<_> = names.iter().map(|name| directory.path().join(name)).collect();
    let files: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    run("mtools", "mcopy", &[&["-i", &image], &files[..], &["::"]].concat());
    let gone: Vec<_> = names.iter().step_by(2).map(|name| format!("::{name}")).collect();
    let gone: Vec<_> = gone.iter().map(String::as_str).collect();
    run("mtools", "mdel", &[&["-i", &image], &gone[..]].concat());
}

fn against_syslinux(kib: u64, bits: &str, start: u64, directory: &str, hole: Option<usize>) {
    let disk = Disk::new(start + (kib << 10));
    let (bits, kib, offset) = (bits.to_owned(), kib.to_string(), (start / 512).to_string());
    let hidden = offset.clone();
    let made = ["-F", &bits, "--offset", &offset, "-h", &hidden, disk.name(), &kib];
    run("dosfstools", "mkfs.fat", &made);
    if let Some(bytes) = hole {
        scatter(&disk, start, bytes);
    }
    let image = format!("{}@@{start}", disk.name());
    let (start_text, mut arguments) = (start.to_string(), vec!["-i"]);
    let steps: Vec<_> = directory.split('/').filter(|step| !step.is_empty()).collect();
    for depth in 1..=steps.len() {
        run("mtools", "mmd", &["-i", &image, &format!("::{}", steps[..depth].join("/"))]);
    }
    if !steps.is_empty() {
        arguments.extend(["-d", directory]);
    }
    run("syslinux", "syslinux", &[&arguments[..], &["-t", &start_text, disk.name()]].concat());
    let out = tempfile::tempdir().unwrap();
    let name = format!("{directory}/ldlinux.sys");
    let copied = |name: &str| {
        let to = out.path().join("copy");
        run("mtools", "mcopy", &["-n", "-i", &image, &format!("::{name}"), to.to_str().unwrap()]);
        fs_err::read(to).unwrap()
    };
    let sys = copied(&name);
    let placement = fat_placement(&disk, start, &name, sys.len() as u64);
    assert_eq!(placement.extents.len() > 1, hole.is_some(), "{placement:?}");
    let installed = install(&parts(), Volume::Fat, &path(directory)).unwrap();
    compare(&installed, &placement, &sys, &disk.read(start, 512), true);
    let Content::Bytes(library) = &installed.files[1].1 else { panic!("a module is bytes") };
    assert_eq!(library[..], copied(&format!("{directory}/ldlinux.c32")));
}

#[test]
fn fat12_is_as_syslinux_installs_it() {
    against_syslinux(1440, "12", 0, "", None);
}

#[test]
fn fat16_in_a_partition_and_in_pieces_is_as_syslinux_installs_it() {
    // Whole directories of 14 and 15 sectors lie between the pieces.
    against_syslinux(20 << 10, "16", 1 << 20, "/boot/syslinux", Some(6000));
}

#[test]
fn fat32_is_as_syslinux_installs_it() {
    // There, mtools write behind what was written last, so nothing comes into the holes.
    against_syslinux(40 << 10, "32", 2 << 20, "/a", None);
}

/// Mounted as long as it lives.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(file: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        run("mount", "mount", &["-o", "loop", file, directory.path().to_str().unwrap()]);
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("mount", "umount", &[self.0.path().to_str().unwrap()]);
    }
}

/// Where a file of an ext volume lies, block by block as debugfs maps it.
fn ext_placement(disk: &Disk, name: &str, len: u64, block: u64) -> Placement {
    let blocks = len.div_ceil(block);
    let commands: String = (0..blocks).map(|n| format!("bmap {name} {n}\n")).collect();
    let script = disk.file.with_extension("commands");
    fs_err::write(&script, commands).unwrap();
    let told = run("e2fsprogs", "debugfs", &["-f", script.to_str().unwrap(), disk.name()]);
    let mut left = len;
    let numbers = told.lines().filter_map(|line| line.trim().parse::<u64>().ok());
    let extents = numbers.map(|number| {
        let bytes = block.min(left);
        left -= bytes;
        Extent::new(number * block, number * block + bytes).unwrap()
    });
    let extents: Vec<_> = extents.collect();
    assert_eq!(extents.len() as u64, blocks);
    Placement { extents, medium: 64 << 20, volume: 0 }
}

fn against_extlinux(kind: &str, block: u64, directory: &str) {
    let disk = Disk::new(64 << 20);
    run("e2fsprogs", "mkfs", &["-q", "-t", kind, "-b", &block.to_string(), disk.name()]);
    let mounted = Mounted::new(disk.name());
    let at = mounted.path().join(directory.trim_start_matches('/'));
    fs_err::create_dir_all(&at).unwrap();
    run("extlinux", "extlinux", &["--install", at.to_str().unwrap()]);
    let sys = fs_err::read(at.join("ldlinux.sys")).unwrap();
    drop(mounted);
    let placement =
        ext_placement(&disk, &format!("{directory}/ldlinux.sys"), sys.len() as u64, block);
    let installed = install(&parts(), Volume::Ext, &path(directory)).unwrap();
    compare(&installed, &placement, &sys, &disk.read(0, 512), false);
}

#[test]
fn ext2_is_as_extlinux_installs_it() {
    // Blocks of 1 KiB: what maps the file lies between its blocks.
    against_extlinux("ext2", 1024, "");
}

#[test]
fn ext4_is_as_extlinux_installs_it() {
    against_extlinux("ext4", 4096, "/boot/extlinux");
}

/// Both programs hold the same, and an installed file is as good as one that never was.
#[test]
fn parts_come_out_of_programs_and_out_of_files() {
    let one = parts();
    let program = fs_err::read("/usr/bin/extlinux").unwrap();
    assert_eq!(*one, Parts::from_program(&program).unwrap());
    let installed = install(&one, Volume::Ext, &path("/boot")).unwrap();
    let extent = Extent::new(1 << 20, (1 << 20) + installed.files[0].1.len()).unwrap();
    let placement = Placement { extents: vec![extent], medium: 1 << 30, volume: 1 << 20 };
    let desk = tempfile::tempdir().unwrap();
    let own = desk.path().join("syslinux");
    fs_err::create_dir_all(own.join("modules/bios")).unwrap();
    fs_err::write(own.join("ldlinux.sys"), settled(&installed.files[0].1, &placement)).unwrap();
    let code = (installed.code)(&[Placement { volume: 0, ..placement }]);
    fs_err::write(own.join("ldlinux.bss"), &code).unwrap();
    let Content::Bytes(library) = &installed.files[1].1 else { panic!("a module is bytes") };
    fs_err::write(own.join("modules/bios/ldlinux.c32"), library).unwrap();
    let files = Parts::read(&Assets::only(vec![desk.path().to_owned()])).unwrap();
    let again = install(&files.into(), Volume::Fat, &path("/")).unwrap();
    let other = install(&one, Volume::Fat, &path("/")).unwrap();
    let place = Placement {
        extents: vec![Extent::new(512, 512 + extent.len()).unwrap()],
        medium: 1 << 20,
        volume: 0,
    };
    assert_eq!(settled(&again.files[0].1, &place), settled(&other.files[0].1, &place));
    assert_ne!(settled(&again.files[0].1, &place), settled(&installed.files[0].1, &place));
    let nothing = Parts::read(&Assets::only(vec![desk.path().join("none")])).unwrap_err();
    assert!(nothing.to_string().contains("syslinux or extlinux"), "{nothing}");
}
