//! `vmimage check` of image files: whether their structure is sound.
//!
//! Repairs nothing. Invariant: the exit code tells sound, leaking and damaged files apart.

use std::path::PathBuf;

use serde_json::json;

use super::args::SourceFlags;
use super::source::Opened;
use crate::cli::LEAKS;
use crate::cli::failure::Failures;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::progress::Shown;
use crate::engine::base::Work;
use crate::engine::format::{Findings, Severity};
use crate::report::Code;

/// Checks the images and returns the exit code of the worst.
pub(in crate::cli) fn run(
    paths: &[PathBuf],
    flags: &SourceFlags,
    output: &Output,
) -> Result<u8, Failures> {
    let interrupt = Interrupt::listen()?;
    let (mut results, mut worst) = (Vec::with_capacity(paths.len()), 0);
    for path in paths {
        let opened = Opened::open(path, flags, &interrupt)?;
        let shown = Shown::new(output, &interrupt, &opened.name);
        let work = Work { threads: 0, progress: &shown };
        let findings = opened.image.check(&work).map_err(|e| opened.fail(&e))?;
        opened.unchanged().map_err(|e| opened.fail(&e))?;
        shown.done();
        worst = worst.max(exit(&findings));
        if output.is_json() {
            let format = opened.image.format();
            results.push(json!({"file": opened.name, "format": format, "findings": findings}));
        } else {
            output.line(&text(&opened.name, &findings))?;
        }
    }
    if output.is_json() {
        output.json(&results)?;
    }
    Ok(worst)
}

const fn exit(findings: &Findings) -> u8 {
    match (findings.errors, findings.leaks) {
        (0, 0) => 0,
        (0, _) => LEAKS,
        _ => Code::InvalidInput.exit(),
    }
}

fn text(name: &str, findings: &Findings) -> String {
    let Findings { listed, errors, leaks } = findings;
    if findings.is_clean() {
        return format!("{name}: sound");
    }
    let mut lines: Vec<String> = listed
        .iter()
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Leak => "leak",
            };
            format!("{name}: {severity} at {}: {}", finding.offset, finding.message)
        })
        .collect();
    let more = (errors + leaks).saturating_sub(listed.len() as u64);
    if more > 0 {
        lines.push(format!("{name}: and {more} more"));
    }
    lines.push(format!("{name}: {errors} errors, {leaks} leaks"));
    lines.join("\n")
}
