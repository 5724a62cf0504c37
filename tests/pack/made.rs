//! Packages made for the tests, and ways to look at them.
//!
//! Judges nothing itself. Invariant: the disk is 3 MiB of text, noise and zeros.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;
use vmimage::engine::base::{
    AtomicFile, ByteSource, Deny, Error, FileSource, SectorSource, Silent, Work,
};
use vmimage::engine::format::package::{
    self, Form, Machine, Package, PackageKind, Recipe, ova, vagrant,
};
use vmimage::engine::format::{Label, Output};

use super::media::{Noise, Patched};

pub(crate) const WORK: Work<'static> = Work { threads: 2, progress: &Silent };

pub(crate) fn disk() -> Patched {
    let mut noise = Noise(77);
    let patches = vec![(0, noise.words(300_000)), (2 << 20, noise.bytes(200_000))];
    Patched { name: "packed", len: 3 << 20, patches }
}

pub(crate) fn machine() -> Machine {
    Machine { name: "hello".to_owned(), ..Machine::default() }
}

pub(crate) fn ova() -> Recipe {
    Recipe { form: Form::Ova(ova::Params::new(machine())), wrap: None }
}

pub(crate) fn boxed(provider: vagrant::Provider) -> Recipe {
    Recipe { form: Form::Box(vagrant::Params { provider, machine: machine() }), wrap: None }
}

/// Writes a file called `name` into `directory`.
pub(crate) fn write(
    directory: &Path,
    name: &str,
    recipe: &Recipe,
    threads: usize,
) -> Result<PathBuf, Error> {
    let path = directory.join(name);
    let file = AtomicFile::create(&path)?;
    let label = Label { name, id: Uuid::from_u128(0x1234_5678) };
    let output = Output { label, sink: &file, companion: None };
    let work = Work { threads, ..WORK };
    package::write(&disk(), &output, recipe, directory, &work)?;
    file.commit()?;
    Ok(path)
}

pub(crate) fn open(path: &Path, kind: PackageKind) -> Result<Package, Error> {
    let source = Arc::new(FileSource::open(path)?);
    Package::open(source, kind, path.parent().unwrap(), 1 << 30, &WORK)
}

pub(crate) fn open_bytes(bytes: Vec<u8>, kind: PackageKind) -> Result<Package, Error> {
    let source = Arc::new(ByteSource::new(bytes));
    Package::open(source, kind, &std::env::temp_dir(), 1 << 24, &WORK)
}

pub(crate) fn bytes(source: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap()];
    source.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The content of the only disk of a package, through the reader of its format.
pub(crate) fn content(package: &Package) -> Result<Vec<u8>, Error> {
    let [disk] = package.disks() else { panic!("{:?}", package.disks()) };
    let file = package.disk(disk, &WORK)?;
    let image = vmimage::engine::format::open(file, disk.format.unwrap(), &Deny)?;
    assert_eq!(disk.capacity.map(|c| c.min(3 << 20)), Some(3 << 20));
    Ok(bytes(&*image))
}
