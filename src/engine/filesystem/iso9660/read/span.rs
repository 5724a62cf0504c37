//! A file's bytes on the medium: one run of sectors, or several for a file of several sections.
//!
//! Copies nothing. Invariant: all runs lie on the medium.

use std::sync::Arc;

use crate::engine::base::{Error, Kind, Pieced, SectorSource};

/// The bytes of `parts`: offset and length of each on the medium.
pub(super) fn span(medium: &Arc<dyn SectorSource>, parts: &[(u64, u64)]) -> Result<Pieced, Error> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut len = 0_u64;
    for (at, part) in parts {
        if at.checked_add(*part).is_none_or(|end| end > medium.len()) {
            let message = format!(
                "{part} bytes at offset {at} go beyond the end of the image at {}",
                medium.len()
            );
            return Err(Error::new(Kind::Damaged, message));
        }
        let follows = runs.last().is_some_and(|(from, start)| start + (len - from) == *at);
        if !follows && *part > 0 {
            runs.push((len, *at));
        }
        // The file has at most 2^32 sections of 4 GiB.
        len = len.saturating_add(*part);
    }
    Ok(Pieced::of_runs(Arc::clone(medium), len, &runs))
}
