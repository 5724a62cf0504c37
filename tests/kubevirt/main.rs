//! Objects of KubeVirt and CDI, those of the examples and those that the operator makes, judged by the
//! types of the projects' own APIs; and that machines name what images publish.
//!
//! Runs no KubeVirt and no CDI: what their webhooks and controllers say is not seen here. Invariant: the
//! judge is a foreign compiler with foreign types, and a missing one fails the tests.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod judge;
mod names;

use std::path::Path;

use serde_json::{Value, json};
use vmimage::manifest::parse::parse_beside_config_maps;
use vmimage::manifest::{check, check_for_cluster};

use judge::judge;
use names::{Published, unknown};

/// A file of the examples.
struct File {
    name: String,
    text: String,
}

impl File {
    /// Whether it holds images; all others hold machines.
    fn of_images(&self) -> bool {
        !self.name.starts_with("vm-")
    }

    fn objects(&self) -> Vec<Value> {
        serde_saphyr::from_multiple(&self.text).unwrap()
    }
}

fn files() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kubevirt");
    let mut files: Vec<File> = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            File { name, text: fs_err::read_to_string(path).unwrap() }
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// The machines of the examples.
fn machines() -> Vec<Value> {
    files().iter().filter(|file| !file.of_images()).flat_map(File::objects).collect()
}

/// The machine of the examples that has this name.
fn machine(name: &str) -> Value {
    let found = machines().into_iter().find(|machine| machine["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no machine {name}"))
}

/// What the operator makes, as `controller::compose` must compose it.
fn made(name: &str) -> Value {
    let path = format!("{}/tests/kubevirt/made/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

fn published() -> Published {
    let images = files().into_iter().filter(File::of_images);
    Published::by(images.flat_map(|file| file.objects()))
}

#[test]
fn machines_of_the_examples_are_objects_of_kubevirt() {
    let machines = machines();
    assert_eq!(machines.len(), 6, "six machines: two of the fleet, and one in each other file");
    for (object, complaints) in machines.iter().zip(judge("examples", &machines)) {
        assert_eq!(complaints, "", "{}", object["metadata"]["name"]);
    }
}

#[test]
fn what_the_operator_makes_are_objects_of_cdi() {
    let objects = ["datavolume", "datavolume-block", "datasource"].map(made);
    for (object, complaints) in objects.iter().zip(judge("made", &objects)) {
        assert_eq!(complaints, "", "{object}");
    }
}

/// An object, where something is put into it (an empty value: taken out of it), and the complaint.
struct Wrong(Value, &'static str, Value, &'static str);

impl Wrong {
    fn object(&self) -> Value {
        let Self(object, pointer, value, _) = self;
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut object = object.clone();
        let members = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name).unwrap();
        } else {
            members.insert(name.to_owned(), value.clone());
        }
        object
    }
}

#[test]
fn wrong_objects_are_refused() {
    let machine = machine("tiny-image");
    let fleet = self::machine("tiny-1");
    let kernel = self::machine("slim-kernel");
    let (volume, source) = (made("datavolume"), made("datasource"));
    let device = made("datavolume-block");
    let wrong = [
        Wrong(machine.clone(), "/spec/runStrategie", json!("Always"), "'runStrategie' does not"),
        Wrong(machine.clone(), "/spec/template/spec/domain/memory/guest", json!(64), "'number'"),
        Wrong(
            machine,
            "/spec/template/spec/volumes/0/containerDisk/image",
            Value::Null,
            "Property 'image' is missing",
        ),
        Wrong(
            kernel,
            "/spec/template/spec/domain/firmware/kernelBoot/container/kernelArgs",
            json!("console=ttyS0"),
            "'kernelArgs' does not exist",
        ),
        Wrong(
            fleet,
            "/spec/dataVolumeTemplates/0/spec/sourceRef/kind",
            Value::Null,
            "Property 'kind' is missing",
        ),
        Wrong(volume.clone(), "/apiVersion", json!("cdi.kubevirt.io/v1alpha1"), "v1beta1"),
        Wrong(volume.clone(), "/spec/pvc/volumeMode", json!("File"), "'\"File\"'"),
        Wrong(volume.clone(), "/spec/source/blank/size", json!("1Mi"), "'string'"),
        Wrong(volume, "/metadata/name", Value::Null, "Property 'name' is missing"),
        Wrong(device, "/spec/pvc/resources/requests/storage", json!(67_108_864), "'number'"),
        Wrong(source.clone(), "/spec/source/claim", json!({}), "'claim' does not exist"),
        Wrong(source, "/spec/source/pvc/namespace", Value::Null, "Property 'namespace' is missing"),
    ];
    let objects: Vec<Value> = wrong.iter().map(Wrong::object).collect();
    for (Wrong(_, pointer, _, expected), complaints) in wrong.iter().zip(judge("wrong", &objects)) {
        assert!(complaints.contains(expected), "{pointer}: {complaints:?} lacks {expected:?}");
    }
}

#[test]
fn machines_name_what_images_publish() {
    let published = published();
    for machine in machines() {
        assert_eq!(unknown(&machine, &published), [""; 0], "{}", machine["metadata"]["name"]);
    }
}

#[test]
fn names_that_no_image_publishes_are_found() {
    let published = published();
    let volumes = "/spec/template/spec/volumes/0";
    let kernel = "/spec/template/spec/domain/firmware/kernelBoot";
    for (name, pointer, expected) in [
        ("tiny-1", "/spec/dataVolumeTemplates/0/spec/sourceRef/name", "DataSource other"),
        ("tiny-1", "/spec/dataVolumeTemplates/0/metadata/name", "DataVolume tiny-1-root"),
        (
            "tiny-1",
            "/spec/dataVolumeTemplates/0/spec/storage/resources/requests/storage",
            "size other of tiny",
        ),
        ("tiny-image", &format!("{volumes}/containerDisk/image"), "containerDisk other"),
        ("tiny-image", &format!("{volumes}/name"), "volume of disk root"),
        ("tiny-block", &format!("{volumes}/ephemeral/persistentVolumeClaim/claimName"), "claim other"),
        ("seeded", &format!("{volumes}/persistentVolumeClaim/claimName"), "claim other"),
        ("slim-kernel", &format!("{kernel}/container/image"), "kernelBoot other"),
        ("slim-kernel", &format!("{kernel}/kernelArgs"), "command line other"),
    ] {
        let mut machine = machine(name);
        *machine.pointer_mut(pointer).unwrap() = json!("other");
        assert_eq!(unknown(&machine, &published), [expected], "{name}: {pointer}");
    }
}

#[test]
fn images_of_the_examples_are_accepted_and_listed() {
    let list = fs_err::read_to_string("examples/README.md").unwrap();
    let files = files();
    for File { name, .. } in &files {
        assert!(list.contains(&format!("`kubevirt/{name}`")), "examples/README.md lacks {name}");
    }
    let images: Vec<&File> = files.iter().filter(|file| file.of_images()).collect();
    assert_eq!(images.len(), 5);
    for File { name, text } in images {
        let (documents, _) = parse_beside_config_maps(text, &[])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for document in documents {
            assert_eq!(check(&document.image), [], "{name}");
            assert_eq!(check_for_cluster(&document.image.spec), [], "{name}");
        }
    }
}
