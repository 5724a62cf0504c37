//! `vmimage extract --as-tar`: a part of an image's tree as an archive.
//!
//! Invariant: a file gets its name when the archive is complete.

use std::io::IsTerminal as _;
use std::path::Path;

use super::place::Files;
use crate::cli::failure::{Failure, Failures};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Stdout;
use crate::engine::archive::tar::{Written, write_tree};
use crate::engine::base::tree::{NodeId, Tree};
use crate::engine::base::{AtomicFile, Error, PositionalSink as _, StreamSink};
use crate::report::Code;

/// Writes what lies at `from`, which is called `name` if it is no directory.
pub(super) fn write(
    tree: &Tree,
    (from, name): (NodeId, &[u8]),
    target: &Path,
    files: &Files,
    interrupt: &Interrupt,
) -> Result<Written, Failures> {
    let check = || interrupt.check();
    let fail = |e: &Error| files.opened.fail(e);
    if target.as_os_str() == "-" {
        if std::io::stdout().is_terminal() {
            let message = "an archive is not written to a terminal";
            return Err(Failure::new(Code::InvalidDocument, message).into());
        }
        let mut stdout = Stdout::default();
        let written = write_tree(tree, from, name, &mut stdout, &check);
        return match written {
            Err(_) if stdout.gone() => Ok(Written::default()),
            other => Ok(other.map_err(|e| fail(&e))?),
        };
    }
    let file = AtomicFile::create(target)?;
    let mut sink = Ordered { file: &file, at: 0 };
    let written = write_tree(tree, from, name, &mut sink, &check).map_err(|e| fail(&e))?;
    file.set_len(sink.at)?;
    files.opened.unchanged().map_err(|e| fail(&e))?;
    interrupt.check()?;
    file.commit()?;
    Ok(written)
}

/// A file that is written in order.
struct Ordered<'a> {
    file: &'a AtomicFile,
    at: u64,
}

impl StreamSink for Ordered<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
