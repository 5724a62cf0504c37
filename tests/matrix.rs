//! Format × option × (written, read, converted to each other), with `qemu-img` as judge; the tables
//! of docs/formats.md come from here.
//!
//! Invariant: what we refuse, qemu-img refuses, and the other way round; whatever else differs is in
//! a list with its reason.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/matrix.rs"]
mod matrix;
#[expect(dead_code, reason = "other programs use the rest")]
#[path = "support/media.rs"]
mod media;
#[expect(dead_code, reason = "other programs use the rest")]
#[path = "support/qemu_img.rs"]
mod qemu_img;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use matrix::{Form, Judges, all, judges, kinds};
use media::{Noise, Patched};
use qemu_img::{info, output, qemu_img, sha256sum, text};
use serde_json::Value;
use uuid::Uuid;
use vmimage::engine::base::{
    AtomicFile, Deny, Error, FileSource, Gate, PositionalSink, Role, SectorSource, Silent, Work,
    digest,
};
use vmimage::engine::format::{self, FormatName, FormatOption, Image, Label, Output, Values};

const WORK: Work<'_> = Work { threads: 2, progress: &Silent };

/// 4 MiB and a sector with text, noise, holes, written zeros, and data at the very end.
fn medium() -> Patched {
    let mut noise = Noise(5);
    let len = (4 << 20) + 512;
    let patches = vec![
        (0, noise.words(100_000)),
        (300_000, noise.bytes(70_000)),
        (1 << 20, vec![0; 80_000]),
        (2_500_000, noise.words(200_000)),
        (len - 700, noise.bytes(700)),
    ];
    Patched { name: "matrix", len, patches }
}

/// Opens the files of one directory.
#[derive(Debug)]
struct Beside(PathBuf);

impl Gate for Beside {
    fn open(&self, _: Role, name: &[u8]) -> Result<Arc<dyn SectorSource>, Error> {
        let name = std::str::from_utf8(name).unwrap();
        assert!(!name.contains('/'), "{name}");
        Ok(Arc::new(FileSource::open(&self.0.join(name))?))
    }
}

fn open(path: &Path, form: &Form) -> Result<Arc<dyn Image>, Error> {
    let gate = Beside(path.parent().unwrap().to_owned());
    format::open(Arc::new(FileSource::open(path)?), form.format, &gate)
}

/// Writes `source` in this form; nothing is left where it is refused.
fn write(source: &dyn SectorSource, form: &Form, path: &Path) -> Result<(), Error> {
    let params = form.params();
    let name = path.file_name().unwrap().to_str().unwrap();
    let sink = AtomicFile::create(path)?;
    let companion = params.companion(name);
    let companion =
        companion.map(|name| AtomicFile::create(&path.with_file_name(name))).transpose()?;
    let output = Output {
        label: Label { name, id: Uuid::from_u128(9) },
        sink: &sink,
        companion: companion.as_ref().map(|file| file as &dyn PositionalSink),
    };
    format::write(source, &output, &params, &WORK)?;
    sink.commit()?;
    companion.map_or(Ok(()), AtomicFile::commit)
}

/// The digest of the first `len` bytes; what lies behind them must be zero.
fn content(source: &dyn SectorSource, len: u64) -> String {
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap()];
    source.read_at(0, &mut bytes).unwrap();
    let (content, behind) = bytes.split_at(usize::try_from(len).unwrap());
    assert!(behind.iter().all(|byte| *byte == 0));
    digest(&vmimage::engine::base::ByteSource::new(content.to_vec()), &Silent).unwrap()
}

/// The content as qemu-img sees it.
fn content_by_qemu(path: &Path, form: &Form, len: u64) -> String {
    let back = path.with_extension("back");
    qemu_img(&["convert", "-f", form.driver(), "-O", "raw", text(path), text(&back)]);
    let found = content(&FileSource::open(&back).unwrap(), len);
    fs::remove_file(&back).unwrap();
    found
}

