//! What images publish, by name, and which names of a machine are not among them.
//!
//! Reads documents as plain values, as a person would. Invariant: every name by which a machine takes
//! something of an image is looked at; names of Secrets are not, since no image makes them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What images publish.
#[derive(Default)]
pub(super) struct Published {
    /// Names of claims.
    claims: BTreeSet<String>,
    /// Names of DataVolumes.
    volumes: BTreeSet<String>,
    /// The size of the disk by the name of its DataSource.
    sources: BTreeMap<String, String>,
    /// Images with tags that hold a disk.
    disks: BTreeSet<String>,
    /// The command line by image and tag.
    kernels: BTreeMap<String, String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

impl Published {
    /// By these objects, of which only images publish something.
    pub(super) fn by(objects: impl Iterator<Item = Value>) -> Self {
        let mut all = Self::default();
        for object in objects.filter(|object| object["kind"] == "VMImage") {
            let spec = &object["spec"];
            for target in list(&spec["publish"]) {
                all.claim(spec, &target["pvc"]);
                let name = |image: &Value, tag: &Value| format!("{}:{}", text(image), text(tag));
                let (disk, kernel) = (&target["containerDisk"], &target["kernelBoot"]);
                for tag in list(&disk["tags"]) {
                    all.disks.insert(name(&disk["image"], tag));
                }
                for tag in list(&kernel["tags"]) {
                    let line = text(&spec["boot"]["commandLine"]);
                    all.kernels.insert(name(&kernel["image"], tag), line);
                }
            }
        }
        all
    }

    fn claim(&mut self, spec: &Value, pvc: &Value) {
        let name = text(&pvc["name"]);
        if !pvc["dataVolume"].is_null() {
            self.volumes.insert(name.clone());
        }
        if let Some(source) = pvc["dataSource"]["name"].as_str() {
            self.sources.insert(source.to_owned(), text(&spec["disk"]["size"]));
        }
        self.claims.insert(name);
    }
}

/// The names of this machine that nothing has.
pub(super) fn unknown(machine: &Value, published: &Published) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut own = published.volumes.clone();
    for template in list(&machine["spec"]["dataVolumeTemplates"]) {
        own.insert(text(&template["metadata"]["name"]));
        let source = text(&template["spec"]["sourceRef"]["name"]);
        let size = text(&template["spec"]["storage"]["resources"]["requests"]["storage"]);
        match published.sources.get(&source) {
            None => unknown.push(format!("DataSource {source}")),
            Some(disk) if *disk != size => unknown.push(format!("size {size}")),
            Some(_) => {}
        }
    }
    let spec = &machine["spec"]["template"]["spec"];
    for volume in list(&spec["volumes"]) {
        let claim = match &volume["ephemeral"]["persistentVolumeClaim"]["claimName"] {
            Value::Null => &volume["persistentVolumeClaim"]["claimName"],
            claim => claim,
        };
        let uses = [
            ("claim", claim, &published.claims),
            ("DataVolume", &volume["dataVolume"]["name"], &own),
            ("containerDisk", &volume["containerDisk"]["image"], &published.disks),
        ];
        for (what, name, known) in uses.iter().filter(|(_, name, _)| !name.is_null()) {
            if !known.contains(&text(name)) {
                unknown.push(format!("{what} {}", text(name)));
            }
        }
    }
    for disk in list(&spec["domain"]["devices"]["disks"]) {
        if !list(&spec["volumes"]).iter().any(|volume| volume["name"] == disk["name"]) {
            unknown.push(format!("volume of disk {}", text(&disk["name"])));
        }
    }
    unknown.extend(unknown_kernel(&spec["domain"]["firmware"]["kernelBoot"], published));
    unknown
}

fn unknown_kernel(boot: &Value, published: &Published) -> Option<String> {
    if boot.is_null() {
        return None;
    }
    let (image, line) = (text(&boot["container"]["image"]), text(&boot["kernelArgs"]));
    match published.kernels.get(&image) {
        None => Some(format!("kernelBoot {image}")),
        Some(known) if *known != line => Some(format!("command line {line}")),
        Some(_) => None,
    }
}
