//! The examples with contents, as a user applies them: their inputs lie on a claim and in a
//! ConfigMap, and the disks are those of the desk.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{
    Space, Use, build_on_desk_with, case, foreign, kubectl, mount, name, place, run, sha256sum,
    text, until,
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// A document, its image, and the file that the desk makes of it.
const IMAGES: &[(&str, &str, &str)] = &[
    ("512-byte-vm", "512-byte-vm", "512-byte-vm.raw"),
    ("cidata", "cidata", "cidata.iso"),
    ("debian-debs", "debian-debs", "debian-debs.raw"),
    ("debian-root", "debian-root", "debian-root.qcow2"),
    ("lites", "lites", "lites.raw"),
    ("mksmolnb", "smolnb-ext2", "smolnb-ext2.raw"),
    ("mksmolnb", "smolnb-ffs", "smolnb-ffs.raw"),
    ("slim-ext4", "slim-ext4", "slim-ext4.raw"),
    ("smolbsd", "smolbsd", "smolbsd.raw"),
    ("squashfs", "squashfs", "squashfs.raw"),
    ("tinyboot-data", "tinyboot-data", "tinyboot-data.qcow2"),
];

/// The claim `inputs`, with what `examples/inputs/make` makes in it, and where the host sees it.
async fn inputs(space: &Space) -> PathBuf {
    let claim = json!({
        "metadata": {"name": "inputs"},
        "spec": {
            "storageClassName": "local-immediate",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "64Mi"}},
        },
    });
    space.apply_object("PersistentVolumeClaim", claim).await;
    until("the claim inputs is bound", async || {
        let claim = space.find("PersistentVolumeClaim", "inputs").await.unwrap();
        let phase = text(&claim, "/status/phase");
        if phase == "Bound" { Ok(()) } else { Err(phase) }
    })
    .await;
    let volume = mount(space, "inputs");
    run(&format!("{EXAMPLES}/inputs/make"), &[volume.to_str().unwrap()]);
    let from = format!("--from-file={EXAMPLES}/inputs/cidata");
    kubectl(&["-n", &space.namespace, "create", "configmap", "cidata", &from]);
    volume
}

/// The disk that the desk builds, raw.
fn on_desk(document: &str, file: &str, volume: &Path, directory: &Path) -> PathBuf {
    let claim = format!("inputs={}", volume.display());
    let map = format!("cidata={EXAMPLES}/inputs/cidata");
    let document = format!("{EXAMPLES}/{document}.yaml");
    let built = build_on_desk_with(Path::new(&document), &["--pvc", &claim, "--configmap", &map]);
    let (from, to) = (built.path().join(file), directory.join(file));
    if file.ends_with(".qcow2") {
        let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
        run("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", from, to]);
    } else {
        fs_err::copy(from, &to).unwrap();
    }
    to
}

/// The volume's disk is the desk's, with zeros behind it up to a whole MiB.
fn holds(space: &Space, image: &Value, claim: &Value, desk: &Path) {
    assert_eq!(text(image, "/status/content/digest"), sha256sum(desk), "{}", name(image));
    let disk = mount(space, &name(claim)).join("disk.img");
    let published = sha256sum(&disk);
    assert_eq!(published, place(image).1, "the digest in the status of {}", name(image));
    let longer = fs_err::OpenOptions::new().write(true).open(desk).unwrap();
    longer.set_len(fs_err::metadata(&disk).unwrap().len()).unwrap();
    assert_eq!(published, sha256sum(desk), "the disks of {}", name(image));
}

#[test]
fn every_example_is_the_desks_byte_for_byte() {
    case("270_examples", Use::Shared, async |space| {
        if foreign() {
            eprintln!("270: not run here: inputs on a volume, digests on the host");
            return;
        }
        let volume = inputs(&space).await;
        let mut documents: Vec<&str> = IMAGES.iter().map(|(document, ..)| *document).collect();
        documents.dedup();
        for document in documents {
            let file = format!("{EXAMPLES}/{document}.yaml");
            kubectl(&["-n", &space.namespace, "apply", "-f", &file]);
        }
        let directory = tempfile::tempdir().unwrap();
        for (document, image, file) in IMAGES {
            let image = space.ready(image).await;
            let claim = space.complete_claim(&image).await;
            let desk = on_desk(document, file, &volume, directory.path());
            holds(&space, &image, &claim, &desk);
        }
    });
}
