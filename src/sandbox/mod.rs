//! Runs a program of a stranger over one directory: in namespaces of its own, as an ordinary user,
//! without a network, devices or a way back.
//!
//! ```text
//! run (this process) ──▶ outer (user, pid, net … namespaces; waits) ──▶ inner (mounts) ──exec──▶ shell
//!         ◀── what it prints, bounded ──┘      ◀── how it ended ──┘
//! ```
//!
//! Both children are this program again, since namespaces are entered by processes of one thread.
//! Needs a kernel that lets ordinary users make user namespaces. Invariants: no process of the
//! script outlives `run`; it never is root of the host; nothing but the directory can be written.

mod image;
mod inner;
mod job;
mod mounts;
mod names;
mod outer;
mod run;

pub use image::{Images, image_tree};
pub use inner::inner;
pub use job::Job;
pub use outer::outer;
pub use run::{Ended, Watch, clear, run, unprivileged};

/// The exit code of a child that could not begin.
pub const BROKEN: u8 = 125;

/// The user and the group that a script believes to be.
pub const USER: u32 = 107;
