//! Entry point: prints the CustomResourceDefinition as YAML, with `--json` as compact JSON.

use std::error::Error;
use std::io::Write as _;

fn main() -> Result<(), Box<dyn Error>> {
    let json = std::env::args().any(|argument| argument == "--json");
    let text = if json { vmimage::api::crd::json()? } else { vmimage::api::crd::yaml()? };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
