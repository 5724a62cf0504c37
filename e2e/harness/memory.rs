//! Uses up the memory of a build container, so that the kernel kills the builder for its limit.
//!
//! The builder itself is content with less than a container takes to start: no limit that is low
//! enough for it lets it start. Invariant: what fills the memory is bounded by that very limit.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::wait::until;

/// Time for the runtime to hear of the want of memory.
const TOLD: Duration = Duration::from_secs(1);

/// Uses up the memory of the build container of the pod with this UID, as soon as it runs, twice: at
/// first the kernel takes what uses it up, then the builder. The runtime is told of want of memory
/// and of the end of a process on two ways, and what comes first is the pod's reason: so that it can
/// be relied on, the want of memory comes well before the end.
pub(crate) async fn use_up_memory(pod: &str) {
    let (builder, cgroup) = until(&format!("the builder's process in pod {pod}"), async || {
        builder(pod).ok_or_else(|| "no process".to_owned())
    })
    .await;
    // It must not come to its end before its memory does. The kernel ends a stopped process, too.
    let pid = builder.file_name().unwrap();
    assert!(Command::new("kill").arg("-STOP").arg(pid).status().unwrap().success());
    fill(&cgroup, 1000);
    tokio::time::sleep(TOLD).await;
    // Of all processes in the group the kernel is to take the builder first. (To spare the other one
    // instead takes a capability that root may not have in a container.)
    fs_err::write(builder.join("oom_score_adj"), "1000").unwrap();
    fill(&cgroup, 0);
}

/// Fills the memory of the group by processes with this score, until the kernel ends them.
fn fill(cgroup: &Path, score: u16) {
    // `tail` keeps all that it reads until a line ends. Two, so that neither comes to hold the whole
    // limit: that is what a score of 1000 counts for.
    let script = "echo $1 >/proc/self/oom_score_adj && echo $$ >\"$0/cgroup.procs\" &&
        { tail /dev/zero & exec tail /dev/zero; }";
    let mut shell = Command::new("sh");
    let status = shell.args(["-c", script]).arg(cgroup).arg(score.to_string()).status().unwrap();
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
