//! A faked API server for tests of the controller, and tests that need one.
//!
//! ```text
//! reconcile ──▶ kube::Client ──▶ server: faults, deaths, counts ──▶ objects: the API's rules
//!                                             node: what Job controller and kubelet would do ──┘
//! ```
//!
//! Knows no watches: `world` fills the caches before every run. Invariant: it is stricter than the
//! real one where the controller's promises are at stake (see `server::Promises`), never laxer.

mod boot;
mod call;
mod cdi;
mod looking;
mod node;
mod objects;
mod scripts;
mod server;
mod sources;
mod world;

mod crash_points;
mod existing;
mod faults;
mod pushed;
mod settled;
mod telling;

use node::Fate;
use objects::Seed;
use server::{Death, Fault};
use world::World;
