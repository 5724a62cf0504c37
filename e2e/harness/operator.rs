//! The operator: in the cluster as the chart installs it, or as a child process that can be killed.
//!
//! Invariant: a child runs with the Deployment's own flags and its ServiceAccount's rights, is
//! killed by the pid it was started with, and the Deployment runs again when the child is dropped.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::host::kubectl;
use super::wait::until;

const SYSTEM: &str = "vmimage-system";
const NAME: &str = "vmimage-operator";
const PORT: u16 = 18_080;

/// The Deployment.
fn deployment() -> Value {
    let text = kubectl(&["-n", SYSTEM, "get", "deploy", NAME, "-o", "json"]);
    serde_json::from_str(&text).unwrap()
}

/// Arguments and environment of the operator as it is installed.
pub(crate) fn requests_of_deployment() -> (Vec<String>, Vec<(String, String)>) {
    let deployment = deployment();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let texts = |value: &Value| {
        let all = value.as_array().cloned().unwrap_or_default();
        all.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let pair = |entry: &Value| {
        let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        (field("name"), field("value"))
    };
    let env = container["env"].as_array().cloned().unwrap_or_default();
    (texts(&container["args"]), env.iter().map(pair).collect())
}

/// Scales the operator in the cluster and waits until its pods are as many.
pub(crate) async fn scale(replicas: u32) {
    let count = format!("--replicas={replicas}");
    kubectl(&["-n", SYSTEM, "scale", "deploy", NAME, &count]);
    until(&format!("{replicas} ready operators in the cluster"), async || {
        let selector = "-lapp.kubernetes.io/name=vmimage-operator";
        let list = kubectl(&["-n", SYSTEM, "get", "pod", selector, "-o", "json"]);
        let pods: Value = serde_json::from_str(&list).unwrap();
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let ready = |pod: &&Value| {
            pod["status"]["containerStatuses"][0]["ready"] == json!(true)
                && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let (all, ready) = (pods.len(), pods.iter().filter(ready).count());
        let wanted = usize::try_from(replicas).unwrap();
        if all == wanted && ready == wanted { Ok(()) } else { Err(format!("{ready} of {all}")) }
    })
    .await;
}

/// The metrics of the operator in the cluster.
pub(crate) fn in_cluster() -> String {
    let service = format!("/api/v1/namespaces/{SYSTEM}/services/{NAME}:http/proxy/metrics");
    kubectl(&["get", "--raw", &service])
}

/// All samples of a metric.
pub(crate) fn metrics<'a>(text: &'a str, name: &str) -> Vec<(&'a str, f64)> {
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (sample, value) = line.rsplit_once(' ')?;
        Some((sample, value.parse().ok()?))
    });
    samples.filter(|(sample, _)| sample.split('{').next() == Some(name)).collect()
}

/// The sum of a metric's samples whose labels contain `labels`.
pub(crate) fn metric(text: &str, name: &str, labels: &str) -> f64 {
    let samples = metrics(text, name);
    assert!(!samples.is_empty(), "expected the metric {name}; seen:\n{text}");
    samples.iter().filter(|(sample, _)| sample.contains(labels)).map(|(_, value)| value).sum()
}

/// The operator as a child process.
pub(crate) struct Operator {
    child: Child,
    log: std::path::PathBuf,
    /// Holds kubeconfig and log.
    directory: tempfile::TempDir,
}

impl Operator {
    /// Stops the operator in the cluster and starts one here, with `more` arguments.
    pub(crate) async fn here(more: &[&str]) -> Self {
        scale(0).await;
        Self::start(more, &Self::kubeconfig(SYSTEM, NAME))
    }

    /// A kubeconfig with a token of this ServiceAccount, and nothing else.
    pub(crate) fn kubeconfig(namespace: &str, account: &str) -> String {
        let text = kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]);
        let mut config: Value = serde_json::from_str(&text).unwrap();
        let token = kubectl(&["-n", namespace, "create", "token", account, "--duration=2h"]);
        config["users"][0]["user"] = json!({"token": token.trim()});
        config.to_string()
    }

    /// Starts an operator; the one in the cluster is left as it is.
    pub(crate) fn start(more: &[&str], kubeconfig: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (config, log) = (directory.path().join("kubeconfig"), directory.path().join("log"));
        fs_err::write(&config, kubeconfig).unwrap();
        let (args, env) = requests_of_deployment();
        let listen = format!("--listen=127.0.0.1:{PORT}");
        let other = |arg: &&String| !arg.starts_with("--listen");
        let child = Command::new(env!("CARGO_BIN_EXE_vmimage-operator"))
            .args(args.iter().filter(other))
            .arg(listen)
            .args(more)
            .envs(env)
            .env("KUBECONFIG", config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs_err::File::create(&log).unwrap().into_parts().0)
            .spawn()
            .unwrap();
        Self { child, log, directory }
    }

    /// Kills it with SIGKILL, by the pid it was started with.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, as it was.
    pub(crate) fn again(&mut self, more: &[&str]) {
        let config = fs_err::read_to_string(self.directory.path().join("kubeconfig")).unwrap();
        *self = Self::start(more, &config);
    }

    /// Asks it to end, and says how it ended and how long that took.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, start.elapsed());
            }
            assert!(start.elapsed() < Duration::from_secs(30), "expected an end after SIGTERM");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs_err::read_to_string(&self.log).unwrap_or_default()
    }

    /// Status code and body of a path that it serves; nothing if it does not listen.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", PORT)).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        Some((code, body.unwrap_or_default()))
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn is_ready(&self) {
        until("/readyz of the operator answers 200", async || match self.get("/readyz") {
            Some((200, _)) => Ok(()),
            other => Err(format!("{other:?}\n{}", self.log())),
        })
        .await;
    }

    /// Ends it and lets the one in the cluster go on.
    pub(crate) async fn leave(mut self) {
        self.kill();
        scale(1).await;
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // After a failed case it still runs: its log explains more than anything else.
        if matches!(self.child.try_wait(), Ok(None)) {
            let killed = self.child.kill().and_then(|()| self.child.wait());
            eprintln!("──── log of the operator here ({killed:?})\n{}", self.log());
        }
        if std::thread::panicking() {
            kubectl(&["-n", SYSTEM, "scale", "deploy", NAME, "--replicas=1"]);
        }
    }
}
