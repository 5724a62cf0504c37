//! What the engine and the guest's init `vmimage-init` agree on: its configuration as text.
//!
//! Knows nothing of Linux and calls nothing: the engine writes the text on any system, the init
//! (package `init/`, which compiles this very file) reads it. Invariant: imports nothing of the
//! crate.

mod config;
mod line;
mod values;

pub use config::{Config, Located};
pub use line::{command_line, escape, unescape};
pub use values::{Address, Ending, Medium, OnExit, Route, User, ValueError};
