//! Puts a finished medium where machines find it: on volumes, and in registries.
//!
//! Builds nothing and knows no Kubernetes. Invariant: nothing is ever visible half-written, and
//! nothing that is not ours is changed or removed.

pub mod block;
pub mod container;
pub mod directory;
mod error;
pub mod files;
mod hashing;
pub mod volume;

pub use error::Error;
