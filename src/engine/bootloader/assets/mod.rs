//! The distribution's files that boot loaders are made of: GRUB's images and modules, syslinux, EFI
//! stubs, shim.
//!
//! They have licences of their own and are never part of our programs: they are read when a document
//! needs them, first from the user's directories, then from where Debian's packages put them. Our
//! guest's init is looked for beside the running program, too, and in `../lib/vmimage` from there.
//! Invariant: what is read is bounded, and a file that is missing is named with its package and with
//! every place that was searched.

mod set;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use crate::engine::base::{Cache, Error, Kind};
use set::Facts;
pub use set::Set;

/// Threads that read a set.
const READERS: usize = 4;
/// No file of a boot loader is larger.
const LARGEST: u64 = 64 << 20;
/// Finds files of boot loaders.
#[derive(Clone, Debug, Default)]
pub struct Assets {
    directories: Vec<PathBuf>,
    alone: bool,
    cache: Option<Cache>,
}

impl Assets {
    /// Those below these directories, then those of the distribution.
    #[must_use]
    pub const fn new(directories: Vec<PathBuf>) -> Self {
        Self { directories, alone: false, cache: None }
    }

    /// Those below these directories and no others.
    #[must_use]
    pub const fn only(directories: Vec<PathBuf>) -> Self {
        Self { directories, alone: true, cache: None }
    }

    /// The same; what is made of the files with much work is kept in `cache`.
    #[must_use]
    pub fn kept(self, cache: Option<Cache>) -> Self {
        Self { cache, ..self }
    }

    /// What `make` makes of `parts`, or made of them before: see `Cache::get`.
    pub(super) fn made(
        &self,
        how: &str,
        parts: &[&[u8]],
        make: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) -> Result<Vec<u8>, Error> {
        match &self.cache {
            Some(cache) => cache.get(how, parts, make),
            None => make(),
        }
    }

    /// The file `name` of `set`; `name` may have directories, such as `modules/bios/menu.c32`.
    pub fn read(&self, set: Set, name: &str) -> Result<Arc<[u8]>, Error> {
        self.bytes(set, name).map(Arc::from)
    }

    fn bytes(&self, set: Set, name: &str) -> Result<Vec<u8>, Error> {
        let mut searched = Vec::new();
        for directory in self.places(set) {
            let path = directory.join(name);
            match fs::File::open(&path) {
                Ok(file) => return bytes(file, &path),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    searched.push(directory.display().to_string());
                }
                Err(e) => return Err(Error::io(format!("opening {}", path.display()), e)),
            }
        }
        let Facts { below, packages, .. } = set.facts();
        let (what, whence) = match set {
            Set::Init | Set::InitArm64 => ("guest's init", "e2e/init/build makes it".to_owned()),
            _ => ("boot loader's file", format!("Debian's package {packages} has it")),
        };
        let message = format!(
            "the {what} {name} is missing; searched: {}; {whence}, or give a directory that has \
             {below}/{name}",
            searched.join(", "),
        );
        Err(Error::new(Kind::Unsupported, message))
    }

    /// The names of all plain files of `set`, sorted; those of directories of the user hide others
    /// of the same name only when they are read.
    pub fn names(&self, set: Set) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        for directory in self.places(set) {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io(format!("listing {}", directory.display()), e)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| Error::io("listing boot files".to_owned(), e))?;
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    /// The digest of a set: over the names and bytes of all its files. Of sets of which there is no
    /// file it is that of nothing, which no document can be built with.
    pub fn digest(&self, set: Set) -> Result<String, Error> {
        self.digest_of(set, self.all(set)?)
    }

    /// The digest of each set of which there are files, and none of the others.
    pub fn digests(&self) -> Result<BTreeMap<Set, Option<String>>, Error> {
        let mut digests = BTreeMap::new();
        for set in Set::ALL {
            let names = self.all(set)?;
            let there = !names.is_empty();
            digests.insert(set, there.then(|| self.digest_of(set, names)).transpose()?);
        }
        Ok(digests)
    }

    fn digest_of(&self, set: Set, names: BTreeSet<String>) -> Result<String, Error> {
        let names: Vec<String> = names.into_iter().collect();
        let digest = |name: &String| {
            let bytes = self.bytes(set, name)?;
            Ok(format!("{name}\0{}\n", hex::encode(Sha256::digest(&bytes))))
        };
        // GRUB has 300 files: most of the time goes to opening them.
        let piece = names.len().div_ceil(READERS).max(1);
        let lines: Vec<Result<String, Error>> = std::thread::scope(|scope| {
            let work = |names: &[String]| names.iter().map(digest).collect::<Vec<_>>();
            let pieces = names.chunks(piece).map(|names| scope.spawn(move || work(names)));
            let pieces: Vec<_> = pieces.collect();
            let joined = pieces
                .into_iter()
                .map(|piece| piece.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.flatten().collect()
        });
        let mut all = Sha256::new();
        for line in lines {
            all.update(line?);
        }
        Ok(format!("sha256:{}", hex::encode(all.finalize())))
    }

    /// The names of all files of a set that count.
    fn all(&self, set: Set) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        for directory in set.directories() {
            names.extend(self.below(set, directory)?);
        }
        // One of them is read: whether the other one is there decides nothing.
        if set == Set::SyslinuxPrograms && names.contains("syslinux") {
            names.remove("extlinux");
        }
        Ok(names)
    }

    /// The plain files of a directory of a set that count.
    fn below(&self, set: Set, directory: &str) -> Result<BTreeSet<String>, Error> {
        let mut found = BTreeSet::new();
        for place in self.places(set) {
            let entries = match fs::read_dir(place.join(directory)) {
                Ok(entries) => entries,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io(format!("listing {}", place.display()), e)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| Error::io("listing boot files".to_owned(), e))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                if set.has(&name) && is_plain(&entry) {
                    found.insert(name);
                }
            }
        }
        Ok(found)
    }

    fn places(&self, set: Set) -> Vec<PathBuf> {
        let Facts { below, place, .. } = set.facts();
        let mut places: Vec<_> =
            self.directories.iter().map(|directory| directory.join(below)).collect();
        if self.alone {
            return places;
        }
        if matches!(set, Set::Init | Set::InitArm64) {
            places.extend(beside_the_program());
        }
        places.push(place.into());
        places
    }
}

