//! Files as sinks and sources: written under a temporary name, synced, renamed.
//!
//! Does not choose names. Invariant: under its final name a file is complete or absent; an
//! unfinished one is removed when its writer is dropped.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;

use super::{Error, Extent, Kind, PositionalSink, SectorSource, write_zeros};

/// A file being written under a temporary name beside its final one.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Begins to write the file that will be `target`. The temporary name is
    /// `.<name>.<process>.partial` in the same directory.
    pub fn create(target: &Path) -> Result<Self, Error> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        Self::create_as(target, &temporary)
    }

    /// Begins to write the file that will be `target` under the given temporary name, which must
    /// be in the same directory and must not exist.
    pub fn create_as(target: &Path, temporary: &Path) -> Result<Self, Error> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(temporary)
            .map_err(|e| Error::io(format!("creating {}", target.display()), e))?
            .into_file();
        Ok(Self {
            file,
            temporary: temporary.to_owned(),
            target: target.to_owned(),
            committed: false,
        })
    }

    /// The open file, to set its mode.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the bytes, renames the file to its final name and syncs the directory.
    pub fn commit(self) -> Result<(), Error> {
        Self::commit_all(vec![self])
    }

    /// The same for several: none is renamed before the bytes of all are safe, and each directory is
    /// synced once.
    pub fn commit_all(files: Vec<Self>) -> Result<(), Error> {
        let context = |path: &Path, e| Error::io(format!("finishing {}", path.display()), e);
        for file in &files {
            file.file.sync_all().map_err(|e| context(&file.target, e))?;
        }
        let mut renamed: Vec<PathBuf> = Vec::new();
        for mut file in files {
            let rename = fs::rename(&file.temporary, &file.target);
            rename.map_err(|e| context(&file.target, e))?;
            file.committed = true;
            if renamed.last().is_none_or(|last| last.parent() != file.target.parent()) {
                renamed.push(file.target.clone());
            }
        }
        renamed.iter().try_for_each(|path| sync_directory(path).map_err(|e| context(path, e)))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be done about a failure here; the name says what the file is.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes a rename in the directory of `path` durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::File::open(directory)?.sync_all()
}

impl PositionalSink for AtomicFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        write_all_at(&self.file, bytes, offset)
            .map_err(|e| Error::io(format!("writing {}", self.target.display()), e))
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.file
            .set_len(len)
            .map_err(|e| Error::io(format!("making {} {len} bytes long", self.target.display()), e))
    }

    #[cfg(target_os = "linux")]
    fn reflink(&self, file: &File) -> bool {
        rustix::fs::ioctl_ficlone(&self.file, file).is_ok()
    }
    fn reserve(&self, offset: u64, len: u64) -> Result<(), Error> {
        match allocate(&self.file, offset, len) {
            Ok(true) => Ok(()),
            Ok(false) => write_zeros(self, offset, len),
            Err(e) => {
                let what = format!("keeping {len} bytes for {}", self.target.display());
                Err(Error::io(what, e))
            }
        }
    }
}

/// Has the filesystem keep room; false where it cannot.
#[cfg(target_os = "linux")]
fn allocate(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), offset, len) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

#[cfg(unix)]
pub(super) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
pub(super) fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// A file or a block device as a medium. Holes are found where the platform tells them.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    path: PathBuf,
    len: u64,
    /// When it was changed last; none for a device.
    modified: Option<SystemTime>,
}

