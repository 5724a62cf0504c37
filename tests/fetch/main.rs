//! Fetching from servers that behave, that fail and that attack.
//!
//! All servers lie on loopback, which the guard of these tests allows. Invariant: whatever a server
//! does, a test ends and nothing partial is returned; only where slowness is the matter does a clock decide.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "../support/registry.rs"]
mod docker;
mod registry;
#[path = "../support/web.rs"]
mod server;

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use fs_err as fs;
use sha2::{Digest as _, Sha256};
use ureq::http::{HeaderMap, HeaderValue};
use vmimage::engine::base::{Error, Kind, Scratch, Silent};
use vmimage::fetch::{Client, Fetched, Guard, Headers, Proxies, Rules, Times, Wanted};

use server::{Request, Server, Stream, answer};

/// 3 MB, not alike anywhere, with a hole.
fn body() -> Vec<u8> {
    let mut body: Vec<u8> =
        (0..3_000_001_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    body[1_000_000..2_000_000].fill(0);
    body
}

fn sha(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A client that does not give up because the machine is busy.
fn client_with(rules: Rules, bundles: Vec<Vec<u8>>) -> Client {
    let minute = Duration::from_secs(60);
    timed(Times { connect: minute, idle: minute, total: minute }, rules, bundles)
}

fn timed(times: Times, rules: Rules, bundles: Vec<Vec<u8>>) -> Client {
    let client = Client::new(Guard::new(rules), Proxies::default(), times, &bundles).unwrap();
    client.pausing(Duration::from_millis(10))
}

fn rules() -> Rules {
    Rules { plain_http: true, ranges: vec!["127.0.0.1".parse().unwrap()], ..Rules::default() }
}

/// What the scratch directory holds at most.
const ROOM: u64 = 8 << 20;

struct Desk {
    scratch: Scratch,
    _directory: tempfile::TempDir,
    client: Client,
    headers: Headers,
}

impl Desk {
    fn new(client: Client) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(directory.path(), ROOM);
        Self { scratch, _directory: directory, client, headers: Headers::default() }
    }

    fn get(&self, url: &str, digest: Option<&str>) -> Result<Fetched, Error> {
        let uri = url.parse().unwrap();
        let wanted = Wanted {
            uri: &uri,
            headers: &|| Ok(self.headers.clone()),
            digest,
            len: None,
            limit: ROOM / 2,
        };
        let got = self.client.download(&wanted, &self.scratch, &Silent);
        if got.is_err() {
            assert_eq!(self.scratch.left(), ROOM, "{url} left something behind");
        }
        got
    }

    /// Fails with this kind and a message that holds all of these.
    #[track_caller]
    fn fails(&self, url: &str, kind: Kind, wanted: &[&str]) {
        let error = self.get(url, None).unwrap_err();
        let text = error.to_string();
        for wanted in wanted {
            assert!(text.contains(wanted), "{url}: {text:?} lacks {wanted:?}");
        }
        assert_eq!(error.kind(), kind, "{text}");
    }
}

fn bytes(fetched: &Fetched) -> Vec<u8> {
    let mut bytes = vec![0; fetched.source.len() as usize];
    fetched.source.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Sends the part of `body` that is asked for and breaks off after `most` bytes.
fn broken(
    request: &Request,
    out: &mut dyn Stream,
    body: &[u8],
    most: usize,
) -> std::io::Result<()> {
    let range = request.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-'));
    let start: usize = range.map_or(0, |start| start.parse().unwrap());
    let (rest, total) = (&body[start..], body.len());
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let len = rest.len();
    write!(out, "HTTP/1.1 {status}\r\nContent-Length: {len}\r\nETag: \"one\"\r\n")?;
    write!(out, "Content-Range: bytes {start}-{}/{total}\r\n\r\n", total - 1)?;
    out.write_all(&rest[..most.min(len)])
}

fn handle(request: &Request, out: &mut dyn Stream) -> std::io::Result<()> {
    let body = body();
    let path = request.path.as_str();
    if let Some(target) = path.strip_prefix("/to/") {
        return answer(out, "302 Found", &format!("Location: {target}\r\n"), b"");
    }
    if let Some(status) = path.strip_prefix("/status/") {
        return answer(out, &format!("{status} X"), "", b"no");
    }
    match path {
        "/body" => answer(out, "200 OK", "", &body),
        "/chunked" => {
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for chunk in body.chunks(70_000) {
                write!(out, "{:x}\r\n", chunk.len())?;
                out.write_all(chunk)?;
                write!(out, "\r\n")?;
            }
            write!(out, "0\r\n\r\n")
        }
        "/loop" => answer(out, "307 Temporary Redirect", "Location: /loop\r\n", b""),
        "/busy" if request.earlier < 2 => answer(out, "429 Too Many", "Retry-After: 0\r\n", b""),
        "/error" if request.earlier < 2 => answer(out, "503 Unavailable", "", b""),
        "/reset" if request.earlier < 2 => Ok(()),
        "/busy" | "/error" | "/reset" => answer(out, "200 OK", "", &body),
        "/resume" => broken(request, out, &body, 1_200_000),
        "/no-resume" if request.earlier < 2 => {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
            out.write_all(&body[..1_200_000])
        }
        "/no-resume" => answer(out, "200 OK", "", &body),
        // Says that it continues, and begins elsewhere.
        "/liar" if request.earlier > 0 => {
            let head = "ETag: \"one\"\r\nContent-Range: bytes 5-9/10\r\n";
            answer(out, "206 Partial Content", head, b"abcde")
        }
        "/liar" => broken(request, out, &body, 600_000),
        path => attack(path, out),
    }
}

/// Answers that no server should give.
fn attack(path: &str, out: &mut dyn Stream) -> std::io::Result<()> {
    match path {
        "/endless" => {
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            loop {
                write!(out, "10000\r\n")?;
                out.write_all(&[7; 65536])?;
                write!(out, "\r\n")?;
            }
        }
        "/huge" => write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
        "/short" => write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this"),
        "/chunk-short" => {
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc")
        }
        "/drip" => {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
            for _ in 0..1000 {
                sleep(Duration::from_millis(100));
                out.write_all(b"x")?;
                out.flush()?;
            }
            Ok(())
        }
        "/drip-head" => {
            for byte in b"HTTP/1.1 200 OK\r\nX-A: ".iter().chain([b'x'; 10_000].iter()) {
                sleep(Duration::from_millis(100));
                out.write_all(&[*byte])?;
                out.flush()?;
            }
            Ok(())
        }
        "/silent" => {
            sleep(Duration::from_secs(20));
            Ok(())
        }
        "/headers" => {
            write!(out, "HTTP/1.1 200 OK\r\n")?;
            loop {
                write!(out, "X-A: {}\r\n", "a".repeat(1000))?;
            }
        }
        "/garbage" => out.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        "/gzip" => answer(out, "200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8b"),
        _ => answer(out, "404 Not Found", "", b""),
    }
}

#[test]
fn whole_bodies_arrive() {
    let server = Server::start(handle);
    let desk = Desk::new(client_with(rules(), Vec::new()));
    let body = body();
    for path in [
        "/body",
        "/chunked",
        "/to/body",
        "/to//to/body",
        "/busy",
        "/error",
        "/reset",
        "/resume",
        "/no-resume",
    ] {
        let path = path.replace("/to/body", "/to//body");
        let fetched = desk.get(&server.at(&path), Some(&sha(&body))).unwrap();
        assert!(bytes(&fetched) == body, "{path}");
        assert_eq!(fetched.digest, sha(&body));
    }
    assert_eq!(server.seen("/busy").len(), 3);
    assert!(server.seen("/busy").iter().all(|request| request.method == "GET"));
    let ranges: Vec<_> =
        server.seen("/resume").iter().map(|r| r.header("range").map(ToOwned::to_owned)).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert!(ranges[0].is_none() && ranges[1].is_some() && ranges[2].is_some(), "{ranges:?}");
    assert!(server.seen("/no-resume").iter().all(|r| r.header("range").is_none()));
}

#[test]
fn failures_are_told_apart() {
    let server = Server::start(handle);
    let desk = Desk::new(client_with(rules(), Vec::new()));
    for (path, kind, wanted) in [
        ("/status/401", Kind::Input, "answered 401 Unauthorized: it wants credentials"),
        ("/status/403", Kind::Input, "answered 403 Forbidden: the credentials"),
        ("/status/404", Kind::Input, "answered 404 Not Found: there is nothing"),
        ("/status/418", Kind::Input, "answered 418"),
        ("/status/500", Kind::Io, "answered 500 Internal Server Error (tried 5 times)"),
        ("/status/429", Kind::Io, "answered 429 Too Many Requests (tried 5 times)"),
        ("/gzip", Kind::Input, "Content-Encoding gzip"),
        ("/garbage", Kind::Input, "no valid HTTP"),
    ] {
        desk.fails(&server.at(path), kind, &[&server.at(path), wanted]);
    }
    assert_eq!(server.seen("/status/404").len(), 1, "404 is not repeated");
    let wrong = sha(b"other");
    let error = desk.get(&server.at("/body"), Some(&wrong)).unwrap_err();
    let wanted = format!("has digest {}, the document wants {wrong}", sha(&body()));
    assert!(error.to_string().ends_with(&wanted), "{error}");
    // Nobody listens.
    desk.fails("http://127.0.0.1:1/x", Kind::Io, &["http://127.0.0.1:1/x", "refused"]);
}

#[test]
fn what_a_server_sends_is_bounded() {
    let server = Server::start(handle);
    let desk = Desk::new(client_with(rules(), Vec::new()));
    for (path, kind, wanted) in [
        ("/endless", Kind::Input, "more bytes, 4194304 are allowed"),
        ("/huge", Kind::Input, "has 99999999999 bytes, 4194304 are allowed"),
        ("/short", Kind::Io, "/short "),
        ("/chunk-short", Kind::Io, "broke off after"),
        ("/headers", Kind::Input, "no valid HTTP"),
        ("/loop", Kind::Input, "redirects more than 10 times"),
        ("/liar", Kind::Io, ""),
    ] {
        desk.fails(&server.at(path), kind, &[wanted]);
    }
}

/// The server sends a byte every tenth of a second, or none at all: the time for everything ends it.
#[test]
fn a_slow_server_is_given_up() {
    let server = Server::start(handle);
    let total = Duration::from_secs(4);
    thread::scope(|scope| {
        for (path, wanted) in [
            ("/drip", "broke off after"),
            ("/drip-head", "no answer in time"),
            ("/silent", "no answer in time"),
        ] {
            let url = server.at(path);
            let times = Times { connect: total, idle: Duration::from_secs(2), total };
            scope.spawn(move || {
                let start = Instant::now();
                Desk::new(timed(times, rules(), Vec::new())).fails(&url, Kind::Io, &[wanted]);
                let took = start.elapsed();
                // Of the twenty seconds and more that the server would take.
                assert!(took < Duration::from_secs(15), "{url} took {took:?}");
            });
        }
    });
}

#[test]
fn a_long_body_is_refused_before_it_is_read_where_scratch_is_small() {
    let server = Server::start(handle);
    let desk = Desk::new(client_with(rules(), Vec::new()));
    let small = Scratch::new(desk._directory.path(), 1 << 20);
    let uri = server.at("/body").parse().unwrap();
    let wanted = Wanted {
        uri: &uri,
        headers: &|| Ok(desk.headers.clone()),
        digest: None,
        len: None,
        limit: ROOM,
    };
    let error = desk.client.download(&wanted, &small, &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    let text = error.to_string();
    assert!(text.contains("has 3000001 bytes, temporary files have room for 1048576"), "{text}");
    assert!(text.contains("build.scratch.sizeLimit"), "{text}");
}

#[test]
fn every_redirect_is_judged() {
    let server = Server::start(handle);
    let port = server.url.rsplit(':').next().unwrap();
    let desk = Desk::new(client_with(rules(), Vec::new()));
    for (target, wanted) in [
        ("http://169.254.169.254/latest/meta-data/", "a cloud's metadata service"),
        (&*format!("http://127.0.0.2:{port}/body"), "127.0.0.2 is loopback"),
        (&*format!("http://localhost:{port}/body"), "--allow-source-host=localhost"),
        ("http://2130706433/", "neither a name nor an address"),
        ("http://[::ffff:10.0.0.1]/", "--allow-source-cidr=10.0.0.1"),
        ("file:///etc/passwd", ""),
        ("gopher://127.0.0.1/", "the scheme gopher is not fetched"),
        ("http://kubernetes.default.svc/", "--allow-source-host=kubernetes.default.svc"),
    ] {
        desk.fails(&server.at(&format!("/to/{target}")), Kind::Refused, &["redirects to", wanted]);
    }
}

/// A name is judged by the addresses it has: `localhost` is allowed as a name, its address is not.
#[test]
fn a_name_is_judged_by_what_it_resolves_to() {
    let server = Server::start(handle);
    let port = server.url.rsplit(':').next().unwrap();
    let url = format!("http://localhost:{port}/body");
    let hosts = vec!["localhost".parse().unwrap()];
    let strict = Rules { plain_http: true, hosts: hosts.clone(), ..Rules::default() };
    let desk = Desk::new(client_with(strict, Vec::new()));
    desk.fails(
        &url,
        Kind::Refused,
        &["localhost has the address", "loopback", "--allow-source-cidr="],
    );
    assert!(server.seen("/body").is_empty(), "a connection was made");
    let ranges = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    let open = Rules { plain_http: true, hosts, ranges, ..Rules::default() };
    let desk = Desk::new(client_with(open, Vec::new()));
    desk.get(&url, None).unwrap();
}

#[test]
fn secrets_stay_with_the_first_origin() {
    let other = Server::start(handle);
    let server = Server::start(handle);
    let mut desk = Desk::new(client_with(rules(), Vec::new()));
    let mut secret = HeaderMap::new();
    secret.insert("authorization", HeaderValue::from_static("Bearer canary"));
    desk.headers = Headers { secret, plain: HeaderMap::new() };
    desk.get(&server.at("/to//body"), None).unwrap();
    desk.get(&server.at(&format!("/to/{}", other.at("/body"))), None).unwrap();
    let sent = |server: &Server, path| server.seen(path)[0].header("authorization").is_some();
    assert!(sent(&server, "/body") && !sent(&other, "/body"));
}

#[test]
fn tls_is_verified_and_never_left() {
    let directory = tempfile::tempdir().unwrap();
    server::certificates(directory.path());
    let plain = Server::start(handle);
    let server = Server::start_tls(directory.path(), handle);
    let stranger = Desk::new(client_with(rules(), Vec::new()));
    stranger.fails(&server.at("/body"), Kind::Input, &["UnknownIssuer", "caBundle"]);
    let ca = fs::read(directory.path().join("ca.pem")).unwrap();
    let desk = Desk::new(client_with(rules(), vec![ca.clone()]));
    assert!(bytes(&desk.get(&server.at("/body"), None).unwrap()) == body());
    let trusting = Desk::new(stranger.client.trusting(&ca).unwrap());
    trusting.get(&server.at("/body"), None).unwrap();
    let down = format!("/to/{}", plain.at("/body"));
    desk.fails(&server.at(&down), Kind::Refused, &["from https to http is not followed"]);
    assert!(plain.seen("/body").is_empty());
    // The right authority, but another name.
    let url = server.at("/body").replace("127.0.0.1", "localhost.localdomain");
    assert!(desk.get(&url, None).is_err());
}
