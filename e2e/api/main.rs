//! The API as a real API server serves it, and the controller against it. `e2e/api/run` starts a
//! control plane of its own (etcd and API server, no node) and runs this program in its network.
//!
//! Does not build images: there is no kubelet. Invariant: a missing API server fails every test.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod controller;
mod definition;
#[path = "../../tests/support/documents.rs"]
mod documents;
mod support;
