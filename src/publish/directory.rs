//! A directory of a mounted volume with all files of a document, `SHA256SUMS` last.
//!
//! Does not make the files. Invariant: where `SHA256SUMS` lies, every file that it names is complete
//! beside it; at any other moment, and after a crash at any moment, it is absent, and what lies
//! there is only what the next run removes. Foreign files are never touched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{Mode, chmod, fchmod};

use super::Error;
use super::files::{self, Pending};
use super::volume::{Published, failed, free, lock};
use crate::engine::base::{Error as EngineError, Kind};

/// What `sha256sum -c` reads, and the mark that all is there.
const SUMS: &str = "SHA256SUMS";
/// Files are read by the group, as whom a machine or a server reads; nobody has to change them.
const FILE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP);
/// The same for directories. Who made the volume's root decides about that.
const DIRECTORY: Mode = Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP);

/// A directory that holds nothing and that no other process fills.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    names: BTreeSet<String>,
    /// Bytes that were free at the beginning.
    room: u64,
    _lock: fs::File,
}

impl Directory {
    /// Takes the directory `path` of the volume for files of these names. What an earlier run left
    /// of them is removed: they are made faster than they are compared.
    pub fn take(volume: &Path, path: Option<&str>, names: &[String]) -> Result<Self, Error> {
        let lock = lock(volume)?;
        let mut directory = volume.to_owned();
        for name in path.into_iter().flat_map(|path| path.split('/')) {
            directory.push(name);
            make(&directory, name)?;
        }
        let names = names.iter().cloned().collect();
        let mut taken = Self { path: directory, names, room: 0, _lock: lock };
        let old = taken.survey(path.is_none())?;
        // The mark first: what it names is incomplete from now on.
        let (mark, rest): (Vec<_>, Vec<_>) = old.into_iter().partition(|path| path.ends_with(SUMS));
        for path in mark.iter().chain(&rest) {
            fs::remove_file(path).map_err(|e| failed("removing", path, e))?;
        }
        taken.room = free(&taken.path)?;
        Ok(taken)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error of a failed write: one that tells the room, if there was too little for files that
    /// can take `needed` bytes.
    #[must_use]
    pub fn explain(&self, error: EngineError, needed: u64) -> Error {
        match error.kind() {
            Kind::NoSpace => Error::FilesTooSmall { needed, available: self.room },
            _ => error.into(),
        }
    }

    /// Gives all files their names, and `SHA256SUMS` the last.
    pub fn commit(&self, mut pending: Vec<Pending>) -> Result<Published, EngineError> {
        let mut sorted: Vec<&Pending> = pending.iter().collect();
        sorted.sort_unstable_by_key(|file| &file.path);
        let text: String = sorted.into_iter().map(line).collect();
        pending.push(Pending::of_bytes(&self.path.join(SUMS), text.as_bytes())?);
        for file in &pending {
            // Set, not asked for at creation: there the umask would have a say.
            let attempt = |e| failed("setting the mode of", &file.path, e);
            fchmod(file.sink().file(), FILE).map_err(attempt)?;
        }
        let size = pending.iter().map(|file| file.size).sum();
        let digest = pending.last().map(|sums| sums.digest.clone()).unwrap_or_default();
        files::commit(pending)?;
        Ok(Published { digest, size, reused: false })
    }

    /// What an earlier run left here; anything else is an error. Of several the first by name is
    /// told.
    fn survey(&self, root: bool) -> Result<Vec<PathBuf>, Error> {
        let context = |e| failed("looking through", &self.path, e);
        let entries = fs::read_dir(&self.path).and_then(Iterator::collect).map_err(context);
        let mut entries: Vec<fs::DirEntry> = entries?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut ours = Vec::new();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Not followed: a link that somebody planted leads nowhere.
            let metadata = entry.metadata().map_err(context)?;
            if root && name == "lost+found" && metadata.is_dir() {
                continue;
            }
            if !(self.is_ours(&name) && metadata.is_file()) {
                return Err(Error::HoldsOtherFiles { name });
            }
            ours.push(entry.path());
        }
        Ok(ours)
    }

    /// Whether a file of this name is one of ours: finished, or not (`.<name>.<numbers>.partial`), or
    /// a spool of a process that was killed before it took the name away.
    fn is_ours(&self, name: &str) -> bool {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let numbered = |ending: &str| {
            let inner = name.strip_prefix('.')?.strip_suffix(ending)?;
            let (inner, attempt) = inner.rsplit_once('.')?;
            let (inner, process) = inner.rsplit_once('.')?;
            (number(attempt) && number(process)).then_some(inner)
        };
        let known = |name: &str| name == SUMS || self.names.contains(name);
        known(name)
            || numbered(".partial").is_some_and(known)
            || numbered(".spool") == Some("vmimage")
    }
}

