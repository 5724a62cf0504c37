//! A gate that opens files below one directory.
//!
//! Follows no symbolic link and starts no protocol. Invariant: what it opens is a regular file
//! whose every step lies below the directory, whatever the name says.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::{Error, FileSource, Gate, Kind, Role, SectorSource};

/// A name is at most so long: Linux' PATH_MAX.
const MAX_NAME: usize = 4096;

/// Opens files below a directory, for some roles.
#[derive(Debug)]
pub struct Beneath {
    directory: File,
    path: PathBuf,
    roles: Vec<Role>,
}

impl Beneath {
    /// A gate to the files below `directory`, for images that name them in one of `roles`.
    pub fn new(directory: &Path, roles: &[Role]) -> Result<Self, Error> {
        let context = |e| Error::io(format!("opening the directory {}", directory.display()), e);
        let opened = fs::File::open(directory).map_err(context)?;
        if !opened.metadata().map_err(context)?.is_dir() {
            let message = format!("{} is not a directory", directory.display());
            return Err(Error::new(Kind::Input, message));
        }
        Ok(Self {
            directory: opened.into_file(),
            path: directory.to_owned(),
            roles: roles.to_vec(),
        })
    }

    /// Opens the file at `path`, which a document names.
    pub fn file(&self, path: &Path) -> Result<FileSource, Error> {
        let shown = path.display();
        let refused = |why: &str| {
            let directory = self.path.display();
            let message = format!(
                "{shown} is not opened: {why}; allowed is a regular file below {directory}"
            );
            Error::new(Kind::Input, message)
        };
        let name = path.as_os_str().as_bytes();
        let below = |step| matches!(step, Component::Normal(_) | Component::CurDir);
        if name.is_empty() || name.len() > MAX_NAME || !path.components().all(below) {
            return Err(refused("it is absolute, leads upwards or is no path"));
        }
        let file = self.open_beneath(path).map_err(|errno| match errno {
            Errno::LOOP | Errno::XDEV => refused("a symbolic link is on the way"),
            Errno::NOENT | Errno::NOTDIR => refused("there is none"),
            errno => Error::io(format!("opening {shown}"), errno.into()),
        })?;
        let file = File::from(file);
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(refused("it is no regular file"));
        }
        FileSource::of(file, &self.path.join(path))
    }

    /// The directory at `path`, which a document names, as a gate of its own; none if something else
    /// is there.
    pub fn directory(&self, path: &Path) -> Result<Option<Self>, Error> {
        let below = |step| matches!(step, Component::Normal(_) | Component::CurDir);
        if !path.components().all(below) || path.as_os_str().len() > MAX_NAME {
            return Ok(None);
        }
        let place = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let opened = match self.open_beneath(place) {
            Ok(opened) => File::from(opened),
            // Whoever opens it as a file says what is wrong.
            Err(_) => return Ok(None),
        };
        let found = self.path.join(path);
        let context = |e| Error::io(format!("opening {}", found.display()), e);
        let is_directory = opened.metadata().map_err(context)?.is_dir();
        let roles = self.roles.clone();
        Ok(is_directory.then(|| Self { directory: opened, path: found.clone(), roles }))
    }

    /// Opens `name`, by one call where the kernel can, else step by step.
    fn open_beneath(&self, name: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.directory, name, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => self.open_in_steps(name, flags),
            result => result,
        }
    }

    /// The same for kernels before 5.6, and where a filter forbids the call.
    fn open_in_steps(&self, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut at: Option<OwnedFd> = None;
        let mut steps = name.components().peekable();
        while let Some(step) = steps.next() {
            let step = match step {
                Component::Normal(step) => step,
                Component::CurDir => OsStr::new("."),
                _ => return Err(Errno::XDEV),
            };
            let flags = match steps.peek() {
                Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
                None => flags | OFlags::NOFOLLOW,
            };
            let next = match &at {
                Some(at) => openat(at, step, flags, Mode::empty())?,
                None => openat(&self.directory, step, flags, Mode::empty())?,
            };
            at = Some(next);
        }
        at.ok_or(Errno::NOENT)
    }
}

/// The name as a path that can only lead downwards.
fn judged(name: &[u8]) -> Result<&Path, &'static str> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err("its length is not 1 to 4096");
    }
    if name.contains(&0) {
        return Err("it holds a zero byte");
    }
    // nbd://, ssh:host, json:{…}: QEMU takes a name with a colon before the first slash as a
    // protocol.
    let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
    if first.contains(&b':') {
        return Err("it names a protocol");
    }
    let path = Path::new(OsStr::from_bytes(name));
    if path.components().all(|step| matches!(step, Component::Normal(_) | Component::CurDir)) {
        return Ok(path);
    }
    Err("it is absolute or leads upwards")
}

