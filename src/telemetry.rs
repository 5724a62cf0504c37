//! Logs of the controller: text or JSON lines on stderr.
//!
//! Knows nothing of what is logged. Invariant: set up once, before anything else.

use std::io;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines of at least this level to stderr. `filter` has the syntax of `RUST_LOG`.
pub fn start(form: Form, filter: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match form {
        Form::Text => lines.with_ansi(false).try_init(),
        Form::Json => lines.json().flatten_event(true).try_init(),
    }
}

/// Says one thing on stderr when no log could be set up.
pub fn last_words(text: &str) {
    use std::io::Write as _;
    // There is nobody left to tell if stderr is closed.
    let _ = writeln!(io::stderr(), "vmimage-operator: {text}");
}
