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

/// An object, where in its spec something is put (null: taken out), and what the judge must say.
type Wrong = (Value, &'static str, Value, &'static str);

fn spoiled((object, pointer, value, _): &Wrong) -> Value {
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

fn refused(set: &str, wrong: &[Wrong]) {
    let objects: Vec<Value> = wrong.iter().map(spoiled).collect();
    for ((_, pointer, _, expected), complaints) in wrong.iter().zip(judge(set, &objects)) {
        assert!(complaints.contains(expected), "{pointer}: {complaints:?} lacks {expected:?}");
    }
}

#[test]
fn wrong_machines_are_refused() {
    let [fleet, image, kernel] = ["tiny-1", "tiny-image", "slim-kernel"].map(machine);
    let unknown = r#"'"kernelArgs"' does not exist"#;
    let container = "/spec/template/spec/domain/firmware/kernelBoot/container/kernelArgs";
    let guest = "/spec/template/spec/domain/memory/guest";
    let name = "/spec/template/spec/volumes/0/containerDisk/image";
    let policy = "/spec/template/spec/volumes/0/containerDisk/imagePullPolicy";
    let source = "/spec/dataVolumeTemplates/0/spec/sourceRef/kind";
    let unknown_strategy = r#"'"runStrategie"' does not exist"#;
    refused(
        "wrong-machines",
        &[
            (image.clone(), "/spec/runStrategie", json!("Always"), unknown_strategy),
            (image.clone(), guest, json!(64), "Type 'number'"),
            (image.clone(), policy, json!("Sometimes"), r#"Type '"Sometimes"'"#),
            (image, name, Value::Null, "Property 'image' is missing"),
            (kernel, container, json!("quiet"), unknown),
            (fleet, source, Value::Null, "Property 'kind' is missing"),
        ],
    );
}

#[test]
fn wrong_objects_of_cdi_are_refused() {
    let [volume, device, source] = ["datavolume", "datavolume-block", "datasource"].map(made);
    let request = "/spec/pvc/resources/requests/storage";
    let namespace = "/spec/source/pvc/namespace";
    let unknown = r#"'"claim"' does not exist"#;
    refused(
        "wrong-cdi",
        &[
            (volume.clone(), "/apiVersion", json!("cdi.kubevirt.io/v1alpha1"), "v1beta1"),
            (volume.clone(), "/spec/pvc/volumeMode", json!("File"), r#"Type '"File"'"#),
            (volume.clone(), "/spec/source/blank/size", json!("1Mi"), "Type 'string'"),
            (volume, "/metadata/name", Value::Null, "Property 'name' is missing"),
            (device, request, json!(67_108_864), "Type 'number'"),
            (source.clone(), "/spec/source/claim", json!({}), unknown),
            (source, namespace, Value::Null, "Property 'namespace' is missing"),
        ],
    );
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
    for (name, pointer, expected) in [
        ("tiny-1", "/dataVolumeTemplates/0/spec/sourceRef/name", "DataSource other"),
        ("tiny-1", "/dataVolumeTemplates/0/metadata/name", "DataVolume tiny-1-root"),
        ("tiny-1", "/dataVolumeTemplates/0/spec/storage/resources/requests/storage", "size other"),
        ("tiny-image", "/template/spec/volumes/0/containerDisk/image", "containerDisk other"),
        ("tiny-image", "/template/spec/volumes/0/name", "volume of disk root"),
        (
            "tiny-block",
            "/template/spec/volumes/0/ephemeral/persistentVolumeClaim/claimName",
            "claim other",
        ),
        ("seeded", "/template/spec/volumes/0/persistentVolumeClaim/claimName", "claim other"),
        (
            "slim-kernel",
            "/template/spec/domain/firmware/kernelBoot/container/image",
            "kernelBoot other",
        ),
        (
            "slim-kernel",
            "/template/spec/domain/firmware/kernelBoot/kernelArgs",
            "command line other",
        ),
    ] {
        let mut machine = machine(name);
        *machine["spec"].pointer_mut(pointer).unwrap() = json!("other");
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
        let (documents, _) =
            parse_beside_config_maps(text, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        for document in documents {
            assert_eq!(check(&document.image), [], "{name}");
            assert_eq!(check_for_cluster(&document.image.spec), [], "{name}");
        }
    }
}