/// The directory of the running program, and `lib/vmimage` beside it.
fn beside_the_program() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let Some(directory) = program.parent() else { return Vec::new() };
    let library = directory.parent().map(|prefix| prefix.join("lib/vmimage"));
    std::iter::once(directory.to_owned()).chain(library).collect()
}

/// Whether it is a file, or a link to one.
fn is_plain(entry: &fs::DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|m| m.is_file()),
        kind => kind.is_ok_and(|kind| kind.is_file()),
    }
}

fn bytes(file: fs::File, path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |e| Error::io(format!("reading {}", path.display()), e);
    let len = file.metadata().map_err(failed)?.len().min(LARGEST);
    // One more, so that its end is seen without a larger buffer.
    let mut bytes = Vec::with_capacity(usize::try_from(len + 1).unwrap_or_default());
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        let message = format!("{} has more than {LARGEST} bytes", path.display());
        return Err(Error::new(Kind::Input, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::set::OWN;
    use super::*;

    #[test]
    fn directories_of_the_user_come_first_and_what_is_missing_is_named() {
        let desk = tempfile::tempdir().unwrap();
        let own = desk.path().join("own");
        fs::create_dir_all(own.join("grub/i386-pc")).unwrap();
        fs::write(own.join("grub/i386-pc/boot.img"), b"mine").unwrap();
        let assets = Assets::only(vec![desk.path().join("none"), own]);
        assert_eq!(&*assets.read(Set::GrubPc, "boot.img").unwrap(), b"mine");
        assert_eq!(assets.names(Set::GrubPc).unwrap().len(), 1);
        let error = assets.read(Set::GrubPc, "lzma.mod").unwrap_err().to_string();
        for part in ["lzma.mod", "none/grub/i386-pc", "own/grub/i386-pc", "grub-pc-bin"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("/usr/lib"), "{error}");
        assert!(assets.names(Set::Shim).unwrap().is_empty());
    }

    #[test]
    fn a_digest_covers_what_media_are_made_of() {
        let desk = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = desk.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        };
        let assets = Assets::only(vec![desk.path().to_owned()]);
        let digest = |set| assets.digest(set).unwrap();
        for (set, counts, other) in [
            (Set::GrubPc, "grub/i386-pc/lzma.mod", "grub/i386-pc/grub-bios-setup"),
            (Set::GrubEfiX64, "grub/x86_64-efi/monolithic/grubx64.efi", "grub/x86_64-efi/x.h"),
            (Set::Shim, "shim/shimx64.efi.signed", "shim/shimx64.efi"),
            (Set::SyslinuxPrograms, "syslinux/bin/syslinux", "syslinux/bin/extlinux"),
            (Set::Syslinux, "syslinux/mbr/mbr.bin", "syslinux/memdisk"),
            (Set::EfiStub, "efi-stub/linuxx64.efi.stub", "efi-stub/linuxaa64.efi.stub"),
            (Set::Init, "init/vmimage-init.amd64", "init/vmimage-init.arm64"),
        ] {
            assert_eq!(assets.digests().unwrap()[&set], None, "{set:?} is not there");
            let nothing = digest(set);
            put(counts);
            let one = digest(set);
            assert_ne!(one, nothing, "{set:?}: {counts} counts");
            put(other);
            assert_eq!(digest(set), one, "{set:?}: {other} does not count");
            assert_eq!(assets.digests().unwrap()[&set], Some(one));
        }
        let error = assets.read(Set::Init, "vmimage-init.i386").unwrap_err().to_string();
        assert!(error.contains("e2e/init/build"), "{error}");
    }

    #[test]
    fn the_init_lies_beside_the_program_too() {
        let places = Assets::default().places(Set::Init);
        let program = std::env::current_exe().unwrap();
        let directory = program.parent().unwrap();
        let library = directory.parent().unwrap().join("lib/vmimage");
        assert_eq!(places, [directory.to_owned(), library, OWN.into()]);
        assert_eq!(Assets::default().places(Set::GrubPc), [PathBuf::from("/usr/lib/grub/i386-pc")]);
    }
}
