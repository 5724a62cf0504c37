//! Opens images that are not trusted.
//!
//! Invariant: the content of a file decides its format only with `--detect`; a guest can write
//! whatever it likes to the beginning of a raw disk.

use std::fs::File;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::args::{AllowFlags, Container, SourceFlags};
use super::spool::spooled;
use crate::cli::failure::{Failure, Failures};
use crate::cli::interrupt::Interrupt;
use crate::engine::base::{
    Beneath, Deny, Error, FileSource, Gate, Role, SectorSource, SourceReader, Spool, Work,
};
use crate::engine::codec::wrap::{self, Wrap};
use crate::engine::format::package::{Disk, Package, PackageKind};
use crate::engine::format::{self, FormatName, Image};
use crate::report::Code;

/// Where a tar's first header says "ustar" (POSIX.1-1988, ustar).
const TAR_MAGIC_AT: usize = 257;

/// A file that an image is read from, unpacked if something is around it.
#[derive(Debug)]
pub(in crate::cli) struct Bytes {
    name: String,
    file: Arc<FileSource>,
    /// What is inside.
    unpacked: Arc<dyn SectorSource>,
}

/// An open image and the file that it came from.
#[derive(Debug)]
pub(in crate::cli) struct Opened {
    /// The file's name in messages.
    pub(in crate::cli) name: String,
    /// The file.
    pub(in crate::cli) file: Arc<FileSource>,
    /// The bytes that the image was opened from: the file, or what is inside of it.
    pub(in crate::cli) bytes: Arc<dyn SectorSource>,
    /// The image.
    pub(in crate::cli) image: Arc<dyn Image>,
    /// Its format.
    pub(in crate::cli) format: FormatName,
}

impl Bytes {
    /// Opens the file at `path` and unpacks what the flags say.
    pub(in crate::cli) fn open(
        path: &Path,
        flags: &SourceFlags,
        interrupt: &Interrupt,
    ) -> Result<Self, Failures> {
        let stdin = path.as_os_str() == "-";
        let name = if stdin { "<stdin>".to_owned() } else { path.display().to_string() };
        if flags.from.is_none() && !flags.detect {
            return Err(unnamed(&name).into());
        }
        let limit = flags.limit.get();
        let file = if stdin {
            let stdin = rustix::io::dup(std::io::stdin())
                .map_err(|e| Failure::io(Code::InvalidInput, "opening standard input", e.into()))?;
            spooled(&mut stdin.into(), &name, limit, interrupt)?
        } else if is_fifo(path) {
            spooled(&mut open_fifo(path)?, &name, limit, interrupt)?
        } else {
            FileSource::open(path).map_err(unreadable)?
        };
        let file = Arc::new(file);
        let fail = |error: &Error| Failure::from(error).in_file(&name, "", None);
        let packed: Arc<dyn SectorSource> = Arc::<FileSource>::clone(&file);
        let wrap = match flags.unwrap {
            None if flags.detect => Wrap::detect(&first(&*packed).map_err(|e| fail(&e))?),
            named => named,
        };
        let unpacked = match wrap {
            None => packed,
            Some(wrap) => unpack(packed, wrap, limit, interrupt).map_err(|e| fail(&e))?,
        };
        Ok(Self { name, file, unpacked })
    }

    /// Which package it is, if it is one.
    pub(in crate::cli) fn package(
        &self,
        flags: &SourceFlags,
    ) -> Result<Option<PackageKind>, Failure> {
        match flags.from {
            Some(Container::Package(kind)) => Ok(Some(kind)),
            Some(Container::Image(_)) => Ok(None),
            None => {
                let first = first(&*self.unpacked).map_err(|e| self.fail(&e))?;
                let tar = first.get(TAR_MAGIC_AT..).is_some_and(|rest| rest.starts_with(b"ustar"));
                Ok(tar.then_some(PackageKind::Ova))
            }
        }
    }

    /// The package in it.
    pub(in crate::cli) fn unpacked(
        &self,
        kind: PackageKind,
        flags: &SourceFlags,
        interrupt: &Interrupt,
    ) -> Result<Package, Failure> {
        let source = Arc::clone(&self.unpacked);
        let work = Work { threads: 0, progress: interrupt };
        Package::open(source, kind, &std::env::temp_dir(), flags.limit.get(), &work)
            .map_err(|e| self.fail(&e))
    }

    fn fail(&self, error: &Error) -> Failure {
        Failure::from(error).in_file(&self.name, "", None)
    }

    /// The bytes of the image and its format.
    fn image(
        &self,
        flags: &SourceFlags,
        interrupt: &Interrupt,
    ) -> Result<(Arc<dyn SectorSource>, FormatName), Failure> {
        if let Some(kind) = self.package(flags)? {
            let package = self.unpacked(kind, flags, interrupt)?;
            let disk = chosen(&package, flags.disk.as_deref())
                .map_err(|failure| failure.in_file(&self.name, "", None))?;
            let work = Work { threads: 0, progress: interrupt };
            let source = package.disk(disk, &work).map_err(|e| self.fail(&e))?;
            let format = disk.format.ok_or_else(|| {
                let message = format!(
                    "the package does not say what format \"{}\" has, or one that is not known",
                    disk.file.escape_debug()
                );
                Failure::new(Code::InvalidInput, message).in_file(&self.name, "", None)
            })?;
            return Ok((source, format));
        }
        if let Some(disk) = &flags.disk {
            let message = format!("--disk {disk} is for packages: --from ova or --from box");
            return Err(Failure::new(Code::InvalidDocument, message));
        }
        let format = match flags.from {
            Some(Container::Image(format)) => format,
            _ => format::detect(&*self.unpacked).map_err(|e| self.fail(&e))?,
        };
        Ok((Arc::clone(&self.unpacked), format))
    }
}

