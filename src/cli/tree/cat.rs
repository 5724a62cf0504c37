//! `vmimage cat`: the bytes of files in images.
//!
//! Invariant: nothing but these bytes gets to standard output.

use std::sync::Arc;

use super::args::CatArgs;
use super::place::Place;
use crate::cli::failure::{Failure, Failures};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{Output, Stdout};
use crate::engine::base::tree::{Kind, Node};
use crate::engine::base::{
    ByteSource, Content, Error, Kind as ErrorKind, SectorSource, StreamSink,
};
use crate::report::Code;

/// Bytes read at once.
const BATCH: u64 = 1 << 20;

/// Runs the verb.
pub(in crate::cli) fn run(args: &CatArgs, output: &Output) -> Result<(), Failures> {
    if output.is_json() {
        let message = "cat prints the bytes of files; --json does not go with it";
        return Err(Failure::new(Code::InvalidDocument, message).into());
    }
    let interrupt = Interrupt::listen()?;
    let mut stdout = Stdout::default();
    for text in &args.places {
        let place = Place::of(text)?;
        let files = place.open(&args.source, &interrupt)?;
        let id = files.node(&place, true)?;
        let fail = |e: &Error| files.opened.fail(e);
        let source = content(files.tree.node(id))
            .map_err(|e| fail(&Error::new(e.kind(), format!("{}: {e}", place.path))))?;
        let copied = copy(&*source, &mut stdout, &|| interrupt.check());
        if stdout.gone() {
            return Ok(());
        }
        copied.map_err(|e| fail(&e))?;
        files.opened.unchanged().map_err(|e| fail(&e))?;
    }
    Ok(())
}

/// The bytes of a file.
pub(super) fn content(node: &Node) -> Result<Arc<dyn SectorSource>, Error> {
    match &node.kind {
        Kind::File(Content::Bytes(bytes)) => Ok(Arc::new(ByteSource::new(Arc::clone(bytes)))),
        Kind::File(Content::Sectors(source)) => Ok(Arc::clone(source)),
        Kind::File(Content::Late(_)) => {
            Err(Error::new(ErrorKind::Input, "its bytes depend on its place"))
        }
        other => {
            let message = format!("it is a {}; a file is wanted", other.word());
            Err(Error::new(ErrorKind::Input, message))
        }
    }
}

/// All bytes of `source` in order, holes as zeros.
fn copy(
    source: &dyn SectorSource,
    sink: &mut dyn StreamSink,
    check: &dyn Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < source.len() {
        check()?;
        buffer.resize((source.len() - at).min(BATCH) as usize, 0);
        source.read_at(at, &mut buffer)?;
        sink.write(&buffer)?;
        at += buffer.len() as u64;
    }
    Ok(())
}
