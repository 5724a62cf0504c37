//! Documents with partitions, filesystems, contents and an ISO: what they mean, what they leave out.
//!
//! Builds nothing. That wrong ones are refused is tested in `manifest_check`.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::json;
use vmimage::manifest::types::{
    Architecture, DeviceKind, FilesystemKind, FormatKind, Medium, Mode, PartitionTable, Path,
};
use vmimage::manifest::{Spec, check, parse, partition_types, source};

fn spec(spec: &str) -> Spec {
    let head = "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: t}\nspec:\n";
    let documents = parse(&format!("{head}{spec}"), &[]).unwrap_or_else(|e| panic!("{spec}: {e}"));
    assert_eq!(check(&documents[0].image), []);
    documents[0].image.spec.clone()
}

const WHOLE: &str = r#"
  disk:
    partitionTable: GPT
    headroom: {percent: 10, size: 4Mi}
    diskId: 01234567-89ab-cdef-0123-456789abcdef
    partitions:
    - {name: esp, type: esp, size: 100Mi, attributes: [legacyBoot, "62"], mountPath: /boot/efi, filesystem: {type: vfat}}
    - name: root
      type: linuxRoot
      grow: true
      mountPath: /
      filesystem: {type: ext4, label: slim-rootfs, headroom: {size: 64Mi}, ext: {features: "^has_journal", inodes: 4096}}
      contents:
      - image: {source: {oci: {image: registry.example/base, pullSecretRef: {name: pull}}, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}}
      - archive:
          source: {http: {url: "https://example.org/linux-image.deb", caBundle: {configMapKeyRef: {name: ca, key: ca.pem}}}, allowMutable: true}
          include: ["boot/vmlinuz*"]
          stripComponents: 1
          owner: {uid: 0, gid: 5}
      - fromImage: {source: {file: cloud.qcow2}, format: qcow2, partition: 1, exclude: [var/log]}
      - file: {path: /etc/motd, text: "root is $(uuid:root)\n", mode: "0600", uid: 10, xattrs: {user.note: hello}, modified: "2026-01-31T12:00:00Z"}
      - file: {path: /etc/rc, mode: "755", source: {configMapKeyRef: {name: service, key: rc}}}
      - file: {path: /etc/seed, source: {secretKeyRef: {name: seed, key: user-data}, decompress: auto}}
      - directory: {paths: [/bin, /sbin]}
      - symlink: {path: /sbin/init, target: /rescue/init}
      - hardlink: {path: /etc/rc2, target: /etc/rc}
      - device: {path: /dev/console, type: char, major: 5, minor: 1}
      - deviceSet: {name: linux}
      - fstab: {entries: [{device: "UUID=$(uuid:root)", path: /, type: ext4, options: "discard,errors=remount-ro", pass: 1}]}
      - hostname: {name: slim}
      - hosts: {entries: [{address: 127.0.1.1, names: [slim]}]}
      - service: {source: {pvc: {claimName: sets, path: services.tar}, allowMutable: true}, name: rescue, rescueLinks: true}
      - remove: {paths: ["/usr/share/doc/*"]}
    - {name: data, source: {file: data.img}}
  iso:
    volumeId: cidata
    contents:
    - file: {path: /user-data, source: {secretKeyRef: {name: seed, key: user-data}}}
  formats: [{type: raw, of: disk}, {type: iso}]
"#;

#[test]
fn everything_is_read() {
    let spec = spec(WHOLE);
    let disk = spec.disk.as_ref().unwrap();
    assert_eq!(disk.partition_table, PartitionTable::Gpt);
    let [esp, root, data] = disk.partitions.as_slice() else { panic!("{disk:?}") };
    assert_eq!(esp.attributes, ["legacyBoot", "62"]);
    assert_eq!(esp.filesystem.as_ref().unwrap().kind, FilesystemKind::Vfat);
    assert_eq!(root.mount_path, Some(Path::new("/")));
    let file = root.contents[3].file.as_ref().unwrap();
    assert_eq!((file.mode, file.uid.0, file.gid.0), (Mode(0o600), 10, 0));
    assert_eq!(file.modified.as_ref().unwrap().since_epoch(), Some((1_769_860_800, 0)));
    assert_eq!(root.contents[6].directory.as_ref().unwrap().all().count(), 2);
    assert_eq!(root.contents[9].device.as_ref().unwrap().kind, DeviceKind::Char);
    assert!(data.source.is_some() && data.filesystem.is_none());
    assert_eq!(spec.formats[0].of, Some(Medium::Disk));
    assert_eq!(spec.formats[1].kind, FormatKind::Iso);
    for (step, name) in root.contents.iter().zip([
        "image",
        "archive",
        "fromImage",
        "file",
        "file",
        "file",
        "directory",
        "symlink",
        "hardlink",
        "device",
        "deviceSet",
        "fstab",
        "hostname",
        "hosts",
        "service",
        "remove",
    ]) {
        assert_eq!(step.members(), [name]);
    }
}

#[test]
fn inputs_are_listed_in_the_order_of_the_document() {
    let spec = spec(WHOLE);
    let paths: Vec<String> =
        source::sources(&spec).into_iter().map(|(path, _)| path.to_string()).collect();
    let root = "spec.disk.partitions[1].contents";
    assert_eq!(
        paths,
        [
            format!("{root}[0].image.source"),
            format!("{root}[1].archive.source"),
            format!("{root}[2].fromImage.source"),
            format!("{root}[4].file.source"),
            format!("{root}[5].file.source"),
            format!("{root}[14].service.source"),
            "spec.disk.partitions[2].source".to_owned(),
            "spec.iso.contents[0].file.source".to_owned(),
        ]
    );
}

