//! What whoever stages a tree says about it.
//!
//! Decides nothing. Invariant: every bound is given, none is guessed.

use crate::engine::base::Origin;
use crate::engine::base::tree::{Limits, Time};

/// How a tree is written.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bytes that contents may have together, holes not counted.
    pub budget: u64,
    /// Who the files shall belong to on this machine, if not the caller: user and group.
    pub owner: Option<(u32, u32)>,
}

/// How a directory is read back.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The time of what was made or changed.
    pub time: Time,
    /// What the tree may have.
    pub limits: Limits,
    /// Bytes that the files may take on the disk together.
    pub budget: u64,
    /// The field that what is new came from.
    pub origin: Origin,
}
