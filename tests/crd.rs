//! The CustomResourceDefinition as a document: on disk, bounded, described, structural.
//!
//! Needs no cluster; that a real API server takes it is tested in `e2e`.
#![cfg(feature = "crd")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use vmimage::api::crd;

fn definition() -> Value {
    serde_json::from_str(&crd::json().unwrap()).unwrap()
}

fn version() -> Value {
    definition()["spec"]["versions"][0].clone()
}

/// Every schema below `schema`, with its path.
fn schemas(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
    visit(path, schema.as_object().unwrap_or_else(|| panic!("{path} is no schema")));
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (name, inner) in properties {
            schemas(&format!("{path}.{name}"), inner, visit);
        }
    }
    for (key, step) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get(key) {
            schemas(&format!("{path}{step}"), inner, visit);
        }
    }
}

fn visit(mut visitor: impl FnMut(&str, &Map<String, Value>)) {
    let root = &version()["schema"]["openAPIV3Schema"];
    for part in ["spec", "status"] {
        schemas(part, &root["properties"][part], &mut visitor);
    }
}

#[test]
fn the_file_on_disk_is_what_crdgen_prints() {
    let printed = crd::yaml().unwrap();
    let stored = fs_err::read_to_string(crd::FILE).unwrap_or_default();
    assert!(
        stored == printed,
        "{file} is not what the types say; run: cargo run --features crd --bin crdgen > {file}",
        file = crd::FILE
    );
}

/// What parsing walks is what the types say; with `VMIMAGE_GENERATE` it is written anew.
#[test]
fn the_stored_schema_is_that_of_the_types() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manifest/schema.json");
    let generated = vmimage::manifest::generated();
    if std::env::var_os("VMIMAGE_GENERATE").is_some() {
        fs_err::write(file, format!("{generated}\n")).unwrap();
    }
    let stored: Value = serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap();
    assert!(stored == generated, "schema.json is not what the types say; run e2e/generate");
    assert_eq!(vmimage::manifest::schema(), &stored, "this program was compiled with another one");
}

#[test]
fn the_types_of_kubernetes_lose_nothing() {
    // Their limits are floating-point numbers: 10 comes back as 10.0.
    fn whole(value: &Value) -> Value {
        match value {
            Value::Number(number) => number.as_f64().unwrap().into(),
            Value::Array(list) => list.iter().map(whole).collect(),
            Value::Object(map) => map.iter().map(|(key, v)| (key.clone(), whole(v))).collect(),
            other => other.clone(),
        }
    }
    let typed = serde_json::to_value(crd::definition().unwrap()).unwrap();
    assert_eq!(whole(&typed), whole(&definition()));
    assert!(!crd::yaml().unwrap().contains("10.0"));
}

#[test]
fn the_yaml_means_the_same_to_a_foreign_reader() {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output =
        std::process::Command::new("/usr/bin/python3").args(["-c", script, crd::FILE]).output();
    let output = output.unwrap_or_else(|e| {
        panic!("Debian's python3 is needed (apt-get install python3-yaml): {e}")
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "python3-yaml is needed (apt-get install python3-yaml): {stderr}"
    );
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), definition());
}

#[test]
fn every_list_map_and_text_has_a_bound() {
    let mut seen = 0;
    visit(|path, schema| {
        let has = |key: &str| schema.get(key).is_some_and(Value::is_u64);
        let int_or_string = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => assert!(has("maxLength") || schema.contains_key("enum"), "{path}"),
            Some("array") => {
                assert!(has("maxItems"), "{path}");
                assert!(schema.contains_key("x-kubernetes-list-type"), "{path}: list type");
            }
            Some("object") if schema.contains_key("additionalProperties") => {
                assert!(has("maxProperties"), "{path}");
            }
            Some("object") => {
                // One without members says so.
                let none = schema.get("maxProperties") == Some(&0.into());
                assert!(none || schema.contains_key("properties"), "{path}: open object");
            }
            Some("integer" | "boolean") => {}
            None if int_or_string => assert!(has("maxLength"), "{path}"),
            other => panic!("{path}: type {other:?}"),
        }
        seen += 1;
    });
    assert!(seen > 60, "{seen}");
}

#[test]
fn every_field_is_described_and_the_schema_is_structural() {
    visit(|path, schema| {
        let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        if !path.ends_with("[]") && !path.ends_with("{}") {
            assert!(about.len() > 4, "{path} has no description");
        }
        for key in
            ["$ref", "$defs", "oneOf", "allOf", "not", "nullable", "title", "$schema", "const"]
        {
            assert!(!schema.contains_key(key), "{path} has {key}");
        }
        if schema.contains_key("anyOf") {
            assert!(schema.contains_key("x-kubernetes-int-or-string"), "{path} has anyOf");
        }
        let both = schema.contains_key("properties") && schema.contains_key("additionalProperties");
        assert!(!both, "{path} has properties and additionalProperties");
        let format = schema.get("format").and_then(Value::as_str);
        assert!(
            format.is_none_or(|f| ["int32", "int64", "date-time"].contains(&f)),
            "{path}: {format:?}"
        );
    });
}

