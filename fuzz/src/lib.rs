//! What the fuzz targets share: an input is a recipe for a broken image file.
//!
//! ```text
//! input bytes ─arbitrary─▶ Case: which file of our writers · edits · where it is cut · sealed?
//!                          └─▶ Broken: a source that shows the edited file ─▶ `exercise`
//! ```
//!
//! So a dozen bytes of input reach what lies behind magic numbers and checksums, and inputs stay
//! small although files have megabytes. Every fourth input is taken as the file itself.
//! Invariant: the same input is the same file, whatever the machine.

mod broken;
mod exercise;
pub mod files;
pub mod filesystem;
pub mod kernels;
pub mod loaders;
pub mod made;
pub mod media;
mod medium;
pub mod modules;
pub mod programs;
mod seal;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arbitrary::{Arbitrary, Unstructured};
use uuid::Uuid;
use vmimage::engine::archive::Format;
use vmimage::engine::base::tree::{Kind, Limits, Meta, Time, Tree};
use vmimage::engine::base::{
    ByteSource, Content, MemorySink, Origin, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::codec::wrap::{self, Wrap};
use vmimage::engine::format::package::{Package, PackageKind};
use vmimage::engine::format::{self, FormatName, Label, Output, Params};
use vmimage::engine::payload::{self, Unpack};
use vmimage::guest::{Config, command_line};
use vmimage::oci::{Layout, Platform};
use vmimage::publish::container::index::{self, Entry, Index, Present};

pub use broken::Broken;
pub use exercise::exercise;
use medium::Medium;

/// Types of what a tag names.
pub const INDEX_KINDS: [&str; 4] = [
    index::INDEX,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// A change of some bytes.
#[derive(Arbitrary, Clone, Debug)]
pub struct Edit {
    /// Where: see `place`.
    pub at: u32,
    /// What is written there.
    pub value: Value,
}

/// What an edit writes.
#[derive(Arbitrary, Clone, Debug)]
pub enum Value {
    /// These bytes.
    Bytes([u8; 8]),
    /// One byte.
    Byte(u8),
    /// A number in 4 bytes, little endian.
    Little(u32),
    /// A number in 4 bytes, big endian.
    Big(u32),
    /// A number in 8 bytes, big endian, shifted left by as many bits as the second says.
    Shifted(u8, u8),
    /// 8 bytes of ones.
    Ones,
    /// 8 bytes of zeros.
    Zeros,
    /// A copy of 64 bytes from elsewhere in the file.
    Copy(u32),
}

/// A recipe for a broken file.
#[derive(Arbitrary, Clone, Debug)]
pub struct Case {
    /// Which of the files.
    pub file: u8,
    /// What is changed, in order.
    pub edits: Vec<Edit>,
    /// Whether the checksums are made right afterwards.
    pub sealed: bool,
    /// The file ends here, counted back from its end.
    pub cut: u16,
}

/// The files of one format that are broken: made once for a process.
pub struct Files {
    format: FormatName,
    made: OnceLock<Vec<Arc<[u8]>>>,
    params: fn() -> Vec<Params>,
}

impl Files {
    /// Files of this format with these parameters.
    pub const fn new(format: FormatName, params: fn() -> Vec<Params>) -> Self {
        Self { format, made: OnceLock::new(), params }
    }

    fn made(&self) -> &[Arc<[u8]>] {
        self.made.get_or_init(|| (self.params)().iter().map(written).collect())
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.made().len()
    }

    /// One of them.
    pub fn file(&self, number: usize) -> Arc<[u8]> {
        Arc::clone(&self.made()[number])
    }

    /// Judges what a reader makes of one input.
    pub fn run(&self, data: &[u8]) {
        let Some((kind, rest)) = data.split_first() else { return };
        if kind % 4 == 3 {
            return exercise(Arc::new(ByteSource::new(rest.to_vec())), self.format);
        }
        let mut input = Unstructured::new(rest);
        let Ok(case) = Case::arbitrary(&mut input) else { return };
        let files = self.made();
        let file = Arc::clone(&files[usize::from(case.file) % files.len()]);
        exercise(Arc::new(Broken::new(file, &case, self.format)), self.format);
    }
}

/// The bytes of a file that our writer makes.
fn written(params: &Params) -> Arc<[u8]> {
    let (sink, companion) = (MemorySink::default(), MemorySink::default());
    let label = Label { name: "disk", id: Uuid::from_u128(7) };
    let output = Output { label, sink: &sink, companion: Some(&companion) };
    let work = Work { threads: 1, progress: &Silent };
    format::write(&Medium, &output, params, &work).expect("our writer writes its own seeds");
    sink.into_bytes().into()
}

/// Guesses the format of any bytes, and uses what is guessed.
pub fn detect(data: &[u8]) {
    let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(data.to_vec()));
    if let Ok(format) = format::detect(&*source) {
        exercise(source, format);
    }
}

/// Bytes that a wrap may unpack to.
const MOST_UNPACKED: u64 = 8 << 20;

/// Unpacks bytes by the codec that the first one chooses.
pub fn unpack(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let wrap = Wrap::ALL[usize::from(*kind) % Wrap::ALL.len()];
    let packed = std::io::Cursor::new(rest.to_vec());
    let Ok(mut unwrapped) = wrap::unwrap(wrap, Box::new(packed)) else { return };
    let (mut buffer, mut total) = (vec![0; 64 << 10], 0);
    while let Ok(count) = unwrapped.fill(&mut buffer) {
        total += count as u64;
        if count == 0 || total > MOST_UNPACKED {
            break;
        }
    }
}

/// Opens a package and all of its disks.
pub fn package(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let kind = if kind % 2 == 0 { PackageKind::Ova } else { PackageKind::Box };
    let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(rest.to_vec()));
    let work = Work { threads: 1, progress: &Silent };
    let Ok(package) = Package::open(source, kind, &std::env::temp_dir(), MOST_UNPACKED, &work)
    else {
        return;
    };
    let _details = package.details();
    for disk in package.disks().iter().take(4) {
        if let (Ok(source), Some(format)) = (package.disk(disk, &work), disk.format) {
            exercise(source, format);
        }
    }
}

