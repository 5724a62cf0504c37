//! `vmimage run` with the real QEMU: what it boots, how it ends, and that nothing stays.
//!
//! What a machine must show is calculated by its program; the same machine with that program zeroed
//! must not show it. Invariant: every process and file that a run made is looked for by its own number
//! or in a directory of the test.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use tempfile::TempDir;

/// No step takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// The sum of 1 to 100 in decimal digits on the first serial port, then a line feed; then the processor
/// sleeps. Put together by hand from Intel's SDM, volume 2:
///
/// ```text
///      xor ax, ax        31 c0        d: xor dx, dx     31 d2        p: pop ax        58
///      mov cx, 100       b9 64 00        div bx         f7 f3           add al, '0'   04 30
///   a: add ax, cx        01 c8           push dx        52              out dx, al    ee
///      loop a            e2 fc           inc cx         41              loop p        e2 fa
///      mov bx, 10        bb 0a 00        test ax, ax    85 c0           mov al, 10    b0 0a
///      xor cx, cx        31 c9           jnz d          75 f6           out dx, al    ee
///                                        mov dx, 3f8h   ba f8 03     h: hlt; jmp h    f4 eb fd
/// ```
const SUM: [u8; 42] = [
    0x31, 0xc0, 0xb9, 0x64, 0x00, 0x01, 0xc8, 0xe2, 0xfc, 0xbb, 0x0a, 0x00, 0x31, 0xc9, 0x31, 0xd2,
    0xf7, 0xf3, 0x52, 0x41, 0x85, 0xc0, 0x75, 0xf6, 0xba, 0xf8, 0x03, 0x58, 0x04, 0x30, 0xee, 0xe2,
    0xfa, 0xb0, 0x0a, 0xee, 0xf4, 0xeb, 0xfd, 0x00, 0x00, 0x00,
];

/// 100 * 101 / 2.
const EXPECTED: &str = r"^5050\n";

