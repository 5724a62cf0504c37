//! A registry that refuses, stumbles and lies.
//!
//! Invariant: each case says which kind of failure it must be, or that the push succeeds in spite of
//! it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use vmimage::engine::base::{ByteSource, Error, Kind, Progress};
use vmimage::fetch::{Rules, Times};
use vmimage::oci::{Reference, Registry};
use vmimage::publish::container::{self, File, Params};
use vmimage::publish::volume::Published;

use crate::server::{self, Request, Server, Stream, answer};
use crate::{Wanted, client, client_with, disk, registry, registry_by, sha, timed, user};

/// What the registry does in a special way.
type Fault =
    Box<dyn Fn(&Request, &mut dyn Stream, &mut State) -> Option<std::io::Result<()>> + Send>;

/// What it holds.
#[derive(Default)]
struct State {
    /// Blobs and manifests by the last part of their path.
    things: BTreeMap<String, Vec<u8>>,
    /// The upload that is under way.
    upload: Vec<u8>,
    /// Requests so far: method and path without query.
    log: Vec<String>,
}

/// A registry in memory, and what it was asked.
struct Memory {
    server: Server,
    state: Arc<Mutex<State>>,
}

/// Reads the body of a request, whose sender may wait to be asked for it.
fn body(request: &Request, out: &mut dyn Stream) -> Vec<u8> {
    let len = request.header("content-length").map_or(0, |len| len.parse().unwrap());
    if request.header("expect").is_some() {
        out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    }
    let mut body = Vec::new();
    out.take(len).read_to_end(&mut body).unwrap();
    body
}

/// Answers a request that need not be read, but for what its sender does not wait to be asked for: a
/// connection that is closed with bytes unread is reset, and the answer may be lost (RFC 9112, 9.6).
fn turn_away(
    request: &Request,
    out: &mut dyn Stream,
    status: &str,
    headers: &str,
    text: &[u8],
) -> std::io::Result<()> {
    if request.header("expect").is_none() {
        body(request, out);
    }
    answer(out, status, headers, text)
}

/// What a registry does that does what it should.
fn good(request: &Request, out: &mut dyn Stream, state: &mut State) -> std::io::Result<()> {
    let path = request.path.split('?').next().unwrap();
    let name = path.rsplit('/').next().unwrap().to_owned();
    let upload = "Location: /v2/team/disk/blobs/uploads/1?state=x\r\n";
    match request.method.as_str() {
        "HEAD" | "GET" if path.ends_with("/uploads/1") => {
            let range = format!("{upload}Range: 0-{}\r\n", state.upload.len().saturating_sub(1));
            answer(out, "204 No Content", &range, b"")
        }
        method @ ("HEAD" | "GET") => match state.things.get(&name) {
            Some(thing) => {
                let head = format!(
                    "Docker-Content-Digest: {}\r\n\
                     Content-Type: application/vnd.oci.image.manifest.v1+json\r\n",
                    sha(thing)
                );
                answer(out, "200 OK", &head, if method == "GET" { thing } else { b"" })
            }
            None => answer(out, "404 Not Found", "", b""),
        },
        "POST" => {
            assert_eq!(request.header("content-length"), Some("0"));
            state.upload.clear();
            answer(out, "202 Accepted", upload, b"")
        }
        "PATCH" => {
            let bytes = body(request, out);
            let at = request.header("content-range").map_or(0, |range| {
                let (first, last) = range.split_once('-').unwrap();
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                assert_eq!(last + 1 - first, bytes.len());
                first
            });
            assert_eq!(state.upload.len(), at, "bytes are missing or come twice");
            state.upload.extend(bytes);
            answer(out, "202 Accepted", upload, b"")
        }
        "PUT" if path.contains("/blobs/") => {
            let bytes = body(request, out);
            state.upload.extend(bytes);
            let wanted = request.path.split("digest=").nth(1).unwrap().to_owned();
            let bytes = std::mem::take(&mut state.upload);
            assert_eq!(sha(&bytes), wanted);
            state.things.insert(wanted, bytes);
            answer(out, "201 Created", "", b"")
        }
        "PUT" => {
            let bytes = body(request, out);
            let head = format!("Docker-Content-Digest: {}\r\n", sha(&bytes));
            state.things.insert(name, bytes);
            answer(out, "201 Created", &head, b"")
        }
        other => panic!("{other}"),
    }
}

