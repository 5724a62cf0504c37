//! `vmimage digest`: the SHA-256 of a disk, whatever format holds it.
//!
//! Writes nothing. Invariant: the digest is that of the raw file with the same disk.

use serde_json::json;

use super::args::DigestArgs;
use super::source::Opened;
use crate::cli::failure::Failures;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::progress::Shown;
use crate::engine::base;

/// Runs the verb.
pub(in crate::cli) fn run(args: &DigestArgs, output: &Output) -> Result<(), Failures> {
    let interrupt = Interrupt::listen()?;
    let mut results = Vec::with_capacity(args.images.len());
    for path in &args.images {
        let opened = Opened::open(path, &args.source, &interrupt)?;
        let shown = Shown::new(output, &interrupt, &opened.name);
        let digest = base::digest(&*opened.image, &shown)?;
        opened.unchanged().map_err(|e| opened.fail(&e))?;
        shown.done();
        if output.is_json() {
            let size = opened.image.len();
            results.push(json!({"file": opened.name, "virtualSize": size, "digest": digest}));
        } else {
            output.line(&format!("{digest}\t{}", opened.name))?;
        }
    }
    if output.is_json() {
        output.json(&results)?;
    }
    Ok(())
}
