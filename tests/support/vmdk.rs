//! VMDK files to try: written by us, read by others, and a gate to their second files.
//!
//! Invariant: what other programs say comes from their output, never from our code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;
use vmimage::engine::base::{
    AtomicFile, Error, FileSource, Gate, MemorySink, Role, SectorSource, Silent, Work,
};
use vmimage::engine::format::vmdk::{self, Adapter, Image, Params, Subformat};
use vmimage::engine::format::{Label, Output};

use super::qemu_img::{run, text};

pub(crate) const SUBFORMATS: [(&str, Subformat); 3] = [
    ("monolithicSparse", Subformat::MonolithicSparse),
    ("monolithicFlat", Subformat::MonolithicFlat),
    ("streamOptimized", Subformat::StreamOptimized),
];

pub(crate) const ADAPTERS: [(&str, Adapter); 3] =
    [("ide", Adapter::Ide), ("buslogic", Adapter::BusLogic), ("lsilogic", Adapter::LsiLogic)];

pub(crate) const ID: Uuid = Uuid::from_u128(0x1234);

pub(crate) fn work(threads: usize) -> Work<'static> {
    Work { threads, progress: &Silent }
}

pub(crate) fn params(subformat: Subformat) -> Params {
    Params { subformat, ..Params::default() }
}

/// Writes `<name>.vmdk` into the directory, and its second file.
pub(crate) fn write(source: &dyn SectorSource, path: &Path, params: &Params) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let file = AtomicFile::create(path).unwrap();
    let companion =
        params.companion(name).map(|name| AtomicFile::create(&path.with_file_name(name)).unwrap());
    let label = Label { name, id: ID };
    let output = Output { label, sink: &file, companion: companion.as_ref().map(|file| file as _) };
    vmdk::write(source, &output, params, &work(2)).unwrap();
    file.commit().unwrap();
    if let Some(companion) = companion {
        companion.commit().unwrap();
    }
}

/// A file of one piece in memory.
pub(crate) fn bytes(source: &dyn SectorSource, params: &Params, threads: usize) -> Vec<u8> {
    let sink = MemorySink::default();
    let label = Label { name: "a.vmdk", id: ID };
    let output = Output { label, sink: &sink, companion: None };
    vmdk::write(source, &output, params, &work(threads)).unwrap();
    sink.into_bytes()
}

/// Opens what lies in this directory.
#[derive(Debug)]
pub(crate) struct Beside(pub(crate) PathBuf);

impl Gate for Beside {
    fn open(&self, role: Role, name: &[u8]) -> Result<Arc<dyn SectorSource>, Error> {
        assert_eq!(role, Role::Extent);
        let name = std::str::from_utf8(name).unwrap();
        assert!(!name.contains('/'), "a reader asks for plain names only");
        Ok(Arc::new(FileSource::open(&self.0.join(name))?))
    }
}

pub(crate) fn open(path: &Path) -> Result<Image, Error> {
    let gate = Beside(path.parent().unwrap().to_owned());
    Image::open(Arc::new(FileSource::open(path).unwrap()), &gate)
}

/// The sha256 of the disk as 7-Zip unpacks it.
pub(crate) fn sha256_by_7zip(path: &Path) -> String {
    let script = "7zz x -so -- \"$1\" | sha256sum; exit ${PIPESTATUS[0]}";
    let line = run("bash", "7zip", &["-c", script, "sh", text(path)]);
    format!("sha256:{}", line.split(' ').next().unwrap())
}

/// The sha256 of the disk as libvmdk reads it.
pub(crate) fn sha256_by_libvmdk(path: &Path) -> String {
    let script = r"
import hashlib, pyvmdk, sys
image = pyvmdk.handle()
image.open(sys.argv[1])
image.open_extent_data_files()
digest, left = hashlib.sha256(), image.get_media_size()
while left > 0:
    piece = image.read_buffer(min(left, 1 << 20))
    assert piece
    digest.update(piece)
    left -= len(piece)
print(digest.hexdigest())
";
    let line = run("/usr/bin/python3", "python3-libvmdk", &["-c", script, text(path)]);
    format!("sha256:{}", line.trim_end())
}
