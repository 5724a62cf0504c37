//! Opens images that are not trusted.
//!
//! Invariant: the content of a file decides its format only with `--detect`; a guest can write
//! whatever it likes to the beginning of a raw disk.

use std::path::Path;
use std::sync::Arc;

use super::args::{AllowFlags, SourceFlags};
use crate::cli::failure::{Failure, Failures};
use crate::engine::base::{Beneath, Deny, Error, FileSource, Gate, Role, SectorSource};
use crate::engine::format::{self, FormatName, Image};
use crate::report::Code;

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
    pub(in crate::cli) fn open(path: &Path, flags: &SourceFlags) -> Result<Self, Failures> {
        let name = path.display().to_string();
        let fail = |error: &Error| Failure::from(error).in_file(&name, "", None);
        let file = Arc::new(FileSource::open(path).map_err(unreadable)?);
        let source: Arc<dyn SectorSource> = Arc::<FileSource>::clone(&file);
        let format = match flags.from {
            Some(format) => format,
            None if flags.detect => format::detect(&*source).map_err(|e| fail(&e))?,
            None => return Err(unnamed(&name).into()),
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