/// `qemu-img check`, where QEMU can check the format at all (63 means that it cannot).
fn checked_by_qemu(path: &Path, form: &Form) {
    let output = output("qemu-img", "qemu-utils", &["check", "-f", form.driver(), text(path)]);
    let wanted = if judges(form).checks { 0 } else { 63 };
    assert_eq!(output.status.code(), Some(wanted), "{}: {output:?}", form.name());
}

/// Where we and qemu-img differ in what is refused, and why.
fn differs(_form: &Form) -> Option<&'static str> {
    None
}

#[test]
fn every_combination_is_written_and_read_in_both_directions() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let medium = medium();
    let reference = at("reference");
    medium.reference(&reference);
    let wanted = sha256sum(&reference);
    let (mut accepted, mut refused) = (0, 0);
    for form in all() {
        let name = form.name();
        let (ours, theirs) = (at("ours.img"), at("theirs.img"));
        let written = write(&medium, &form, &ours);
        let arguments = form.arguments();
        let mut command = vec!["convert", "-f", "raw"];
        command.extend(arguments.iter().map(String::as_str));
        command.extend([text(&reference), text(&theirs)]);
        let converted = output("qemu-img", "qemu-utils", &command);
        if differs(&form).is_none() {
            let message = String::from_utf8_lossy(&converted.stderr).into_owned();
            assert_eq!(
                written.is_ok(),
                converted.status.success(),
                "{name}: {written:?} {message}"
            );
        }
        match written {
            Ok(()) => {
                accepted += 1;
                assert_eq!(content(&*open(&ours, &form).unwrap(), medium.len), wanted, "{name}");
                assert_eq!(content_by_qemu(&ours, &form, medium.len), wanted, "{name}");
                checked_by_qemu(&ours, &form);
                let findings = open(&ours, &form).unwrap().check(&WORK).unwrap();
                assert!(findings.is_clean(), "{name}: {findings:?}");
                let size = open(&ours, &form).unwrap().len();
                assert_eq!(info(&ours, form.driver())["virtual-size"], size, "{name}");
            }
            Err(error) => {
                refused += 1;
                assert!(!ours.exists(), "{name}: {error}");
            }
        }
        if converted.status.success() {
            let image = open(&theirs, &form).unwrap();
            assert_eq!(content(&*image, medium.len), wanted, "{name}: of qemu-img");
            let findings = image.check(&WORK).unwrap();
            assert_eq!(findings.errors, 0, "{name}: of qemu-img: {findings:?}");
            assert_eq!(info(&theirs, form.driver())["virtual-size"], image.len(), "{name}");
        }
        clear(directory.path(), &reference);
    }
    println!("{accepted} combinations written and read, {refused} refused by both");
    assert!(accepted > 60 && refused > 60, "{accepted} {refused}");
}

/// Removes all files but one.
fn clear(directory: &Path, keep: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path != keep {
            fs::remove_file(path).unwrap();
        }
    }
}

/// A file that is converted to another form is byte for byte what the medium itself would give.
#[test]
fn every_kind_is_converted_to_every_other() {
    let directory = tempfile::tempdir().unwrap();
    let medium = medium();
    let path = |from: usize, to: usize| directory.path().join(format!("{from}-{to}.img"));
    for (number, form) in kinds().iter().enumerate() {
        write(&medium, form, &path(number, number)).unwrap();
    }
    for (from, source) in kinds().iter().enumerate() {
        let image = open(&path(from, from), source).unwrap();
        for (to, form) in kinds().iter().enumerate() {
            let (name, out) = (format!("{} to {}", source.name(), form.name()), path(from, to));
            // Descriptors name their second file: the same names in a directory of its own.
            let place = tempfile::tempdir_in(directory.path()).unwrap();
            let file = place.path().join(format!("{to}-{to}.img"));
            write(&*image, form, &file).unwrap();
            if image.len() == medium.len {
                let (a, b) = (fs::read(&file).unwrap(), fs::read(path(to, to)).unwrap());
                assert!(a == b, "{name}: other bytes than from the medium");
            } else {
                let seen = content(&*open(&file, form).unwrap(), medium.len);
                assert_eq!(seen, content(&medium, medium.len), "{name}");
            }
            drop(out);
        }
    }
}

