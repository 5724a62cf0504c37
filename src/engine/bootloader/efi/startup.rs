//! `startup.nsh`: what the UEFI shell runs when firmware found nothing else to start.
//!
//! Kept for firmware that has a shell; never the only way to boot. Source: UEFI Shell 2.2, 3.4
//! "Scripts" and 3.6.2 "Special Characters". Invariant: ASCII with CR LF at the end of each line;
//! the kernel gets exactly the arguments that were given.

use crate::engine::base::{Error, Kind};

/// EDK II's shell reads lines of a script into a buffer; longer ones are cut.
const LINE: usize = 2047;

/// A script that runs `program`, a path below the volume that holds the script, with `arguments`.
/// The program sees its own name as the first word, as the shell hands it over.
pub fn script(program: &str, arguments: &str) -> Result<String, Error> {
    let program = program.trim_start_matches(['/', '\\']).replace('/', "\\");
    let line = if arguments.is_empty() { program } else { format!("{program} {arguments}") };
    if let Some(bad) = line.chars().find(|c| !matches!(c, ' '..='~')) {
        return Err(refused(&format!("holds {bad:?}; allowed is printable ASCII")));
    }
    // The shell takes them for comments, variables, quotes, redirections and pipes. Its escape `^`
    // works in arguments of its own commands, but not in all versions for those of programs.
    if let Some(bad) = line.chars().find(|c| matches!(c, '#' | '%' | '^' | '"' | '<' | '>' | '|')) {
        return Err(refused(&format!("holds {bad}, which has a meaning in the UEFI shell")));
    }
    if line.len() > LINE {
        return Err(refused(&format!("has {} bytes; allowed are {LINE}", line.len())));
    }
    Ok(format!("{line}\r\n"))
}

fn refused(why: &str) -> Error {
    let message = format!("the command of startup.nsh {why}");
    Error::new(Kind::Document, message)
}
