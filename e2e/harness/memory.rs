//! Uses up the memory of a build container, so that the kernel kills the builder for its limit.
//!
//! The builder itself is content with less than a container takes to start: no limit that is low
//! enough for it lets it start. Invariant: what fills the memory is bounded by that very limit.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::wait::until;

/// Fills the memory of the running build container of the pod with this UID.
pub(crate) async fn use_up_memory(pod: &str) {
    let (builder, cgroup) = until(&format!("the builder's process in pod {pod}"), async || {
        builder(pod).ok_or_else(|| "no process".to_owned())
    })
    .await;
    // Of all processes in the group the kernel is to take the builder first. (To spare the other one
    // instead takes a capability that root may not have in a container.)
    fs_err::write(builder.join("oom_score_adj"), "1000").unwrap();
    // `tail` keeps all that it reads until a line ends.
    let script = "echo $$ >\"$0/cgroup.procs\" && exec tail /dev/zero";
    let status = Command::new("sh").args(["-c", script]).arg(&cgroup).status().unwrap();
    assert_eq!(status.signal(), Some(9), "expected that the kernel ends it; seen: {status}");
}

/// The builder's entry in `/proc` in the pod with this UID, and its memory cgroup: version 1 has one
/// hierarchy for each controller, version 2 one for all.
fn builder(pod: &str) -> Option<(PathBuf, PathBuf)> {
    let processes = fs_err::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.map(|entry| entry.path()).find_map(|process| {
        let command = fs_err::read(process.join("cmdline")).ok()?;
        if !command.starts_with(b"/vmimage\0builder\0") {
            return None;
        }
        let groups = fs_err::read_to_string(process.join("cgroup")).ok()?;
        let mut groups = groups.lines().filter(|line| line.contains(pod));
        groups.find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let root = match controllers {
                "memory" => "/sys/fs/cgroup/memory",
                "" => "/sys/fs/cgroup",
                _ => return None,
            };
            Some((process.clone(), PathBuf::from(format!("{root}{path}"))))
        })
    })
}