/// Entries and bytes that an archive may put into a tree.
const MOST_NODES: usize = 4096;

/// Unpacks an archive of the kind that the first byte chooses, as a layer, or as an image; then
/// reads what is in the tree.
pub fn archive(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let source: Arc<dyn SectorSource> = Arc::new(ByteSource::new(rest.to_vec()));
    let scratch = Scratch::new(&std::env::temp_dir(), MOST_UNPACKED);
    let origin = Origin::new("fuzz");
    let limits = Limits {
        nodes: MOST_NODES,
        file: MOST_UNPACKED,
        total: MOST_UNPACKED,
        ..Limits::default()
    };
    let mut tree = Tree::new(Meta::directory(Time::default()), origin.clone());
    let mut options = Unpack { limits, ..Unpack::default() };
    let done = match kind % 6 {
        0 => payload::unpack(&mut tree, source, &options, &scratch, &origin).is_ok(),
        1 => payload::apply_layer(&mut tree, source, &options, &scratch, &origin).is_ok(),
        2 => {
            let image = Layout::archive(source).and_then(|layout| {
                let image = layout.image(&Platform::linux("amd64"), None)?;
                payload::image_tree(&image, &layout, &options, &scratch, &origin)
            });
            image.map(|image| tree = image).is_ok()
        }
        kind => {
            options.format = Format::ALL.get(usize::from(kind) - 3).copied();
            payload::unpack(&mut tree, source, &options, &scratch, &origin).is_ok()
        }
    };
    for step in tree.walk().filter(|_| done) {
        if let Kind::File(Content::Sectors(source)) = &tree.node(step.node).kind {
            for extent in source.extents() {
                let len = usize::try_from(extent.len()).expect("files are small");
                source.read_at(extent.start(), &mut vec![0; len]).expect("a body is there");
            }
        }
    }
}

/// Reads the partition table of any bytes.
pub fn partition(data: &[u8]) {
    let medium = ByteSource::new(data.to_vec());
    let _table = vmimage::engine::partition::read(&medium);
    for len in [data.len() as u64, 1 << 20] {
        let _moved = vmimage::engine::partition::resized(&medium, len);
    }
}

/// Reads a configuration of the guest's init, as a file and as a kernel command line.
pub fn guest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut config = Config::default();
    let wrong = config.read(&text);
    assert_eq!(Config::parse(&text).is_ok(), wrong.is_empty());
    for (key, value) in command_line(&text) {
        if let Some(key) = key.strip_prefix(Config::PREFIX) {
            let _told = config.set(key, &value);
        }
    }
    let written = config.to_text();
    assert_eq!(Config::parse(&written).as_ref(), Ok(&config), "{written}");
}

/// Reads what a tag of a registry names, of the type that the first byte chooses, and puts an image into
/// it. Whether it was taken.
pub fn index(data: &[u8]) -> bool {
    let Some((kind, text)) = data.split_first() else { return false };
    let digest = format!("sha256:{}", "0".repeat(64));
    let kind = INDEX_KINDS[usize::from(*kind) % INDEX_KINDS.len()];
    let config = index::platform(text).is_ok();
    let Ok(Present::Index(found)) = index::read(kind, &digest, text).map(|present| match present {
        Present::Ours(entry, _) => Present::Index(Index::of(entry)),
        index => index,
    }) else {
        return config;
    };
    let entry = Entry {
        media_type: INDEX_KINDS[2].to_owned(),
        digest: digest.clone(),
        size: 1,
        platform: Some(index::Platform::linux("amd64")),
        annotations: BTreeMap::new(),
    };
    let Ok(Some(changed)) = found.with(&entry) else { return true };
    if let Ok(bytes) = changed.to_bytes() {
        let again = index::read(index::INDEX, &digest, &bytes).expect("we read what we write");
        assert_eq!(again, Present::Index(changed.clone()));
    }
    assert_eq!(changed.with(&entry).expect("it has room for what it has"), None);
    true
}

/// All bytes of a source.
pub(crate) fn all(source: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(source.len()).expect("a small source")];
    source.read_at(0, &mut bytes).expect("what is there is read");
    bytes
}

/// So many pieces of the input: each but the last begins with its length in 2 bytes; what is not there
/// is empty.
pub(crate) fn pieces(mut data: &[u8], count: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::with_capacity(count);
    for number in 1..=count {
        let Some((len, rest)) = data.split_first_chunk().filter(|_| number < count) else {
            pieces.push(std::mem::take(&mut data));
            continue;
        };
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (piece, rest) = rest.split_at(len);
        pieces.push(piece);
        data = rest;
    }
    pieces
}

/// The input that `pieces` takes apart.
#[must_use]
pub fn joined(kind: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let mut input = vec![kind];
    for (number, piece) in pieces.iter().enumerate() {
        if number + 1 < pieces.len() {
            let len = u16::try_from(piece.len()).expect("a small piece");
            input.extend(len.to_le_bytes());
        }
        input.extend_from_slice(piece);
    }
    input
}
