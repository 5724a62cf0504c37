//! `vmimage-init`: the first process of a small virtual machine.
//!
//! Loads modules, mounts, finds disks, gets addresses and the time, runs one app and ends the
//! machine in order. No threads, no async: one loop over `poll`. Invariant: it never ends by
//! itself; every way out goes through `power::end` or into the root filesystem's own init.

#[path = "../../src/guest/mod.rs"]
#[expect(unreachable_pub, unused_imports, reason = "written for the library, which exports it")]
#[cfg_attr(not(test), expect(dead_code, reason = "the engine writes, the init only reads"))]
mod guest;

mod app;
mod clock;
mod console;
mod dhcp;
mod disks;
mod grow;
mod hosts;
mod log;
mod modules;
mod mounts;
mod net;
mod power;
mod root;
mod run;
mod seed;
mod settings;
mod sntp;
mod stop;
mod superblock;
mod sys;
mod table;
mod timesync;

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        log::error("panic", &[("what", &panic.to_string().replace('\n', " "))]);
        power::end(power::End::Reboot);
    }));
    run::main();
}
