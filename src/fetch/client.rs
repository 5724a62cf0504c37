//! Requests: redirects, repetitions and what an answer means.
//!
//! Keeps no answer (see `download`). Invariants: every address of a chain of redirects is judged,
//! secret headers go to the first origin only, and nothing leads from https to http.

use std::io::Read;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use super::guard::{Guard, Refusal, host, port_of};
use super::part::Part;
use super::proxy::Proxies;
use super::wire::{Times, Wire};
use crate::engine::base::{Error, Kind, Progress};

/// Redirects of one request.
const MAX_REDIRECTS: usize = 10;
/// Tries of one request.
const ATTEMPTS: u32 = 5;
/// The first pause between two tries; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// A server may refuse more bytes than these by the head of a request alone.
const EXPECT: u64 = 1 << 20;
/// No pause is longer, whatever a server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Fetches over HTTP.
#[derive(Clone, Debug)]
pub struct Client {
    wire: Wire,
    guard: Arc<Guard>,
    proxies: Arc<Proxies>,
    times: Times,
    pause: Duration,
}

/// An answer whose body is not read yet.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Where it came from, after redirects.
    pub uri: Uri,
    /// Its body.
    pub body: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What is sent with a request.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// To every server of a chain of redirects.
    pub plain: HeaderMap,
    /// To the first origin only; never printed.
    pub secret: HeaderMap,
}

/// A failed try.
#[derive(Debug)]
pub enum Fault {
    /// Another try would end the same way.
    Final(Error),
    /// Another try may succeed, after the pause that the server asked for.
    Passing(Error, Option<Duration>),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Client {
    /// A client that keeps to `guard` and trusts the public authorities and those in `bundles` (PEM).
    pub fn new(
        guard: Guard,
        proxies: Proxies,
        times: Times,
        bundles: &[Vec<u8>],
    ) -> Result<Self, Error> {
        let guard = Arc::new(proxies.known_to(guard));
        let proxies = Arc::new(proxies);
        let wire = Wire::new(&guard, &proxies, times, bundles, true)?;
        Ok(Self { wire, guard, proxies, times, pause: PAUSE })
    }

    /// The same, which trusts the authorities in `bundle` (PEM) alone.
    pub fn trusting(&self, bundle: &[u8]) -> Result<Self, Error> {
        let bundles = [bundle.to_vec()];
        let wire = Wire::new(&self.guard, &self.proxies, self.times, &bundles, false)?;
        Ok(Self { wire, ..self.clone() })
    }

    /// The same, with another first pause between tries.
    #[must_use]
    pub const fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// When what begins now must be done.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.wire.deadline()
    }

