//! The image engine: an accepted document becomes the sectors of a disk, and these image files.
//!
//! ```text
//! spec + inputs ──plan──▶ Plan ──layout──▶ Layout ──make──▶ Medium (a SectorSource) ──format──▶ files
//!        pure                     pure                pure                            I/O out
//! ```
//!
//! Knows no Kubernetes. Invariant: the same spec and inputs give the same bytes, whatever the
//! number of threads, the clock, the user or the machine.

pub mod archive;
pub mod base;
pub mod bootloader;
pub mod codec;
pub mod files;
pub mod filesystem;
pub mod format;
pub mod inputs;
pub mod layout;
pub mod make;
pub mod partition;
pub mod payload;
pub mod plan;

use crate::manifest::Spec;

pub use inputs::Inputs;
pub use make::Medium;

/// Builds the disk that `spec` describes. `spec` must have passed `manifest::check`.
pub fn build(spec: &Spec, inputs: &Inputs) -> Result<Medium, base::Error> {
    let plan = plan::plan(spec, inputs)?;
    let layout = layout::layout(plan)?;
    make::make(layout)
}