impl Memory {
    fn start(fault: Fault) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let fault = Mutex::new(fault);
        let server = Server::start(move |request, out| {
            let mut state = shared.lock().unwrap();
            let path = request.path.split('?').next().unwrap();
            state.log.push(format!("{} {path}", request.method));
            let special = fault.lock().unwrap()(request, out, &mut state);
            special.unwrap_or_else(|| good(request, out, &mut state))
        });
        Self { server, state }
    }

    /// One that answers requests that begin so in this way, for the first `times`.
    fn answering(
        begin: &'static str,
        times: usize,
        reply: &'static str,
        text: &'static str,
    ) -> Self {
        let mut left = times;
        let left = move || {
            let now = left > 0;
            left = left.saturating_sub(1);
            now
        };
        let left = Mutex::new(Box::new(left) as Box<dyn FnMut() -> bool + Send>);
        Self::start(Box::new(move |request, out, _| {
            let asked = format!("{} {}", request.method, request.path);
            let now = asked.starts_with(begin) && left.lock().unwrap()();
            now.then(|| {
                if reply.is_empty() {
                    return Ok(());
                }
                turn_away(request, out, reply, "Retry-After: 0\r\n", text.as_bytes())
            })
        }))
    }

    fn host(&self) -> &str {
        self.server.url.strip_prefix("http://").unwrap()
    }

    fn push(&self) -> Result<Published, Error> {
        push(&registry(self.host(), user("pass-canary")))
    }

    fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    /// How many requests began so.
    fn count(&self, begin: &str) -> usize {
        self.log().iter().filter(|line| line.starts_with(begin)).count()
    }
}

fn push(registry: &Registry) -> Result<Published, Error> {
    Wanted::of(&["v1"]).push(&[File::new(container::RAW_DISK, disk())], registry)
}

const BLOBS: &str = "/v2/team/disk/blobs/";
const UPLOADS: &str = "POST /v2/team/disk/blobs/uploads/";

#[test]
fn a_push_is_as_short_as_it_can_be() {
    let memory = Memory::start(Box::new(|_, _, _| None));
    let first = memory.push().unwrap();
    let methods: Vec<_> =
        memory.log().iter().map(|l| l.split(' ').next().unwrap().to_owned()).collect();
    // The manifest; the layer; the configuration; the manifest by its digest; the tag.
    let wanted = "HEAD HEAD POST PATCH PUT HEAD POST PUT PUT HEAD PUT";
    assert_eq!(methods.join(" "), wanted);
    memory.state.lock().unwrap().log.clear();
    assert_eq!(memory.push().unwrap(), Published { reused: true, ..first });
    assert_eq!(memory.log().len(), 2, "{:?}", memory.log());
    assert_eq!(memory.count("HEAD "), 2);
}

#[test]
fn refusals_are_final_and_told() {
    let denied = r#"{"errors":[{"code":"DENIED","message":"no\u0007 right: dXNlcjpwYXNzLWNhbmFyeQ== pass-canary"}]}"#;
    for (begin, reply, text, wanted) in [
        ("HEAD /v2/team/disk/manifests", "403 Forbidden", "", "answered 403 Forbidden"),
        (UPLOADS, "403 Forbidden", denied, "it says DENIED: no  right: … …"),
        (
            UPLOADS,
            "404 Not Found",
            r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#,
            "; it says NAME_UNKNOWN",
        ),
        (UPLOADS, "405 Method Not Allowed", "<html>", "answered 405 Method Not Allowed"),
        (UPLOADS, "401 Unauthorized", "", "answered 401 without a challenge"),
        (UPLOADS, "202 Accepted", "", "says no place"),
        ("PATCH ", "413 Payload Too Large", "", "answered 413 Payload Too Large"),
        (
            "PUT /v2/team/disk/blobs",
            "400 Bad Request",
            r#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#,
            "it says DIGEST_INVALID: no",
        ),
        (
            "PUT /v2/team/disk/manifests",
            "400 Bad Request",
            r#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#,
            "it says MANIFEST_INVALID",
        ),
        ("PUT /v2/team/disk/manifests", "302 Found", "", "answered 302"),
        (UPLOADS, "501 Not Implemented", "", "answered 501"),
    ] {
        let memory = Memory::answering(begin, 100, reply, text);
        let error = memory.push().unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), Kind::Rejected, "{begin} {reply}: {text}");
        assert!(text.contains(wanted) && !text.contains("canary"), "{begin} {reply}: {text}");
        assert!(!text.contains("dXNlcjpwYXNz") && text.len() < 800, "{text}");
        assert_eq!(memory.count(begin.split('?').next().unwrap()), 1, "{:?}", memory.log());
    }
}

