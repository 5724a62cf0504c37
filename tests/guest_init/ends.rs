//! How an app and a machine end.

use super::machine::Plan;
use super::{APP, SUM};
use vmimage::guest::{Config, OnExit, User};

#[test]
fn an_app_that_ends_restarts_the_machine() {
    let plan = Plan::new(APP).with("-nic none");
    let mut machine = plan.start();
    // The second boot of the same machine.
    let serial = machine.wait_times(SUM, 2);
    assert_eq!(serial.matches("vmimage-init: info start ").count(), 2, "{serial}");
    assert!(serial.contains("vmimage-init: info end by=reboot"), "{serial}");
}

#[test]
fn a_failing_app_is_seen_and_started_again_with_pauses() {
    let mut plan = Plan::new(
        "n=$(($(cat /run/n 2>/dev/null || echo 0) + 1)); echo $n >/run/n\n\
        echo \"app: run $((n * 111))\"\n[ $n = 1 ] && exit 3\n[ $n = 2 ] && kill -SEGV $$\nexit 0\n",
    );
    plan = plan.with("-nic none");
    plan.config.on_exit = OnExit::Restart;
    let serial = plan.start().wait("app: run 333");
    let expected = [
        "app: run 111",
        "vmimage-init: error app-exit code=3",
        "vmimage-init: info restart in-ms=1000",
        "app: run 222",
        "vmimage-init: error app-exit signal=11",
        "vmimage-init: info restart in-ms=2000",
        "app: run 333",
    ];
    let mut rest = serial.as_str();
    for line in expected {
        let at = rest.find(line).unwrap_or_else(|| panic!("no {line} in order: {serial}"));
        rest = &rest[at..];
    }
}

#[test]
fn an_app_that_does_not_stop_is_killed() {
    let mut plan = Plan::new(
        "trap 'echo \"app: no $((6 * 7))\"' TERM\necho \"app: stays $((3 * 5))\"\n\
         while :; do busybox sleep 1; done\n",
    );
    plan = plan.with("-nic none -no-reboot");
    plan.config.stop_wait = 2;
    let mut machine = plan.start();
    machine.wait("app: stays 15");
    machine.command("system_powerdown");
    let (status, serial) = machine.off();
    assert!(status.success(), "{serial}");
    assert!(serial.contains("app: no 42"), "{serial}");
    assert!(serial.contains("warn app-killed after-s=2"), "{serial}");
    assert!(serial.contains("error app-exit signal=9"), "{serial}");
    assert!(serial.contains("info end by=power-off"), "{serial}");
}

#[test]
fn the_app_runs_as_told_and_orphans_are_reaped() {
    let mut plan = Plan::new(
        "echo \"app: user $(($(busybox id -u) * 2)) group $(($(busybox id -g) * 2)) in $PWD\"\n\
         echo \"app: $# arguments, second <$2>, $A, $B, $C\"\n\
         (busybox sh -c 'busybox sh -c \"exit 0\" &' )\nbusybox sleep 1\n\
         echo \"app: zombies $(busybox ps -o stat | busybox grep -c Z)\"\n",
    );
    plan = plan.with("-nic none -no-reboot");
    plan = plan.with("-fw_cfg name=opt/vmimage/env,string=B=from-fw-cfg");
    plan.config.user = User { uid: 1000, gid: 100 };
    plan.config.directory = "/run".into();
    plan.config.arg = vec!["one".into(), "two words".into()];
    plan.config.env = vec!["A=from file".into()];
    plan.config_text = "nonsense 5\nstop-wait soon\n".into();
    plan.command_line = "vmimage.arg=\"three words\" vmimage.env=C=from-line vmimage.odd=1".into();
    let (_, serial) = plan.start().off();
    assert!(serial.contains("app: user 2000 group 200 in /run"), "{serial}");
    let said = "app: 3 arguments, second <two words>, from file, from-fw-cfg, from-line";
    assert!(serial.contains(said), "{serial}");
    assert!(serial.contains("app: zombies 0"), "{serial}");
    let lines = plan.config.to_text().lines().count();
    let unknown = format!("\"line {}: nonsense: there is no such key\"", lines + 1);
    assert!(serial.contains(&unknown), "{serial}");
    assert!(serial.contains("stop-wait: found \\\"soon\\\", allowed is a number"), "{serial}");
    assert!(serial.contains("error command-line word=vmimage.odd"), "{serial}");
    assert!(serial.contains("info fw-cfg key=env"), "{serial}");
    assert_eq!(Config::parse(&plan.config.to_text()).unwrap(), plan.config);
}

#[test]
fn ctrl_alt_del_restarts_in_order() {
    let plan = Plan::new(
        "trap 'echo \"app: stops $((6 * 7))\"; exit 0' TERM\necho \"app: waits $((3 * 5))\"\n\
         busybox sleep 1000 & wait\n",
    );
    let mut machine = plan.with("-nic none -no-reboot").start();
    machine.wait("app: waits 15");
    machine.command("sendkey ctrl-alt-delete");
    let (_, serial) = machine.off();
    assert!(serial.contains("info stop why=ctrl-alt-del end=reboot"), "{serial}");
    assert!(serial.contains("app: stops 42"), "{serial}");
    assert!(serial.contains("info end by=reboot"), "{serial}");
}
