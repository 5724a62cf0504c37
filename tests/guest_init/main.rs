//! The guest's init in real machines: QEMU, Debian's cloud kernel, an app that computes.
//!
//! Judges what stands on the serial line and what QEMU did. Invariant: no test expects a text that
//! lies in the image as it is; every one waits for a number that the app works out.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "../support/running.rs"]
mod running;

mod ends;
mod machine;
mod media;
mod network;
mod server;

use machine::{Plan, parts, value};
use vmimage::guest::OnExit;

/// 12345 · 6789, which stands nowhere in the image.
const APP: &str = "echo \"app: sum $((12345 * 6789))\"\n";
const SUM: &str = "app: sum 83810205";

#[test]
fn an_app_starts_without_a_network_and_its_zeroed_image_does_not() {
    let mut plan = Plan::new(APP).with("-nic none -no-reboot");
    plan.config.on_exit = OnExit::PowerOff;
    let (status, serial) = plan.start().off();
    assert!(status.success() && serial.contains(SUM), "{serial}");
    assert!(serial.contains("vmimage-init: info app-exit code=0"), "{serial}");
    assert!(serial.contains("vmimage-init: info end by=power-off\n"), "{serial}");
    let kib: u32 = value(&serial, "info ready", "rss-kib").parse().unwrap();
    println!(
        "without a network: ready after {} ms, {} ms since power on, modules {} ms, {kib} KiB",
        value(&serial, "info ready", "ms"),
        value(&serial, "info ready", "uptime-ms"),
        value(&serial, "info ready", "modules-ms"),
    );
    assert!(kib <= 2048, "{serial}");
    // The same machine with zeros for the payload: nothing is computed, and the console says so.
    plan.zeroed = true;
    let (_, serial) = plan.start().off();
    assert!(!serial.contains("83810205"), "{serial}");
    assert!(serial.contains("vmimage-init: error app-start app=/app error="), "{serial}");
}

#[test]
fn the_program_is_small_static_and_knows_no_directory() {
    let program = fs_err::read(&parts().0).unwrap();
    println!("vmimage-init: {} bytes", program.len());
    // Where Rust has no musl, this machine's own C library is linked: see e2e/init/build.
    let musl = parts().0.to_string_lossy().contains("-unknown-linux-musl/");
    let most = if musl { 1 << 20 } else { 2 << 20 };
    assert!(program.len() < most, "musl: {musl}");
    // No PT_INTERP (3) among the program headers of this ELF64 file.
    let number = |at: usize, length: usize| {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&program[at..at + length]);
        u64::from_le_bytes(bytes) as usize
    };
    let (headers, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    assert!((0..count).all(|header| number(headers + header * size, 4) != 3));
    let root = env!("CARGO_MANIFEST_DIR").as_bytes();
    assert!(!program.windows(root.len()).any(|window| window == root));
}
