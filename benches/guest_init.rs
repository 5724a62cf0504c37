//! The guest's init: from its first instruction to the start of the app, and its memory, in machines
//! whose network answers at once and in machines without one.
//!
//! ```text
//! cargo bench --bench guest_init
//! ```
//!
//! Asserts no time. Invariant: the figures are those that init itself prints with `ready`; without KVM
//! the machine is emulated, and all times are longer than on a processor.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "../tests/guest_init/machine.rs"]
mod machine;
#[expect(dead_code, reason = "what tests use")]
#[path = "../tests/support/running.rs"]
mod running;

use machine::{Plan, parts, value};
use vmimage::guest::OnExit;

/// How often each machine is started.
const TIMES: usize = 7;

/// Computes, so that what ran was the app.
const APP: &str = "echo \"app: sum $((12345 * 6789))\"\n";
const SUM: &str = "app: sum 83810205";

fn main() {
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let program = fs_err::metadata(&parts().0).unwrap().len();
    println!("vmimage-init has {program} bytes.\n");
    println!(
        "| machine | init to app, without modules | loading modules | power on to app | resident |\n\
         |---|---|---|---|---|"
    );
    for (name, network) in [("DHCP answers at once", true), ("no network", false)] {
        let mut figures: Vec<[u64; 4]> = (0..TIMES).map(|_| start(network)).collect();
        figures.sort_unstable();
        let middle = |at: usize| {
            let mut one: Vec<u64> = figures.iter().map(|figures| figures[at]).collect();
            one.sort_unstable();
            one[TIMES / 2]
        };
        let most = figures.iter().map(|figures| figures[3]).max().unwrap();
        println!(
            "| {name} | {} ms (least {} ms) | {} ms | {} ms | {most} KiB |",
            middle(0),
            figures[0][0],
            middle(1),
            middle(2)
        );
    }
}

/// One machine: milliseconds of init's own, of modules, since power on, and KiB.
fn start(network: bool) -> [u64; 4] {
    let mut plan = Plan::new(APP).with("-no-reboot");
    // A time server on the network of QEMU would be one of the internet.
    plan.config.sntp = false;
    plan.config.on_exit = OnExit::PowerOff;
    plan = if network { plan.network() } else { plan.with("-nic none") };
    let (_, serial) = plan.start().off();
    assert!(serial.contains(SUM), "{serial}");
    let number = |key: &str| value(&serial, "info ready", key).parse::<u64>().unwrap();
    let (all, modules) = (number("ms"), number("modules-ms"));
    [all.saturating_sub(modules), modules, number("uptime-ms"), number("rss-kib")]
}
