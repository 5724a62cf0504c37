//! The Helm chart as Helm renders it, and what is generated from it.
//!
//! Does not talk to a cluster; the end-to-end cases apply the same manifests to a real one.
//! Invariant: a missing Helm is a failure.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod helm;
mod objects;
mod values;
