//! Specs that are refused, with why, and specs just inside a limit: judged by `check` on a desk and
//! by the rules of the CRD in a real API server, which must agree.
//!
//! Tests nothing by itself.

mod boot;
mod contents;
mod partitions;

/// All documents for rows, those of disks with contents too.
pub(crate) fn cases()
-> impl Iterator<Item = &'static (&'static str, &'static str, &'static str, &'static str)> {
    CASES.iter().chain(boot::CASES).chain(contents::CASES).chain(partitions::CASES)
}

/// All specs that are accepted.
pub(crate) fn accepted() -> impl Iterator<Item = &'static &'static str> {
    ACCEPTED.iter().chain(boot::ACCEPTED).chain(contents::ACCEPTED)
}

/// A document for every row: its name, the spec, the path, and what the message ends with.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("boot-member", "{boot: {}}", "spec.boot", "syslinux, efi, direct"),
    ("sector-member", "{boot: {sector: {}}}", "spec.boot.sector", "message, source"),
    (
        "sector-member",
        "{boot: {sector: {message: a, source: {inline: {text: a}}}}}",
        "spec.boot.sector",
        "message, source",
    ),
    (
        "source-member",
        "{boot: {sector: {source: {}}}}",
        "spec.boot.sector.source",
        "http, oci, file",
    ),
    (
        "inline-member",
        "{boot: {sector: {source: {inline: {}}}}}",
        "spec.boot.sector.source.inline",
        "text, base64",
    ),
    (
        "inline-member",
        "{boot: {sector: {source: {inline: {text: a, base64: YQ==}}}}}",
        "spec.boot.sector.source.inline",
        "text, base64",
    ),
    (
        "target-member",
        "{disk: {size: 1Mi}, publish: [{name: a}]}",
        "spec.publish[0]",
        "pvc, files, containerDisk, kernelBoot",
    ),
    (
        "target-member",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {}, files: {}}]}",
        "spec.publish[0]",
        "pvc, files, containerDisk, kernelBoot",
    ),
    (
        "file-in-cluster",
        "{boot: {sector: {source: {file: a}}}}",
        "spec.boot.sector.source.file",
        "http or oci",
    ),
    (
        "arm-without-bios",
        "{architecture: arm64, boot: {sector: {message: a}}}",
        "spec.boot.sector",
        "amd64 or i386",
    ),
    ("nothing-to-build", "{}", "spec", "for an empty disk"),
    ("nothing-to-build", "{disk: {}}", "spec", "for an empty disk"),
    (
        "foreign-options",
        "{disk: {size: 1Mi}, formats: [{type: raw, qcow2: {}}]}",
        "spec.formats[0].qcow2",
        "qcow2 needs type: qcow2",
    ),
    (
        "foreign-options",
        "{disk: {size: 1Mi}, formats: [{type: vhd, vhdx: {}}]}",
        "spec.formats[0].vhdx",
        "vhdx needs type: vhdx",
    ),
    (
        "foreign-options",
        "{disk: {size: 1Mi}, formats: [{type: ova, box: {}}]}",
        "spec.formats[0].box",
        "box needs type: box",
    ),
    (
        "flat-names",
        "{disk: {size: 1Mi}, formats: [{type: vmdk, name: a, vmdk: {subformat: monolithicFlat}}, {type: vmdk, name: a.vmdk, vmdk: {subformat: monolithicFlat}}]}",
        "spec.formats[1].name",
        "a-flat.vmdk is used twice",
    ),
    (
        "flat-names",
        "{disk: {size: 1Mi}, formats: [{type: vmdk, name: a.vmdk, vmdk: {subformat: monolithicFlat}}, {type: raw, name: a-flat.vmdk}]}",
        "spec.formats[0].name",
        "a-flat.vmdk is used twice",
    ),
    (
        "qcow2-preallocation",
        "{disk: {size: 1Mi}, formats: [{type: qcow2, qcow2: {compression: zlib, preallocation: metadata}}]}",
        "spec.formats[0].qcow2.preallocation",
        "not supported at the same time",
    ),
    (
        "qcow2-zstd",
        "{disk: {size: 1Mi}, formats: [{type: qcow2, qcow2: {compat: '0.10', compression: zstd}}]}",
        "spec.formats[0].qcow2.compression",
        "or compression zlib",
    ),
    (
        "qcow2-lazy",
        "{disk: {size: 1Mi}, formats: [{type: qcow2, qcow2: {compat: '0.10', lazyRefcounts: true}}]}",
        "spec.formats[0].qcow2.lazyRefcounts",
        "use compat \"1.1\"",
    ),
    (
        "qcow2-cluster",
        "{disk: {size: 1Mi}, formats: [{type: qcow2, qcow2: {clusterSize: 256}}]}",
        "spec.formats[0].qcow2.clusterSize",
        "it is 256 bytes",
    ),
    (
        "qcow2-cluster",
        "{disk: {size: 1Mi}, formats: [{type: qcow2, qcow2: {clusterSize: 4Mi}}]}",
        "spec.formats[0].qcow2.clusterSize",
        "it is 4194304 bytes",
    ),
    (
        "qcow2-cluster",
        "{disk: {size: 1Mi}, formats: [{type: qcow2, qcow2: {clusterSize: 3Ki}}]}",
        "spec.formats[0].qcow2.clusterSize",
        "it is 3072 bytes",
    ),
    (
        "qcow2-cluster",
        "{disk: {size: 1Mi}, formats: [{type: qcow2, qcow2: {clusterSize: 8Ei}}]}",
        "spec.formats[0].qcow2.clusterSize",
        "it is 9223372036854775808 bytes",
    ),
    (
        "vhdx-block",
        "{disk: {size: 1Mi}, formats: [{type: vhdx, vhdx: {blockSize: 512Ki}}]}",
        "spec.formats[0].vhdx.blockSize",
        "it is 524288 bytes",
    ),
    (
        "vhdx-block",
        "{disk: {size: 1Mi}, formats: [{type: vhdx, vhdx: {blockSize: 3Mi}}]}",
        "spec.formats[0].vhdx.blockSize",
        "it is 3145728 bytes",
    ),
    (
        "preset-type",
        "{disk: {size: 1Mi}, formats: [{type: raw, preset: azure}]}",
        "spec.formats[0].type",
        "kubevirt raw, qcow2",
    ),
    (
        "preset-option",
        "{disk: {size: 1Mi}, formats: [{type: vhd, preset: azure, vhd: {subformat: dynamic}}]}",
        "spec.formats[0].vhd.subformat",
        "azure needs fixed, here is dynamic",
    ),
    (
        "preset-option",
        "{disk: {size: 1Mi}, formats: [{type: vhd, preset: hyperv, vhd: {sizing: chs}}]}",
        "spec.formats[0].vhd.sizing",
        "hyperv needs exact, here is chs",
    ),
    (
        "preset-option",
        "{disk: {size: 1Mi}, formats: [{type: vmdk, preset: vsphere, vmdk: {adapterType: ide}}]}",
        "spec.formats[0].vmdk.adapterType",
        "vsphere needs lsilogic, here is ide",
    ),
    (
        "preset-option",
        "{disk: {size: 1Mi}, formats: [{type: ova, preset: vsphere, ova: {manifest: sha1}}]}",
        "spec.formats[0].ova.manifest",
        "vsphere needs sha256, here is sha1",
    ),
    (
        "preset-wrap",
        "{disk: {size: 1Mi}, formats: [{type: raw, preset: gce, wrap: gzip}]}",
        "spec.formats[0].wrap",
        "leave wrap out",
    ),
    (
        "wrap-type",
        "{disk: {size: 1Mi}, formats: [{type: ova, wrap: xz}]}",
        "spec.formats[0].wrap",
        "leave wrap out",
    ),
    (
        "wrap-type",
        "{disk: {size: 1Mi}, formats: [{type: box, wrap: zstd}]}",
        "spec.formats[0].wrap",
        "leave wrap out",
    ),
    (
        "wrap-flat",
        "{disk: {size: 1Mi}, formats: [{type: vmdk, wrap: gzip, vmdk: {subformat: monolithicFlat}}]}",
        "spec.formats[0].wrap",
        "or leave wrap out",
    ),
    (
        "format-names",
        "{disk: {size: 1Mi}, formats: [{type: raw, wrap: xz}, {type: qcow2, name: raw.xz}]}",
        "spec.formats[1]",
        "raw.xz is used twice",
    ),
    (
        "format-names",
        "{disk: {size: 1Mi}, formats: [{type: raw, preset: gce}, {type: qcow2, name: tar.gz}]}",
        "spec.formats[1]",
        "tar.gz is used twice",
    ),
    (
        "memory",
        "{disk: {size: 1Mi}, machine: {memory: 3Mi}}",
        "spec.machine.memory",
        "it is 3145728 bytes",
    ),
    (
        "memory",
        "{disk: {size: 1Mi}, machine: {memory: 524289Ki}}",
        "spec.machine.memory",
        "it is 536871936 bytes",
    ),
    (
        "memory",
        "{disk: {size: 1Mi}, machine: {memory: 7Ti}}",
        "spec.machine.memory",
        "it is 7696581394432 bytes",
    ),
    (
        "vsphere-virtio",
        "{disk: {size: 1Mi}, machine: {nic: virtio}, formats: [{type: ova, preset: vsphere}]}",
        "spec.machine.nic",
        "or no preset",
    ),
    (
        "vsphere-virtio",
        "{disk: {size: 1Mi}, machine: {diskBus: virtio}, formats: [{type: raw}, {type: ova, preset: vsphere}]}",
        "spec.machine.diskBus",
        "or no preset",
    ),
    (
        "arm-firmware",
        "{architecture: arm64, disk: {size: 1Mi}, machine: {firmware: bios}}",
        "spec.machine.firmware",
        "use firmware efi",
    ),
    (
        "manifest-name",
        "{disk: {size: 1Mi}, formats: [{name: build.json, type: raw}]}",
        "spec.formats[0].name",
        "choose another",
    ),
    (
        "format-names",
        "{disk: {size: 1Mi}, formats: [{type: raw}, {name: raw, type: qcow2}]}",
        "spec.formats[1]",
        "raw is used twice",
    ),
    (
        "claim-names",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {name: x}}, {name: b, pvc: {}}, {name: c, pvc: {name: x}}]}",
        "spec.publish[2].pvc.name",
        "x is used twice",
    ),
    (
        "claim-names",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {name: x}}, {name: b, files: {pvc: {name: x}}}]}",
        "spec.publish[1].files.pvc.name",
        "x is used twice",
    ),
    (
        "pod-access",
        "{disk: {size: 1Mi}, publish: [{name: a, files: {pvc: {accessModes: [ReadWriteOncePod, ReadWriteOnce]}}}]}",
        "spec.publish[0].files.pvc.accessModes",
        "other access modes",
    ),
    (
        "files-request",
        "{disk: {size: 1Mi}, publish: [{name: a, files: {pvc: {request: 0Gi}}}]}",
        "spec.publish[0].files.pvc.request",
        "what the files need",
    ),
    (
        "target-member",
        "{disk: {size: 1Mi}, publish: [{name: a, files: {}, containerDisk: {image: r.example/a}}]}",
        "spec.publish[0]",
        "pvc, files, containerDisk, kernelBoot",
    ),
    (
        "files-claim",
        "{disk: {size: 1Mi}, publish: [{name: a, files: {pvc: {volumeMode: Block}}}]}",
        "spec.publish[0].files",
        "has none of them",
    ),
    (
        "files-claim",
        "{disk: {size: 1Mi}, publish: [{name: a, files: {pvc: {defaults: {preference: {name: a}}}}}]}",
        "spec.publish[0].files",
        "has none of them",
    ),
    (
        "files-claim",
        "{disk: {size: 1Mi}, publish: [{name: a, files: {pvc: {dataSource: {name: a}}}}]}",
        "spec.publish[0].files",
        "has none of them",
    ),
    (
        "files-claim",
        "{disk: {size: 1Mi}, publish: [{name: a, files: {pvc: {name: c, dataVolume: {}}}}]}",
        "spec.publish[0].files",
        "has none of them",
    ),
    (
        "data-volume-name",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {dataVolume: {}}}]}",
        "spec.publish[0].pvc",
        "the name of its claim",
    ),
    (
        "data-sources",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {dataSource: {name: s}}}, {name: b, pvc: {dataSource: {name: s}}}]}",
        "spec.publish[1].pvc.dataSource.name",
        "s is used twice",
    ),
    (
        "own-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {annotations: {cdi.kubevirt.io/storage.import.endpoint: x}}}]}",
        "spec.publish[0].pvc.annotations",
        "cdi.kubevirt.io/storage.import.endpoint",
    ),
    (
        "own-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {annotations: {k8s.io/CloneOf: x}}}]}",
        "spec.publish[0].pvc.annotations",
        "k8s.io/CloneOf",
    ),
    (
        "own-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {annotations: {vmimage.dev/complete: x}}}]}",
        "spec.publish[0].pvc.annotations",
        "vmimage.dev/complete",
    ),
    (
        "own-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {annotations: {app.kubernetes.io/name: x}}}]}",
        "spec.publish[0].pvc.annotations",
        "app.kubernetes.io/name",
    ),
    (
        "own-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {annotations: {instancetype.kubevirt.io/default-preference: x}}}]}",
        "spec.publish[0].pvc.annotations",
        "instancetype.kubevirt.io/default-preference",
    ),
    (
        "own-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, files: {pvc: {labels: {a.k8s.io/b: x}}}}]}",
        "spec.publish[0].files.pvc.labels",
        "a.k8s.io/b",
    ),
    (
        "label-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {labels: {'-a': x}}}]}",
        "spec.publish[0].pvc.labels",
        "-a",
    ),
    (
        "label-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {labels: {'a/b/c': x}}}]}",
        "spec.publish[0].pvc.labels",
        "a/b/c",
    ),
    (
        "label-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {labels: {'Example.com/a': x}}}]}",
        "spec.publish[0].pvc.labels",
        "Example.com/a",
    ),
    (
        "label-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {labels: {'/a': x}}}]}",
        "spec.publish[0].pvc.labels",
        "/a",
    ),
    (
        "label-keys",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {labels: {'a b': x}}}]}",
        "spec.publish[0].pvc.labels",
        "a b",
    ),
    (
        "image-tags",
        "{disk: {size: 1Mi}, publish: [{name: a, containerDisk: {image: r.example/a, tags: [one, two]}}, {name: b, containerDisk: {image: r.example/a, tags: [three, two]}}]}",
        "spec.publish[1].containerDisk.tags",
        "r.example/a:two is used twice",
    ),
    (
        "kernel-boot",
        "{disk: {size: 1Mi}, publish: [{name: a, kernelBoot: {image: r.example/a}}]}",
        "spec.publish[0].kernelBoot",
        "add boot.direct",
    ),
    (
        "kernel-boot-defaults",
        "{disk: {size: 1Mi}, boot: {kernel: {source: {inline: {text: a}}}, direct: {}}, publish: [{name: a, kernelBoot: {image: r.example/a, defaults: {preference: {name: p}}}}]}",
        "spec.publish[0].kernelBoot.defaults",
        "leave them out of kernelBoot",
    ),
    (
        "push-defaults",
        "{disk: {size: 1Mi}, publish: [{name: a, containerDisk: {image: r.example/a, defaults: {instancetype: {name: p, kind: K}}}}]}",
        "spec.publish[0].containerDisk.defaults",
        "leave kind out",
    ),
    (
        "push-defaults",
        "{disk: {size: 1Mi}, publish: [{name: a, containerDisk: {image: r.example/a, defaults: {preference: {name: p, kind: K}}}}]}",
        "spec.publish[0].containerDisk.defaults",
        "leave kind out",
    ),
    (
        "pod-access",
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {accessModes: [ReadWriteOncePod, ReadWriteOnce]}}]}",
        "spec.publish[0].pvc.accessModes",
        "other access modes",
    ),
    ("whole-sectors", "{disk: {size: 0}}", "spec.disk.size", "it is 0 bytes"),
    ("whole-sectors", "{disk: {size: 513}}", "spec.disk.size", "it is 513 bytes"),
    // 2^63 - 2^30 + 512.
    (
        "largest-disk",
        "{disk: {size: 9223372035781034496}}",
        "spec.disk.size",
        "it is 9223372035781034496 bytes",
    ),
    ("largest-disk", "{disk: {size: 15Ei}}", "spec.disk.size", "it is 17293822569102704640 bytes"),
    // 2 PiB + 512.
    (
        "largest-qcow2",
        "{disk: {size: 2251799813685760}, formats: [{type: qcow2}]}",
        "spec.disk.size",
        "it is 2251799813685760 bytes",
    ),
    // 128 GiB + 512.
    (
        "largest-qcow2",
        "{disk: {size: 137438953984}, formats: [{type: raw}, {type: qcow2, qcow2: {clusterSize: 512}}]}",
        "spec.disk.size",
        "it is 137438953984 bytes",
    ),
    // 2040 GiB + 512.
    (
        "largest-other",
        "{disk: {size: 2190433321472}, formats: [{type: vhd}]}",
        "spec.disk.size",
        "it is 2190433321472 bytes",
    ),
    (
        "largest-other",
        "{disk: {size: 65Ti}, formats: [{type: vhdx}]}",
        "spec.disk.size",
        "it is 71468255805440 bytes",
    ),
    (
        "largest-other",
        "{disk: {size: 17592186044928}, formats: [{type: vdi}]}",
        "spec.disk.size",
        "it is 17592186044928 bytes",
    ),
    (
        "largest-other",
        "{disk: {size: 2Pi}, formats: [{type: vdi}]}",
        "spec.disk.size",
        "it is 2251799813685248 bytes",
    ),
    (
        "request-holds-disk",
        "{disk: {size: 1049088}, publish: [{name: a, pvc: {request: 2097151}}]}",
        "spec.publish[0].pvc.request",
        "2097151 bytes requested, 2097152 needed",
    ),
    (
        "request-holds-disk",
        "{boot: {sector: {message: a}}, publish: [{name: a, pvc: {request: 512}}]}",
        "spec.publish[0].pvc.request",
        "512 bytes requested, 1048576 needed",
    ),
    (
        "toleration-key",
        "{disk: {size: 1Mi}, build: {tolerations: [{effect: NoSchedule}]}}",
        "spec.build.tolerations[0]",
        "operator: Exists",
    ),
    (
        "toleration-value",
        "{disk: {size: 1Mi}, build: {tolerations: [{key: a, operator: Exists, value: b}]}}",
        "spec.build.tolerations[0]",
        "has no value",
    ),
    (
        "toleration-seconds",
        "{disk: {size: 1Mi}, build: {tolerations: [{key: a, tolerationSeconds: 5}]}}",
        "spec.build.tolerations[0]",
        "effect: NoExecute",
    ),
    (
        "inline-bytes",
        "{boot: {sector: {source: {inline: {base64: YQ}}}}}",
        "spec.boot.sector.source.inline.base64",
        "padding",
    ),
    (
        "inline-digest",
        // sha256sum of "a".
        "{boot: {sector: {source: {inline: {text: a}, digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}}}}",
        "spec.boot.sector.source.digest",
        "they have sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    ),
    (
        "resource-name",
        "{disk: {size: 1Mi}, build: {resources: {limits: {mem: 1Gi}}}}",
        "spec.build.resources.limits.mem",
        "with a domain",
    ),
    (
        "request-over-limit",
        "{disk: {size: 1Mi}, build: {resources: {requests: {cpu: 1500m}, limits: {cpu: 1}}}}",
        "spec.build.resources.requests.cpu",
        "1500m is more than 1",
    ),
];

