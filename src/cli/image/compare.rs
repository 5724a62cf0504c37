//! `vmimage compare`: whether two images hold the same disk.
//!
//! Writes nothing. Invariant: formats, holes and compression do not matter, bytes do.

use serde_json::json;

use super::args::CompareArgs;
use super::source::Opened;
use crate::cli::DIFFERENT;
use crate::cli::failure::Failures;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::progress::Shown;
use crate::engine::base::Work;
use crate::engine::format::first_difference;

/// Runs the verb and returns the exit code.
pub(in crate::cli) fn run(args: &CompareArgs, output: &Output) -> Result<u8, Failures> {
    let interrupt = Interrupt::listen()?;
    let [a, b] = &args.images.both();
    let (a, b) = (Opened::open(&args.a, a, &interrupt)?, Opened::open(&args.b, b, &interrupt)?);
    let shown = Shown::new(output, &interrupt, &a.name);
    let work = Work { threads: 0, progress: &shown };
    let sizes = [a.image.len(), b.image.len()];
    let mut offset = first_difference(a.disk(), b.disk(), &work)?;
    for one in [&a, &b] {
        one.unchanged().map_err(|e| one.fail(&e))?;
    }
    shown.done();
    if args.strict && offset.is_none() && sizes[0] != sizes[1] {
        offset = Some(sizes[0].min(sizes[1]));
    }
    if output.is_json() {
        output.json(&json!({"equal": offset.is_none(), "offset": offset, "sizes": sizes}))?;
    } else {
        output.line(&text(&a.name, &b.name, offset, sizes))?;
    }
    Ok(if offset.is_none() { 0 } else { DIFFERENT })
}

fn text(a: &str, b: &str, offset: Option<u64>, sizes: [u64; 2]) -> String {
    let [one, other] = sizes;
    let (longer, shorter) = if one > other { (a, b) } else { (b, a) };
    let by = one.abs_diff(other);
    match offset {
        None if by == 0 => format!("{a} and {b} are equal"),
        None => format!("{a} and {b} are equal; {longer} has {by} more bytes, all zero"),
        Some(at) if by > 0 && at == one.min(other) => {
            format!("{a} and {b} differ from byte {at} on: there {shorter} ends")
        }
        Some(at) => format!("{a} and {b} differ from byte {at} on"),
    }
}
