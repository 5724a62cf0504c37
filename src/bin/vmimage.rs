//! Entry point of the desk and pod program.

use std::process::ExitCode;

fn main() -> ExitCode {
    vmimage::cli::run(std::env::args_os())
}
