//! Writes packages and wrapped images.
//!
//! Decides nothing: the recipe does. Invariants: nothing is written before the recipe is accepted;
//! what must be known before it is written is spooled, not held in memory.

use std::fmt;
use std::path::Path;

use super::recipe::{Form, Recipe};
use super::{ova, vagrant};
use crate::engine::archive::tar::{Dialect, Writer};
use crate::engine::base::{Error, PositionalSink, SectorSource, Spool, StreamSink, Work};
use crate::engine::codec::wrap::{Wrap, Wrapper};
use crate::engine::format::{self, Label, Output, raw};

/// What Compute Engine wants the file in the archive to be called.
const GCE_DISK: &str = "disk.raw";

/// Bytes that are written at once.
const BATCH: usize = 1 << 20;

/// Writes `source` as a file. Where a part must be written before its size is known, a temporary
/// file in the directory `scratch` takes it.
pub fn write(
    source: &dyn SectorSource,
    output: &Output<'_>,
    recipe: &Recipe,
    scratch: &Path,
    work: &Work<'_>,
) -> Result<(), Error> {
    recipe.check()?;
    match (&recipe.form, recipe.wrap) {
        (Form::Image(params), None) => format::write(source, output, params, work),
        (Form::Ova(params), _) => ova::write(source, output, params, work),
        _ => {
            let mut sink = InOrder { sink: output.sink, at: 0, buffer: Vec::with_capacity(BATCH) };
            stream(source, &output.label, &mut sink, recipe, Some(scratch), work)?;
            sink.finish()
        }
    }
}

/// Writes `source` as a file to a pipe. Without a directory for temporary files, what needs one is
/// refused.
pub fn stream(
    source: &dyn SectorSource,
    label: &Label<'_>,
    sink: &mut dyn StreamSink,
    recipe: &Recipe,
    scratch: Option<&Path>,
    work: &Work<'_>,
) -> Result<(), Error> {
    recipe.check()?;
    let label = Label { name: recipe.inner_name(label.name), ..*label };
    let scratch = match (recipe.streams(), scratch) {
        (Ok(()), _) => return direct(source, &label, sink, recipe, work),
        (Err(why), None) => return Err(why),
        (Err(why), Some(_)) if recipe.companion(label.name).is_some() => return Err(why),
        (Err(_), Some(scratch)) => scratch,
    };
    if let Form::Box(params) = &recipe.form {
        return vagrant::stream(source, label.id, sink, params, scratch, work);
    }
    let spool = Spool::create_in(scratch)?;
    let output = Output { label, sink: &spool, companion: None };
    match &recipe.form {
        Form::Image(params) => format::write(source, &output, params, work)?,
        _ => write(source, &output, recipe, scratch, work)?,
    }
    wrapped(recipe.wrap, sink, work, |sink| raw::stream(&spool, sink, work.progress))
}

/// Writes what needs no temporary file.
fn direct(
    source: &dyn SectorSource,
    label: &Label<'_>,
    sink: &mut dyn StreamSink,
    recipe: &Recipe,
    work: &Work<'_>,
) -> Result<(), Error> {
    match &recipe.form {
        Form::Image(params) => wrapped(recipe.wrap, sink, work, |sink| {
            format::stream(source, label, sink, params, work)
        }),
        _ => wrapped(Some(Wrap::Gzip), sink, work, |sink| {
            let mut archive = Writer::new(Dialect::Gnu, sink);
            archive.begin(GCE_DISK, source.len())?;
            raw::stream(source, &mut archive, work.progress)?;
            archive.finish()
        }),
    }
}

/// Writes what `inside` writes, with `wrap` around it.
fn wrapped(
    wrap: Option<Wrap>,
    sink: &mut dyn StreamSink,
    work: &Work<'_>,
    inside: impl FnOnce(&mut dyn StreamSink) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(wrap) = wrap else { return inside(sink) };
    let mut wrapper = Wrapper::new(wrap, sink, work.threads())?;
    inside(&mut wrapper)?;
    wrapper.finish()
}

/// A sink that takes bytes at any offset, written in order.
struct InOrder<'a> {
    sink: &'a dyn PositionalSink,
    at: u64,
    buffer: Vec<u8>,
}

impl fmt::Debug for InOrder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InOrder").field("at", &self.at).finish_non_exhaustive()
    }
}

impl InOrder<'_> {
    fn flush(&mut self) -> Result<(), Error> {
        self.sink.write_at(self.at, &self.buffer)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        self.sink.set_len(self.at)
    }
}

impl StreamSink for InOrder<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BATCH { self.flush() } else { Ok(()) }
    }
}
