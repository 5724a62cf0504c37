//! Our reader on our own images and on those of others.

use super::sample::{everything, lines, tree_of, write};
use vmimage::engine::filesystem::iso9660::Params;

#[test]
fn what_is_written_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let image = write(everything(), &Params::default(), directory.path());
    assert_eq!(lines(&tree_of(&image)), lines(&everything()));
}