#[test]
fn what_passes_is_tried_again() {
    for (begin, reply) in [
        ("HEAD /v2/team/disk/manifests", "429 Too Many Requests"),
        ("HEAD /v2/team/disk/blobs", "502 Bad Gateway"),
        (UPLOADS, "500 Internal Server Error"),
        (UPLOADS, ""),
        ("PATCH ", "503 Service Unavailable"),
        ("PATCH ", "404 Not Found"),
        ("PATCH ", "416 Range Not Satisfiable"),
        ("PATCH ", ""),
        ("PUT /v2/team/disk/blobs", "504 Gateway Timeout"),
        ("PUT /v2/team/disk/blobs", "404 Not Found"),
        ("PUT /v2/team/disk/manifests", "520 Unknown"),
    ] {
        let memory = Memory::answering(begin, 2, reply, "");
        let published = memory.push().unwrap_or_else(|e| panic!("{begin} {reply}: {e}"));
        assert!(!published.reused);
        let state = memory.state.lock().unwrap();
        // Layer, configuration, manifest by digest and by tag.
        assert_eq!(state.things.len(), 4, "{begin} {reply}");
        assert!(state.things.contains_key(&published.digest));
        drop(state);
        let memory = Memory::answering(begin, 1000, reply, "");
        let error = memory.push().unwrap_err();
        assert_eq!(error.kind(), Kind::Io, "{begin} {reply}: {error}");
        assert!(error.to_string().contains("(tried 5 times)"), "{begin} {reply}: {error}");
    }
}

/// A connection that ends in the middle of a layer: what has arrived is not sent again.
#[test]
fn an_upload_goes_on_where_it_broke_off() {
    for cut in [1, 100_000, 2_000_000] {
        let memory = Memory::start(Box::new(move |request, out, state| {
            (request.method == "PATCH" && request.earlier == 0).then(|| {
                out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                out.take(cut).read_to_end(&mut state.upload)?;
                // A byte is told as 0-0, which also stands for none.
                state.upload.truncate(if cut == 1 { 0 } else { usize::MAX });
                Ok(())
            })
        }));
        memory.push().unwrap();
        assert_eq!(memory.count("GET /v2/team/disk/blobs/uploads/1"), 1, "{:?}", memory.log());
        // Of the layer and of the configuration.
        assert_eq!(memory.count("POST "), 2, "{cut}");
        let ranges = memory.server.seen(&format!("{BLOBS}uploads/1?state=x"));
        let ranges: Vec<_> = ranges.iter().filter_map(|r| r.header("content-range")).collect();
        assert_eq!(ranges.len(), usize::from(cut > 1));
        assert!(ranges.iter().all(|range| range.starts_with(&format!("{cut}-"))), "{ranges:?}");
    }
}

/// The answer to the last request is lost: the blob is there, and is not sent again.
#[test]
fn an_upload_whose_end_was_not_heard_of_is_done() {
    let memory = Memory::start(Box::new(|request, out, state| {
        (request.method == "PUT" && request.path.contains("/blobs/") && request.earlier == 0).then(
            || {
                good(request, &mut Lost(out), state)?;
                Ok(())
            },
        )
    }));
    memory.push().unwrap();
    assert_eq!((memory.count("POST "), memory.count("PATCH ")), (2, 1));
}

/// A stream whose answers get lost.
struct Lost<'a>(&'a mut dyn Stream);

