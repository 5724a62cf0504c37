//! A real registry on the node, as build pods and the cluster's containerd reach it, and what foreign
//! tools pull from it.
//!
//! Pushes nothing. Invariants: it ends with its case; what was pulled has the digests that
//! `sha256sum` prints of the very files.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fs_err as fs;
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "../../tests/support/registry.rs"]
#[expect(dead_code, reason = "other programs start it for their own machine alone")]
mod docker;

use self::docker::Served;
use super::host::{kubectl, run, sha256sum};
use super::objects::text;

const USER: &str = "user";
/// The right password.
pub(crate) const PASSWORD: &str = "swordfish-5d1e";

/// An authority of its own, and a certificate for one address.
const CERTIFICATES: &str = r#"
    key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1.key; }
    key ca; key server
    openssl req -x509 -key ca.key -subj /CN=e2e -days 2 -out ca.crt
    openssl req -new -key server.key -subj /CN=registry -out server.csr
    echo "subjectAltName=IP:$1" > names
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
        -extfile names -out server.crt
"#;

/// Who may come in, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Anyone, over http.
    Open,
    /// Who knows the password, over http.
    Password,
    /// Who knows the password, over TLS with an authority of its own.
    Secured,
}

/// docker-registry.
pub(crate) struct Registry {
    served: Option<Served>,
    door: Door,
    node: String,
    host: String,
    directory: TempDir,
}

/// The node's address.
pub(crate) fn node() -> String {
    let template = "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
    kubectl(&["get", "node", "-o", template])
}

impl Registry {
    pub(crate) fn start(door: Door) -> Self {
        let (node, directory) = (node(), tempfile::tempdir().unwrap());
        if door == Door::Secured {
            let script = format!("cd \"$0\"; {CERTIFICATES}");
            run("bash", &["-euc", &script, path(directory.path()), &node]);
        }
        let port = TcpListener::bind((&*node, 0)).unwrap().local_addr().unwrap().port();
        let host = format!("{node}:{port}");
        let mut registry = Self { served: None, door, node, host, directory };
        registry.again();
        registry
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.served = None;
    }

    /// Starts it again, with all that it had, at the same place.
    pub(crate) fn again(&mut self) {
        let user = (self.door != Door::Open).then_some((USER, PASSWORD));
        let tls = (self.door == Door::Secured).then_some(("server.crt", "server.key"));
        self.served = Some(Served::at(&self.host, self.directory.path(), user, tls));
    }

    /// Address and port.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The operator's flag without which no build reaches it.
    pub(crate) fn allowed(&self) -> String {
        format!("--allow-source-cidr={}/32", self.node)
    }

    /// The file of its authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// Docker's configuration with this password.
    pub(crate) fn config(&self, password: &str) -> String {
        let auth = STANDARD.encode(format!("{USER}:{password}"));
        json!({"auths": {&self.host: {"auth": auth}}}).to_string()
    }

    /// Secret `name` with that configuration.
    pub(crate) fn secret(&self, name: &str, password: &str) -> Value {
        json!({"metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": self.config(password)}})
    }

    /// Method and path of every request that it answered, in order.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        let log = fs::read_to_string(self.directory.path().join("access.log")).unwrap();
        let request = |line: &str| {
            let mut words = line.split('"').nth(1)?.split(' ').map(ToOwned::to_owned);
            Some((words.next()?, words.next()?))
        };
        log.lines().filter_map(request).collect()
    }

    /// A file of the registry, by curl.
    fn get(&self, place: &str, to: &Path) {
        let tls = self.door == Door::Secured;
        let url = format!("{}://{}/v2/{place}", if tls { "https" } else { "http" }, self.host);
        let (user, ca) = (format!("{USER}:{PASSWORD}"), self.ca());
        let accept = "Accept: application/vnd.oci.image.index.v1+json, \
                      application/vnd.oci.image.manifest.v1+json";
        let mut args = vec!["-sSf", "-H", accept, "-o", path(to)];
        if tls {
            args.extend(["--cacert", path(&ca)]);
        }
        if self.door != Door::Open {
            args.extend(["-u", &user]);
        }
        args.push(&url);
        run("curl", &args);
    }

    /// The manifest or index that a tag or digest names, and its own digest.
    pub(crate) fn manifest(&self, repository: &str, selector: &str) -> (Value, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        self.get(&format!("{repository}/manifests/{selector}"), file.path());
        (read(file.path()), sha256sum(file.path()))
    }

    /// The image that a tag names, unpacked by tar.
    pub(crate) fn pull(&self, repository: &str, tag: &str) -> Pulled {
        let directory = tempfile::tempdir().unwrap();
        let (manifest, digest) = self.manifest(repository, tag);
        let [config, layer] = ["config", "layer"].map(|name| directory.path().join(name));
        for (place, file) in [("/config", &config), ("/layers/0", &layer)] {
            let digest = text(&manifest, &format!("{place}/digest"));
            self.get(&format!("{repository}/blobs/{digest}"), file);
            assert_eq!(sha256sum(file), digest, "{place} of {repository}:{tag}");
        }
        let size = fs::metadata(&layer).unwrap().len();
        assert_eq!(text(&manifest, "/layers/0/size"), size.to_string(), "{repository}:{tag}");
        let files = directory.path().join("files");
        fs::create_dir(&files).unwrap();
        run("tar", &["-xzf", path(&layer), "-C", path(&files)]);
        let config = read(&config);
        Pulled { digest, size, config, files, _directory: directory }
    }

    /// Pulls the image into the cluster's own containerd; the digest that it knows it by.
    pub(crate) fn pull_by_containerd(&self, repository: &str, tag: &str, more: &[&str]) -> String {
        let socket = std::env::var("VMIMAGE_CLUSTER_CONTAINERD")
            .expect("VMIMAGE_CLUSTER_CONTAINERD is set by `cluster exec`");
        let ctr = ["-a", &socket, "-n", "k8s.io", "images"];
        let image = format!("{}/{repository}:{tag}", self.host);
        let (user, ca) = (format!("{USER}:{PASSWORD}"), self.ca());
        let door = match self.door {
            Door::Open => vec!["--plain-http"],
            Door::Password => vec!["--plain-http", "--user", &user],
            Door::Secured => vec!["--tlscacert", path(&ca), "--user", &user],
        };
        run("ctr", &[&ctr[..], &["pull"], &door, more, &[&image]].concat());
        let list = run("ctr", &[&ctr[..], &["list", &format!("name=={image}")]].concat());
        run("ctr", &[&ctr[..], &["remove", &image]].concat());
        let row = list.lines().find(|line| line.starts_with(&image));
        let row =
            row.unwrap_or_else(|| panic!("expected {image} among containerd's; seen: {list}"));
        row.split_whitespace().nth(2).unwrap_or_default().to_owned()
    }
}

/// An image that was pulled.
pub(crate) struct Pulled {
    /// Of the manifest.
    pub(crate) digest: String,
    /// Bytes of the layer.
    pub(crate) size: u64,
    pub(crate) config: Value,
    /// Where its files lie.
    pub(crate) files: PathBuf,
    _directory: TempDir,
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
