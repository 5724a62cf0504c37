//! What the tests are made of: Debian's kernel, an initrd that calculates, filesystems and disks.
//!
//! Judges nothing. Invariant: the answer that an initrd prints stands in none of the files.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::tree::{Time, Tree};
use vmimage::engine::base::{
    Content, Extent, FileSource, Origin, Placement, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::bootloader::assets::{Assets, Set};
use vmimage::engine::bootloader::efi::{self, File};
use vmimage::engine::filesystem::{Identity, Params, Request, Room, fat, plan};

use crate::tool;

pub(crate) fn origin() -> Origin {
    Origin::new("spec.boot.efi")
}

pub(crate) fn bytes(bytes: &[u8]) -> Content {
    Content::Bytes(bytes.into())
}

pub(crate) fn file(path: &str, content: Content) -> File {
    File { path: path.to_owned(), content, origin: origin() }
}

pub(crate) fn stub() -> Arc<[u8]> {
    Assets::default().read(Set::EfiStub, "linuxx64.efi.stub").unwrap()
}

/// Debian's cloud kernel, signed by Debian.
pub(crate) fn kernel() -> PathBuf {
    built("e2e/guest/build").join("vmlinuz")
}

/// Kernel, busybox and assets for arm64.
pub(crate) fn arm64() -> PathBuf {
    built("e2e/guest/arm64")
}

fn built(script: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Command::new(root.join(script)).stderr(Stdio::inherit()).output().unwrap();
    assert!(built.status.success(), "{script}: {}", built.status);
    PathBuf::from(String::from_utf8(built.stdout).unwrap().trim())
}

/// The kernel by reference.
pub(crate) fn kernel_content() -> Content {
    opened(&kernel())
}

pub(crate) fn opened(path: &Path) -> Content {
    Content::Sectors(Arc::new(FileSource::open(path).unwrap()))
}

/// An initrd that prints the product of two numbers, its command line, and then powers off.
pub(crate) fn initrd(a: u64, b: u64) -> Vec<u8> {
    initrd_with(Path::new("/bin/busybox"), a, b)
}

/// The same with a busybox for another machine.
pub(crate) fn initrd_with(busybox: &Path, a: u64, b: u64) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for name in ["bin", "proc"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    fs::copy(busybox, root.join("bin/busybox"))
        .unwrap_or_else(|e| panic!("{e}; install it: apt install busybox-static"));
    let init = format!(
        "#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\n\
         echo \"cmdline=$(/bin/busybox cat /proc/cmdline)=\"\n\
         [ ! -e /early ] || echo \"early=$(/bin/busybox wc -c </early)=\"\n\
         echo \"answer=$(({a} * {b}))=\"\n/bin/busybox poweroff -f\n"
    );
    fs::write(root.join("init"), init).unwrap();
    fs::set_permissions(root.join("init"), std::fs::Permissions::from_mode(0o755)).unwrap();
    cpio(root)
}

/// The directory as an archive for a kernel.
pub(crate) fn cpio(root: &Path) -> Vec<u8> {
    let script = "cd \"$0\" && find . | sort | cpio -o -H newc --owner 0:0 --quiet >../$$.cpio; \
                  cat ../$$.cpio; rm ../$$.cpio";
    let output = Command::new("sh").args(["-c", script]).arg(root).output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "apt install cpio");
    output.stdout
}

/// What an initrd prints.
pub(crate) fn answer(a: u64, b: u64) -> String {
    format!("answer={}=", a * b)
}

/// A filesystem with the tree, as a file.
pub(crate) fn volume(path: &Path, params: &Params, tree: Tree, uuid: Option<&str>) {
    let scratch = Scratch::new(path.parent().unwrap(), 1 << 30);
    let request = Request {
        tree: Arc::new(tree),
        identity: Identity { uuid: uuid.map(str::to_owned), ..Identity::default() },
        room: Room::Fit { percent: 0, bytes: 0 },
        time: Time::default(),
        sector: 512,
        scratch: &scratch,
        work: Work { threads: 1, progress: &Silent },
    };
    let planned = plan(params, &request).unwrap();
    let len = planned.len();
    let place = Placement { extents: vec![Extent::new(0, len).unwrap()], medium: len, volume: 0 };
    copy(planned.render(&place).unwrap().as_ref(), path);
}

/// A FAT volume with the files.
pub(crate) fn esp(path: &Path, files: Vec<File>) {
    let tree = efi::tree(files, Time::default(), &origin()).unwrap();
    volume(path, &Params::Fat(fat::Params::default()), tree, None);
}

/// Writes what is not zero.
pub(crate) fn copy(source: &dyn SectorSource, path: &Path) {
    let file = fs::File::create(path).unwrap();
    file.set_len(source.len()).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for extent in source.extents() {
        let mut at = extent.start();
        while at < extent.end() {
            let part = &mut buffer[..(extent.end() - at).min(1 << 20) as usize];
            source.read_at(at, part).unwrap();
            file.file().write_all_at(part, at).unwrap();
            at += part.len() as u64;
        }
    }
}

pub(crate) fn whole(source: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes).unwrap();
    bytes
}

/// A GPT disk, made by sfdisk, of these volumes: the first is an EFI system partition.
pub(crate) fn gpt(path: &Path, volumes: &[&Path]) {
    let mut at = 1u64 << 20;
    let mut script = "label: gpt\n".to_owned();
    let mut places = Vec::new();
    for (number, volume) in volumes.iter().enumerate() {
        let len = fs::metadata(volume).unwrap().len().next_multiple_of(1 << 20);
        let kind = if number == 0 { "uefi" } else { "linux" };
        script += &format!("start={}, size={}, type={kind}\n", at / 512, len / 512);
        places.push((at, volume));
        at += len;
    }
    let disk = fs::File::create(path).unwrap();
    disk.set_len(at + (1 << 20)).unwrap();
    let list = path.with_extension("sfdisk");
    fs::write(&list, script).unwrap();
    let command = format!("sfdisk -q {} <{}", path.display(), list.display());
    tool::run("fdisk", "sh", &["-c", &command]);
    for (at, volume) in places {
        disk.file().write_all_at(&fs::read(volume).unwrap(), at).unwrap();
    }
}
