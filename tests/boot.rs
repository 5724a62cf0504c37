//! Boots what the engine builds, under SeaBIOS in QEMU.
//!
//! Invariant: what is expected is seen from outside the machine (its serial line, its video memory, QEMU's exit), and is missing when the payload is.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

mod support {
    #[expect(dead_code, reason = "other programs use the rest")]
    pub(crate) mod qemu;
}

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use support::qemu::{Machine, Qemu};
use uuid::Uuid;
use vmimage::engine::base::tree::Time;
use vmimage::engine::base::{
    AtomicFile, ByteSource, PositionalSink, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::format::package::{self, Form, Recipe, ova, vagrant};
use vmimage::engine::format::{self, Label, Output, Params, qcow2, vdi, vhd, vhdx, vmdk};
use vmimage::engine::{self, Env, Given, Inputs, Scripts, Seed};
use vmimage::manifest::Spec;
use vmimage::publish::volume;

const PC: Machine<'_> = Machine { machine: "pc", bus: "ide", serial: true };
const Q35: Machine<'_> = Machine { machine: "q35", ..PC };

/// The raw disk of a document whose boot sector is `sector`.
fn disk(sector: serde_json::Value) -> Vec<u8> {
    build(json!({"boot": {"sector": sector}}))
}

/// The raw disk of the document with this spec.
fn build(spec: serde_json::Value) -> Vec<u8> {
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let medium = medium(&spec);
    let mut bytes = vec![0; usize::try_from(medium.len()).unwrap()];
    medium.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The disk of a document that needs no temporary files.
fn medium(spec: &Spec) -> Arc<dyn SectorSource> {
    let inputs = Inputs::resolve(spec, None).unwrap();
    let scratch = Scratch::new(Path::new("/nowhere"), 0);
    let work = Work { threads: 1, progress: &Silent };
    let assets = Assets::default();
    let env = Env {
        assets: &assets,
        scratch: &scratch,
        time: Time::default(),
        work,
        scripts: Scripts::Refused,
    };
    let seed = Seed::new("boot", "hash");
    let given = Given { name: "boot", spec, inputs: &inputs, seed };
    Arc::clone(engine::build(&given, &env).unwrap().main())
}

fn hello() -> Vec<u8> {
    disk(json!({"message": "Hello World!"}))
}

/// The same on a disk of 1 MiB, the size of the smallest volume. SeaBIOS 1.16.2 cannot read disks
/// behind SATA or virtio that are smaller than one cylinder of 16 x 63 sectors, 516,096 bytes
/// ("could not read the boot disk"); a PC's IDE has no such limit.
fn hello_mebibyte() -> Vec<u8> {
    build(json!({
        "boot": {"sector": {"message": "Hello World!"}},
        "disk": {"size": "1Mi"},
    }))
}

/// `disk` with the only place where `from` lies holding `to`.
fn patched(mut disk: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<usize> =
        (0..disk.len() - from.len()).filter(|at| disk[*at..].starts_with(from)).collect();
    assert_eq!(places.len(), 1, "{from:02X?} lies at {places:?}");
    disk[places[0]..][..to.len()].copy_from_slice(to);
    disk
}

/// Shows the message, waits for a key, powers off; returns the serial line.
fn shows_and_powers_off(machine: Machine<'_>, disk: &[u8], line: &str) -> Vec<u8> {
    watched(Qemu::start(machine, disk), line)
}

/// The same for a machine that runs.
fn watched(mut qemu: Qemu, line: &str) -> Vec<u8> {
    let screen = qemu.wait_for_screen(line);
    assert_eq!(screen.iter().filter(|found| *found == line).count(), 1, "{screen:#?}");
    qemu.stays_on_for(Duration::from_secs(1));
    qemu.press_return();
    let (status, serial) = qemu.wait_for_off();
    assert_eq!(status.code(), Some(0));
    serial
}

// On both machines APM powers off: with `-d in_asm` the last instructions are those of SeaBIOS's
// INT 15h, AX=5307h, which writes 2000h to the PM1a control register and halts. Our own OUTs are
// not reached; `the_ports_power_off_where_apm_cannot` reaches them.

#[test]
fn hello_on_pc() {
    assert_eq!(hello().len(), 512);
    assert_eq!(shows_and_powers_off(PC, &hello(), "Hello World!"), b"Hello World!");
}

#[test]
fn hello_on_q35_behind_sata_and_virtio() {
    for bus in ["ide", "virtio"] {
        let machine = Machine { bus, ..Q35 };
        let disk = hello_mebibyte();
        assert_eq!(shows_and_powers_off(machine, &disk, "Hello World!"), b"Hello World!");
    }
}

/// The file of a published volume boots as KubeVirt boots it.
#[test]
fn a_published_volume_boots() {
    let spec = json!({"boot": {"sector": {"message": "Hello Volume"}}});
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let medium = medium(&spec);
    let volume = tempfile::tempdir().unwrap();
    let params = volume::Params { directory: volume.path(), target_hash: "0123456789abcdef" };
    volume::publish(medium, &params, &Silent).unwrap();
    let disk = fs_err::read(volume.path().join("disk.img")).unwrap();
    let machine = Machine { bus: "virtio", ..Q35 };
    assert_eq!(shows_and_powers_off(machine, &disk, "Hello Volume"), b"Hello Volume");
}

#[test]
fn hello_without_a_serial_port() {
    for machine in [PC, Q35] {
        let machine = Machine { serial: false, ..machine };
        assert_eq!(shows_and_powers_off(machine, &hello_mebibyte(), "Hello World!"), b"");
    }
}

#[test]
fn line_breaks_return_the_carriage() {
    let disk = disk(json!({"message": "first\n  second\n"}));
    let mut qemu = Qemu::start(PC, &disk);
    let screen = qemu.wait_for_screen("  second");
    // The program cleared what the firmware had shown.
    assert_eq!(screen[..3], ["first", "  second", ""]);
    qemu.wait_for_serial(17);
    qemu.press_return();
    assert_eq!(qemu.wait_for_off().1, b"first\r\n  second\r\n");
}

#[test]
fn the_longest_message_scrolls_nothing_away() {
    let says = vmimage::engine::bootloader::sector::assemble(
        &"x".repeat(512),
        vmimage::engine::bootloader::sector::Front::Bare,
    )
    .unwrap_err();
    let says = says.to_string();
    let room: usize = says.rsplit(' ').next().unwrap().parse().unwrap();
    let message: String = ('!'..='~').cycle().take(room).collect();
    let mut qemu = Qemu::start(PC, &disk(json!({"message": message})));
    qemu.wait_for_serial(room);
    assert_eq!(qemu.screen().concat(), message);
    qemu.press_return();
    assert_eq!(qemu.wait_for_off().1, message.as_bytes());
}

/// The same disk with its program zeroed: neither the firmware nor this test says the message.
#[test]
fn nothing_is_said_without_the_program() {
    let mut disk = hello();
    let message = disk.windows(12).position(|w| w == b"Hello World!").unwrap();
    disk[..message].fill(0);
    let mut qemu = Qemu::start(PC, &disk);
    qemu.wait_for_screen("Booting from Hard Disk");
    qemu.stays_on_for(Duration::from_secs(5));
    assert!(!qemu.screen().concat().contains("Hello"));
    assert_eq!(qemu.serial(), b"");
}

/// INT 14h, AH=01h of `send` replaced by code that sends, yet says "timed out" (AH bit 7): one byte
/// is tried and no more, the screen has everything, and the machine goes on to wait for the key.
#[test]
fn a_serial_port_that_times_out_is_given_up() {
    let call = [0xB4, 0x01, 0x31, 0xD2, 0xCD, 0x14]; // mov ah, 1; xor dx, dx; int 14h
    let failing = [0xBA, 0xF8, 0x03, 0xEE, 0xB4, 0x80]; // mov dx, 3F8h; out dx, al; mov ah, 80h
    let disk = patched(hello(), &call, &failing);
    assert_eq!(shows_and_powers_off(PC, &disk, "Hello World!"), b"H");
}

/// All APM calls replaced by nothing: the emulators' ports power off.
#[test]
fn the_ports_power_off_where_apm_cannot() {
    for machine in [PC, Q35] {
        let disk = without_apm(hello_mebibyte());
        assert_eq!(shows_and_powers_off(machine, &disk, "Hello World!"), b"Hello World!");
    }
}

/// Neither APM nor a port: the program sleeps for ever and does not run into its data.
#[test]
fn a_machine_that_cannot_be_powered_off_sleeps() {
    let disk = patched(without_apm(hello()), &[0xBA, 0x04, 0x06], &[0xBA, 0x80, 0x00]);
    let mut qemu = Qemu::start(PC, &disk);
    qemu.wait_for_screen("Hello World!");
    qemu.press_return();
    qemu.wait_for_halt();
    // A non-maskable interrupt wakes it for a moment; then it must sleep again.
    qemu.command("nmi");
    qemu.stays_on_for(Duration::from_secs(1));
    qemu.wait_for_halt();
    assert_eq!(qemu.serial(), b"Hello World!");
}

/// `disk` with each INT 15h replaced by two NOPs.
fn without_apm(mut disk: Vec<u8>) -> Vec<u8> {
    let calls: Vec<usize> = (0..511).filter(|at| disk[*at..].starts_with(&[0xCD, 0x15])).collect();
    assert_eq!(calls.len(), 4);
    for at in calls {
        disk[at..at + 2].copy_from_slice(&[0x90, 0x90]);
    }
    disk
}

/// Multiplies, prints the product as two digits on COM1 and powers off by QEMU's port.
const PRODUCT: [u8; 43] = [
    0xB8, 0xE3, 0x00, // mov ax, 00E3h     9600 baud, 8N1
    0x31, 0xD2, //       xor dx, dx        COM1
    0xCD, 0x14, //       int 14h
    0xB0, 0x06, //       mov al, 6
    0xB3, 0x07, //       mov bl, 7
    0xF6, 0xE3, //       mul bl
    0xD4, 0x0A, //       aam               tens in AH, ones in AL
    0x05, 0x30, 0x30, // add ax, 3030h
    0x50, //             push ax
    0x88, 0xE0, //       mov al, ah
    0xB4, 0x01, //       mov ah, 1
    0xCD, 0x14, //       int 14h
    0x58, //             pop ax
    0xB4, 0x01, //       mov ah, 1
    0xCD, 0x14, //       int 14h
    0xBA, 0x04, 0x06, // mov dx, 604h
    0xB8, 0x00, 0x20, // mov ax, 2000h
    0xEF, //             out dx, ax
    0xFA, //             cli
    0xF4, //             hlt
    0xEB, 0xFD, //       jmp to hlt
    0x55, 0xAA, //       the signature
];

/// A sector of the user's own computes: its answer is not among its bytes, and follows its operand.
#[test]
fn a_given_sector_computes() {
    let source = |bytes: &[u8]| {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
        json!({"source": {"inline": {"base64": base64}}})
    };
    let short = disk(source(&PRODUCT));
    assert_eq!((short.len(), &short[..PRODUCT.len()]), (512, &PRODUCT[..]));
    assert!(!short.windows(2).any(|w| w == b"42"));
    // 512 bytes are taken as they are.
    assert_eq!(disk(source(&short)), short);

    let five_times_seven = patched(short.clone(), &[0xB0, 0x06], &[0xB0, 0x05]);
    for (disk, product) in [(short, b"42"), (five_times_seven, b"35")] {
        let (status, serial) = Qemu::start(PC, &disk).wait_for_off();
        assert_eq!((status.code(), serial.as_slice()), (Some(0), &product[..]));
    }
}

/// The disk of `hello_mebibyte` as files of all formats that QEMU reads: what they are called, what
/// makes them, and what QEMU calls the format.
fn formats() -> Vec<(&'static str, Params, &'static str)> {
    let qcow2 = |compression| Params::Qcow2(qcow2::Params::compressed(compression));
    let vmdk = |subformat| Params::Vmdk(vmdk::Params { subformat, ..vmdk::Params::default() });
    vec![
        ("raw", Params::Raw, "raw"),
        ("qcow2", qcow2(qcow2::Compression::None), "qcow2"),
        ("qcow2 zlib", qcow2(qcow2::Compression::Zlib), "qcow2"),
        ("qcow2 zstd", qcow2(qcow2::Compression::Zstd), "qcow2"),
        ("monolithicSparse", vmdk(vmdk::Subformat::MonolithicSparse), "vmdk"),
        ("monolithicFlat", vmdk(vmdk::Subformat::MonolithicFlat), "vmdk"),
        ("streamOptimized", vmdk(vmdk::Subformat::StreamOptimized), "vmdk"),
        ("VHD", Params::Vhd(vhd::Params::default()), "vpc"),
        ("VHDX", Params::Vhdx(vhdx::Params::default()), "vhdx"),
        ("VDI", Params::Vdi(vdi::Params::default()), "vdi"),
    ]
}

#[test]
fn hello_boots_from_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let disk = ByteSource::new(hello_mebibyte());
    for (number, (name, params, qemu)) in formats().into_iter().enumerate() {
        let at = |name: &str| directory.path().join(name);
        let file = format!("disk{number}.{}", params.format());
        let sink = AtomicFile::create(&at(&file)).unwrap();
        let companion = params.companion(&file).map(|name| AtomicFile::create(&at(&name)).unwrap());
        let output = Output {
            label: Label { name: &file, id: Uuid::from_u128(1) },
            sink: &sink,
            companion: companion.as_ref().map(|file| file as &dyn PositionalSink),
        };
        let work = Work { threads: 0, progress: &Silent };
        format::write(&disk, &output, &params, &work).unwrap();
        sink.commit().unwrap();
        companion.into_iter().for_each(|file| file.commit().unwrap());
        let started = Qemu::start_file(PC, &at(&file), qemu);
        assert_eq!(watched(started, "Hello World!"), b"Hello World!", "{name}");
    }
}

/// The disks in an OVA and in boxes, taken out by GNU tar.
#[test]
fn hello_boots_from_packages() {
    let boxed =
        |provider| Form::Box(vagrant::Params { provider, machine: package::Machine::default() });
    for (name, form, disk, qemu) in [
        ("hello.ova", Form::Ova(ova::Params::new(package::Machine::default())), ".vmdk", "vmdk"),
        ("libvirt.box", boxed(vagrant::Provider::Libvirt), "box.img", "qcow2"),
        ("virtualbox.box", boxed(vagrant::Provider::VirtualBox), ".vmdk", "vmdk"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        let sink = AtomicFile::create(&path).unwrap();
        let label = Label { name, id: Uuid::from_u128(1) };
        let output = Output { label, sink: &sink, companion: None };
        let work = Work { threads: 0, progress: &Silent };
        let recipe = Recipe { form, wrap: None };
        let medium = ByteSource::new(hello_mebibyte());
        package::write(&medium, &output, &recipe, directory.path(), &work).unwrap();
        sink.commit().unwrap();
        let tar = Command::new("tar").arg("-xf").arg(&path).current_dir(directory.path()).status();
        assert!(tar.unwrap().success(), "{name}");
        let files = fs_err::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let disks: Vec<_> = files.filter(|file| file.to_str().unwrap().ends_with(disk)).collect();
        assert_eq!(disks.len(), 1, "{name}: {disks:?}");
        let started = Qemu::start_file(PC, &disks[0], qemu);
        assert_eq!(watched(started, "Hello World!"), b"Hello World!", "{name}");
    }
}