impl Gate for Beneath {
    fn open(&self, role: Role, name: &[u8]) -> Result<Arc<dyn SectorSource>, Error> {
        let shown = String::from_utf8_lossy(name).escape_debug().to_string();
        if !self.roles.contains(&role) {
            let message = format!("the image names the {role} \"{shown}\", which is not allowed");
            return Err(Error::new(Kind::Unsupported, message));
        }
        let refused = |why: &str| {
            let directory = self.path.display();
            let message = format!(
                "the image names the {role} \"{shown}\", which is not opened: {why}; allowed is a \
                 regular file below {directory}"
            );
            Error::new(Kind::Unsupported, message)
        };
        let path = judged(name).map_err(refused)?;
        let file = self.open_beneath(path).map_err(|errno| match errno {
            Errno::LOOP | Errno::XDEV => refused("a symbolic link is on the way"),
            errno => {
                let attempt = format!("opening the {role} \"{shown}\" that the image names");
                match errno {
                    Errno::NOENT => Error::new(Kind::Input, format!("{attempt}: there is none")),
                    errno => Error::io(attempt, errno.into()),
                }
            }
        })?;
        let file = File::from(file);
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if !regular {
            return Err(refused("it is no regular file"));
        }
        Ok(Arc::new(FileSource::of(file, &self.path.join(path))?))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn desk() -> tempfile::TempDir {
        let desk = tempfile::tempdir().unwrap();
        let path = |name: &str| desk.path().join(name);
        fs::create_dir_all(path("in/sub")).unwrap();
        fs::write(path("in/base.raw"), b"base").unwrap();
        fs::write(path("in/sub/base.raw"), b"below").unwrap();
        fs::write(path("secret"), b"secret").unwrap();
        symlink("../secret", path("in/link")).unwrap();
        symlink("base.raw", path("in/inner")).unwrap();
        symlink("../..", path("in/sub/up")).unwrap();
        symlink("sub", path("in/other")).unwrap();
        desk
    }

    #[test]
    fn files_below_the_directory_are_opened_and_nothing_else() {
        let desk = desk();
        let gate = Beneath::new(&desk.path().join("in"), &[Role::Backing]).unwrap();
        for (name, len) in [("base.raw", 4), ("sub/base.raw", 5), ("./sub/./base.raw", 5)] {
            assert_eq!(gate.open(Role::Backing, name.as_bytes()).unwrap().len(), len);
        }
        let absolute = desk.path().join("in/base.raw");
        for (name, why) in [
            ("../secret", "leads upwards"),
            ("sub/../base.raw", "leads upwards"),
            (absolute.to_str().unwrap(), "absolute"),
            ("link", "symbolic link"),
            ("inner", "symbolic link"),
            ("sub/up/secret", "symbolic link"),
            ("other/base.raw", "symbolic link"),
            ("sub", "no regular file"),
            ("nbd://host/disk", "protocol"),
            ("json:{\"driver\":\"file\"}", "protocol"),
            ("", "its length"),
            ("base.raw\0.img", "zero byte"),
            ("gone", "there is none"),
        ] {
            let error = gate.open(Role::Backing, name.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
        let error = gate.open(Role::Extent, b"base.raw").unwrap_err().to_string();
        assert!(error.contains("not allowed"), "{error}");
        assert!(Beneath::new(&desk.path().join("secret"), &[]).is_err());
    }

    #[test]
    fn a_directory_is_a_gate_of_its_own() {
        let desk = desk();
        let gate = Beneath::new(&desk.path().join("in"), &[]).unwrap();
        let below = |name: &str| gate.directory(Path::new(name)).unwrap();
        assert_eq!(below("sub").unwrap().file(Path::new("base.raw")).unwrap().len(), 5);
        assert_eq!(below("").unwrap().file(Path::new("base.raw")).unwrap().len(), 4);
        assert!(below("sub").unwrap().file(Path::new("../base.raw")).is_err());
        for name in ["base.raw", "other", "..", "gone", "sub/up", "/"] {
            assert!(below(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_kernel_without_the_call_gives_the_same_answers() {
        let desk = desk();
        let gate = Beneath::new(&desk.path().join("in"), &[]).unwrap();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let open = |name: &str| gate.open_in_steps(Path::new(name), flags).map(drop);
        for (name, wanted) in [
            ("base.raw", Ok(())),
            ("sub/base.raw", Ok(())),
            ("link", Err(Errno::LOOP)),
            ("sub/up/secret", Err(Errno::NOTDIR)),
            ("other/base.raw", Err(Errno::NOTDIR)),
            ("../secret", Err(Errno::XDEV)),
            ("gone", Err(Errno::NOENT)),
        ] {
            assert_eq!(open(name), wanted, "{name}");
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let desk = desk();
        let pipe = desk.path().join("in/pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let gate = Beneath::new(&desk.path().join("in"), &[Role::Backing]).unwrap();
        let error = gate.open(Role::Backing, b"pipe").unwrap_err().to_string();
        assert!(error.contains("no regular file"), "{error}");
    }
}
