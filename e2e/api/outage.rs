//! The API server stops answering for a while.
//!
//! Stops and continues the server's own process; other clusters are not touched. Invariant: the
//! server is continued however the test ends.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Running, alone, create, document, hello, install, names, namespace, stands};
use crate::life::finish_build;

/// A stopped process; it is continued when this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: Pid) -> Self {
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).unwrap();
    }
}

/// The API server of the cluster that this runs in: the child of that name of its first process.
fn apiserver() -> Pid {
    let netns = std::env::var("VMIMAGE_CLUSTER_NETNS").expect("run this by `cluster exec`");
    let name = netns.strip_prefix("vmimg-").unwrap();
    let file = format!("/run/vmimage-operator/{name}/init.pid");
    let first = fs_err::read_to_string(file).unwrap().trim().to_owned();
    let children = fs_err::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
    let mut children = children.split_whitespace();
    let server = children.find(|pid| {
        let line = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"kube-apiserver\0")
    });
    Pid::from_raw(server.expect("an API server").parse().unwrap()).unwrap()
}

/// How often a Job of this namespace was made, by the audit log.
fn jobs_made(space: &str) -> usize {
    let log = std::env::var("VMIMAGE_CLUSTER_AUDIT").unwrap();
    let log = fs_err::read_to_string(log).unwrap();
    let made = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    made.filter(|entry: &serde_json::Value| {
        let object = &entry["objectRef"];
        entry["verb"] == "create"
            && object["resource"] == "jobs"
            && object["namespace"] == space
            && entry["responseStatus"]["code"] == 201
    })
    .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_seconds_without_an_api_server() {
    let (_gate, client) = alone().await;
    install(&client, &vmimage::api::crd::definition().unwrap()).await;
    let space = namespace(&client, "outage").await;
    let running = Running::start(&[]).await;
    create(&client, &space, &document("before", &hello("before"))).await;
    // In the middle of its first run.
    let stopped = Stopped::new(apiserver());
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(stopped);
    let back = Instant::now();
    create(&client, &space, &document("after", &hello("after"))).await;
    for name in ["before", "after"] {
        stands(&client, &space, name, "Building").await;
    }
    println!("both are told {} ms after the server is back", back.elapsed().as_millis());
    assert_eq!(names(&client, &space, "jobs.batch/v1").await.len(), 2);
    finish_build(&client, &space).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(jobs_made(&space), 2, "no Job was made twice");
    running.stop().await;
}
