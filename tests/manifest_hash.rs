//! The hashes that decide whether something is built again, pinned.
//!
//! A pinned hash changes only with a writer's byte version (`hash::WRITERS`) or with the meaning of
//! a document: then say so in the change log, for every user's images are built again. Each was
//! computed outside of this program, from the JSON that stands beside it:
//! `python3 -c "$SCRIPT" 'JSON'` with `SCRIPT` below, which the test runs, too.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::process::Command;

use vmimage::manifest::hash::{content_hash, format_hash, known_digests, pvc_hash, target_hash};
use vmimage::manifest::types::Pvc;
use vmimage::manifest::{Spec, parse};

const SCRIPT: &str = "import hashlib, json, sys
text = json.dumps(json.loads(sys.argv[1]), sort_keys=True, separators=(',', ':'), ensure_ascii=False)
print(hashlib.sha256(text.encode()).hexdigest())";

/// SHA-256 of the canonical form of `json`, by Python.
fn python(json: &str) -> String {
    let output = Command::new("python3")
        .args(["-c", SCRIPT, json])
        .output()
        .unwrap_or_else(|e| panic!("python3 is needed (apt-get install python3): {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn example(name: &str) -> Spec {
    let text = fs_err::read_to_string(format!("examples/{name}.yaml")).unwrap();
    parse(&text, &[]).unwrap().remove(0).image.spec
}

fn spec(spec: &str) -> Spec {
    let head = "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: t}\n";
    parse(&format!("{head}spec: {spec}\n"), &[]).unwrap().remove(0).image.spec
}

fn content(spec: &Spec) -> String {
    content_hash(spec, &known_digests(spec)).unwrap()
}

/// What was computed, what is hashed, and what it must be.
struct Pin {
    ours: String,
    json: &'static str,
    hash: &'static str,
}

fn hold(pins: &[Pin]) {
    for Pin { ours, json, hash } in pins {
        assert_eq!(python(json), *hash, "the pin does not belong to {json}");
        assert_eq!(ours, hash, "{json}");
    }
}

/// The hash of a target or format of the example: its content hash belongs into the JSON.
macro_rules! pins {
    ($($ours:expr, $json:expr, $hash:literal;)*) => {
        hold(&[$(Pin { ours: $ours, json: $json, hash: $hash }),*]);
    };
}

#[test]
fn hello() {
    let spec = example("hello");
    let content = content(&spec);
    let pvc = spec.publish[0].pvc.as_ref().unwrap();
    pins! {
        content.clone(),
        r#"{"v":1,"architecture":"amd64","boot":{"sector":{"message":"Hello World!"}},"disk":null,"inputs":{},"writers":{"sector":1}}"#,
        "032d2b30ec69d4603d6344a8abe2a4456a23199d009eac610b87818aaa39be1a";
        pvc_hash(&content, pvc),
        r#"{"v":1,"content":"032d2b30ec69d4603d6344a8abe2a4456a23199d009eac610b87818aaa39be1a","kind":"pvc","format":{"type":"raw","writer":1},"name":null,"accessModes":["ReadWriteOnce"],"request":null,"storageClassName":null}"#,
        "0e74a2e019734b626c30716c92591b4560c3ee3b19d0bd6a7ffe77f9264126d1";
        format_hash(&content, &spec, &spec.formats[0]),
        r#"{"v":1,"content":"032d2b30ec69d4603d6344a8abe2a4456a23199d009eac610b87818aaa39be1a","format":{"type":"raw","writer":1,"options":null}}"#,
        "713288f1a3d8af0669252f5ebf9219f5c49e725340319793d519379fb80e5d66";
        format_hash(&content, &spec, &spec.formats[1]),
        r#"{"v":1,"content":"032d2b30ec69d4603d6344a8abe2a4456a23199d009eac610b87818aaa39be1a","format":{"type":"qcow2","writer":1,"options":{"compression":"zlib"}}}"#,
        "6ee7a3c0462dbd96764abc83136c3c0b692389c2968bf5b8f9d5ef7943060263";
    }
}

#[test]
fn own_sector() {
    let spec = example("own-sector");
    let content = content(&spec);
    pins! {
        content.clone(),
        r#"{"v":1,"architecture":"amd64","boot":{"sector":{}},"disk":{"size":"64Mi"},"inputs":{"spec.boot.sector.source":"sha256:d4441cd5a10bc73ecc4e8f4795a42182d4915b6dac78a7346670ee80124aa200"},"writers":{"sector":1}}"#,
        "5e6ba1c6b0659023008716d571889659766626ee927e7515a75b4482d9a7b6aa";
        pvc_hash(&content, spec.publish[0].pvc.as_ref().unwrap()),
        r#"{"v":1,"content":"5e6ba1c6b0659023008716d571889659766626ee927e7515a75b4482d9a7b6aa","kind":"pvc","format":{"type":"raw","writer":1},"name":null,"accessModes":["ReadWriteOnce"],"request":null,"storageClassName":null}"#,
        "26208aa0cdb425ad97d7ac499b7ad70a566ae7f9d4ae266198f502e9de430dfa";
    }
}

#[test]
fn empty_disk() {
    let spec = example("empty-disk");
    let content = content(&spec);
    pins! {
        content.clone(),
        r#"{"v":1,"architecture":"amd64","boot":null,"disk":{"size":"1Gi"},"inputs":{},"writers":{}}"#,
        "af0e5f4bc74b1a16d927a6fda5cfb4d3d06ae0d7d0be023e47a78b9438638739";
        // The order of access modes means nothing.
        pvc_hash(&content, spec.publish[0].pvc.as_ref().unwrap()),
        r#"{"v":1,"content":"af0e5f4bc74b1a16d927a6fda5cfb4d3d06ae0d7d0be023e47a78b9438638739","kind":"pvc","format":{"type":"raw","writer":1},"name":null,"accessModes":["ReadWriteOnce","ReadWriteMany"],"request":null,"storageClassName":null}"#,
        "b6c1e1b82a7762bd654317839f7b04309786ae836d897451458bcf0abd66c7a6";
        format_hash(&content, &spec, &spec.formats[0]),
        r#"{"v":1,"content":"af0e5f4bc74b1a16d927a6fda5cfb4d3d06ae0d7d0be023e47a78b9438638739","format":{"type":"qcow2","writer":1,"options":{"compression":"none"}}}"#,
        "bfa3f3e669f2dfc0aad5340c9192ba951d3f8b5690c44904cff45048e25debde";
    }
}

#[test]
fn everything_that_shapes_a_volume() {
    let pvc = spec(
        "{disk: {size: 1Mi}, publish: [{name: a, pvc: {name: c, request: 4Mi, storageClassName: s, accessModes: [ReadWriteOncePod]}}]}",
    );
    let content = content(&pvc);
    pins! {
        content.clone(),
        r#"{"v":1,"architecture":"amd64","boot":null,"disk":{"size":"1Mi"},"inputs":{},"writers":{}}"#,
        "f149d9d22ab7ae976135ddee8e39fb0ad86e8833b49d1631beaa97f546b48e49";
        pvc_hash(&content, pvc.publish[0].pvc.as_ref().unwrap()),
        r#"{"v":1,"content":"f149d9d22ab7ae976135ddee8e39fb0ad86e8833b49d1631beaa97f546b48e49","kind":"pvc","format":{"type":"raw","writer":1},"name":"c","accessModes":["ReadWriteOncePod"],"request":"4Mi","storageClassName":"s"}"#,
        "1b55377b5bfa8188ac7de19fcd23293dca8239b8f4baa9a249f7b237109c5f5c";
        self::content(&spec("{architecture: i386, boot: {sector: {message: \"é\\n\"}}}")),
        r#"{"v":1,"architecture":"i386","boot":{"sector":{"message":"é\n"}},"disk":null,"inputs":{},"writers":{"sector":1}}"#,
        "40e668a9ccc1ed834ec379bec11fdca607a74b87e9e9ee4d4c32836732769969";
    }
}

#[test]
fn everything_that_shapes_a_file() {
    let of = |format: &str| {
        let spec =
            spec(&format!("{{disk: {{size: 1Mi}}, machine: {{cpus: 2}}, formats: [{format}]}}"));
        format_hash(&content(&spec), &spec, &spec.formats[0])
    };
    pins! {
        of("{type: qcow2, wrap: gzip, qcow2: {clusterSize: 128Ki, compression: zstd}}"),
        r#"{"v":1,"content":"f149d9d22ab7ae976135ddee8e39fb0ad86e8833b49d1631beaa97f546b48e49","format":{"type":"qcow2","writer":1,"wrap":"gzip","writers":{"gzip":1},"options":{"clusterSize":"128Ki","compression":"zstd"}}}"#,
        "81fb7a750e02027f6e6c5e7fec4aa31ad79a70df0f609549ceef104430f53a99";
        of("{type: vhd, preset: azure}"),
        r#"{"v":1,"content":"f149d9d22ab7ae976135ddee8e39fb0ad86e8833b49d1631beaa97f546b48e49","format":{"type":"vhd","writer":1,"preset":"azure","options":null}}"#,
        "09541f4c6ecde333cb72f3ff1d2d412483fa7b1777d042f019ca7ade4c9a9fe1";
        of("{type: raw, preset: gce}"),
        r#"{"v":1,"content":"f149d9d22ab7ae976135ddee8e39fb0ad86e8833b49d1631beaa97f546b48e49","format":{"type":"raw","writer":1,"preset":"gce","writers":{"gzip":1,"tar":1},"options":null}}"#,
        "72495e733e9323a7be5c70a1e778803646f6dea0d974ada0df139fccbb92e664";
        of("{type: box, box: {provider: libvirt}}"),
        r#"{"v":1,"content":"f149d9d22ab7ae976135ddee8e39fb0ad86e8833b49d1631beaa97f546b48e49","format":{"type":"box","writer":1,"writers":{"qcow2":1,"tar":1,"gzip":1},"machine":{"cpus":2},"architecture":"amd64","options":{"provider":"libvirt"}}}"#,
        "c2e45e66b12dbf499d213ab1847099c9be45f8f2625f915b3b5707ffe61f2a01";
    }
    let mut seen = std::collections::BTreeSet::from([of("{type: vmdk}")]);
    for format in [
        "{type: vmdk, name: other}",
        "{type: vmdk, wrap: xz}",
        "{type: vmdk, preset: vsphere}",
        "{type: vmdk, vmdk: {subformat: monolithicFlat}}",
        "{type: vmdk, vmdk: {adapterType: ide}}",
        "{type: vhd}",
        "{type: vhd, vhd: {sizing: exact}}",
        "{type: vhdx, vhdx: {blockSize: 1Mi}}",
        "{type: vdi, vdi: {subformat: static}}",
        "{type: ova}",
        "{type: ova, ova: {manifest: sha1}}",
    ] {
        assert!(seen.insert(of(format)), "{format}");
    }
    assert_eq!(of("{type: qcow2, wrap: none, qcow2: {compat: '1.1'}}"), of("{type: qcow2}"));
    let machine = |machine: &str, kind: &str| {
        let spec = spec(&format!(
            "{{disk: {{size: 1Mi}}, machine: {machine}, formats: [{{type: {kind}}}]}}"
        ));
        format_hash(&content(&spec), &spec, &spec.formats[0])
    };
    assert_ne!(machine("{nic: none}", "ova"), machine("{}", "ova"));
    assert_eq!(machine("{nic: none}", "vdi"), machine("{}", "vdi"));
}

#[test]
fn everything_that_shapes_a_directory_of_files() {
    let plain = spec("{disk: {size: 1Mi}, publish: [{name: a, files: {}}]}");
    let full = spec(
        "{disk: {size: 1Mi}, formats: [{type: raw}, {name: q, type: qcow2, qcow2: {compression: zstd}}], publish: [{name: a, files: {path: a/b, pvc: {name: c, request: 4Mi, storageClassName: s, accessModes: [ReadWriteMany]}}}]}",
    );
    let hash = |spec: &Spec| target_hash(&content(spec), spec, &spec.publish[0]).unwrap();
    pins! {
        hash(&plain),
        r#"{"v":1,"content":"f149d9d22ab7ae976135ddee8e39fb0ad86e8833b49d1631beaa97f546b48e49","kind":"files","formats":["d91c40735d6915dda4a16cd9d8779c0b1ac8a1b0b8a25ff4d4be724b8e4f0e58"],"path":null,"name":null,"accessModes":["ReadWriteOnce"],"request":null,"storageClassName":null}"#,
        "f91e1a6efac8ec54c3182eb424e665557a3696408868403664212edb68793044";
        format_hash(&content(&full), &full, &full.formats[1]),
        r#"{"v":1,"content":"f149d9d22ab7ae976135ddee8e39fb0ad86e8833b49d1631beaa97f546b48e49","format":{"type":"qcow2","writer":1,"name":"q","options":{"compression":"zstd"}}}"#,
        "2b01d51089100c3d7aa9b09a51aad220c8ec8830750880b37e8c9280ce773c35";
        hash(&full),
        r#"{"v":1,"content":"f149d9d22ab7ae976135ddee8e39fb0ad86e8833b49d1631beaa97f546b48e49","kind":"files","formats":["d91c40735d6915dda4a16cd9d8779c0b1ac8a1b0b8a25ff4d4be724b8e4f0e58","2b01d51089100c3d7aa9b09a51aad220c8ec8830750880b37e8c9280ce773c35"],"path":"a/b","name":"c","accessModes":["ReadWriteMany"],"request":"4Mi","storageClassName":"s"}"#,
        "02d10d0dec5da1178644d15a5b43ac4b4a144b44cfd4b5cab0d74cbdb0af6e58";
    }
    let mut seen = std::collections::BTreeSet::from([hash(&plain), hash(&full)]);
    for other in [
        "formats: [{type: qcow2}], publish: [{name: a, files: {}}]",
        "formats: [{type: raw, name: b}], publish: [{name: a, files: {}}]",
        "formats: [{type: raw, wrap: xz}], publish: [{name: a, files: {}}]",
        "formats: [{type: ova}], publish: [{name: a, files: {}}]",
        "formats: [{type: ova}], machine: {cpus: 2}, publish: [{name: a, files: {}}]",
        "publish: [{name: a, files: {path: b}}]",
        "publish: [{name: a, files: {pvc: {name: c}}}]",
        "publish: [{name: a, pvc: {}}]",
    ] {
        assert!(seen.insert(hash(&spec(&format!("{{disk: {{size: 1Mi}}, {other}}}")))), "{other}");
    }
    let written = "{disk: {size: 1Mi}, formats: [{type: raw, wrap: none}], publish: [{name: b, files: {pvc: {accessModes: [ReadWriteOnce]}}}]}";
    assert_eq!(hash(&spec(written)), hash(&plain), "a default written out changes no hash");
    let machine = "{disk: {size: 1Mi}, machine: {cpus: 2}, publish: [{name: a, files: {}}]}";
    assert_eq!(hash(&spec(machine)), hash(&plain), "raw files do not tell of the machine");
}

#[test]
fn a_disk_with_contents_and_an_iso() {
    let disk = spec(
        "{disk: {partitionTable: GPT, partitions: [{name: a, filesystem: {type: ext4, ext: {blockSize: 4096}}, contents: [{archive: {source: {http: {url: 'https://example.org/a'}, digest: 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'}, include: [b], path: /}}, {file: {path: /c, mode: '644', source: {inline: {text: b}, member: d, decompress: auto}}}, {fstab: {entries: [{device: /dev/a, path: /, type: ext4}]}}]}]}}",
    );
    let iso = spec("{iso: {volumeId: cidata, contents: [{file: {path: /meta-data, text: ''}}]}}");
    pins! {
        content(&disk),
        r#"{"v":1,"architecture":"amd64","boot":null,"disk":{"partitionTable":"GPT","partitions":[{"name":"a","contents":[{"archive":{"include":["b"]}},{"file":{"path":"/c"}},{"fstab":{"entries":[{"device":"/dev/a","path":"/","type":"ext4"}]}}],"filesystem":{"type":"ext4","ext":{"blockSize":"4Ki"}}}]},"inputs":{"spec.disk.partitions[0].contents[0].archive.source":"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","spec.disk.partitions[0].contents[1].file.source":"sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"},"taken":{"spec.disk.partitions[0].contents[1].file.source":{"decompress":"auto","member":"d"}},"writers":{"ext":1,"fstab":1,"gpt":1}}"#,
        "c995bc5b8821c6249ac8bff4c9f434f314b1c40968d62613ef234160abea1caf";
        content(&iso),
        r#"{"v":1,"architecture":"amd64","boot":null,"disk":null,"iso":{"volumeId":"cidata","contents":[{"file":{"path":"/meta-data","text":""}}]},"inputs":{},"writers":{"iso9660":1}}"#,
        "e163c9dfee8b3204d9612cf66c9a6514c7fdda80f2ed7942ebee1978f75547ba";
    }
}

#[test]
fn a_step_counts_by_what_it_does() {
    let step = |step: &str| {
        content(&spec(&format!(
            "{{disk: {{partitions: [{{name: a, filesystem: {{type: ext4}}, contents: [{step}]}}]}}}}"
        )))
    };
    let digest =
        "digest: 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'";
    let archive = |source: &str| step(&format!("{{archive: {{source: {{{source}}}}}}}"));
    let base = archive("inline: {text: a}");
    for same in [
        format!("file: anywhere, {digest}"),
        format!("oci: {{image: a}}, {digest}"),
        format!("pvc: {{claimName: a, path: b}}, {digest}"),
        format!("http: {{url: 'http://a'}}, {digest}, allowMutable: true"),
        "oci: {image: 'a@sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'}"
            .to_owned(),
    ] {
        assert_eq!(archive(&same), base, "{same}");
    }
    let mut seen = std::collections::BTreeSet::from([base]);
    for other in
        ["inline: {text: b}", "inline: {text: a}, member: x", "inline: {text: a}, decompress: gzip"]
    {
        assert!(seen.insert(archive(other)), "{other}");
    }
    let image = format!("oci: {{image: a, path: /b}}, {digest}");
    assert!(seen.insert(archive(&image)), "{image}");
    for other in [
        "{file: {path: /a, text: ''}}",
        "{file: {path: /a, text: a}}",
        "{file: {path: /a, text: '', mode: '0600'}}",
        "{file: {path: /a, text: '', uid: 1}}",
        "{directory: {path: /a}}",
        "{symlink: {path: /a, target: b}}",
        "{deviceSet: {name: linux}}",
        "{deviceSet: {name: netbsd}}",
        "{remove: {paths: [/a]}}",
    ] {
        assert!(seen.insert(step(other)), "{other}");
    }
    let written = "{file: {path: /a, text: '', mode: '644', uid: 0, gid: 0, xattrs: {}}}";
    assert!(!seen.insert(step(written)), "defaults count as if they were left out");
}

const PLAIN: &str = "{disk: {size: 1Gi}, publish: [{name: a, pvc: {}}]}";

#[test]
fn a_default_that_is_written_out_changes_no_hash() {
    let base = spec(PLAIN);
    for same in [
        "{architecture: amd64, disk: {size: 1Gi}, publish: [{name: a, pvc: {accessModes: [ReadWriteOnce]}}]}",
        "{disk: {size: 1024Mi}, publish: [{name: a, pvc: {}}], formats: [{type: raw}], suspend: false}",
        "{disk: {size: 1073741824}, publish: [{name: a, pvc: {}}], build: {timeoutSeconds: 3600, maxAttempts: 3, resources: {}}}",
        "{disk: {size: \"0001Gi\"}, publish: [{name: b, pvc: {}}], build: {timeoutSeconds: 20, tolerations: [{operator: Exists}]}}",
    ] {
        let other = spec(same);
        assert_eq!(content(&other), content(&base), "{same}");
        let hash = |spec: &Spec| pvc_hash(&content(spec), spec.publish[0].pvc.as_ref().unwrap());
        assert_eq!(hash(&other), hash(&base), "{same}");
    }
    let json = |spec: &Spec| serde_json::to_value(spec).unwrap();
    let written = "{architecture: amd64, disk: {size: 1Gi}, publish: [{name: a, pvc: {accessModes: [ReadWriteOnce]}}], formats: [{type: raw}], suspend: false, build: {timeoutSeconds: 3600, maxAttempts: 3, resources: {}, tolerations: []}}";
    assert_eq!(json(&spec(written)), json(&base));
    assert_eq!(Pvc::default(), *base.publish[0].pvc.as_ref().unwrap());
    assert_eq!(Spec::default(), Spec { disk: None, publish: Vec::new(), ..base });
}

#[test]
fn what_does_not_change_the_disk_changes_no_content_hash() {
    let base = content(&spec(PLAIN));
    for same in [
        "{disk: {size: 1Gi}, suspend: true}",
        "{disk: {size: 1Gi}, formats: [{type: qcow2, qcow2: {compression: zstd}}]}",
        "{disk: {size: 1Gi}, build: {maxAttempts: 9}}",
        "{disk: {size: 1Gi}, publish: [{name: z, pvc: {name: other}}]}",
    ] {
        assert_eq!(content(&spec(same)), base, "{same}");
    }
    for other in [
        "{disk: {size: 1025Mi}}",
        "{architecture: i386, disk: {size: 1Gi}}",
        "{disk: {size: 1Gi}, boot: {sector: {message: a}}}",
    ] {
        assert_ne!(content(&spec(other)), base, "{other}");
    }
    let message =
        |text: &str| content(&spec(&format!("{{boot: {{sector: {{message: {text}}}}}}}")));
    assert_ne!(message("a"), message("b"));
}

#[test]
fn an_input_counts_by_its_bytes() {
    let source =
        |source: &str| content(&spec(&format!("{{boot: {{sector: {{source: {source}}}}}}}")));
    let text = source("{inline: {text: hello}}");
    assert_eq!(source("{inline: {base64: aGVsbG8=}}"), text);
    assert_eq!(source("{inline: {base64: 'aGVs bG8='}}"), text);
    // echo -n hello | sha256sum
    let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(source(&format!("{{file: anywhere, digest: '{digest}'}}")), text);
    assert_ne!(source("{inline: {text: hello!}}"), text);
    let unknown = spec("{boot: {sector: {source: {file: a}}}}");
    let error = content_hash(&unknown, &known_digests(&unknown)).unwrap_err();
    assert_eq!(error.to_string(), "spec.boot.sector.source: the digest of this input is not known");
}

#[test]
fn everything_that_shapes_the_volume_changes_its_hash() {
    let hash = |pvc: &str| {
        let spec = spec(&format!("{{disk: {{size: 1Gi}}, publish: [{{name: a, pvc: {pvc}}}]}}"));
        pvc_hash(&content(&spec), spec.publish[0].pvc.as_ref().unwrap())
    };
    let mut seen = std::collections::BTreeSet::from([hash("{}")]);
    for pvc in
        ["{name: x}", "{request: 2Gi}", "{storageClassName: x}", "{accessModes: [ReadWriteMany]}"]
    {
        assert!(seen.insert(hash(pvc)), "{pvc}");
    }
    assert_eq!(hash("{request: 2Gi}"), hash("{request: 2048Mi}"));
}
