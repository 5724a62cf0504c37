//! The only place that writes to the terminal: results on standard output, talk on standard error.
//!
//! Decides no wording. Invariant: with `--json` standard output holds exactly one JSON document
//! and standard error nothing; a reader that went away is no failure.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use super::args::{Color, Global};
use super::excerpt::{Excerpt, excerpt, visible};
use super::failure::{Failure, Failures, Spot};
use crate::engine::base::{Error, StreamSink};
use crate::inspect::NAMES;
use crate::manifest::Place;
use crate::report::Code;

const BAR: &str = "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {eta}";

/// Where results and talk go.
#[derive(Clone, Debug)]
pub(super) struct Output {
    json: bool,
    quiet: bool,
    color: bool,
    bars: bool,
}

impl Output {
    /// The output that the flags ask for.
    #[must_use]
    pub(super) fn new(global: Global) -> Self {
        let Global { color, quiet, json } = global;
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = io::stderr().is_terminal();
        let color = match color {
            Color::Auto => terminal && !dumb && !set("NO_COLOR"),
            Color::Always => true,
            Color::Never => false,
        };
        Self { json, quiet, color, bars: terminal && !dumb && !quiet && !json }
    }

    /// Whether results are printed as JSON.
    #[must_use]
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// How wide a map of a disk may be drawn, and whether with block characters.
    #[must_use]
    pub(super) fn drawing(&self) -> (usize, bool) {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let columns = || variable("COLUMNS").and_then(|text| text.parse().ok());
        let terminal = rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col);
        let columns = terminal.filter(|width| *width > 0).or_else(columns).unwrap_or(80);
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
        let utf8 = locale.unwrap_or_default().to_lowercase().replace('-', "").contains("utf8");
        (usize::from(columns).saturating_sub(NAMES).clamp(16, 1024), utf8)
    }

    /// Prints one line of the result.
    pub(super) fn line(&self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Prints the result as it is.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        written(to_stdout(bytes))
    }

    /// Prints the whole result as JSON.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|e| Failure::new(Code::Bug, format!("the result is no JSON: {e}")))?;
        self.line(&text)
    }

    /// Says something that is not a result.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet && !self.json {
            talk(text);
        }
    }

    /// Shows what went wrong.
    pub(super) fn failures(&self, failures: &Failures) {
        if self.json {
            let all: Vec<_> = failures.iter().map(Failure::to_json).collect();
            let value = match all.as_slice() {
                [only] => json!({"error": only}),
                all => json!({"error": all.first(), "problems": all}),
            };
            // The failure that is being shown is the one that counts.
            let _ = self.json(&value);
            return;
        }
        let texts: Vec<_> = failures.iter().map(|failure| self.drawn(failure)).collect();
        talk(&texts.join("\n"));
    }

    /// A failure as text, with its place.
    fn drawn(&self, failure: &Failure) -> String {
        let Failure { code: _, message, field, spot } = failure;
        let field = field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
        let message: String = message.chars().map(visible).collect();
        let mut drawn = format!("{} {field}{message}", self.paint("error:", "1;31"));
        let Some(Spot { file, place }) = spot.as_deref() else { return drawn };
        let arrow = self.paint("-->", "1;34");
        let Some((Place { line, column }, text)) = place else {
            drawn.push_str(&format!("\n  {arrow} {file}"));
            return drawn;
        };
        let pad = " ".repeat(line.to_string().len());
        let bar = self.paint("|", "1;34");
        let number = self.paint(&line.to_string(), "1;34");
        let Excerpt { text, indent, width } = excerpt(text, *column);
        let marks = " ".repeat(indent) + &self.paint(&"^".repeat(width), "1;31");
        drawn.push_str(&format!("\n{pad}{arrow} {file}:{line}:{column}"));
        drawn.push_str(&format!("\n{pad} {bar}\n{number} {bar} {text}\n{pad} {bar} {marks}"));
        drawn
    }

    /// `text` in a colour, if colours are wanted.
    fn paint(&self, text: &str, code: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A bar for a step of `total` bytes; none where there is no terminal to draw it on.
    #[must_use]
    pub(super) fn bar(&self, message: &str, total: u64) -> Option<ProgressBar> {
        if !self.bars {
            return None;
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        bar.set_message(message.to_owned());
        Some(bar)
    }
}

/// Standard output for bytes in order.
#[derive(Debug, Default)]
pub(super) struct Stdout {
    gone: bool,
}

impl Stdout {
    /// Whether the reader went away: there is nothing more to do, and that is no failure.
    #[must_use]
    pub(super) const fn gone(&self) -> bool {
        self.gone
    }
}

impl StreamSink for Stdout {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        to_stdout(bytes).map_err(|error| {
            self.gone = error.kind() == io::ErrorKind::BrokenPipe;
            Error::io("writing to standard output", error)
        })
    }
}

/// Prints one line of the builder's result. A reader that went away is an error here: the
/// builder logs it.
pub(super) fn builder_data(line: &str) -> io::Result<()> {
    to_stdout(format!("{line}\n").as_bytes())
}

/// Prints one line of talk, whatever the flags say.
pub(super) fn talk(text: &str) {
    // Nobody is left to be told of a failure here.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints clap's help, version or usage error where it belongs.
pub(super) fn usage(error: &clap::Error) {
    let _ = error.print();
}

fn to_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// A reader that has seen enough is no failure.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io(Code::Io, "writing to standard output", error))
        }
        _ => Ok(()),
    }
}