/// A reader opens no second file unless it is let.
#[test]
fn nothing_is_opened_beside_the_file_itself() {
    let directory = tempfile::tempdir().unwrap();
    let form = Form::new(FormatName::Vmdk, &[("subformat", "monolithicFlat")]);
    let path = directory.path().join("disk.vmdk");
    write(&medium(), &form, &path).unwrap();
    let refused = format::open(Arc::new(FileSource::open(&path).unwrap()), form.format, &Deny);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("extent file \"disk-flat.vmdk\""), "{message}");
}

/// Documents and `convert --option` have the same options with the same words.
#[test]
fn documents_have_the_options_of_the_engine() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/vmimages.vmimage.dev.yaml");
    let crd: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let formats = &spec["properties"]["formats"]["items"]["properties"];
    for format in FormatName::ALL {
        let Some(fields) = formats[format.as_str()]["properties"].as_object() else {
            assert!(format.options().is_empty(), "{format}");
            continue;
        };
        let names: BTreeSet<_> = fields.keys().map(String::as_str).collect();
        let known: BTreeSet<_> = format.options().iter().map(|option| option.name).collect();
        assert_eq!(names, known, "{format}");
        for option in format.options() {
            let field = &fields[option.name];
            let words = |values: &Value| -> BTreeSet<String> {
                let values = values.as_array().unwrap().iter();
                values.map(|value| value.as_str().unwrap().to_owned()).collect()
            };
            match option.values {
                Values::Words(["false", "true"]) => assert_eq!(field["type"], "boolean"),
                Values::Words(all) => {
                    let all: BTreeSet<_> = all.iter().map(|word| (*word).to_owned()).collect();
                    assert_eq!(words(&field["enum"]), all, "{format} {}", option.name);
                }
                Values::Number(least, most) => {
                    assert_eq!(
                        (&field["minimum"], &field["maximum"]),
                        (&least.into(), &most.into())
                    );
                }
                Values::PowerOfTwo(..) => {}
            }
        }
    }
}

/// The part of docs/formats.md that is generated.
const BEGIN: &str = "<!-- from tests/matrix.rs: e2e/generate writes it anew -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_tables_in_the_docs_are_those_of_the_matrix() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (held, after) = rest.split_once(END).unwrap();
    let tables = format!("\n{}\n{}\n", acceptance(), options());
    if std::env::var_os("VMIMAGE_GENERATE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
    } else {
        assert!(held == tables, "run e2e/generate; docs/formats.md should hold:\n{tables}");
    }
}

/// Who accepted what.
fn acceptance() -> String {
    let mut text = "| file | written, read back, converted from and to all | `qemu-img check` | \
                    second reader | boots in QEMU | rules checked | the vendor's own product |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for kind in kinds() {
        let name = kind.name();
        let Judges { checks, second, rules } = judges(&kind);
        let driver = kind.driver();
        let checks = if checks { "clean" } else { "cannot check it" };
        text += &format!(
            "| {name} | `{driver}`, both directions | {checks} | {second} | yes | {rules} | not tested |\n"
        );
    }
    text
}

fn options() -> String {
    let mut text =
        "| format | option | values | default | what it does |\n|---|---|---|---|---|\n".to_owned();
    for format in FormatName::ALL {
        for option in format.options() {
            let FormatOption { name, default, help, .. } = option;
            text +=
                &format!("| {format} | `{name}` | {} | {default} | {help} |\n", option.allowed());
        }
    }
    text
}