impl std::io::Read for Lost<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::io::Write for Lost<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match bytes.starts_with(b"HTTP/1.1 100") {
            true => self.0.write(bytes),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// The one test in which a clock decides: a server that is silent for longer than a client waits.
#[test]
fn a_server_that_stops_reading_or_answering_is_left() {
    let [connect, idle, total] = [2_000, 300, 5_000].map(Duration::from_millis);
    let hasty = timed(Times { connect, idle, total }, Vec::new());
    let slow = |method: &'static str| {
        Memory::start(Box::new(move |request, out, _| {
            (request.method == method).then(|| {
                if request.header("expect").is_some() {
                    out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                sleep(Duration::from_secs(3));
                Ok(())
            })
        }))
    };
    for method in ["HEAD", "PATCH"] {
        let memory = slow(method);
        let start = Instant::now();
        let error = push(&registry_by(&hasty, memory.host(), None)).unwrap_err();
        assert_eq!(error.kind(), Kind::Io, "{method}: {error}");
        // Of the fifteen seconds and more that five tries would take it.
        assert!(start.elapsed() < Duration::from_secs(12), "{method}: {:?}", start.elapsed());
    }
}

#[test]
fn lies_are_noticed_and_answers_are_bounded() {
    let other = sha(b"other");
    let told = format!("Docker-Content-Digest: {other}\r\n");
    for (begin, status, wanted) in [
        ("HEAD /v2/team/disk/manifests/sha256", "200 OK", "is answered with the digest"),
        ("PUT /v2/team/disk/blobs", "201 Created", "and says that it is"),
        ("PUT /v2/team/disk/manifests", "201 Created", "and says that it is"),
    ] {
        let told = told.clone();
        let memory = Memory::start(Box::new(move |request, out, _| {
            let asked = format!("{} {}", request.method, request.path);
            asked.starts_with(begin).then(|| {
                body(request, out);
                answer(out, status, &told, b"")
            })
        }));
        let error = memory.push().unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected, "{error}");
        let text = error.to_string();
        assert!(text.contains(wanted) && text.contains(&other), "{text}");
    }
    // An answer without an end, to a refusal and to a question for an index.
    for (method, status) in [("POST", "403 Forbidden"), ("GET", "200 OK")] {
        let memory = Memory::start(Box::new(move |request, out, _| {
            (request.method == method).then(|| {
                write!(out, "HTTP/1.1 {status}\r\n\r\n")?;
                loop {
                    out.write_all(&[b' '; 65536])?;
                }
            })
        }));
        let registry = registry(memory.host(), None);
        let file = File::new(container::RAW_DISK, Arc::new(ByteSource::new(vec![1; 9])));
        let wanted = Wanted { index: true, ..Wanted::of(&["v1"]) };
        let error = wanted.push(&[file], &registry).unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected, "{method}: {error}");
    }
}

/// A place for the upload on another host, and a redirect there: neither gets the credentials.
#[test]
fn credentials_stay_with_the_registry() {
    for redirect in [false, true] {
        let store = Memory::start(Box::new(|request, _, state| {
            let leak = request.header("authorization").map(ToOwned::to_owned);
            state.log.extend(leak);
            None
        }));
        let place = store.server.at("/v2/team/disk/blobs/uploads/1?state=x");
        let memory = Memory::start(Box::new(move |request, out, state| {
            if request.header("authorization") != Some("Basic dXNlcjpwYXNzLWNhbmFyeQ==") {
                let head = "WWW-Authenticate: Basic realm=\"x\"\r\n";
                return Some(turn_away(request, out, "401 Unauthorized", head, b""));
            }
            if request.method == "PUT" && request.path.contains("/blobs/") {
                // What lies elsewhere is here, too.
                let digest = request.path.split("digest=").nth(1).unwrap();
                state.things.insert(digest.to_owned(), Vec::new());
                let query = request.path.split_once('?').unwrap().1;
                let head = format!("Location: {}?{query}\r\n", place.split('?').next().unwrap());
                return Some(turn_away(request, out, "307 Temporary Redirect", &head, b""));
            }
            let head = format!("Location: {place}\r\n");
            match (request.method.as_str(), redirect) {
                ("POST", false) => Some(answer(out, "202 Accepted", &head, b"")),
                ("PATCH", _) => Some(turn_away(request, out, "307 Temporary Redirect", &head, b"")),
                _ => None,
            }
        }));
        memory.push().unwrap_or_else(|e| panic!("{redirect}: {e}"));
        assert!(store.count("PATCH ") == 1 && store.count("PUT ") == 2, "{:?}", store.log());
        assert_eq!(store.state.lock().unwrap().things.len(), 2);
        assert_eq!(store.count("Basic"), 0, "{:?}", store.log());
    }
}

