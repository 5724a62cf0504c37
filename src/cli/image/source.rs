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

use super::args::{AllowFlags, SourceFlags};
use super::spool::spooled;
use crate::cli::failure::{Failure, Failures};
use crate::cli::interrupt::Interrupt;
use crate::engine::base::{Beneath, Deny, Error, FileSource, Gate, Role, SectorSource};
use crate::engine::format::{self, FormatName, Image};
use crate::report::Code;
use crate::units::ByteSize;

/// An open image and the file that it came from.
#[derive(Debug)]
pub(in crate::cli) struct Opened {
    /// The file's name in messages.
    pub(in crate::cli) name: String,
    /// The file.
    pub(in crate::cli) file: Arc<FileSource>,
    /// The image.
    pub(in crate::cli) image: Arc<dyn Image>,
}

impl Opened {
    /// Opens the image at `path` as the flags say.
    pub(in crate::cli) fn open(
        path: &Path,
        flags: &SourceFlags,
        interrupt: &Interrupt,
    ) -> Result<Self, Failures> {
        let stdin = path.as_os_str() == "-";
        let name = if stdin { "<stdin>".to_owned() } else { path.display().to_string() };
        let fail = |error: &Error| Failure::from(error).in_file(&name, "", None);
        if flags.from.is_none() && !flags.detect {
            return Err(unnamed(&name).into());
        }
        let limit = flags.limit.map_or(u64::MAX, ByteSize::get);
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
        let source: Arc<dyn SectorSource> = Arc::<FileSource>::clone(&file);
        let format = match flags.from {
            Some(format) => format,
            None => format::detect(&*source).map_err(|e| fail(&e))?,
        };
        let gate = Allowed::new(&flags.allow)?;
        let image = format::open(source, format, &gate).map_err(|e| fail(&e))?;
        Ok(Self { name, file, image })
    }

    /// The disk.
    #[must_use]
    pub(in crate::cli) fn disk(&self) -> Arc<dyn SectorSource> {
        Arc::<dyn Image>::clone(&self.image)
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
    let known: Vec<_> = FormatName::ALL.iter().map(|format| format.as_str()).collect();
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