/// A directory for one test, and another one for temporary files of the program.
struct Desk {
    root: TempDir,
    temporary: TempDir,
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Desk {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), temporary: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn document(&self, spec: &str) {
        let head =
            "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: one}\nspec:\n";
        self.write("one.yaml", format!("{head}{spec}\n"));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.args(arguments).current_dir(self.root.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("TMPDIR", self.temporary.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program, and looks that it left no temporary file.
    #[track_caller]
    fn ran(&self, arguments: &[&str]) -> Ran {
        let ran = Ran::from(self.command(arguments).output().unwrap());
        self.is_clean();
        ran
    }

    #[track_caller]
    fn ended_with(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.ran(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}\n{}\n{}", ran.out, ran.err);
        ran
    }

    #[track_caller]
    fn is_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// A sector that calculates, as a raw disk.
    fn sum(&self, name: &str) {
        self.write(name, sector(&SUM));
    }

    /// A picture as rows of characters, each of 9 by 16 pixels; read by netpbm.
    fn screen(&self, name: &str) -> Vec<Vec<Vec<u8>>> {
        let ran = Command::new("pngtopnm").arg(self.path(name)).output();
        let ran = ran.unwrap_or_else(|e| panic!("pngtopnm: {e}; apt-get install netpbm"));
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let header = b"P6\n720 400\n255\n";
        // Netpbm chooses the plainest form that holds all colours of the picture.
        assert!(ran.stdout.starts_with(header), "{:?}", ran.stdout.get(..20));
        let pixels = &ran.stdout[header.len()..];
        let cell = |row: usize, column: usize| -> Vec<u8> {
            let line = |y: usize| ((row * 16 + y) * 720 + column * 9) * 3;
            (0..16).flat_map(|y| pixels[line(y)..line(y) + 27].to_vec()).collect()
        };
        (0..25).map(|row| (0..80).map(|column| cell(row, column)).collect()).collect()
    }
}

/// A boot sector with this program.
fn sector(program: &[u8]) -> Vec<u8> {
    let mut sector = program.to_vec();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

/// Whether a line of the screen begins with characters that are equal where those of `text` are.
fn shows(screen: &[Vec<Vec<u8>>], text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    let pairs = || (0..letters.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    screen.iter().any(|row| {
        let alike = pairs().all(|(a, b)| (row[a] == row[b]) == (letters[a] == letters[b]));
        let blank = |at: usize| row[at].iter().all(|byte| *byte == 0);
        alike && letters.iter().enumerate().all(|(at, letter)| (*letter == ' ') == blank(at))
    })
}

#[test]
fn every_format_boots() {
    let desk = Desk::new();
    desk.sum("sector.bin");
    desk.document(
        "  boot: {sector: {source: {file: sector.bin}}}\n  formats: [{type: raw}, {type: qcow2}, \
         {type: vmdk}, {type: vdi}, {type: vhd}, {type: vhdx}]",
    );
    desk.ended_with(0, &["build", "-f", "one.yaml"]);
    for format in ["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"] {
        let file = format!("one.{format}");
        let before = fs::read(desk.path(&file)).unwrap();
        let ran = desk.ended_with(0, &["run", &file, "--expect", EXPECTED, "--serial", "log"]);
        assert_eq!(ran.out, "5050\n", "{format}");
        assert_eq!(fs::read(desk.path("log")).unwrap(), b"5050\n");
        assert!(ran.err.contains("qemu-system-x86_64 -nodefaults"), "{}", ran.err);
        assert_eq!(fs::read(desk.path(&file)).unwrap(), before, "{format} was written to");
    }
    // The same sector without its program.
    desk.write("zero.raw", sector(&[]));
    let arguments = ["run", "zero.raw", "--expect", EXPECTED, "--timeout", "4s"];
    let ran = desk.ended_with(5, &arguments);
    assert!(ran.err.contains("time was over after 4 s before the serial line had"), "{}", ran.err);
}

#[test]
fn a_document_is_built_and_its_screen_seen() {
    let desk = Desk::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello.yaml");
    let arguments = ["run", example, "--expect", "Hello World!", "--screenshot", "a.png"];
    let ran = desk.ended_with(0, &arguments);
    assert_eq!(ran.out, "Hello World!");
    assert!(shows(&desk.screen("a.png"), "Hello World!"));
    // Without the program neither line nor screen shows it, and the picture is taken all the same.
    desk.write("zero.raw", sector(&[]));
    let arguments =
        ["run", "zero.raw", "--expect", "H", "--timeout", "10s", "--screenshot", "b.png"];
    desk.ended_with(5, &arguments);
    let screen = desk.screen("b.png");
    assert!(!shows(&screen, "Hello World!"));
    assert!(shows(&screen, "Booting from Hard Disk..."), "that is what SeaBIOS says before");
}

#[test]
fn keys_follow_what_was_seen() {
    let desk = Desk::new();
    desk.document("  boot: {sector: {message: \"Press a key\"}}\n  formats: [{type: ova}]");
    let ran = desk.ended_with(0, &["run", "one.yaml", "--expect", "a key", "--keys", "ret"]);
    assert!(ran.err.contains("disk.raw"), "an OVA's disk is booted raw: {}", ran.err);
    // The key ends it before the second text comes.
    let two = ["run", "one.yaml", "--expect", "a key", "--keys", "ret", "--expect", "more"];
    let ran = desk.ended_with(6, &two);
    assert!(ran.err.contains("the machine went off before the serial line had \"more\""));
    assert!(ran.err.ends_with("  Press a key\n"), "the last lines: {}", ran.err);
    // A text is looked for behind the one before.
    let twice = ["run", "one.yaml", "--expect", "Press", "--expect", "Press", "--timeout", "6s"];
    desk.ended_with(5, &twice);
    let json = ["run", "one.yaml", "--json", "--expect", "(?i)PRESS", "--screenshot", "s.png"];
    let ran = desk.ended_with(0, &json);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["outcome"], "done");
    assert_eq!((told["steps"].as_u64(), told["screenshot"].as_str()), (Some(1), Some("s.png")));
    assert_eq!(ran.err, "");
}

#[test]
fn uefi_is_chosen_for_an_esp() {
    let desk = Desk::new();
    desk.document(
        "  disk:\n    partitionTable: GPT\n    partitions:\n    - {name: esp, type: esp, size: 4Mi, \
         filesystem: {type: vfat}}",
    );
    // The shell looks for volumes by itself: the place in the device path is the partition's, block 2048
    // of 8192.
    let arguments = [
        "run",
        "one.yaml",
        "--expect",
        "UEFI Interactive Shell",
        "--expect",
        r"HD\(1,GPT,.*0x800,0x2000\)",
    ];
    let ran = desk.ended_with(0, &arguments);
    assert!(ran.err.contains("if=pflash"), "{}", ran.err);
    let missing = ["run", "one.yaml", "--firmware-dir", "/nowhere"];
    let ran = desk.ended_with(66, &missing);
    assert!(ran.err.contains("below /nowhere; Debian has it in the package ovmf"), "{}", ran.err);
}

#[test]
fn what_is_not_understood_is_refused() {
    let desk = Desk::new();
    desk.sum("a.raw");
    desk.write("a.bin", sector(&SUM));
    for (code, says, arguments) in [
        (2, "regex", &["run", "a.raw", "--expect", "(open"][..]),
        (2, "there is no key \"hello\"", &["run", "a.raw", "--expect", "a", "--keys", "hello"]),
        (2, "is no time", &["run", "a.raw", "--timeout", "soon"]),
        (65, "more than --expect", &["run", "a.raw", "--keys", "a", "--keys", "b"]),
        (66, "does not follow from its name", &["run", "a.bin"]),
        (66, "QCOW", &["run", "a.raw", "--from", "qcow2"]),
        (65, "bus nvme: no place for a CD", &["run", "a.raw", "--cd", "--bus", "nvme"]),
        (
            65,
            "arm64 machines have none",
            &["run", "a.raw", "--arch", "arm64", "--firmware", "bios", "--print"],
        ),
        (
            66,
            "there is no program /nowhere/qemu; Debian has QEMU for amd64 in the package qemu-system-x86",
            &["run", "a.raw", "--qemu", "/nowhere/qemu"],
        ),
        (
            74,
            "QEMU failed: exit status: 1",
            &["run", "a.raw", "--expect", "a", "--", "-no-such-option"],
        ),
    ] {
        let ran = desk.ended_with(code, arguments);
        let says = says.to_lowercase();
        assert!(ran.err.to_lowercase().contains(&says), "{arguments:?}: {}", ran.err);
    }
    let output = desk.command(&["run", "a.raw"]).env("PATH", "").output().unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, Some(66), "{}", ran.err);
    assert!(ran.err.contains("there is no program qemu-system-x86_64 in PATH"), "{}", ran.err);
}

#[test]
fn print_runs_nothing() {
    let desk = Desk::new();
    desk.document(
        "  boot: {sector: {message: a}}\n  formats: [{type: qcow2}]\n  disk: {size: 2Mi}\n  \
         machine: {memory: 64Mi, cpus: 2, diskBus: virtio, nic: virtio}",
    );
    let ran = desk.ended_with(0, &["run", "one.yaml", "--print", "--port-forward", "2222:22"]);
    assert_eq!(
        ran.out,
        "qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel tcg -m 64 -smp 2 \
         -drive if=none,id=disk0,format=qcow2,snapshot=on,file.driver=file,file.filename=one.qcow2 \
         -device virtio-blk-pci,drive=disk0,bootindex=0 \
         -nic user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:2222-:22 -vga std -display none \
         -chardev stdio,id=console,signal=off,mux=on -serial chardev:console \
         -mon chardev=console,mode=readline\n"
    );
    assert!(!desk.path("one.qcow2").exists());
}

#[test]
fn the_machine_follows_from_what_is_inside() {
    let desk = Desk::new();
    let printed =
        |arguments: &[&str]| desk.ended_with(0, &[&["run", "--print"], arguments].concat()).out;
    desk.document(
        "  disk:\n    partitionTable: GPT\n    sectorSize: 4096\n    partitions:\n    - {name: esp, type: esp, \
         size: 4Mi, filesystem: {type: vfat}, contents: [{file: {path: /EFI/BOOT/BOOTAA64.EFI, text: a}}]}",
    );
    desk.ended_with(0, &["build", "-f", "one.yaml"]);
    for name in ["AAVMF_CODE.fd", "AAVMF_VARS.fd"] {
        desk.write(name, "");
    }
    let arm = printed(&["one.raw", "--firmware-dir", "."]);
    for part in [
        "qemu-system-aarch64 ",
        "-machine virt -accel tcg -cpu cortex-a57 ",
        "file.filename=./AAVMF_CODE.fd ",
        "-device virtio-blk-pci,drive=disk0,logical_block_size=4096,physical_block_size=4096,bootindex=0 ",
    ] {
        assert!(arm.contains(part), "{part}: {arm}");
    }
    // An ISO is a CD, unless it is told to be a stick. Nothing in it starts.
    desk.document(
        "  iso: {volumeId: A, contents: [{file: {path: /a, text: a}}]}\n  formats: [{type: iso}]",
    );
    desk.ended_with(0, &["build", "-f", "one.yaml"]);
    for what in ["one.iso", "one.yaml"] {
        let cd = printed(&[what]);
        assert!(
            cd.contains("media=cdrom,readonly=on,file.driver=file,file.filename=one.iso "),
            "{cd}"
        );
        assert!(cd.contains("-device ide-cd,bus=ide.0,drive=disk0,bootindex=0 "), "{cd}");
        let stick = printed(&[what, "--no-cd", "--bus", "usb"]);
        assert!(stick.contains("snapshot=on"), "{stick}");
        assert!(
            stick.contains("-device usb-storage,bus=usb.0,drive=disk0,bootindex=0 "),
            "{stick}"
        );
    }
    // A kernel needs no disk.
    let kernel = printed(&["--kernel", "k", "--initrd", "i", "--append", "a b", "--arch", "i386"]);
    assert!(kernel.starts_with("qemu-system-i386 ") && !kernel.contains("-drive"), "{kernel}");
    assert!(kernel.contains("-kernel k -initrd i -append 'a b' "), "{kernel}");
}

#[test]
fn writes_stay_only_when_asked() {
    let desk = Desk::new();
    // INT 13h, AX=0301h: writes the sector at 7c00h to the second sector of the disk it came from, then
    // says so. xor ax,ax; mov es,ax; mov ax,301h; mov cx,2; mov dh,0; mov bx,7c00h; int 13h;
    // mov dx,3f8h; mov al,'w'; out dx,al; hlt; jmp.
    let program = [
        0x31, 0xc0, 0x8e, 0xc0, 0xb8, 0x01, 0x03, 0xb9, 0x02, 0x00, 0xb6, 0x00, 0xbb, 0x00, 0x7c,
        0xcd, 0x13, 0xba, 0xf8, 0x03, 0xb0, b'w', 0xee, 0xf4, 0xeb, 0xfd,
    ];
    let mut disk = sector(&program);
    disk.resize(1 << 20, 0);
    desk.write("a.raw", &disk);
    desk.ended_with(0, &["run", "a.raw", "--expect", "w"]);
    assert!(fs::read(desk.path("a.raw")).unwrap() == disk, "it was written to");
    desk.ended_with(0, &["run", "a.raw", "--expect", "w", "--write"]);
    assert_eq!(fs::read(desk.path("a.raw")).unwrap()[512..1024], disk[..512]);
}

/// A real Linux kernel with an initramfs whose shell multiplies.
#[test]
fn a_kernel_is_started() {
    let desk = Desk::new();
    let built =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/guest/build")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let kernel = Path::new(String::from_utf8(built.stdout).unwrap().trim()).join("vmlinuz");
    let init = "#!/bin/busybox sh\necho $((123 * 457))\n/bin/busybox poweroff -f\n";
    for (name, init) in [("good", init), ("zero", "")] {
        let root = desk.path(name);
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap_or_else(|e| {
            panic!("{e}; apt-get install busybox-static");
        });
        fs::write(root.join("init"), init).unwrap();
        let pack = "chmod 755 init && find . | cpio --quiet -o -H newc >../$0.cpio";
        let packed = Command::new("sh").args(["-c", pack, name]).current_dir(&root).status();
        assert!(packed.unwrap().success(), "apt-get install cpio");
    }
    let run = |initrd: &str, timeout: &str| {
        let kernel = kernel.to_str().unwrap();
        let append = "console=ttyS0 quiet panic=-1 no_timer_check";
        let mut arguments = vec!["run", "--kernel", kernel, "--initrd", initrd, "--append", append];
        arguments.extend(["--expect", r"^56211\n", "--timeout", timeout, "--", "-no-reboot"]);
        desk.ran(&arguments)
    };
    let ran = run("good.cpio", "240s");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    // Without its script the kernel panics, and the machine goes off.
    let ran = run("zero.cpio", "240s");
    assert_eq!(ran.code, Some(6), "{}", ran.err);
    assert!(ran.err.contains("Kernel panic"), "{}", ran.err);
}

/// A run that waits for what never comes, and its QEMU, which has come far enough to show the sum.
fn waiting(desk: &Desk) -> (Child, u32) {
    desk.sum("a.raw");
    let arguments = ["run", "a.raw", "--expect", EXPECTED, "--expect", "never", "--timeout", "5m"];
    let mut child =
        desk.command(&[&arguments[..], &["--screenshot", "a.png"]].concat()).spawn().unwrap();
    let mut seen = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"5050\n");
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let qemu = fs::read_to_string(children).unwrap().trim().parse().unwrap();
    let name = fs::read_to_string(format!("/proc/{qemu}/comm")).unwrap();
    assert!(name.starts_with("qemu-system"), "{name}");
    (child, qemu)
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether no process has this number, or only one that nobody has waited for yet.
fn is_gone(process: u32) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    status.map_or(true, |status| status.contains("State:\tZ"))
}

#[test]
fn a_signal_leaves_nothing() {
    for name in ["TERM", "INT"] {
        let desk = Desk::new();
        let (child, qemu) = waiting(&desk);
        signal(&child, name);
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(130), "{}", ran.err);
        assert!(is_gone(qemu), "QEMU was waited for");
        desk.is_clean();
    }
}

#[test]
fn qemu_dies_even_with_a_killed_run() {
    let desk = Desk::new();
    let (mut child, qemu) = waiting(&desk);
    signal(&child, "KILL");
    child.wait().unwrap();
    eventually("QEMU is gone", || is_gone(qemu));
}