    /// Runs `attempt` until it succeeds, fails for good, or was tried often enough.
    pub fn persist<T>(
        &self,
        deadline: Instant,
        progress: &dyn Progress,
        mut attempt: impl FnMut() -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let mut pause = self.pause;
        for number in 1.. {
            let (error, asked) = match attempt() {
                Ok(done) => return Ok(done),
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Passing(error, asked)) => (error, asked),
            };
            let wait = asked.unwrap_or(pause).min(LONGEST_PAUSE);
            let late = Instant::now() + wait >= deadline;
            if number >= ATTEMPTS || late {
                let times = if number == 1 { "once".to_owned() } else { format!("{number} times") };
                return Err(Error::new(error.kind(), format!("{error} (tried {times})")));
            }
            doze(wait, progress)?;
            pause = pause.saturating_mul(2);
        }
        Err(Error::new(Kind::Io, "tried too often"))
    }

    /// Asks for `uri` and follows redirects.
    pub fn get(&self, uri: &Uri, headers: &Headers, deadline: Instant) -> Result<Answer, Fault> {
        self.send(&Method::GET, uri, headers, None, deadline)
    }

    /// Sends a request and follows redirects. What changes something is sent again only where the
    /// answer says that method and body stay (RFC 9110 sections 15.4.8 and 15.4.9).
    pub fn send(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &Headers,
        part: Option<&Part<'_>>,
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        let mut at = uri.clone();
        let doing = if *method == Method::GET { "fetching" } else { method.as_str() };
        for _ in 0..=MAX_REDIRECTS {
            self.guard.url(&at).map_err(|refusal| refused(&at, uri, &refusal))?;
            let mut sent = headers.plain.clone();
            if same_origin(&at, uri) {
                sent.extend(headers.secret.clone());
            }
            if let Some(part) = part {
                sent.insert(header::CONTENT_LENGTH, HeaderValue::from(part.len()));
                if part.len() > EXPECT {
                    sent.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
                }
            }
            let mut reader = part.map(Part::reader);
            let body = reader.as_mut().map(|reader| reader as &mut dyn Read);
            let answer = self.wire.ask(method, &at, &sent, body, deadline);
            // What stopped the body says more than what the library makes of it.
            if let Some(error) = part.and_then(Part::failure) {
                return Err(error.into());
            }
            let answer = answer.map_err(|error| fault(doing, &via(&at, uri), error))?;
            let (parts, body) = answer.into_parts();
            let target = parts.headers.get(header::LOCATION);
            match target.filter(|_| follows(method, parts.status)) {
                Some(target) => at = self.next(&at, uri, target)?,
                None => {
                    let body = Box::new(body.into_reader());
                    let (status, headers) = (parts.status, parts.headers);
                    return Ok(Answer { status, headers, uri: at, body });
                }
            }
        }
        let message = format!("{} redirects more than {MAX_REDIRECTS} times", shown(uri));
        Err(Error::new(Kind::Input, message).into())
    }

    /// Where a `Location` leads that the answer from `at` has, `first` being asked.
    pub fn next(&self, at: &Uri, first: &Uri, target: &HeaderValue) -> Result<Uri, Error> {
        let wrong = |why: &str| {
            let target = String::from_utf8_lossy(target.as_bytes()).escape_debug().to_string();
            let target: String =
                target.split('?').next().unwrap_or_default().chars().take(200).collect();
            Error::new(Kind::Refused, format!("{} redirects to {target}: {why}", shown(first)))
        };
        let text = target.to_str().map_err(|_| wrong("that is no address"))?;
        let next = join(at, text).ok_or_else(|| wrong("that is no address"))?;
        if at.scheme_str() == Some("https") && next.scheme_str() == Some("http") {
            return Err(wrong("from https to http is not followed"));
        }
        self.guard.url(&next).map_err(|refusal| wrong(&refusal.to_string()))?;
        Ok(next)
    }
}

/// Sleeps, but hears that it should stop.
fn doze(wait: Duration, progress: &dyn Progress) -> Result<(), Error> {
    let end = Instant::now() + wait;
    loop {
        progress.advance(0)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        sleep(left.min(Duration::from_millis(100)));
    }
}

fn follows(method: &Method, status: StatusCode) -> bool {
    match status.as_u16() {
        307 | 308 => true,
        301..=303 => *method == Method::GET || *method == Method::HEAD,
        _ => false,
    }
}

/// Whether both addresses are of one server: the same scheme, host and port.
#[must_use]
pub fn same_origin(one: &Uri, other: &Uri) -> bool {
    one.scheme() == other.scheme() && host(one) == host(other) && port_of(one) == port_of(other)
}

/// `target` as seen from `at` (RFC 3986 section 5.2, without dot segments: servers resolve them).
fn join(at: &Uri, target: &str) -> Option<Uri> {
    let target = target.split('#').next().unwrap_or_default().trim();
    let scheme = at.scheme_str()?;
    let authority = at.authority()?;
    let before = target.split(['/', '?']).next().unwrap_or_default();
    let text = if before.contains(':') {
        target.to_owned()
    } else if target.starts_with("//") {
        format!("{scheme}:{target}")
    } else if target.starts_with('/') {
        format!("{scheme}://{authority}{target}")
    } else if target.starts_with('?') {
        format!("{scheme}://{authority}{}{target}", at.path())
    } else {
        let directory = at.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{scheme}://{authority}{directory}/{target}")
    };
    text.parse().ok()
}

/// An address for messages: without its query, which may hold a key.
#[must_use]
pub fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("none");
    let authority = uri.authority().map_or("", |a| a.as_str());
    let host = authority.rsplit('@').next().unwrap_or_default();
    let query = if uri.query().is_some() { "?…" } else { "" };
    format!("{scheme}://{host}{}{query}", uri.path())
}

/// `at`, and where the chain began if that was elsewhere.
fn via(at: &Uri, first: &Uri) -> String {
    match at == first {
        true => shown(at),
        false => format!("{} (redirected from {})", shown(at), shown(first)),
    }
}

