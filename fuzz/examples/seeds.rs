//! Writes the first inputs of every target below `corpus/`: the files of our writers as they are,
//! sealed, with one field of the header changed, and small ones as literal bytes.
//!
//! Invariant: writes the same names and bytes every time, and removes nothing.

use std::path::Path;

use uuid::Uuid;
use vmimage::engine::base::{ByteSource, MemorySink, Silent, StreamSink as _, Work};
use vmimage::engine::codec::wrap::{Wrap, Wrapper};
use vmimage::engine::format::package::{self, Form, Machine, Recipe, ova, vagrant};
use vmimage::engine::format::{Label, Output};
use vmimage_fuzz::{Files, files};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let targets: [(&str, &Files); 5] = [
        ("qcow2", &files::QCOW2),
        ("vmdk", &files::VMDK),
        ("vhd", &files::VHD),
        ("vhdx", &files::VHDX),
        ("vdi", &files::VDI),
    ];
    std::fs::create_dir_all(corpus.join("detect"))?;
    for (target, of) in targets {
        let directory = corpus.join(target);
        std::fs::create_dir_all(&directory)?;
        for file in 0..of.count() {
            let number = u8::try_from(file).unwrap_or(0);
            // As it is; with one edit (no more edits, sealed, nothing cut); cut.
            let edited =
                [&[0, number, 1][..], &[8, 0, 0, 0], &[0; 4], &[1; 8], &[0, 1, 0, 0]].concat();
            let recipes = [vec![0, number], edited, vec![0, number, 0, 1, 0, 2]];
            for (n, bytes) in recipes.iter().enumerate() {
                std::fs::write(directory.join(format!("seed-{file}-{n}")), bytes)?;
            }
            let literal = of.file(file);
            if literal.len() <= 16 << 10 {
                let bytes = [&[3], &literal[..]].concat();
                std::fs::write(directory.join(format!("seed-{file}-literal")), bytes)?;
                std::fs::write(corpus.join(format!("detect/{target}-{file}")), &literal)?;
            }
        }
    }
    packed(&corpus.join("unpack"))?;
    packages(&corpus.join("package"))?;
    filesystems(&corpus.join("filesystem"))
}

/// Every filesystem as it is, with one edit, and sealed.
fn filesystems(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for file in 0..vmimage_fuzz::filesystem::count() {
        let number = u8::try_from(file).unwrap_or(0);
        let edited =
            |sealed| [&[0, number, 1][..], &[8, 0, 0, 0], &[0; 4], &[1; 8], &[sealed, 0]].concat();
        for (n, bytes) in [vec![0, number], edited(0), edited(1)].iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{file}-{n}")), bytes)?;
        }
    }
    Ok(())
}

/// A text in every wrap that is written.
fn packed(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (kind, wrap) in (0u8..).zip(Wrap::ALL).filter(|(_, wrap)| wrap.writes()) {
        let mut bytes = vec![kind];
        let mut wrapper = Wrapper::new(wrap, &mut bytes, 1).expect("a codec of our own");
        wrapper.write(&b"a little text, ".repeat(40)).expect("memory takes everything");
        wrapper.finish().expect("memory takes everything");
        std::fs::write(directory.join(format!("seed-{wrap}")), bytes)?;
    }
    Ok(())
}

/// A package of each kind with a disk of 64 KiB.
fn packages(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let boxed = |provider| Form::Box(vagrant::Params { provider, machine: Machine::default() });
    for (name, kind, form) in [
        ("ova", 0u8, Form::Ova(ova::Params::new(Machine::default()))),
        ("libvirt", 1, boxed(vagrant::Provider::Libvirt)),
        ("virtualbox", 1, boxed(vagrant::Provider::VirtualBox)),
    ] {
        let sink = MemorySink::default();
        let label = Label { name: "disk", id: Uuid::from_u128(7) };
        let output = Output { label, sink: &sink, companion: None };
        let work = Work { threads: 1, progress: &Silent };
        let disk = ByteSource::new(vec![1; 64 << 10]);
        let recipe = Recipe { form, wrap: None };
        package::write(&disk, &output, &recipe, &std::env::temp_dir(), &work)
            .expect("our writer writes its own seeds");
        let bytes = [&[kind], &sink.into_bytes()[..]].concat();
        std::fs::write(directory.join(format!("seed-{name}")), bytes)?;
    }
    Ok(())
}
