//! The boot sector program as a foreign disassembler reads it.
//!
//! Does not run it (see `boot`). Invariant: whoever changes a byte of the program sees the change
//! as instructions, and says so in the commit.

mod support {
    pub(crate) mod tool;
}

use std::path::Path;

use support::tool;
use vmimage::engine::bootloader::sector;

const GOLDEN: &str = "tests/golden/sector-hello.txt";

#[test]
fn the_program_is_the_golden_one() {
    let sector = sector::assemble("Hello World!", sector::Front::Bare).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hello.raw");
    fs_err::write(&file, &sector).unwrap();

    let message = sector.windows(12).position(|w| w == b"Hello World!").unwrap();
    let message = format!("{:#x}", 0x7c00 + message);
    let mut found = String::new();
    for options in [
        format!("-D -b binary -m i386 -M addr16,data16 --stop-address={message}"),
        format!("-s -b binary --start-address={message}"),
    ] {
        let command = format!("objdump {options} --adjust-vma=0x7c00 hello.raw");
        let mut arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let path = file.display().to_string();
        *arguments.last_mut().unwrap() = &path;
        let dump = tool::run("binutils", "objdump", &arguments).replace(&path, "hello.raw");
        let lines: Vec<&str> = dump.lines().map(str::trim_end).collect();
        found.push_str(&format!("$ {command}\n{}\n\n", lines.join("\n").trim()));
    }

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let golden = fs_err::read_to_string(golden).unwrap();
    if found != golden {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sector-hello.txt");
        fs_err::write(&kept, &found).unwrap();
        panic!("the program has changed: diff {GOLDEN} {}", kept.display());
    }
}
