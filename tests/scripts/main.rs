//! Trees as directories that programs change: what comes back, whatever the programs did.
#![cfg(all(feature = "cli", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod attack;
mod desk;
#[path = "../support/listing.rs"]
mod listing;
mod stage;
#[path = "../support/trees.rs"]
mod trees;