#[test]
fn the_guard_judges_every_place_of_an_upload() {
    for (place, wanted) in [
        ("http://169.254.169.254/x", "a cloud's metadata service"),
        ("http://127.0.0.2:1/x", "127.0.0.2 is loopback"),
        ("file:///etc/passwd", ""),
        ("http://kubernetes.default.svc/x", "--allow-source-host=kubernetes.default.svc"),
    ] {
        let memory = Memory::start(Box::new(move |request, out, _| {
            let head = format!("Location: {place}\r\n");
            (request.method == "POST").then(|| answer(out, "202 Accepted", &head, b""))
        }));
        let error = memory.push().unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let memory = Memory::start(Box::new(|_, _, _| None));
    let image: Reference = format!("{}/team/disk", memory.host()).parse().unwrap();
    for (rules, wanted) in [
        (Rules::default(), "is not encrypted"),
        (Rules { plain_http: true, ..Rules::default() }, "127.0.0.1 is loopback"),
    ] {
        let client = client_with(rules, Times::default(), Vec::new());
        let error = push(&Registry::new(&image, &client, None, true).pushing()).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
    assert!(memory.log().is_empty());
}

/// What was begun with TLS is not sent on without.
#[test]
fn an_upload_does_not_leave_tls() {
    let directory = tempfile::tempdir().unwrap();
    server::certificates(directory.path());
    let store = Memory::start(Box::new(|_, _, _| None));
    let head = format!("Location: {}\r\n", store.server.at("/v2/team/disk/blobs/uploads/1"));
    let server =
        Server::start_tls(directory.path(), move |request, out| match request.method == "POST" {
            true => answer(out, "202 Accepted", &head, b""),
            false => answer(out, "404 Not Found", "", b""),
        });
    let host = server.url.strip_prefix("https://").unwrap();
    let image: Reference = format!("{host}/team/disk").parse().unwrap();
    let ca = fs_err::read(directory.path().join("ca.pem")).unwrap();
    let error = push(&Registry::new(&image, &client(vec![ca]), None, false).pushing()).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(error.to_string().contains("from https to http is not followed"), "{error}");
    assert!(store.log().is_empty());
}

/// Tokens are asked for with the right to push, and their server's refusal is the registry's.
#[test]
fn tokens_hold_the_right_to_push() {
    for refuses in [false, true] {
        let memory = Memory::start(Box::new(move |request, out, _| {
            if request.path.starts_with("/token") {
                return Some(match refuses {
                    true => answer(out, "403 Forbidden", "", b""),
                    false => answer(out, "200 OK", "", b"{\"token\": \"t-canary\"}"),
                });
            }
            let host = request.header("host").unwrap();
            let head = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"\r\n");
            (request.header("authorization") != Some("Bearer t-canary"))
                .then(|| answer(out, "401 Unauthorized", &head, b""))
        }));
        let result = memory.push();
        let scope = "/token?scope=repository%3Ateam%2Fdisk%3Apull%2Cpush";
        assert_eq!(memory.server.seen(scope).len(), 1, "{:?}", memory.log());
        match refuses {
            true => assert_eq!(result.unwrap_err().kind(), Kind::Rejected),
            false => assert!(!result.unwrap().reused),
        }
    }
}

/// Asked to stop in the middle of a layer.
#[derive(Debug)]
struct Stop;

impl Progress for Stop {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, _: u64) -> Result<(), Error> {
        Err(Error::new(Kind::Cancelled, "stop"))
    }
}

#[test]
fn a_push_can_be_stopped() {
    let memory = Memory::start(Box::new(|_, _, _| None));
    let directory = tempfile::tempdir().unwrap();
    let scratch = vmimage::engine::base::Scratch::new(directory.path(), 64 << 20);
    let params = Params {
        architecture: "amd64",
        compression: container::Compression::Gzip,
        env: &[],
        labels: &[],
        tags: &["v1".to_owned()],
        index: false,
    };
    let silent = vmimage::engine::base::Silent;
    let work = vmimage::engine::base::Work { threads: 1, progress: &silent };
    let file = File::new(container::RAW_DISK, disk());
    let image = container::Image::make(&[file], &params, &scratch, &work).unwrap();
    let registry = registry(memory.host(), None);
    let error = container::push(&image, &params, &registry, &scratch, &Stop).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(error.to_string(), "stop");
    assert!(memory.state.lock().unwrap().things.is_empty());
}
