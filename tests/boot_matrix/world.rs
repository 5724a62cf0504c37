//! A directory with kernels and other inputs, the program that builds a document in it, and machines
//! for what it built.
//!
//! Judges nothing. Invariant: the product that Linux prints is of two numbers that the document has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fs_err as fs;
use tempfile::TempDir;

use crate::ovmf::{Firmware, boot};
use crate::payload;

/// What a firmware or a loader says where it has nothing to start.
const NOTHING: [&str; 5] =
    ["Shell>", "No bootable option", "grub>", "Kernel panic", "no multiboot header found"];
/// Options of every Linux here.
pub(crate) const LINE: &str = "console=ttyS0 quiet panic=-1 no_timer_check";

/// A directory for one test.
pub(crate) struct Desk(TempDir);

/// What a script of the repository made: a path.
pub(crate) fn made(script: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(&script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), output.status);
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Debian's kernel.
fn linux() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| made("e2e/guest/build").join("vmlinuz")).clone()
}

impl Desk {
    /// With `vmlinuz`, `busybox`, `kernel` of Multiboot and `module`.
    pub(crate) fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::copy(linux(), desk.path("vmlinuz")).unwrap();
        let found = fs::copy("/bin/busybox", desk.path("busybox"));
        found.expect("apt install busybox-static");
        desk.write("kernel", &payload::kernel());
        desk.write("module", &module());
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Builds the document with this spec; whether it was accepted, and what the program said.
    pub(crate) fn try_build(&self, spec: &str, options: &[&str]) -> (bool, String) {
        let head =
            "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: out}\nspec:\n";
        fs::write(self.path("document.yaml"), format!("{head}{spec}")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_vmimage"))
            .args(["build", "-f", "document.yaml", "-o", "out"])
            .args(options)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The image file `out/out.EXTENSION` of the document.
    pub(crate) fn build(&self, spec: &str, extension: &str) -> PathBuf {
        let (done, said) = self.try_build(spec, &[]);
        assert!(done, "{said}\n{spec}");
        self.path(&format!("out/out.{extension}"))
    }

    /// Why the document is refused; nothing is left of it.
    pub(crate) fn refused(&self, spec: &str) -> String {
        self.refused_with(spec, &[])
    }

    pub(crate) fn refused_with(&self, spec: &str, options: &[&str]) -> String {
        let _ = fs::remove_dir_all(self.path("out"));
        let (done, said) = self.try_build(spec, options);
        assert!(!done, "accepted: {spec}");
        let left = fs::read_dir(self.path("out")).map(|found| found.count()).unwrap_or(0);
        assert_eq!(left, 0, "files are left");
        said
    }
}

/// What the Multiboot kernel gets as a module.
pub(crate) fn module() -> Vec<u8> {
    (0..70_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// An entry of GRUB for the Multiboot kernel.
pub(crate) const MULTIBOOT: &str = "{title: payload, multiboot: {kernel: /boot/kernel, arguments: 'a b=c', modules: [{path: /boot/module, arguments: one}]}}";
/// Its files.
pub(crate) const FILES: &str = "[{file: {path: /boot/kernel, source: {file: kernel}}}, {file: {path: /boot/module, source: {file: module}}}]";

/// A document's `initrd.build` that prints the product of two numbers; `more` are lines for the shell.
pub(crate) fn initrd(a: u64, b: u64, more: &str, options: &str) -> String {
    format!(
        "{{build: {{{options}contents: [{{directory: {{paths: [/proc, /dev, /mnt]}}}}, \
         {{file: {{path: /bin/busybox, mode: '0755', source: {{file: busybox}}}}}}, \
         {{file: {{path: /init, mode: '0755', text: \"#!/bin/busybox sh\\n\
         /bin/busybox mount -t proc proc /proc\\n{more}\
         echo \\\"cmdline=$(/bin/busybox cat /proc/cmdline)=\\\"\\n\
         echo \\\"answer=$(({a} * {b}))=\\\"\\n/bin/busybox poweroff -f\\n\"}}}}]}}}}"
    )
}

/// Boots what was built until Linux has said the product.
pub(crate) fn linux_says(firmware: Firmware, disk: &Path, a: u64, b: u64) -> String {
    let answer = format!("answer={}=", a * b);
    let said = boot(firmware, &[disk], &[&[answer.as_str()], &NOTHING[..]].concat());
    assert!(said.contains(&answer), "{said}");
    assert!(said.contains(LINE), "{said}");
    said
}

/// Boots what was built until the Multiboot kernel has said what it computed.
pub(crate) fn multiboot_says(firmware: Firmware, disk: &Path) -> String {
    let said = boot(firmware, &[disk], &[&["over\n"], &NOTHING[..]].concat());
    for text in
        [payload::computed(), "arguments [a b=c]".to_owned(), payload::module(0, &module(), "one")]
    {
        assert!(said.contains(&text), "no {text:?}: {said}");
    }
    said
}

/// Boots a copy in which `what` is zero; returns what is said until a loader gives up.
pub(crate) fn without(firmware: Firmware, disk: &Path, what: &[u8]) -> String {
    let mut bytes = fs::read(disk).unwrap();
    let mut found = 0;
    for piece in what.chunks(1024).filter(|piece| piece.iter().any(|byte| *byte != 0)) {
        let at = bytes.windows(piece.len().min(64)).position(|window| piece.starts_with(window));
        if let Some(at) = at {
            let end = (at + piece.len()).min(bytes.len());
            bytes[at..end].fill(0);
            found += 1;
        }
    }
    assert!(found > 0, "the payload is not in the image");
    let copy = disk.with_file_name("zeroed").with_extension(disk.extension().unwrap());
    fs::write(&copy, bytes).unwrap();
    boot(firmware, &[&copy], &NOTHING)
}
