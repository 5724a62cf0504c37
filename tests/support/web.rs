//! A small web server that can misbehave in every way a test wants.
//!
//! Does not follow HTTP where a test asks it not to. Invariant: it listens on loopback alone and
//! remembers every request that it has seen.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use fs_err as fs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A stream that requests come over.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET`.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// Header lines in lower case.
    pub(crate) headers: Vec<String>,
    /// How many requests for this path came before.
    pub(crate) earlier: usize,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A server on loopback.
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`, or https.
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers with what `handler` writes.
    pub(crate) fn start(
        handler: impl Fn(&Request, &mut dyn Stream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::listen("http", |stream| Some(Box::new(stream)), handler)
    }

    /// The same with TLS, with the certificate `server.pem` of `directory`.
    pub(crate) fn start_tls(
        directory: &Path,
        handler: impl Fn(&Request, &mut dyn Stream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let chain = fs::read(directory.join("server.pem")).unwrap();
        let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().unwrap();
        let key = fs::read(directory.join("server.key")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let wrap = move |stream| {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            Some(Box::new(rustls::StreamOwned::new(session, stream)) as Box<dyn Stream>)
        };
        Self::listen("https", wrap, handler)
    }

    fn listen(
        scheme: &str,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync + 'static,
        handler: impl Fn(&Request, &mut dyn Stream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, shared) = (Arc::clone(&seen), Arc::new((wrap, handler)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, shared) = (Arc::clone(&log), Arc::clone(&shared));
                thread::spawn(move || {
                    let Some(mut stream) = shared.0(stream.unwrap()) else { return };
                    let Some(request) = read(&mut *stream, &log) else { return };
                    // A client that hangs up is no failure of the server.
                    let _ = shared.1(&request, &mut *stream);
                    let _ = stream.flush();
                });
            }
        });
        Self { url, seen }
    }

    /// The address of a path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The requests for a path.
    pub(crate) fn seen(&self, path: &str) -> Vec<Request> {
        self.seen.lock().unwrap().iter().filter(|r| r.path == path).cloned().collect()
    }
}

/// Reads a request's head.
fn read(stream: &mut dyn Stream, log: &Mutex<Vec<Request>>) -> Option<Request> {
    let mut lines = BufReader::with_capacity(1, stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(ToOwned::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
    let headers = headers.map(|line| {
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        format!("{}:{value}", name.to_ascii_lowercase())
    });
    let headers = headers.collect();
    let mut log = log.lock().unwrap();
    let earlier = log.iter().filter(|r| r.path == path).count();
    let request = Request { method, path, headers, earlier };
    log.push(request.clone());
    Some(request)
}

/// A whole answer.
pub(crate) fn answer(
    stream: &mut dyn Stream,
    status: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n{headers}\r\n"
    )?;
    stream.write_all(body)
}

/// An authority of our own in `ca.pem` and a certificate of 127.0.0.1 and localhost, by openssl.
pub(crate) fn certificates(directory: &Path) {
    let script = "set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key \
            -out ca.pem -subj /CN=test-authority -days 2
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key \
            -out server.csr -subj /CN=localhost
        printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n' > ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
            -extfile ext -out server.pem";
    let done = Command::new("sh").args(["-c", script]).current_dir(directory).output();
    let done = done.expect("sh");
    assert!(done.status.success(), "openssl (package openssl): {done:?}");
}
