//! Archives into a tree.
//!
//! Copies no plain body: files are parts of the archive. A compressed archive is unpacked once, into
//! one spool. Invariants: entries count in their order, later ones win; what the limits do not
//! allow ends it.

use std::sync::Arc;

use super::links::Pending;
use super::place::{Placer, Rules};
use super::{Summary, Unpack};
use crate::engine::archive::{Entries, Format, ar};
use crate::engine::base::tree::Tree;
use crate::engine::base::{
    Error, Kind, Origin, PositionalSink as _, Scratch, SectorSource, Silent, SourceReader,
};
use crate::engine::codec::wrap::{self, Wrap};

/// What a compressed archive may always unpack to.
const FREE: u64 = 1 << 30;

/// An archive that can be gone through as often as is needed.
#[derive(Clone, Debug)]
pub struct Archive {
    source: Arc<dyn SectorSource>,
    format: Format,
    /// A Debian package: directories do not replace links to directories.
    package: bool,
}

impl Archive {
    /// Opens `source`; what is compressed is unpacked into a spool of `scratch`.
    pub fn open(
        source: Arc<dyn SectorSource>,
        options: &Unpack,
        scratch: &Scratch,
    ) -> Result<Self, Error> {
        let source = plain(source, options, scratch)?;
        let format = match options.format {
            Some(format) => format,
            None => detect(source.as_ref())?,
        };
        if format != Format::Deb {
            return Ok(Self { source, format, package: false });
        }
        let data = Arc::new(ar::data_of_deb(&source)?);
        Ok(Self { source: plain(data, options, scratch)?, format: Format::Tar, package: true })
    }

    /// A tar that is not compressed.
    pub(super) const fn tar(source: Arc<dyn SectorSource>) -> Self {
        Self { source, format: Format::Tar, package: false }
    }

    /// Its entries from the first on.
    pub fn entries(&self) -> Result<Entries, Error> {
        Entries::open(self.format, Arc::clone(&self.source))
    }

    /// The archive itself, without what was around it.
    #[must_use]
    pub const fn source(&self) -> &Arc<dyn SectorSource> {
        &self.source
    }
}

/// `source` without compression around it, by its first bytes.
pub fn plain(
    source: Arc<dyn SectorSource>,
    options: &Unpack,
    scratch: &Scratch,
) -> Result<Arc<dyn SectorSource>, Error> {
    let mut first = vec![0; source.len().min(Wrap::MAGIC as u64) as usize];
    source.read_at(0, &mut first)?;
    match Wrap::detect(&first) {
        Some(wrap) => unwrapped(wrap, source, options, scratch),
        None => Ok(source),
    }
}

/// What is inside of `source`, in a spool.
pub fn unwrapped(
    wrap: Wrap,
    source: Arc<dyn SectorSource>,
    options: &Unpack,
    scratch: &Scratch,
) -> Result<Arc<dyn SectorSource>, Error> {
    let allowed = source.len().saturating_mul(options.ratio).max(FREE);
    let limit = allowed.min(options.limits.total);
    let spool = scratch.spool()?;
    let reader = SourceReader::new(Arc::clone(&source));
    let mut unwrapped = wrap::unwrap(wrap, Box::new(reader))?;
    wrap::unpack(&mut unwrapped, &spool, limit, &Silent)?;
    Ok(Arc::new(spool))
}

fn detect(source: &dyn SectorSource) -> Result<Format, Error> {
    Format::detect(source)?.ok_or_else(|| {
        let mut first = [0; 16];
        let len = source.len().min(16) as usize;
        let seen = first.get_mut(..len).unwrap_or_default();
        let seen = source.read_at(0, seen).map_or_else(|e| e.to_string(), |()| hex::encode(seen));
        let message = format!(
            "it is no archive: it begins with {seen}; tar, cpio, zip and Debian packages are read, \
             plain or in gzip, xz, zstd, bzip2 or lz4"
        );
        Error::new(Kind::Input, message)
    })
}

/// Puts what `source` holds into `tree`. Its entries come from `origin`, a field of the document.
///
/// As tar does, later entries replace earlier ones, and what the tree had before; a directory that
/// is there already keeps its entries and gets the mode, owner and time of the new one; a directory
/// replaces a link, but in Debian packages a link to a directory stays, as dpkg has it; what is no
/// directory does not replace a directory with entries. Links on the way to an entry are followed
/// inside of the tree. A hard link leads to what has the name at that moment, or else to what has it
/// in the end; if its target is not selected, it is the file itself.
pub fn unpack(
    tree: &mut Tree,
    source: Arc<dyn SectorSource>,
    options: &Unpack,
    scratch: &Scratch,
    origin: &Origin,
) -> Result<Summary, Error> {
    let work = || {
        let archive = Archive::open(source, options, scratch)?;
        let rules = if archive.package { Rules::Package } else { Rules::Archive };
        archive.unpack(tree, options, rules, scratch, origin)
    };
    work().map_err(|e| e.at(origin))
}

impl Archive {
    pub(super) fn unpack(
        &self,
        tree: &mut Tree,
        options: &Unpack,
        rules: Rules,
        scratch: &Scratch,
        origin: &Origin,
    ) -> Result<Summary, Error> {
        let mut placer = Placer::new(tree, options, rules, scratch, origin);
        let mut pending = Pending::default();
        for entry in self.entries()? {
            placer.take(entry?, &mut pending)?;
        }
        pending.resolve(&mut placer, self)?;
        placer.finish()
    }
}

/// An empty spool that grows: `len` bytes more.
pub(super) fn grow(spool: &crate::engine::base::Spool, len: u64) -> Result<u64, Error> {
    let at = spool.len().next_multiple_of(4096);
    let end = at.checked_add(len);
    let end = end.ok_or_else(|| Error::new(Kind::Input, "a file is longer than any disk"))?;
    spool.set_len(end)?;
    Ok(at)
}
