//! The definition and the controller against a real API server, without kubelet and controllers.
//!
//! Jobs, pods and claims are objects that nobody acts on; what a kubelet would report the tests
//! report themselves. Invariant: a missing tool or an unreachable server is a failed test.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod definition;
mod documents;
mod harness;
mod life;
mod older;
mod outage;