/// Specs that stand just inside a limit.
const ACCEPTED: &[&str] = &[
    "{disk: {size: 1Mi}, publish: [{name: a, pvc: {volumeMode: Block, labels: {team: a, example.com/b: ''}, annotations: {notk8s.io/a: b, xkubevirt.io/c: d}, retain: {previous: 0, onDelete: Retain}}}]}",
    "{disk: {size: 1Mi}, publish: [{name: a, pvc: {name: c, dataVolume: {create: Never}, dataSource: {name: s}, defaults: {instancetype: {name: u1.nano, kind: VirtualMachineInstancetype}, preference: {name: linux}}}}]}",
    "{disk: {size: 1Mi}, publish: [{name: a, containerDisk: {image: 'r.example:5000/a/b-c', tags: [v1.0, latest], format: raw, index: true, compression: none, insecure: true, pushSecretRef: {name: s}, caBundle: {configMapKeyRef: {name: a, key: b}}, defaults: {preference: {name: p}}}}]}",
    "{disk: {size: 1Mi}, publish: [{name: a, files: {pvc: {retain: {previous: 3}, labels: {a: b}}}}]}",
    "{disk: {size: 1Mi}, boot: {kernel: {source: {inline: {text: a}}}, direct: {}}, publish: [{name: a, kernelBoot: {image: r.example/a, tags: [one]}}, {name: b, containerDisk: {image: r.example/a, tags: [two]}}]}",
    "{disk: {partitions: [{name: a, filesystem: {type: ext4}}]}, publish: [{name: a, containerDisk: {image: r.example/a}}]}",
    "{disk: {size: 512}}",
    "{disk: {size: 9223372035781033984}}",
    "{disk: {size: 2Pi}, formats: [{type: qcow2}]}",
    "{disk: {size: 3Pi}, formats: [{type: raw}]}",
    "{disk: {size: 128Gi}, formats: [{type: qcow2, qcow2: {clusterSize: 512}}]}",
    "{disk: {size: 3Pi}, formats: [{type: qcow2, qcow2: {clusterSize: 2Mi}}]}",
    "{disk: {size: 2040Gi}, formats: [{type: vhd}]}",
    "{disk: {size: 64Ti}, formats: [{type: vhdx}]}",
    "{disk: {size: 16Ti}, formats: [{type: vdi}]}",
    "{disk: {size: 1Mi}, formats: [{type: qcow2, qcow2: {compat: '0.10', compression: zlib}}, {type: qcow2, name: a, qcow2: {clusterSize: 65536, lazyRefcounts: true, preallocation: falloc}}, {type: qcow2, name: b, qcow2: {compression: zstd, preallocation: 'off', clusterSize: 2048Ki}}]}",
    "{disk: {size: 1Mi}, formats: [{type: vhdx, vhdx: {blockSize: 256Mi, subformat: fixed}}, {type: vmdk, vmdk: {subformat: monolithicFlat, adapterType: buslogic, hardwareVersion: 22}}, {type: vhd, vhd: {subformat: fixed, sizing: chs}}, {type: vdi, vdi: {subformat: static}}, {type: ova, ova: {manifest: sha1, hardwareVersion: 7}}, {type: box, box: {provider: libvirt}}]}",
    "{disk: {size: 1Mi}, formats: [{type: vhd, preset: azure, vhd: {subformat: fixed}}, {type: vhd, name: a, preset: aws, vhd: {subformat: dynamic}}, {type: raw, preset: gce}, {type: vmdk, preset: vsphere, vmdk: {hardwareVersion: 19}}, {type: vdi, preset: virtualbox}, {type: vhdx, preset: hyperv}, {type: qcow2, preset: kubevirt, wrap: gzip}]}",
    "{disk: {size: 1Mi}, formats: [{type: raw}, {type: raw, wrap: gzip}, {type: raw, wrap: xz}, {type: qcow2, wrap: zstd}, {type: vmdk, wrap: none}]}",
    "{disk: {size: 1Mi}, machine: {memory: 4Mi, cpus: 128, firmware: bios, diskBus: nvme, nic: none, osType: netbsd}}",
    "{disk: {size: 1Mi}, machine: {diskBus: virtio, nic: virtio}, formats: [{type: ova}, {type: vmdk, preset: vsphere}]}",
    "{architecture: arm64, disk: {size: 1Mi}, machine: {memory: 6Ti, firmware: efi}}",
    "{disk: {size: 1049088}, publish: [{name: a, pvc: {request: 2Mi}}]}",
    "{disk: {size: 1Mi}, publish: [{name: a, pvc: {accessModes: [ReadWriteOncePod]}}]}",
    "{disk: {size: 1Mi}, publish: [{name: a, files: {}}, {name: b, files: {path: a/b.1/_c-d, pvc: {name: x, request: 1}}}, {name: c, pvc: {name: z}}]}",
    "{disk: {size: 1Mi}, formats: [{type: raw}, {name: other, type: raw}]}",
    "{disk: {size: 1Mi}, build: {tolerations: [{operator: Exists}, {key: a, value: b}, {key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 0}]}}",
    "{disk: {size: 1Mi}, build: {resources: {requests: {cpu: 1000m, example.com/gpu: 1}, limits: {cpu: 1, hugepages-2Mi: 2Mi}}}}",
    "{architecture: arm64, disk: {size: 1Mi}}",
    "{boot: {sector: {source: {inline: {base64: 'Y Q = ='}}}}}",
];
