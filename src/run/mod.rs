//! A machine in QEMU: described as plain data, turned into a command, watched until it has shown what
//! is expected.
//!
//! ```text
//! look + firmware ──▶ Machine ──command──▶ words ──session──▶ Outcome, serial text, screenshot
//! ```
//!
//! This is the one part of the program that starts another program, for the verb `run` alone: no image
//! is built by it. Does not know documents, and prints nothing. Invariant: the process that it started
//! ends with this one, however this one ends.

mod command;
mod console;
mod firmware;
mod keys;
mod leash;
mod look;
mod machine;
mod picture;
mod place;
mod qmp;
mod session;

pub use command::{command, shell};
pub use console::Console;
pub use firmware::{Flash, flash};
pub use keys::Chord;
pub use leash::leash;
pub use look::{Ways, ways};
pub use machine::{
    Architecture, Bus, Card, Direct, Disk, Forward, Line, Machine, Network, Start, program,
};
pub use place::{Temporary, accelerated, located};
pub use session::{Outcome, Plan, Report, Step, Watch, session};
