//! Disks through our writers and readers, for the formats of Microsoft and their kin.
//!
//! Judges nothing. Invariant: every file has the same label, so that its ids are the same.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fs_err as fs;
use uuid::Uuid;
use vmimage::engine::base::{Error, MemorySink, PositionalSink, SectorSource, Silent, Work};
use vmimage::engine::format::{self, Label, Output, Params};

use crate::qemu_img::{self, text};

pub(crate) const SILENT: Work<'static> = Work { threads: 1, progress: &Silent };

pub(crate) const LABEL: Label<'static> =
    Label { name: "disk", id: Uuid::from_bytes(*b"sixteen bytes id") };

pub(crate) fn put(
    source: &dyn SectorSource,
    sink: &dyn PositionalSink,
    params: &Params,
) -> Result<(), Error> {
    let output = Output { label: LABEL, sink, companion: None };
    format::write(source, &output, params, &SILENT)
}

/// A file that is not synced: nobody needs these after a crash.
struct Plain(std::fs::File);

impl PositionalSink for Plain {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.0.write_all_at(bytes, offset).map_err(|e| Error::io("writing", e))
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.0.set_len(len).map_err(|e| Error::io("making it longer", e))
    }
}

/// Writes `source` to the new file `path`.
pub(crate) fn write(source: &dyn SectorSource, params: &Params, path: &Path) {
    let file = fs::File::create_new(path).unwrap().into_file();
    put(source, &Plain(file), params).unwrap();
}

/// `source` as a file in memory.
pub(crate) fn bytes(source: &dyn SectorSource, params: &Params) -> Result<Vec<u8>, Error> {
    let sink = MemorySink::default();
    put(source, &sink, params)?;
    Ok(sink.into_bytes())
}

/// All bytes of a disk, read in pieces of an odd length.
pub(crate) fn all(image: &dyn SectorSource) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0xee; usize::try_from(image.len()).unwrap()];
    let mut at = 0;
    for part in bytes.chunks_mut(3_000_001) {
        image.read_at(at, part)?;
        at += part.len() as u64;
    }
    Ok(bytes)
}

/// What 7zz takes for the disk in `path`, which it is told to be of type `kind`.
pub(crate) fn seven_zip(path: &Path, kind: &str) -> Vec<u8> {
    let output = qemu_img::output("7zz", "7zip", &["x", "-so", kind, text(path)]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {words}", path.display());
    output.stdout
}

/// What libvhdi takes for the disk in `path`.
pub(crate) fn libvhdi(path: &Path, out: &Path) -> Vec<u8> {
    let program = "import pyvhdi, sys; f = pyvhdi.file(); f.open(sys.argv[1]); \
                   n = f.get_media_size(); \
                   open(sys.argv[2], 'wb').write(f.read_buffer_at_offset(n, 0) if n else b'')";
    let args = ["-c", program, text(path), text(out)];
    // Not the python3 of the path, which may be another than Debian's.
    qemu_img::run("/usr/bin/python3", "python3-libvhdi", &args);
    fs::read(out).unwrap()
}
