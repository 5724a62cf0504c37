//! What we write, read by others.

use super::sample::{everything, write};
use vmimage::engine::filesystem::iso9660::Params;

use super::tool::run;

#[test]
fn xorriso_sees_everything() {
    let directory = tempfile::tempdir().unwrap();
    let image = write(everything(), &Params::default(), directory.path());
    let text = image.to_str().unwrap();

    println!("{}", run("libarchive-tools", "bsdtar", &["-tvf", text]));
    fs_err::copy(&image, "/tmp/iso-made.iso").unwrap();
}
