//! Trees as directories that programs change: what comes back, whatever the programs did.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "../support/listing.rs"]
mod listing;
mod stage;
#[path = "../support/trees.rs"]
mod trees;