/// Every default, with the path of its field.
const DEFAULTS: &[&str] = &[
    "source.allowMutable=false",
    "source.decompress=\"none\"",
    "source.oci.insecure=false",
    "spec.architecture=\"amd64\"",
    "spec.build={}",
    "spec.boot.commandLine=\"\"",
    "spec.boot.efi.startupScript=false",
    "spec.boot.efi.style=\"UKI\"",
    "spec.boot.grub.efiImage=\"native\"",
    "spec.boot.grub.entries[].linux.commandLine=\"\"",
    "spec.boot.grub.entries[].multiboot.arguments=\"\"",
    "spec.boot.grub.entries[].multiboot.modules[].arguments=\"\"",
    "spec.boot.grub.entries[].multiboot2.arguments=\"\"",
    "spec.boot.grub.entries[].multiboot2.modules[].arguments=\"\"",
    "spec.boot.grub.firmware=[\"bios\"]",
    "spec.boot.grub.graphics.font=\"unicode\"",
    "spec.boot.grub.installModules=false",
    "spec.boot.grub.serial.speed=115200",
    "spec.boot.grub.serial.unit=0",
    "spec.boot.initrd.build.app.networkSeconds=10",
    "spec.boot.initrd.build.app.onExit=\"reboot\"",
    "spec.boot.initrd.build.app.stopSeconds=30",
    "spec.boot.initrd.build.caBundle=false",
    "spec.boot.initrd.build.compression=\"zstd\"",
    "spec.boot.initrd.build.init=\"none\"",
    "spec.boot.initrd.build.modules.firmware=false",
    "spec.boot.initrd.build.settings=\"\"",
    "spec.boot.initrd.path=\"/boot/initrd.img\"",
    "spec.boot.kernel.path=\"/boot/vmlinuz\"",
    "spec.boot.kernel.transform={}",
    "spec.boot.syslinux.entries[].linux.commandLine=\"\"",
    "spec.boot.syslinux.serial.speed=115200",
    "spec.boot.syslinux.serial.unit=0",
    "spec.build.maxAttempts=3",
    "spec.build.resources={}",
    "spec.build.scratch={}",
    "spec.build.scratch.sizeLimit=\"1Gi\"",
    "spec.build.timeoutSeconds=3600",
    "spec.disk.alignment=\"1Mi\"",
    "spec.disk.headroom={}",
    "spec.disk.partitionTable=\"None\"",
    "spec.disk.partitions[].filesystem.erofs.compression=\"none\"",
    "spec.disk.partitions[].filesystem.ffs.byteOrder=\"little\"",
    "spec.disk.partitions[].filesystem.ffs.version=1",
    "spec.disk.partitions[].filesystem.headroom={}",
    "spec.disk.partitions[].filesystem.squashfs.compression=\"gzip\"",
    "spec.disk.partitions[].filesystem.squashfs.exports=true",
    "spec.disk.partitions[].filesystem.squashfs.fragments=true",
    "spec.disk.partitions[].grow=false",
    "spec.disk.partitions[].logical=false",
    "spec.disk.scripts[].shell=\"/bin/sh\"",
    "spec.disk.scripts[].timeoutSeconds=600",
    "spec.disk.sectorSize=512",
    "spec.formats=[{\"type\":\"raw\"}]",
    "spec.formats[].box.provider=\"virtualbox\"",
    "spec.formats[].ova.manifest=\"sha256\"",
    "spec.formats[].qcow2.clusterSize=\"64Ki\"",
    "spec.formats[].qcow2.compat=\"1.1\"",
    "spec.formats[].qcow2.compression=\"none\"",
    "spec.formats[].qcow2.lazyRefcounts=false",
    "spec.formats[].qcow2.preallocation=\"off\"",
    "spec.formats[].vdi.subformat=\"dynamic\"",
    "spec.formats[].wrap=\"none\"",
    "spec.iso.joliet=true",
    "spec.iso.level=3",
    "spec.iso.rockRidge=true",
    "spec.machine={}",
    "spec.machine.cpus=1",
    "spec.machine.diskBus=\"sata\"",
    "spec.machine.memory=\"512Mi\"",
    "spec.machine.nic=\"e1000\"",
    "spec.machine.osType=\"other\"",
    "spec.publish[].files.pvc={}",
    "spec.publish[].files.pvc.accessModes=[\"ReadWriteOnce\"]",
    "spec.publish[].files.pvc.defaults={}",
    "spec.publish[].files.pvc.retain={}",
    "spec.publish[].files.pvc.retain.onDelete=\"Delete\"",
    "spec.publish[].files.pvc.retain.previous=1",
    "spec.publish[].files.pvc.volumeMode=\"Filesystem\"",
    "spec.publish[].files.pvc.dataVolume.create=\"Always\"",
    "spec.publish[].pvc.accessModes=[\"ReadWriteOnce\"]",
    "spec.publish[].pvc.defaults={}",
    "spec.publish[].pvc.retain={}",
    "spec.publish[].pvc.retain.onDelete=\"Delete\"",
    "spec.publish[].pvc.retain.previous=1",
    "spec.publish[].pvc.volumeMode=\"Filesystem\"",
    "spec.publish[].pvc.dataVolume.create=\"Always\"",
    "spec.publish[].containerDisk.compression=\"gzip\"",
    "spec.publish[].containerDisk.defaults={}",
    "spec.publish[].containerDisk.index=false",
    "spec.publish[].containerDisk.insecure=false",
    "spec.publish[].containerDisk.tags=[\"latest\"]",
    "spec.publish[].kernelBoot.compression=\"gzip\"",
    "spec.publish[].kernelBoot.defaults={}",
    "spec.publish[].kernelBoot.index=false",
    "spec.publish[].kernelBoot.insecure=false",
    "spec.publish[].kernelBoot.tags=[\"latest\"]",
    "spec.suspend=false",
    "step.archive.format=\"auto\"",
    "step.archive.path=\"/\"",
    "step.archive.stripComponents=0",
    "step.device.gid=0",
    "step.device.mode=\"0600\"",
    "step.device.uid=0",
    "step.deviceSet.path=\"/dev\"",
    "step.directory.gid=0",
    "step.directory.mode=\"0755\"",
    "step.directory.uid=0",
    "step.file.gid=0",
    "step.file.mode=\"0644\"",
    "step.file.uid=0",
    "step.fromImage.format=\"raw\"",
    "step.fromImage.from=\"/\"",
    "step.fromImage.path=\"/\"",
    "step.fstab.append=false",
    "step.fstab.entries[].dump=0",
    "step.fstab.entries[].options=\"defaults\"",
    "step.fstab.entries[].pass=0",
    "step.fstab.path=\"/etc/fstab\"",
    "step.image.path=\"/\"",
    "step.service.rescueLinks=false",
    "step.symlink.gid=0",
    "step.symlink.uid=0",
];

