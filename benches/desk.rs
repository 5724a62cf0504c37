//! The desk against its peers: the hello document as a whole process. Pairs alternate in one run;
//! medians are printed. Formats are in `formats.rs`.
//!
//! Asserts no time. Invariant: both sides write to the same directory.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "support/pairs.rs"]
mod pairs;

use std::path::Path;
use std::process::Command;

use pairs::{compare, run};

fn main() {
    let directory = tempfile::tempdir().unwrap();
    println!("| what | ours | theirs | theirs ÷ ours | our peak |\n|---|---|---|---|---|");
    hello(directory.path());
}

/// `vmimage build` of the smallest document against writing the sector and converting it.
fn hello(directory: &Path) {
    let program = env!("CARGO_BIN_EXE_vmimage");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello.yaml");
    let out = directory.display();
    let ours = format!("exec {program} -q build -f {example} -o {out}");
    shell(&ours);
    let theirs = format!(
        "cp {out}/hello.raw {out}/peer.raw && qemu-img convert -c -f raw -O qcow2 {out}/peer.raw {out}/peer.qcow2"
    );
    let compared = compare(&mut || shell(&ours), &mut || shell(&theirs));
    println!(
        "| hello: raw and qcow2, whole processes | {:.1} ms | {:.1} ms | {:.2} | {:.1} MiB |",
        compared.ours.time.as_secs_f64() * 1000.0,
        compared.theirs.time.as_secs_f64() * 1000.0,
        compared.ratio,
        compared.ours.memory as f64 / 1024.0,
    );
}

fn shell(line: &str) -> pairs::Cost {
    run(Command::new("sh").args(["-c", line]))
}
