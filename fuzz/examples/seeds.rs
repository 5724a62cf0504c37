//! Writes the first inputs of every target below `corpus/`: the files of our writers as they are,
//! sealed, with one field of the header changed, and small ones as literal bytes.
//!
//! Invariant: writes the same names and bytes every time, and removes nothing.

use std::path::Path;

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
    Ok(())
}
