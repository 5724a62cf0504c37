//! Specs that are refused, with why, and specs just inside a limit: judged by `check` on a desk and
//! by the rules of the CRD in a real API server, which must agree.
//!
//! Tests nothing by itself.

/// A document for every row: its name, the spec, the path, and what the message ends with.
pub(crate) const CASES: &[(&str, &str, &str, &str)] = &[
    ("boot-member", "{boot: {}}", "spec.boot", "needs its member sector"),
    ("sector-member", "{boot: {sector: {}}}", "spec.boot.sector", "message, source"),
    (
        "sector-member",
        "{boot: {sector: {message: a, source: {inline: {text: a}}}}}",
        "spec.boot.sector",
        "message, source",
    ),
    ("source-member", "{boot: {sector: {source: {}}}}", "spec.boot.sector.source", "inline, file"),
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
    ("target-member", "{disk: {size: 1Mi}, publish: [{name: a}]}", "spec.publish[0]", "member pvc"),
    (
        "file-in-cluster",
        "{boot: {sector: {source: {file: a}}}}",
        "spec.boot.sector.source.file",
        "use source.inline",
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
        "needs type: qcow2",
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
pub(crate) const ACCEPTED: &[&str] = &[
    "{disk: {size: 512}}",
    "{disk: {size: 9223372035781033984}}",
    "{disk: {size: 2Pi}, formats: [{type: qcow2}]}",
    "{disk: {size: 3Pi}, formats: [{type: raw}]}",
    "{disk: {size: 1049088}, publish: [{name: a, pvc: {request: 2Mi}}]}",
    "{disk: {size: 1Mi}, publish: [{name: a, pvc: {accessModes: [ReadWriteOncePod]}}]}",
    "{disk: {size: 1Mi}, formats: [{type: raw}, {name: other, type: raw}]}",
    "{disk: {size: 1Mi}, build: {tolerations: [{operator: Exists}, {key: a, value: b}, {key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 0}]}}",
    "{disk: {size: 1Mi}, build: {resources: {requests: {cpu: 1000m, example.com/gpu: 1}, limits: {cpu: 1, hugepages-2Mi: 2Mi}}}}",
    "{architecture: arm64, disk: {size: 1Mi}}",
    "{boot: {sector: {source: {inline: {base64: 'Y Q = ='}}}}}",
];
