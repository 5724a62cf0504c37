//! A real registry of the Debian package docker-registry, with one user or none.
//!
//! Pushes and pulls nothing. Invariant: it ends with the test.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use fs_err as fs;

/// A registry that runs.
pub(crate) struct Served {
    process: Child,
    pub(crate) host: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Served {
    /// Starts it where this machine alone reaches it.
    pub(crate) fn start(
        directory: &Path,
        user: Option<(&str, &str)>,
        tls: Option<(&str, &str)>,
    ) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::at(&format!("127.0.0.1:{port}"), directory, user, tls)
    }

    /// Starts it at this address and port with its data in `directory`, and what was asked of it in
    /// the file `access.log` there; `tls` names a certificate and its key there.
    pub(crate) fn at(
        host: &str,
        directory: &Path,
        user: Option<(&str, &str)>,
        tls: Option<(&str, &str)>,
    ) -> Self {
        let at = |name: &str| directory.join(name).display().to_string();
        let auth = user.map_or_else(String::new, |(name, password)| {
            let users = Command::new("htpasswd").args(["-bBnC", "4", name, password]).output();
            let users = users.expect("htpasswd (package apache2-utils)").stdout;
            fs::write(at("users"), users).unwrap();
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", at("users"))
        });
        let tls = tls.map_or_else(String::new, |(certificate, key)| {
            format!(", tls: {{certificate: {}, key: {}}}", at(certificate), at(key))
        });
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"{host}\"{tls}}}\n{auth}",
            at("data")
        );
        fs::write(at("config.yml"), config).unwrap();
        // One that is started again goes on with its log.
        let log = fs::OpenOptions::new().create(true).append(true).open(at("access.log")).unwrap();
        let process = Command::new("docker-registry")
            .args(["serve", &at("config.yml")])
            .stdout(log.into_file())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry (package docker-registry)");
        for _ in 0..100 {
            if TcpStream::connect(host).is_ok() {
                break;
            }
            sleep(Duration::from_millis(100));
        }
        Self { process, host: host.to_owned() }
    }
}
