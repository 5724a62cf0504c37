//! The HTTP library's part: connections, TLS, name resolution under the guard, proxies.
//!
//! Follows no redirect and repeats nothing (see `client`). Invariant: every address that is
//! connected to was judged by the guard, and none is looked up a second time.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{HeaderMap, Method, Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, AsSendBody, Body, SendBody};

use super::guard::{Guard, host};
use super::proxy::Proxies;
use crate::engine::base::{Error, Kind};

/// Bytes of all headers of an answer.
const MAX_HEADERS: usize = 64 << 10;
/// What was sent may be worked on for so many times `Times::idle` before the answer comes: a registry
/// reads a blob again when it is complete.
const WORK: u32 = 10;
/// A bundle of certificates may be so long.
const MAX_BUNDLE: usize = 4 << 20;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until a connection is made, with TLS.
    pub connect: Duration,
    /// Until the next bytes come.
    pub idle: Duration,
    /// One input, with all repetitions.
    pub total: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(3600),
        }
    }
}

/// Makes single requests.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    agent: Agent,
    proxies: Arc<Proxies>,
    times: Times,
}

/// Resolves names and judges what it finds.
#[derive(Debug)]
struct Guarded {
    guard: Arc<Guard>,
    inner: DefaultResolver,
}

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        if !self.guard.is_proxy(uri) {
            let host = host(uri).unwrap_or_default();
            for address in &found {
                let judged = self.guard.address(&host, address.ip());
                judged.map_err(|refusal| ureq::Error::Other(Box::new(refusal)))?;
            }
        }
        Ok(found)
    }
}

impl Wire {
    /// Connections that trust the authorities in `bundles` (PEM) and, if `usual`, the public ones.
    pub(super) fn new(
        guard: &Arc<Guard>,
        proxies: &Arc<Proxies>,
        times: Times,
        bundles: &[Vec<u8>],
        usual: bool,
    ) -> Result<Self, Error> {
        let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter(|_| usual);
        let mut roots: Vec<Certificate<'static>> =
            public.map(|der| Certificate::from_der(der)).collect();
        for bundle in bundles {
            roots.extend(certificates(bundle)?);
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(MAX_HEADERS)
            .user_agent(concat!("vmimage/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(times.connect))
            .timeout_connect(Some(times.connect))
            .timeout_per_read(Some(times.idle))
            .timeout_per_write(Some(times.idle))
            .timeout_recv_response(Some(times.idle))
            .build();
        let resolver = Guarded { guard: Arc::clone(guard), inner: DefaultResolver::default() };
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        Ok(Self { agent, proxies: Arc::clone(proxies), times })
    }

    /// When what begins now must be done.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.times.total
    }

    /// Asks once. The length of `body` is one of the headers.
    pub(super) fn ask(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Option<&mut dyn Read>,
        deadline: Instant,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = Request::builder().method(method).uri(uri.clone());
        let idle = self.times.idle;
        match body {
            None => self.run(request.body(())?, headers, idle, deadline),
            Some(body) => {
                let request = request.body(SendBody::from_reader(body))?;
                self.run(request, headers, idle * WORK, deadline)
            }
        }
    }

    fn run(
        &self,
        mut request: Request<impl AsSendBody>,
        headers: &HeaderMap,
        idle: Duration,
        deadline: Instant,
    ) -> Result<Response<Body>, ureq::Error> {
        request.headers_mut().extend(headers.clone());
        let proxy = self.proxies.of(request.uri());
        let left = deadline.saturating_duration_since(Instant::now());
        let request = self
            .agent
            .configure_request(request)
            .proxy(proxy)
            .timeout_recv_response(Some(idle))
            .timeout_global(Some(left.max(Duration::from_millis(1))))
            .build();
        self.agent.run(request)
    }
}

/// The certificates of a bundle, at least one.
fn certificates(bundle: &[u8]) -> Result<Vec<Certificate<'static>>, Error> {
    let wrong = |why: &str| {
        Error::new(Kind::Input, format!("the CA bundle {why}; needed are PEM certificates"))
    };
    if bundle.len() > MAX_BUNDLE {
        return Err(wrong(&format!("has {} bytes, {MAX_BUNDLE} are allowed", bundle.len())));
    }
    let mut found = Vec::new();
    for item in parse_pem(bundle) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(wrong(&format!("is damaged ({error})"))),
        }
    }
    if found.is_empty() {
        return Err(wrong("holds no certificate"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bundle_is_refused() {
        for (text, wanted) in [
            ("", "holds no certificate"),
            ("hello", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "is damaged"),
        ] {
            let error = certificates(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
