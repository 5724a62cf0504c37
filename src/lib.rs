//! vmimage: from a VMImage document to bootable image files and published volumes.
//!
//! One line per layer; who may import whom is kept by `tests/tidy.rs`.

#[cfg(feature = "crd")]
pub mod api;
#[cfg(feature = "cli")]
pub mod builder;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "operator")]
pub mod controller;
pub mod engine;
#[cfg(feature = "cli")]
pub mod fetch;
pub mod guest;
pub mod inspect;
pub mod manifest;
#[cfg(feature = "operator")]
pub mod metrics;
pub mod oci;
pub mod publish;
pub mod report;
#[cfg(feature = "cli")]
pub mod run;
#[cfg(feature = "cli")]
pub mod sandbox;
#[cfg(feature = "cli")]
pub mod sources;
#[cfg(feature = "operator")]
pub mod telemetry;
pub mod units;