#[test]
fn every_default_is_visible_and_status_has_none() {
    let mut defaults = BTreeSet::new();
    visit(|path, schema| {
        if let Some(default) = schema.get("default") {
            defaults.insert(format!("{}={default}", once(path)));
        }
    });
    assert_eq!(defaults, DEFAULTS.iter().map(|text| (*text).to_owned()).collect());
}

/// The path of a field, that of a source or a step from there on: they stand in many places.
fn once(path: &str) -> String {
    let from = |path: &str, part: &str, name: &str| {
        path.rsplit_once(part).map(|(_, rest)| format!("{name}.{rest}"))
    };
    let step = from(path, ".contents[].", "step").unwrap_or_else(|| path.to_owned());
    from(&step, ".source.", "source").unwrap_or(step)
}

#[test]
fn a_spec_with_all_defaults_filled_in_is_the_same_spec() {
    let empty = vmimage::manifest::Spec::default();
    let filled = serde_json::json!({
        "architecture": "amd64", "formats": [{"type": "raw", "wrap": "none"}], "suspend": false,
        "machine": {"cpus": 1, "diskBus": "sata", "memory": "512Mi", "nic": "e1000", "osType": "other"},
        "build": {"timeoutSeconds": 3600, "maxAttempts": 3, "resources": {}},
    });
    assert_eq!(vmimage::manifest::from_json(filled).unwrap(), empty);
}

#[test]
fn names_columns_and_size() {
    let definition = definition();
    let spec = &definition["spec"];
    assert_eq!(definition["metadata"]["name"], "vmimages.vmimage.dev");
    assert_eq!(spec["scope"], "Namespaced");
    assert_eq!(spec["names"]["shortNames"], serde_json::json!(["vmimg"]));
    assert_eq!(spec["names"]["categories"], serde_json::json!(["vmimages"]));
    let version = version();
    assert_eq!(version["subresources"], serde_json::json!({"status": {}}));
    let columns: Vec<_> = version["additionalPrinterColumns"].as_array().unwrap().iter().collect();
    let names: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Ready", "Reason", "Format", "Size", "Digest", "Age"]);
    assert_eq!(columns[4]["priority"], 1);
    let rule = &version["schema"]["openAPIV3Schema"]["x-kubernetes-validations"][0]["rule"];
    assert_eq!(rule, "size(self.metadata.name) <= 63");
    let len = crd::json().unwrap().len();
    assert!(len <= 240 << 10, "{len} bytes; client-side apply takes at most 256 KiB");
}