/// Makes a directory, unless it is there.
fn make(path: &Path, name: &str) -> Result<(), Error> {
    match fs::create_dir(path) {
        Ok(()) => {
            let found = fs::symlink_metadata(path).map_err(|e| failed("looking at", path, e))?;
            // A directory that hands its group down keeps doing so.
            let kept = Mode::from_raw_mode(mode(&found)) & Mode::SGID;
            chmod(path, DIRECTORY | kept).map_err(|e| failed("setting the mode of", path, e))?;
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path).map_err(|e| failed("looking at", path, e))?;
            if !found.is_dir() {
                return Err(Error::HoldsOtherFiles { name: name.to_owned() });
            }
        }
        Err(e) => return Err(failed("making the directory", path, e).into()),
    }
    let parent = path.parent().unwrap_or(path);
    let synced = fs::File::open(parent).and_then(|parent| parent.sync_all());
    synced.map_err(|e| failed("finishing", parent, e).into())
}

fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o7777
}

/// The line of a file, as `sha256sum` prints it.
fn line(file: &Pending) -> String {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    format!("{}  {name}\n", file.digest.trim_start_matches("sha256:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &Path) -> Vec<String> {
        let entries = fs::read_dir(of).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn wanted() -> Vec<String> {
        ["t.raw", "t.qcow2", "t.build.json"].map(str::to_owned).to_vec()
    }

    fn fill(directory: &Directory, text: &str) -> Vec<Pending> {
        let file = |name: String| Pending::of_bytes(&directory.path().join(name), text.as_bytes());
        wanted().into_iter().map(|name| file(name).unwrap()).collect()
    }

    #[test]
    fn the_sums_are_what_sha256sum_checks() {
        let volume = tempfile::tempdir().unwrap();
        fs::create_dir(volume.path().join("lost+found")).unwrap();
        let directory = Directory::take(volume.path(), None, &wanted()).unwrap();
        let published = directory.commit(fill(&directory, "abc")).unwrap();
        let sums = fs::read(volume.path().join(SUMS)).unwrap();
        assert_eq!(published.size, 9 + sums.len() as u64);
        let here = |program: &str, args: &[&str]| {
            let mut command = std::process::Command::new(program);
            let output = command.args(args).current_dir(volume.path()).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        here("sha256sum", &["--check", "--strict", SUMS]);
        let digest = here("sha256sum", &[SUMS]);
        assert_eq!(
            format!("sha256:{}  {SUMS}\n", &digest[..64]),
            format!("{}  {SUMS}\n", published.digest)
        );
        let sorted = here("env", &["LC_ALL=C", "sort", "--key=2", SUMS]);
        assert_eq!(sorted.as_bytes(), sums);
        for name in wanted().iter().map(String::as_str).chain([SUMS]) {
            assert_eq!(mode(&fs::metadata(volume.path().join(name)).unwrap()), 0o640, "{name}");
        }
    }

    #[test]
    fn what_an_earlier_run_left_is_made_anew() {
        let volume = tempfile::tempdir().unwrap();
        let path = volume.path().join("a/b-1");
        let take = || Directory::take(volume.path(), Some("a/b-1"), &wanted());
        {
            let directory = take().unwrap();
            directory.commit(fill(&directory, "old")).unwrap();
        }
        assert_eq!(mode(&fs::metadata(&path).unwrap()), 0o750);
        fs::write(path.join(".t.qcow2.1.0.partial"), "half").unwrap();
        fs::write(path.join(".SHA256SUMS.1.0.partial"), "half").unwrap();
        fs::write(path.join(".vmimage.1.0.spool"), "").unwrap();
        let directory = take().unwrap();
        assert_eq!(names(&path), [""; 0]);
        let error = take().unwrap_err();
        assert!(error.to_string().contains("another process is publishing"), "{error}");
        drop(fill(&directory, "new"));
        assert_eq!(names(&path), [""; 0], "what is not committed leaves nothing");
        directory.commit(fill(&directory, "new")).unwrap();
        assert_eq!(names(&path), ["SHA256SUMS", "t.build.json", "t.qcow2", "t.raw"]);
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let volume = tempfile::tempdir().unwrap();
        let refused = |path: Option<&str>| {
            let error = Directory::take(volume.path(), path, &wanted()).unwrap_err();
            match error {
                Error::HoldsOtherFiles { name } => name,
                other => panic!("{other}"),
            }
        };
        fs::write(volume.path().join("t.raw"), "ours").unwrap();
        fs::write(volume.path().join("notes"), "").unwrap();
        assert_eq!(refused(None), "notes");
        assert!(volume.path().join("t.raw").exists(), "nothing is removed");
        assert_eq!(refused(Some("notes/a")), "notes");
        std::os::unix::fs::symlink("/tmp", volume.path().join("link")).unwrap();
        assert_eq!(refused(Some("link")), "link");
        fs::create_dir_all(volume.path().join("d/lost+found")).unwrap();
        assert_eq!(refused(Some("d")), "lost+found", "only the root has one");
        fs::remove_dir(volume.path().join("d/lost+found")).unwrap();
        for name in [".u.raw.1.0.partial", "t.raw.partial", ".t.raw.partial", ".t.raw.a.0.partial"]
        {
            fs::write(volume.path().join("d").join(name), "").unwrap();
            assert_eq!(refused(Some("d")), name);
            fs::remove_file(volume.path().join("d").join(name)).unwrap();
        }
        Directory::take(volume.path(), Some("d"), &wanted()).unwrap();
    }
}
