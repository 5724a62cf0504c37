//! Pulling from a real registry with passwords and its own authority, and from one that lies.
//!
//! Invariant: what is pulled is compared with what curl pushed.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use fs_err as fs;
use vmimage::engine::base::{Error, Kind, Scratch, Silent};
use vmimage::fetch::Rules;
use vmimage::oci::{Credentials, DockerConfig, Reference, Registry};

use crate::docker::Served;
use crate::server::{self, Request, Server, Stream, answer};
use crate::{body, client_with, rules, sha};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry with TLS and one user.
struct Real {
    served: Served,
    directory: tempfile::TempDir,
}

impl Real {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        server::certificates(directory.path());
        let keys = Some(("server.pem", "server.key"));
        let served = Served::start(directory.path(), Some(("user", "pass:word")), keys);
        Self { served, directory }
    }

    fn curl(&self, args: &[&str]) -> String {
        let ca = self.directory.path().join("ca.pem");
        let done = Command::new("curl")
            .args(["-sSf", "--http1.1", "-i", "-u", "user:pass:word", "--cacert"])
            .arg(ca)
            .args(args)
            .output()
            .expect("curl");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Pushes `bytes` as a blob and as the manifest of `tag`, by curl.
    fn push(&self, repository: &str, tag: &str, blob: &[u8], manifest: &[u8]) {
        let file = self.directory.path().join("push");
        let data = format!("@{}", file.display());
        let url = format!("https://{}/v2/{repository}", self.served.host);
        fs::write(&file, blob).unwrap();
        let head = self.curl(&["-X", "POST", &format!("{url}/blobs/uploads/")]);
        let place = head.lines().find_map(|l| l.strip_prefix("Location: ")).unwrap().trim();
        let place = format!("{place}&digest={}", sha(blob));
        let kind = "Content-Type: application/octet-stream";
        self.curl(&["-X", "PUT", "-H", kind, "--data-binary", &data, &place]);
        fs::write(&file, manifest).unwrap();
        let kind = format!("Content-Type: {MANIFEST}");
        let place = format!("{url}/manifests/{tag}");
        self.curl(&["-X", "PUT", "-H", &kind, "--data-binary", &data, &place]);
    }
}

fn manifest(blob: &[u8]) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{0}","size":{1}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{0}","size":{1}}}]}}"#,
        sha(blob),
        blob.len()
    )
}