impl FileSource {
    /// Opens `path` as a medium.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let context = |e| Error::io(format!("opening {}", path.display()), e);
        let metadata = fs::metadata(path).map_err(context)?;
        if !metadata.is_file() && !is_device(&metadata) {
            // Not opened: a FIFO would wait for its writer.
            return Err(not_a_medium(path));
        }
        Self::of(fs::File::open(path).map_err(context)?.into_file(), path)
    }

    /// An open file as a medium; `path` is for messages.
    pub fn of(file: File, path: &Path) -> Result<Self, Error> {
        let context = |e| Error::io(format!("opening {}", path.display()), e);
        let metadata = file.metadata().map_err(context)?;
        let (len, modified) = if metadata.is_file() {
            (metadata.len(), metadata.modified().ok())
        } else if is_device(&metadata) {
            ((&file).seek(SeekFrom::End(0)).map_err(context)?, None)
        } else {
            return Err(not_a_medium(path));
        };
        Ok(Self { file, path: path.to_owned(), len, modified })
    }

    /// The open file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Fails if the file was changed since it was opened: what was read then is no one state of it.
    pub fn unchanged(&self) -> Result<(), Error> {
        let context = |e| Error::io(format!("looking at {}", self.path.display()), e);
        let metadata = self.file.metadata().map_err(context)?;
        let Some(modified) = self.modified else { return Ok(()) };
        let (path, len, now) = (self.path.display(), self.len, metadata.len());
        if len != now {
            let message = format!("{path} changed while it was read: from {len} bytes to {now}");
            return Err(Error::new(Kind::Input, message));
        }
        if metadata.modified().is_ok_and(|now| now != modified) {
            let message = format!("{path} changed while it was read: somebody wrote to it");
            return Err(Error::new(Kind::Input, message));
        }
        Ok(())
    }
}

fn not_a_medium(path: &Path) -> Error {
    let message = format!("{} is not a regular file and not a block device", path.display());
    Error::new(Kind::Input, message)
}

#[cfg(unix)]
fn is_device(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type())
}

#[cfg(not(unix))]
const fn is_device(_: &std::fs::Metadata) -> bool {
    false
}

impl SectorSource for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        read_exact_file(&self.file, buffer, offset).map_err(|e| {
            let cut = e.kind() == io::ErrorKind::UnexpectedEof;
            if cut && offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.len) {
                let (path, len) = (self.path.display(), self.len);
                let message = format!(
                    "{path} became shorter while it was read: it had {len} bytes, and now ends \
                     before {}",
                    offset + buffer.len() as u64
                );
                return Error::new(Kind::Input, message);
            }
            Error::io(
                format!("reading {} bytes at {offset} of {}", buffer.len(), self.path.display()),
                e,
            )
        })
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let (start, end) = next_data(&self.file, offset, self.len)?;
        Extent::new(start.max(offset), end.min(self.len))
    }

    fn file_range_at(&self, offset: u64) -> Option<(&Path, u64, u64)> {
        Some((&self.path, offset, self.len.checked_sub(offset)?))
    }

    fn whole_file(&self) -> Option<&File> {
        self.modified.is_some().then_some(&self.file)
    }
}

#[cfg(unix)]
pub(super) fn read_exact_file(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(not(unix))]
pub(super) fn read_exact_file(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

/// The next run of data at or after `offset`, by `SEEK_DATA` and `SEEK_HOLE`. Where the
/// filesystem cannot tell, everything is data.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
pub(super) fn next_data(file: &File, offset: u64, len: u64) -> Option<(u64, u64)> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    if offset >= len {
        return None;
    }
    let start = match seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return None,
        Err(_) => return Some((offset, len)),
    };
    Some((start, seek(file, SeekFrom::Hole(start)).unwrap_or(len)))
}

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
pub(super) fn next_data(_: &File, offset: u64, len: u64) -> Option<(u64, u64)> {
    (offset < len).then_some((offset, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_when_committed() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk.raw");
        let file = AtomicFile::create(&target).unwrap();
        file.write_at(4, b"late").unwrap();
        assert!(!target.exists());
        drop(file);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

        let file = AtomicFile::create(&target).unwrap();
        file.write_at(4, b"late").unwrap();
        file.set_len(12).unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"\0\0\0\0late\0\0\0\0");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn holes_are_not_extents() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparse");
        let file = AtomicFile::create(&path).unwrap();
        file.set_len(4 << 20).unwrap();
        file.write_at(1 << 20, &[1; 4096]).unwrap();
        file.commit().unwrap();
        let source = FileSource::open(&path).unwrap();
        let covered: u64 = source.extents().map(Extent::len).sum();
        assert!(source.extents().any(|e| e.start() <= 1 << 20 && e.end() >= (1 << 20) + 4096));
        // A filesystem without SEEK_HOLE reports everything as data: allowed, only slower.
        assert!((4096..=4 << 20).contains(&covered));
        let mut buffer = [0; 4];
        assert!(source.read_at((4 << 20) - 3, &mut buffer).is_err());
    }

    #[test]
    fn a_directory_is_no_medium() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(FileSource::open(directory.path()).unwrap_err().kind(), Kind::Input);
    }
}
