//! `startup.nsh`: what the UEFI shell runs when firmware found nothing else to start.
//!
//! Kept for firmware that has a shell; never the only way to boot. Source: UEFI Shell 2.2, 3.4
//! "Scripts" and 3.6.2 "Special Characters", and what EDK II's shell does with a program's arguments,
//! by measurement: quotes stay, `^` is taken off before `# % < > |` and stays before others, and `#`
//! begins a comment even within quotes. Invariant: ASCII with CR LF at the end of each line; the
//! program gets exactly the arguments that were given.

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
    let (mut quoted, mut escaped) = (false, String::new());
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            '^' => {
                return Err(refused("holds ^, which the UEFI shell passes on in some places only"));
            }
            '#' | '%' | '<' | '>' | '|' if quoted => {
                return Err(refused(&format!(
                    "holds {c} within quotes, where the UEFI shell has no escape for it"
                )));
            }
            '#' | '%' | '<' | '>' | '|' => escaped.push('^'),
            _ => {}
        }
        escaped.push(c);
    }
    if quoted {
        return Err(refused("has an odd number of quotes"));
    }
    let line = escaped;
    if line.len() > LINE {
        return Err(refused(&format!("has {} bytes; allowed are {LINE}", line.len())));
    }
    Ok(format!("{line}\r\n"))
}

fn refused(why: &str) -> Error {
    let message = format!("the command of startup.nsh {why}");
    Error::new(Kind::Document, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_would_change_is_escaped_or_refused() {
        // The line of tinyboot, byte for byte.
        let line = script("/vmlinuz", "loglevel=4 initrd=\\initramfs.img").unwrap();
        assert_eq!(line, "vmlinuz loglevel=4 initrd=\\initramfs.img\r\n");
        assert_eq!(script("a/b", "").unwrap(), "a\\b\r\n");
        assert_eq!(script("k", "a=\"b c\" d=#%<>|").unwrap(), "k a=\"b c\" d=^#^%^<^>^|\r\n");
        for (arguments, why) in [
            ("a=^", "holds ^"),
            ("a=\"#\"", "holds # within quotes"),
            ("a=\"b", "odd number of quotes"),
            ("a\nb", "holds '\\n'"),
            ("\u{e9}", "printable ASCII"),
            (&*"x".repeat(2047), "has 2049 bytes; allowed are 2047"),
        ] {
            let error = script("k", arguments).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