#[test]
fn what_is_written_is_read_back_without_its_defaults() {
    let spec = spec(WHOLE);
    let text = serde_json::to_string(&json!({
        "apiVersion": "vmimage.dev/v1alpha1", "kind": "VMImage", "metadata": {"name": "t"},
        "spec": spec,
    }));
    assert_eq!(parse(&text.unwrap(), &[]).unwrap()[0].image.spec, spec);
    let value = serde_json::to_value(&spec).unwrap();
    let root = &value["disk"]["partitions"][1];
    assert_eq!(
        root["contents"][6],
        json!({"directory": {"paths": ["/bin", "/sbin"]}}),
        "defaults are left out"
    );
    assert_eq!(root["contents"][10], json!({"deviceSet": {"name": "linux"}}));
    assert_eq!(root["contents"][4]["file"]["mode"], "0755");
}

/// Our names, and what sfdisk calls the same in a GPT and in an MBR.
const SFDISK: &[(&str, Option<&str>, Option<&str>)] = &[
    ("linux", Some("Linux filesystem"), Some("Linux")),
    ("esp", Some("EFI System"), Some("EFI (FAT-12/16/32)")),
    ("biosBoot", Some("BIOS boot"), None),
    ("swap", Some("Linux swap"), Some("Linux swap / Solaris")),
    ("lvm", Some("Linux LVM"), Some("Linux LVM")),
    ("raid", Some("Linux RAID"), Some("Linux raid autodetect")),
    ("msdata", Some("Microsoft basic data"), Some("W95 FAT32 (LBA)")),
    ("ntfs", Some("Microsoft basic data"), Some("HPFS/NTFS/exFAT")),
    ("msReserved", Some("Microsoft reserved"), None),
    ("prep", Some("PowerPC PReP boot"), Some("PPC PReP Boot")),
    ("xbootldr", Some("Linux extended boot"), Some("Linux extended boot")),
    ("linuxRootAmd64", Some("Linux root (x86-64)"), None),
    ("linuxRootI386", Some("Linux root (x86)"), None),
    ("linuxRootArm64", Some("Linux root (ARM-64)"), None),
    ("linuxHome", Some("Linux home"), None),
    ("linuxSrv", Some("Linux server data"), None),
    ("linuxVar", Some("Linux variable data"), None),
    ("netbsd", Some("NetBSD FFS"), Some("NetBSD")),
    ("netbsdSwap", Some("NetBSD swap"), None),
    ("freebsd", Some("FreeBSD data"), Some("FreeBSD")),
    ("freebsdUfs", Some("FreeBSD UFS"), None),
    ("freebsdBoot", Some("FreeBSD boot"), None),
    ("openbsd", Some("OpenBSD data"), Some("OpenBSD")),
];

/// The GUIDs and bytes of partition types, as sfdisk knows them under names of its own.
#[test]
fn sfdisk_knows_the_types() {
    let list = |label: &str| {
        let run = Command::new("sfdisk").args(["--label", label, "--list-types"]).output();
        let output =
            run.unwrap_or_else(|e| panic!("sfdisk is needed (apt-get install fdisk): {e}"));
        String::from_utf8(output.stdout).unwrap()
    };
    let (gpt, dos) = (list("gpt"), list("dos"));
    let of = |list: &str, id: &str| {
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(id));
        line.map(|line| line.trim_start().strip_prefix(id).unwrap().trim().to_owned())
    };
    for (name, in_gpt, in_dos) in SFDISK {
        let known = partition_types::named(name, Architecture::Amd64).unwrap();
        assert_eq!(of(&gpt, known.guid).as_deref(), *in_gpt, "{name}");
        let byte = known.byte.map(|byte| format!("{byte:x}"));
        assert_eq!(byte.and_then(|byte| of(&dos, &byte)).as_deref(), *in_dos, "{name}");
    }
    assert_eq!(SFDISK.len(), partition_types::NAMES.len());
}

#[test]
fn the_page_names_every_type_feature_and_field() {
    let page = fs_err::read_to_string("docs/contents.md").unwrap();
    for known in partition_types::NAMES {
        let byte = known.byte.map(|byte| format!("`{byte:#04x}`")).unwrap_or_default();
        let row = format!("| `{}` | {byte} | `{}` |", known.name, known.guid.to_lowercase());
        assert!(page.contains(&row), "{row}");
    }
    let mut names = BTreeSet::new();
    fields(&vmimage::manifest::schema()["properties"]["disk"], &mut names);
    fields(&vmimage::manifest::schema()["properties"]["iso"], &mut names);
    for name in &names {
        let told = page.contains(&format!("`{name}`")) || page.contains(&format!("{name}:"));
        let listed = ["uid", "gid"].contains(&name.as_str());
        assert!(told || listed, "docs/contents.md lacks {name}");
    }
    assert!(names.len() > 80, "{}", names.len());
}

fn fields(schema: &serde_json::Value, names: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        names.insert(name.clone());
        fields(field, names);
    }
    if schema["items"].is_object() {
        fields(&schema["items"], names);
    }
}
