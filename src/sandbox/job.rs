//! What a script is told, and what its sandbox is told about it.
//!
//! Decides nothing. Invariant: it is one line of JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A script to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The directory with its image's files; it has `tree`, `tmp`, `proc` and `dev`.
    pub root: PathBuf,
    /// The directory that it may change.
    pub tree: PathBuf,
    /// The program that runs the text.
    pub shell: String,
    /// The text.
    pub text: String,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Seconds that it may run.
    pub seconds: u64,
    /// Bytes that a file of its may have, and all of its files on the disk.
    pub budget: u64,
    /// The user and group of the host that it becomes, if the caller is root.
    pub owner: Option<(u32, u32)>,
    /// Processes it may have at a time.
    pub processes: u64,
}