fn credentials(host: &str, auth: &str) -> Option<Credentials> {
    let config = format!(r#"{{"auths": {{"{host}": {auth}}}}}"#);
    let config = DockerConfig::parse(config.as_bytes(), "config.json").unwrap();
    config.credentials(&format!("{host}/team/image").parse().unwrap()).unwrap()
}

fn pull(registry: &Registry, digest: &str, len: u64, directory: &Path) -> Result<Vec<u8>, Error> {
    let scratch = Scratch::new(directory, 8 << 20);
    let source = registry.blob(digest, len, &scratch, &Silent)?;
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_real_registry_with_passwords_and_its_own_authority() {
    let real = Real::start();
    let blob = body();
    let text = manifest(&blob);
    real.push("team/image", "v1", &blob, text.as_bytes());
    let ca = fs::read(real.directory.path().join("ca.pem")).unwrap();
    let client = client_with(rules(), vec![ca]);
    let image: Reference = format!("{}/team/image:v1", real.served.host).parse().unwrap();
    // printf 'user:pass:word' | base64
    let good = credentials(&real.served.host, r#"{"auth": "dXNlcjpwYXNzOndvcmQ="}"#);
    let registry = Registry::new(&image, &client, good.clone(), false);
    for selector in ["v1", &sha(text.as_bytes())] {
        let found = registry.manifest(selector, &Silent).unwrap();
        assert_eq!((found.bytes, found.digest), (text.clone().into_bytes(), sha(text.as_bytes())));
        assert_eq!(found.media_type, MANIFEST);
    }
    // A blob alone, too, with a fresh connection.
    let directory = real.directory.path();
    let len = blob.len() as u64;
    for registry in [registry, Registry::new(&image, &client, good.clone(), false)] {
        assert!(pull(&registry, &sha(&blob), len, directory).unwrap() == blob);
    }
    let fails = |registry: &Registry, selector: &str, wanted: &str| {
        let error = registry.manifest(selector, &Silent).unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
    };
    let registry = |credentials| Registry::new(&image, &client, credentials, false);
    fails(&registry(good.clone()), "v2", "/v2/team/image/manifests/v2 answered 404");
    fails(&registry(good.clone()), &sha(b"other"), "answered 404");
    fails(&registry(None), "v1", "wants a name and a password, none are given");
    let bad = credentials(&real.served.host, r#"{"username": "user", "password": "canary"}"#);
    fails(&registry(bad), "v1", "answered 401");
    let error = pull(&registry(good), &sha(&blob), 17, directory).unwrap_err();
    assert!(error.to_string().contains("has 3000001 bytes, 17 are allowed"), "{error}");
    let stranger = Registry::new(&image, &client_with(rules(), Vec::new()), None, false);
    fails(&stranger, "v1", "UnknownIssuer");
}

/// A registry and its token server in one.
fn with_tokens(
    request: &Request,
    out: &mut dyn Stream,
    issued: &AtomicUsize,
) -> std::io::Result<()> {
    let host = request.header("host").unwrap();
    let given = request.header("authorization").unwrap_or_default().to_owned();
    let path = request.path.as_str();
    if path.starts_with("/token?") {
        // printf 'user:pass' | base64
        if given != "Basic dXNlcjpwYXNz" {
            return answer(out, "401 Unauthorized", "", b"");
        }
        let number = issued.fetch_add(1, Ordering::Relaxed);
        let token = format!(r#"{{"token": "t{number}", "expires_in": 300}}"#);
        return answer(out, "200 OK", "", token.as_bytes());
    }
    let newest = issued.load(Ordering::Relaxed).checked_sub(1);
    if newest.is_none_or(|newest| given != format!("Bearer t{newest}")) {
        let head = format!(
            "WWW-Authenticate: Bearer realm=\"http://{host}/token?x=y\",service=\"a b\",scope=\"z\"\r\n"
        );
        return answer(out, "401 Unauthorized", &head, b"{}");
    }
    match path {
        "/v2/a/b/manifests/good" => answer(out, "200 OK", "Content-Type: x/y; z\r\n", b"{}"),
        "/v2/a/b/manifests/endless" => loop {
            if request.earlier == 0 {
                write!(out, "HTTP/1.1 200 OK\r\n\r\n")?;
            }
            out.write_all(&[b' '; 65536])?;
        },
        path if path.contains("/manifests/sha256:") => answer(out, "200 OK", "", b"{\"other\":1}"),
        path if path.contains("/blobs/") => answer(out, "200 OK", "", b"other bytes"),
        _ => answer(out, "404 Not Found", "", b""),
    }
}

#[test]
fn tokens_are_fetched_and_lies_are_noticed() {
    let issued = AtomicUsize::new(0);
    let server = Server::start(move |request, out| with_tokens(request, out, &issued));
    let host = server.url.strip_prefix("http://").unwrap();
    let image: Reference = format!("{host}/a/b").parse().unwrap();
    let client = client_with(rules(), Vec::new());
    let user = Credentials { user: "user".to_owned(), password: "pass".to_owned() };
    let registry = Registry::new(&image, &client, Some(user), true);
    let found = registry.manifest("good", &Silent).unwrap();
    assert_eq!((found.media_type.as_str(), &*found.bytes), ("x/y", &b"{}"[..]));
    registry.manifest("good", &Silent).unwrap();
    let scope = "/token?x=y&service=a%20b&scope=repository%3Aa%2Fb%3Apull";
    assert_eq!(server.seen(scope).len(), 1, "one token suffices");
    let directory = tempfile::tempdir().unwrap();
    let digest = sha(b"wanted bytes");
    let error = registry.manifest(&digest, &Silent).unwrap_err().to_string();
    assert!(error.contains(&format!("has digest {}", sha(b"{\"other\":1}"))), "{error}");
    let error = pull(&registry, &digest, 11, directory.path()).unwrap_err().to_string();
    assert!(error.contains(&format!("has digest {}", sha(b"other bytes"))), "{error}");
    let error = registry.manifest("endless", &Silent).unwrap_err().to_string();
    assert!(error.contains("more bytes than the 4194304"), "{error}");
    for selector in ["sha256:12", "md5:00", "sha256:../../x"] {
        let error = registry.manifest(selector, &Silent).unwrap_err().to_string();
        assert!(error.contains("is no digest"), "{error}");
    }
    // Without an own word of the operator nothing is sent in the clear.
    let strict = client_with(Rules { plain_http: false, ..rules() }, Vec::new());
    let error = Registry::new(&image, &strict, None, true).manifest("good", &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("--allow-source-http"), "{error}");
}

/// A registry with TLS that names a token server without.
#[test]
fn a_password_is_not_sent_in_the_clear() {
    let directory = tempfile::tempdir().unwrap();
    server::certificates(directory.path());
    let listener = Server::start(|_, out| answer(out, "200 OK", "", b"{\"token\":\"t\"}"));
    let realm = listener.at("/token");
    let server = Server::start_tls(directory.path(), move |_, out| {
        let head = format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n");
        answer(out, "401 Unauthorized", &head, b"")
    });
    let ca = fs::read(directory.path().join("ca.pem")).unwrap();
    let image: Reference =
        format!("{}/a", server.url.strip_prefix("https://").unwrap()).parse().unwrap();
    let user = Credentials { user: "user".to_owned(), password: "pass".to_owned() };
    let registry = Registry::new(&image, &client_with(rules(), vec![ca]), Some(user), false);
    let error = registry.manifest("latest", &Silent).unwrap_err().to_string();
    assert!(error.contains("for a token, which is not https"), "{error}");
    assert!(
        listener.seen("/token").is_empty()
            && listener.seen("/token?scope=repository%3Aa%3Apull").is_empty()
    );
}
