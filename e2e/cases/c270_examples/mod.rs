//! The examples with contents, as a user applies them: their inputs lie on a claim and in a
//! ConfigMap, the disks are those of the desk, and what the cluster published of the five systems
//! boots (`systems`).

pub(crate) mod systems;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{
    Space, Use, build_on_desk_with, case, foreign, kubectl, mount, name, place, run, sha256sum,
    text,
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// A document, its image, and the file of the desk that the first target has as a disk.
const IMAGES: &[(&str, &str, &str)] = &[
    ("512-byte-vm", "512-byte-vm", "512-byte-vm.raw"),
    ("cidata", "cidata", "cidata.iso"),
    ("debian-debs", "debian-debs", "debian-debs.raw"),
    ("debian-root", "debian-root", "debian-root.qcow2"),
    ("lites", "lites", "lites.raw"),
    ("mksmolnb", "smolnb-ext2", "smolnb-ext2.raw"),
    ("mksmolnb", "smolnb-ffs", "smolnb-ffs.raw"),
    ("slim-direct", "slim-direct", "slim-direct.raw"),
    ("slim-ext4", "slim-ext4", "slim-ext4.raw"),
    ("slim-isolinux", "slim-isolinux", "slim-isolinux.iso"),
    ("slim-uefi", "slim-uefi", "slim-uefi.raw"),
    ("smolbsd", "smolbsd", "smolbsd.raw"),
    ("squashfs", "squashfs", "squashfs.raw"),
    ("tinyboot", "tinyboot", "tinyboot.iso"),
    ("tinyboot-data", "tinyboot-data", "tinyboot-data.qcow2"),
];

/// A document, its image, and the target that has all files of the desk.
const FILES: &[(&str, &str, &str)] = &[
    ("mksmolnb", "smolnb-ext2", "files"),
    ("slim-direct", "slim-direct", "files"),
    ("slim-initrd", "slim-initrd", "files"),
];

/// What a user applied, and what the same documents give on the desk.
struct Applied {
    space: Space,
    /// The claim `inputs`, as the host sees it.
    inputs: PathBuf,
    /// What the desk built of each document.
    desks: BTreeMap<&'static str, tempfile::TempDir>,
}

/// The claim `inputs`, with what `examples/inputs/make` and `examples/inputs/debian` make, and where
/// the host sees it.
async fn inputs(space: &Space) -> PathBuf {
    let volume = space.inputs("192Mi").await;
    run(&format!("{EXAMPLES}/inputs/make"), &[volume.to_str().unwrap()]);
    debian(&volume);
    let from = format!("--from-file={EXAMPLES}/inputs/cidata");
    kubectl(&["-n", &space.namespace, "create", "configmap", "cidata", &from]);
    volume
}

/// Puts Debian's kernel and busybox, which `e2e/run` fetched, on a volume.
pub(crate) fn debian(volume: &Path) {
    let debian = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
    for file in ["linux.deb", "vmlinuz", "busybox.deb"] {
        fs_err::copy(debian.join(file), volume.join(file)).unwrap();
    }
    run("chmod", &["-R", "a+rX", volume.to_str().unwrap()]);
}

impl Applied {
    /// Every document, as its file stands.
    async fn new(space: Space) -> Self {
        let inputs = inputs(&space).await;
        let applied = Self { space, inputs, desks: BTreeMap::new() };
        for document in applied.documents() {
            let file = format!("{EXAMPLES}/{document}.yaml");
            kubectl(&["-n", &applied.space.namespace, "apply", "-f", &file]);
        }
        applied
    }

    fn documents(&self) -> std::collections::BTreeSet<&'static str> {
        IMAGES.iter().chain(FILES).map(|(document, ..)| *document).collect()
    }

    /// The same documents on the desk, while the cluster works.
    fn build_on_desk(mut self) -> Self {
        let claim = format!("inputs={}", self.inputs.display());
        let map = format!("cidata={EXAMPLES}/inputs/cidata");
        for document in self.documents() {
            let file = format!("{EXAMPLES}/{document}.yaml");
            let flags = ["--pvc", &claim, "--configmap", &map];
            self.desks.insert(document, build_on_desk_with(Path::new(&file), &flags));
        }
        self
    }

    /// The disk that the first target of an image published, as the host sees it.
    async fn disk(&self, image: &str) -> PathBuf {
        let image = self.space.ready(image).await;
        mount(&self.space, &place(&image).0).join("disk.img")
    }

    /// The directory of all files that a target published, as the host sees it.
    async fn directory(&self, image: &str, target: &str) -> PathBuf {
        let image = self.space.ready(image).await;
        let targets = image.pointer("/status/targets").and_then(Value::as_array).unwrap();
        let found = targets.iter().find(|one| text(one, "/name") == target).unwrap();
        mount(&self.space, &text(found, "/current/ref/name"))
    }
}

/// The volume's disk is the desk's, with zeros behind it up to a whole MiB.
fn holds(applied: &Applied, image: &Value, claim: &Value, file: &Path) {
    let desk = tempfile::NamedTempFile::new().unwrap();
    let desk = desk.path();
    if file.extension().is_some_and(|extension| extension == "qcow2") {
        let (from, to) = (file.to_str().unwrap(), desk.to_str().unwrap());
        run("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", from, to]);
    } else {
        fs_err::copy(file, desk).unwrap();
    }
    assert_eq!(text(image, "/status/content/digest"), sha256sum(desk), "{}", name(image));
    let disk = mount(&applied.space, &name(claim)).join("disk.img");
    let published = sha256sum(&disk);
    assert_eq!(published, place(image).1, "the digest in the status of {}", name(image));
    let longer = fs_err::OpenOptions::new().write(true).open(desk).unwrap();
    longer.set_len(fs_err::metadata(&disk).unwrap().len()).unwrap();
    assert_eq!(published, sha256sum(desk), "the disks of {}", name(image));
}

/// Names and digests of the plain files in a directory that an image made.
fn digests(directory: &Path, image: &str) -> BTreeMap<String, String> {
    let entries = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let own =
        names.filter(|name| name.strip_prefix(image).is_some_and(|rest| rest.starts_with('.')));
    own.map(|name| (name.clone(), sha256sum(&directory.join(name)))).collect()
}

#[test]
fn every_example_is_the_desks_byte_for_byte_and_the_systems_boot() {
    case("270_examples", Use::Shared, async |space| {
        if foreign() {
            eprintln!("270: not run here: inputs on a volume, digests and QEMU on the host");
            return;
        }
        let applied = Applied::new(space).await.build_on_desk();
        for (document, image, file) in IMAGES {
            let image = applied.space.ready(image).await;
            let claim = applied.space.complete_claim(&image).await;
            holds(&applied, &image, &claim, &applied.desks[document].path().join(file));
        }
        for (document, image, target) in FILES {
            let published = digests(&applied.directory(image, target).await, image);
            let desk = digests(applied.desks[document].path(), image);
            assert!(published.len() >= 4, "disk, kernel, line and manifest: {published:?}");
            assert_eq!(published, desk, "the files of {image}");
        }
        systems::all(&applied).await;
    });
}