fn refused(at: &Uri, first: &Uri, refusal: &Refusal) -> Error {
    unreached(&via(at, first), refusal)
}

fn unreached(place: &str, refusal: &Refusal) -> Error {
    Error::new(Kind::Refused, format!("{place} is not fetched: {refusal}"))
}

/// What the library's error means.
fn fault(doing: &str, place: &str, error: ureq::Error) -> Fault {
    let last =
        |kind, why: String| Fault::Final(Error::new(kind, format!("{doing} {place}: {why}")));
    let passing =
        |why: String| Fault::Passing(Error::new(Kind::Io, format!("{doing} {place}: {why}")), None);
    let tls = |error: &rustls::Error| tls(doing, place, error);
    match error {
        ureq::Error::Other(inner) => match inner.downcast::<Refusal>() {
            Ok(refusal) => unreached(place, &refusal).into(),
            Err(inner) => passing(inner.to_string()),
        },
        ureq::Error::Timeout(what) => passing(format!("no answer in time ({what})")),
        ureq::Error::HostNotFound => passing("the name has no address".to_owned()),
        ureq::Error::Rustls(error) => tls(&error),
        ureq::Error::Io(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match inner {
                Some(inner) => tls(inner),
                None => passing(error.to_string()),
            }
        }
        ureq::Error::BadUri(why) => last(Kind::Document, why),
        error @ (ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..)) => {
            last(Kind::Input, format!("the answer is no valid HTTP: {error}"))
        }
        error => passing(error.to_string()),
    }
}

fn tls(doing: &str, place: &str, error: &rustls::Error) -> Fault {
    let text = format!("{doing} {place}: {error}");
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            let hint = "; a private authority is given by caBundle, --source-ca or --ca";
            Fault::Final(Error::new(Kind::Input, text + hint))
        }
        rustls::Error::InvalidCertificate(_) => Fault::Final(Error::new(Kind::Input, text)),
        _ => Fault::Passing(Error::new(Kind::Io, text), None),
    }
}

/// An answer that carries what was asked for, or what its status means.
pub fn expect_content(answer: Answer) -> Result<Answer, Fault> {
    let status = answer.status;
    if status == StatusCode::OK || status == StatusCode::PARTIAL_CONTENT {
        return Ok(answer);
    }
    Err(unexpected(&answer, Kind::Input, ""))
}

/// What an answer means that is not what was hoped for: a failure of `kind`, unless another try may
/// succeed. `said` are the server's own words.
pub fn unexpected(answer: &Answer, kind: Kind, said: &str) -> Fault {
    let status = answer.status;
    let reason = status.canonical_reason().unwrap_or("unknown");
    let hint = match status.as_u16() {
        401 => ": it wants credentials, or others than those given",
        403 => ": the credentials, if any, do not suffice",
        404 | 410 => ": there is nothing under this address",
        _ => "",
    };
    let place = shown(&answer.uri);
    let message = format!("{place} answered {} {reason}{hint}{said}", status.as_u16());
    match status.as_u16() {
        408 | 425 | 429 | 500 | 502..=504 | 506..=599 => {
            let after = answer.headers.get(header::RETRY_AFTER);
            let after = after.and_then(|v| v.to_str().ok()?.trim().parse().ok());
            Fault::Passing(Error::new(Kind::Io, message), after.map(Duration::from_secs))
        }
        _ => Error::new(kind, message).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_joined_as_rfc_3986_says() {
        let at: Uri = "https://a.example:8443/b/c?d=e".parse().unwrap();
        for (target, wanted) in [
            ("https://b.example/x", "https://b.example/x"),
            ("//b.example/x", "https://b.example/x"),
            ("/x/y", "https://a.example:8443/x/y"),
            ("x", "https://a.example:8443/b/x"),
            ("?q", "https://a.example:8443/b/c?q"),
            ("/x#part", "https://a.example:8443/x"),
            ("x/http://c/", "https://a.example:8443/b/x/http://c/"),
        ] {
            assert_eq!(join(&at, target).unwrap().to_string(), wanted, "{target}");
        }
        let file = join(&at, "file:///etc/passwd");
        assert!(file.is_none_or(|uri| uri.scheme_str() == Some("file")));
    }

    #[test]
    fn a_query_is_not_shown() {
        let uri = "https://a.example/b?X-Amz-Signature=1234".parse().unwrap();
        assert_eq!(shown(&uri), "https://a.example/b?…");
    }
}
