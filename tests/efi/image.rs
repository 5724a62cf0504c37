//! Unified kernel images, judged by binutils and pefile.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::{ByteSource, Content, Late};
use vmimage::engine::bootloader::efi::{self, Machine, Parts, kernel, unified};

use crate::made::{bytes, copy, initrd, kernel as kernel_file, kernel_content, stub, whole};
use crate::tool;

/// Says what is wrong with a PE file: pefile's warnings, and what a loader would refuse.
const JUDGE: &str = r#"
import pefile, sys
pe = pefile.PE(sys.argv[1])
o = pe.OPTIONAL_HEADER
own = pefile.PE(sys.argv[2]).get_warnings() if len(sys.argv) > 2 else []
for w in pe.get_warnings():
    if w not in own: print("warning", w)
def up(n, a): return (n + a - 1) // a * a
m, f = o.SizeOfHeaders, o.SizeOfHeaders
for s in pe.sections:
    n = s.Name.rstrip(b"\0").decode()
    if s.VirtualAddress < m: print(n, "overlaps in memory")
    if s.PointerToRawData < f: print(n, "overlaps in the file")
    if s.PointerToRawData % o.FileAlignment: print(n, "is not aligned in the file")
    m = s.VirtualAddress + s.Misc_VirtualSize
    f = s.PointerToRawData + s.SizeOfRawData
if o.SizeOfImage != up(m, max(o.SectionAlignment, 4096)): print("SizeOfImage", o.SizeOfImage, m)
if o.SizeOfHeaders % o.FileAlignment: print("SizeOfHeaders")
end = pe.sections[-1].get_file_offset() + 40
if end > o.SizeOfHeaders: print("headers end at", end, "beyond", o.SizeOfHeaders)
if f != len(pe.__data__): print("ends at", f, "but has", len(pe.__data__))
print("judged", len(pe.sections), "sections,", o.SizeOfHeaders, "bytes of headers")
"#;

/// What pefile finds in a file that it does not find in `own`, which the file was made of.
pub(crate) fn judge(path: &Path, own: Option<&Path>) -> String {
    let mut arguments = vec!["-c", JUDGE, path.to_str().unwrap()];
    arguments.extend(own.map(|own| own.to_str().unwrap()));
    let said = tool::run("python3-pefile", "/usr/bin/python3", &arguments);
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

fn parts() -> Parts {
    let bmp = [&b"BM"[..], &[7; 600]].concat();
    Parts {
        initrd: Some(bytes(&initrd(3, 5))),
        command_line: Some("console=ttyS0 a=\"b c\"".to_owned()),
        os_release: Some(b"ID=test\nVERSION_ID=1\n"[..].into()),
        release: Some("6.1.0-test".to_owned()),
        device_tree: Some(bytes(b"\xd0\x0d\xfe\xedtree")),
        splash: Some(bytes(&bmp)),
        ..Parts::new(kernel_content())
    }
}

/// Names, sizes and addresses as objdump sees them.
fn listed(path: &Path) -> Vec<(String, u64, u64)> {
    let said = tool::run("binutils", "objdump", &["-h", path.to_str().unwrap()]);
    let rows = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| row.len() == 7 && row[0].parse::<u32>().is_ok());
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    rows.map(|row| (row[1].to_owned(), hex(row[2]), hex(row[3]))).collect()
}

fn section(path: &Path, name: &str) -> Vec<u8> {
    let out = path.with_extension("section");
    let (from, to) = (path.to_str().unwrap(), out.to_str().unwrap());
    let only = format!("--only-section={name}");
    tool::run("binutils", "objcopy", &["-O", "binary", &only, from, to]);
    fs::read(out).unwrap()
}

#[test]
fn binutils_bring_every_section_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("uki.efi");
    let parts = parts();
    let made = unified(Machine::X64, &stub(), parts.clone()).unwrap();
    copy(made.as_ref(), &path);
    let own = directory.path().join("stub");
    fs::write(&own, stub()).unwrap();
    assert!(judge(&path, Some(&own)).contains("judged 15 sections"));
    let plain = |content: &Content| match content {
        Content::Bytes(bytes) => bytes.to_vec(),
        Content::Sectors(source) => whole(source.as_ref()),
        Content::Late(_) => unreachable!(),
    };
    for (name, expected) in [
        (".osrel", parts.os_release.unwrap().to_vec()),
        (".cmdline", parts.command_line.unwrap().into_bytes()),
        (".uname", b"6.1.0-test".to_vec()),
        (".dtb", plain(&parts.device_tree.unwrap())),
        (".splash", plain(&parts.splash.unwrap())),
        (".initrd", plain(&parts.initrd.unwrap())),
        (".linux", fs::read(kernel_file()).unwrap()),
    ] {
        assert!(section(&path, name) == expected, "{name}");
    }
    for name in [".text", ".data", ".reloc", ".sbat", ".sdmagic"] {
        assert!(section(&path, name) == section(&own, name), "{name} of the stub");
    }
}