impl Opened {
    /// Opens the image at `path` as the flags say.
    pub(in crate::cli) fn open(
        path: &Path,
        flags: &SourceFlags,
        interrupt: &Interrupt,
    ) -> Result<Self, Failures> {
        Self::of(Bytes::open(path, flags, interrupt)?, flags, interrupt)
    }

    /// Opens the image in `bytes`.
    pub(in crate::cli) fn of(
        bytes: Bytes,
        flags: &SourceFlags,
        interrupt: &Interrupt,
    ) -> Result<Self, Failures> {
        let (source, format) = bytes.image(flags, interrupt)?;
        let gate = Allowed::new(&flags.allow)?;
        let image = format::open(Arc::clone(&source), format, &gate).map_err(|e| bytes.fail(&e))?;
        let Bytes { name, file, .. } = bytes;
        Ok(Self { name, file, bytes: source, image, format })
    }

    /// The disk.
    #[must_use]
    pub(in crate::cli) fn disk(&self) -> Arc<dyn SectorSource> {
        Arc::<dyn Image>::clone(&self.image)
    }

    /// Whether the image is the file itself, not something in it.
    #[must_use]
    pub(in crate::cli) fn is_file(&self) -> bool {
        let file: Arc<dyn SectorSource> = Arc::<FileSource>::clone(&self.file);
        Arc::ptr_eq(&file, &self.bytes)
    }

    /// Fails if the file changed since it was opened.
    pub(in crate::cli) fn unchanged(&self) -> Result<(), Error> {
        self.file.unchanged()
    }

    /// A failure that is about this image.
    #[must_use]
    pub(in crate::cli) fn fail(&self, error: &Error) -> Failure {
        Failure::from(error).in_file(&self.name, "", None)
    }
}

/// The disk that the user names, or the only one.
fn chosen<'a>(package: &'a Package, name: Option<&str>) -> Result<&'a Disk, Failure> {
    let disks = package.disks();
    let found = match (name, disks) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(name), disks) => disks.iter().find(|disk| disk.file == name),
    };
    found.ok_or_else(|| {
        let names: Vec<_> = disks.iter().map(|disk| disk.file.as_str()).collect();
        let message = format!("name one of its disks with --disk: {}", names.join(", "));
        Failure::new(Code::InvalidInput, message)
    })
}

/// The first bytes: enough to know what it is.
fn first(source: &dyn SectorSource) -> Result<Vec<u8>, Error> {
    let mut first = vec![0; source.len().min(512) as usize];
    source.read_at(0, &mut first)?;
    Ok(first)
}

/// What is inside of `packed`, in a file without a name.
fn unpack(
    packed: Arc<dyn SectorSource>,
    wrap: Wrap,
    limit: u64,
    interrupt: &Interrupt,
) -> Result<Arc<dyn SectorSource>, Error> {
    let spool = Spool::create_in(&std::env::temp_dir())?;
    let mut unwrapped = wrap::unwrap(wrap, Box::new(SourceReader::new(packed)))?;
    wrap::unpack(&mut unwrapped, &spool, limit, interrupt)?;
    Ok(Arc::new(spool))
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Opens the FIFO at `path` without waiting for its writer, which could not be interrupted.
fn open_fifo(path: &Path) -> Result<File, Failure> {
    let fail = |e: Errno| {
        Failure::io(Code::InvalidInput, &format!("opening {}", path.display()), e.into())
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fifo = rustix::fs::open(path, flags, Mode::empty()).map_err(fail)?;
    let flags = fcntl_getfl(&fifo).map_err(fail)?;
    fcntl_setfl(&fifo, flags - OFlags::NONBLOCK).map_err(fail)?;
    Ok(fifo.into())
}

/// A file that cannot be opened is a fault of the input, not of the machine.
pub(in crate::cli) fn unreadable(error: Error) -> Failure {
    Failure { code: Code::InvalidInput, ..Failure::from(&error) }
}

fn unnamed(name: &str) -> Failure {
    let known = Container::names();
    let message = format!(
        "the format of {name} is not said; name it with --from {}, or let --detect guess it from \
         its first bytes if you trust whoever wrote them",
        known.join("|")
    );
    Failure::new(Code::InvalidInput, message)
}

/// The directories below which named files may be opened.
#[derive(Debug)]
pub(in crate::cli) struct Allowed {
    backing: Option<Beneath>,
    extents: Option<Beneath>,
}

impl Allowed {
    /// What the flags allow.
    pub(in crate::cli) fn new(flags: &AllowFlags) -> Result<Self, Failure> {
        let gate = |directory: &Option<std::path::PathBuf>, roles: &[Role]| match directory {
            Some(directory) => Beneath::new(directory, roles).map(Some).map_err(unreadable),
            None => Ok(None),
        };
        Ok(Self {
            backing: gate(&flags.allow_backing, &[Role::Backing, Role::DataFile])?,
            extents: gate(&flags.allow_extents, &[Role::Extent])?,
        })
    }
}

impl Gate for Allowed {
    fn open(&self, role: Role, name: &[u8]) -> Result<Arc<dyn SectorSource>, Error> {
        let gate = match role {
            Role::Backing | Role::DataFile => &self.backing,
            Role::Extent => &self.extents,
        };
        match gate {
            Some(gate) => gate.open(role, name),
            None => Deny.open(role, name),
        }
    }
}
