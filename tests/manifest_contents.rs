//! Documents with partitions, filesystems, contents and an ISO: what they mean, what they leave out.
//!
//! Builds nothing. That wrong ones are refused is tested in `manifest_check`.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use serde_json::json;
use vmimage::manifest::types::{
    DeviceKind, FilesystemKind, FormatKind, Medium, Mode, PartitionTable, Path,
};
use vmimage::manifest::{Spec, check, parse, source};

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