#[test]
fn addresses_are_those_of_the_recipe_with_objcopy() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let ours = path("ours.efi");
    let made = unified(Machine::X64, &stub(), parts()).unwrap();
    copy(made.as_ref(), &ours);
    fs::write(path("stub"), stub()).unwrap();
    // systemd-stub(7), with pages for its "align": from the end of the stub's last section on.
    let last = listed(&path("stub")).into_iter().map(|(_, size, address)| size + address).max();
    let mut at = last.unwrap().next_multiple_of(4096);
    let mut arguments = Vec::new();
    for name in [".osrel", ".cmdline", ".uname", ".dtb", ".splash", ".initrd", ".linux"] {
        let part = path(&name[1..]);
        fs::write(&part, section(&ours, name)).unwrap();
        arguments.push(format!("--add-section={name}={}", part.display()));
        arguments.push(format!("--change-section-vma={name}={at:#x}"));
        at = (at + fs::metadata(&part).unwrap().len()).next_multiple_of(4096);
    }
    arguments.extend(["stub", "theirs"].map(|name| path(name).display().to_string()));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    tool::run("binutils", "objcopy", &arguments);
    assert_eq!(listed(&ours), listed(&path("theirs")));
}

/// The stub with its PE header moved as far back as it goes, so that there is room for a single
/// section more.
pub(crate) fn tight() -> Vec<u8> {
    let mut stub = stub().to_vec();
    let found = efi::read(&ByteSource::new(stub.clone())).unwrap().unwrap();
    let end = 0x80 + 24 + 240 + 40 * found.sections.len();
    let headers: Vec<u8> = stub[0x80..end].to_vec();
    let at = (found.headers_size as usize - 40 - headers.len()) & !7;
    stub[0x40..0x400].fill(0);
    stub[at..at + headers.len()].copy_from_slice(&headers);
    stub[0x3c..0x40].copy_from_slice(&(at as u32).to_le_bytes());
    stub
}

#[test]
fn headers_grow_where_there_is_no_room() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("uki.efi");
    let made = unified(Machine::X64, &tight(), parts()).unwrap();
    copy(made.as_ref(), &path);
    let own = directory.path().join("stub");
    fs::write(&own, stub()).unwrap();
    let said = judge(&path, Some(&own));
    assert!(said.contains("15 sections, 1536 bytes of headers"), "{said}");
    assert!(section(&path, ".linux") == fs::read(kernel_file()).unwrap());
    for name in [".text", ".data", ".reloc", ".sbat", ".sdmagic"] {
        assert!(section(&path, name) == section(&own, name), "{name} of the stub");
    }
    // The stub's first section begins at 0x4000 of memory: headers cannot grow beyond it.
    let mut stub = tight();
    let at = u32::from_le_bytes(stub[0x3c..0x40].try_into().unwrap()) as usize;
    stub[at + 24 + 36..at + 24 + 40].copy_from_slice(&0x8000u32.to_le_bytes());
    let error = unified(Machine::X64, &stub, parts()).unwrap_err().to_string();
    assert!(error.contains("no room for 7 more sections"), "{error}");
}

#[test]
fn microcode_becomes_the_front_of_the_initrd_where_the_stub_does_not_know_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("uki.efi");
    let microcode = Some(bytes(b"12345"));
    let mut parts =
        Parts { microcode, initrd: Some(bytes(b"initrd")), ..Parts::new(kernel_content()) };
    copy(unified(Machine::X64, &stub(), parts.clone()).unwrap().as_ref(), &path);
    assert_eq!(section(&path, ".initrd"), b"12345\0\0\0initrd");
    let newer = [&stub()[..], b".ucode\0"].concat();
    copy(unified(Machine::X64, &newer, parts.clone()).unwrap().as_ref(), &path);
    assert_eq!(section(&path, ".ucode"), b"12345");
    assert_eq!(section(&path, ".initrd"), b"initrd");
    parts.initrd = None;
    copy(unified(Machine::X64, &stub(), parts).unwrap().as_ref(), &path);
    assert_eq!(section(&path, ".initrd"), b"12345");
}

#[test]
fn a_kernel_tells_its_release_and_what_it_is() {
    let file = kernel_file();
    let bytes = fs::read(&file).unwrap();
    let found = kernel(&ByteSource::new(bytes.clone()), Machine::X64).unwrap();
    let said = tool::run("file", "file", &["-b", file.to_str().unwrap()]);
    let release = said.split("version ").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(found.release.as_deref(), Some(release));
    assert!(found.takes_initrd);
}

#[test]
fn what_firmware_would_not_start_is_refused_with_the_reason() {
    let good = fs::read(kernel_file()).unwrap();
    let with = |at: usize, new: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    let at = u32::from_le_bytes(good[0x3c..0x40].try_into().unwrap()) as usize;
    let mut arm = vec![0; 4096];
    arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
    for (bytes, why) in [
        (with(0, &[0xea, 5]), "kernel without EFI stub: it is a Linux kernel for x86"),
        (arm, "kernel without EFI stub: it is a Linux kernel for arm64"),
        (b"\x1f\x8b\x08".to_vec(), "compressed by gzip"),
        (b"text".to_vec(), "does not look like a Linux kernel"),
        (with(at + 4, &[0x64, 0xaa]), "it is for arm64; wanted is amd64"),
        (with(at + 4, &[0x4c, 0x01]), "it is for machine 0x014c; wanted is amd64"),
        (with(at + 24 + 68, &[11]), "its subsystem is 11; allowed is 10"),
        (with(at + 24, &[0x0b, 0x01]), "PE32, for firmware of 32 bits"),
    ] {
        let error = kernel(&ByteSource::new(bytes), Machine::X64).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let arm = with(at + 4, &[0x64, 0xaa]);
    assert_eq!(kernel(&ByteSource::new(arm), Machine::Arm64).unwrap().machine, Machine::Arm64);
    let refused =
        |machine, stub: &[u8], parts: Parts| unified(machine, stub, parts).unwrap_err().to_string();
    let stub = stub();
    let old = Content::Bytes(with(at + 24 + 44, &[0, 0]).into());
    let late = Content::Late(Arc::new(Late {
        len: 1,
        align: 1,
        contiguous: false,
        finish: Box::new(|_| vec![0]),
    }));
    let some = |kernel: Content| Parts { initrd: Some(bytes(b"x")), ..Parts::new(kernel) };
    let line = |line: &str| Parts { command_line: Some(line.to_owned()), ..parts() };
    for (error, why) in [
        (refused(Machine::X64, &stub, some(old)), "older than Linux 5.8"),
        (refused(Machine::X64, &stub, some(late.clone())), ".linux must be known"),
        (refused(Machine::X64, &stub, Parts { initrd: Some(late), ..parts() }), ".initrd must be"),
        (refused(Machine::Arm64, &stub, parts()), "no EFI application for arm64"),
        (refused(Machine::X64, b"MZ", parts()), "no EFI application for amd64"),
        (refused(Machine::X64, &stub, line("a\nb")), "holds '\\n'"),
        (refused(Machine::X64, &stub, line("\u{e9}")), "printable ASCII"),
        (refused(Machine::X64, &stub, line(&"x".repeat(2048))), "Linux takes 2047"),
        (
            refused(Machine::X64, &stub, Parts { sbat: Some(b"sbat"[..].into()), ..parts() }),
            "has a section .sbat already",
        ),
    ] {
        assert!(error.contains(why), "{error}");
    }
}

/// A medium that is larger than any PE file, without bytes.
#[derive(Debug)]
struct Huge;

impl vmimage::engine::base::SectorSource for Huge {
    fn len(&self) -> u64 {
        u64::from(u32::MAX) - 100
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), vmimage::engine::base::Error> {
        unreachable!("initrds are referred to, not read")
    }

    fn next_extent(&self, _: u64) -> Option<vmimage::engine::base::Extent> {
        None
    }
}

#[test]
fn an_initrd_is_not_read_and_has_a_limit() {
    let initrd = Some(Content::Sectors(Arc::new(Huge)));
    let parts = Parts { initrd, ..Parts::new(kernel_content()) };
    let error = unified(Machine::X64, &stub(), parts).unwrap_err().to_string();
    assert!(error.contains("at most 4 GiB"), "{error}");
}
