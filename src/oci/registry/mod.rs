//! Pulls from a registry, and pushes to it: manifests by tag or digest, blobs by digest
//! (distribution specification v1.1).
//!
//! Chooses no platform, unpacks and packs nothing. Invariants: what is returned has the digest that it was
//! asked for by; credentials go to the registry and to the token server that it names, never to
//! where it redirects.

mod challenge;
mod config;
mod pull;
mod push;
mod refusal;
mod upload;

use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use ureq::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use self::challenge::{Challenge, challenge};
pub use self::config::{Credentials, DockerConfig};
use super::Reference;
use super::reference::is_digest;
use crate::engine::base::{Error, Kind, Progress, Scratch, SectorSource};
use crate::fetch::{Answer, Client, Fault, Headers, Wanted, expect_content, shown};

/// A manifest may be so long (distribution specification, "Pushing manifests").
const MAX_MANIFEST: u64 = 4 << 20;
/// A token server's answer may be so long.
const MAX_TOKEN: u64 = 64 << 10;
/// Seconds that a token is good for where its server does not say (Docker's token specification).
const TOKEN_SECONDS: u64 = 60;
/// What we can read.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// A manifest or an index as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it says that it is.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// One repository of a registry.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    /// `https://host/v2/repository`.
    base: String,
    image: Reference,
    credentials: Option<Credentials>,
    /// What tokens are asked for.
    actions: &'static str,
    pass: Mutex<Pass>,
}

/// What the next request is sent with.
#[derive(Clone, Debug, Default)]
struct Pass {
    /// Whether the registry has been asked at all.
    met: bool,
    value: Option<HeaderValue>,
    /// How to get a new one, and when.
    renew: Option<(Challenge, Instant)>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Token {
    token: String,
    access_token: String,
    expires_in: Option<u64>,
}

impl Registry {
    /// The repository of `image`; over http without TLS only if `insecure`.
    #[must_use]
    pub fn new(
        image: &Reference,
        client: &Client,
        credentials: Option<Credentials>,
        insecure: bool,
    ) -> Self {
        let scheme = if insecure { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/{}", image.host(), image.repository);
        let (client, image) = (client.clone(), image.clone());
        Self { client, base, image, credentials, actions: "pull", pass: Mutex::default() }
    }

    /// The image that it was made for.
    #[must_use]
    pub const fn image(&self) -> &Reference {
        &self.image
    }

    /// The manifest or index with this digest or tag.
    pub fn manifest(&self, selector: &str, progress: &dyn Progress) -> Result<Document, Error> {
        let uri = self.uri("manifests", selector)?;
        let deadline = self.client.deadline();
        let document = self.client.persist(deadline, progress, || {
            let mut answer = self.ask(&uri, deadline)?;
            document(&mut answer)
        })?;
        if selector.contains(':') && selector != document.digest {
            let message = format!("{} has digest {}", shown(&uri), document.digest);
            return Err(Error::new(Kind::Input, message));
        }
        Ok(document)
    }

    /// The blob with this digest and length, in a temporary file.
    pub fn blob(
        &self,
        digest: &str,
        len: u64,
        scratch: &Scratch,
        progress: &dyn Progress,
    ) -> Result<Arc<dyn SectorSource>, Error> {
        let uri = self.uri("blobs", digest)?;
        let headers = || self.headers(self.client.deadline());
        if !self.pass().met {
            // A registry says how it wants to be asked when it is asked for nothing much.
            self.meet(progress)?;
        }
        let wanted = Wanted {
            uri: &uri,
            headers: &headers,
            digest: Some(digest),
            len: Some(len),
            limit: len,
        };
        Ok(self.client.download(&wanted, scratch, progress)?.source)
    }

    /// Learns how the registry wants to be asked.
    fn meet(&self, progress: &dyn Progress) -> Result<(), Error> {
        let uri: Uri = parse(&format!("{}/tags/list?n=1", self.base))?;
        let deadline = self.client.deadline();
        self.client.persist(deadline, progress, || {
            let answer = self.client.get(&uri, &self.headers(deadline)?, deadline)?;
            match answer.status {
                StatusCode::UNAUTHORIZED => self.answer(&answer, deadline),
                _ => Ok(()),
            }
        })
    }

    fn uri(&self, what: &str, selector: &str) -> Result<Uri, Error> {
        if selector.contains(':') && !is_digest(selector) {
            let message = format!(
                "{}: {selector:?} is no digest; allowed is sha256: and 64 hexadecimal digits",
                self.image
            );
            return Err(Error::new(Kind::Input, message));
        }
        parse(&format!("{}/{what}/{selector}", self.base))
    }

    fn pass(&self) -> Pass {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is sent along; an old token is replaced.
    fn headers(&self, deadline: Instant) -> Result<Headers, Error> {
        if let Some((challenge, _)) = self.pass().renew.filter(|(_, end)| Instant::now() >= *end) {
            self.renew(&challenge, deadline).map_err(|fault| match fault {
                Fault::Final(error) | Fault::Passing(error, _) => error,
            })?;
        }
        let mut headers = Headers::default();
        headers.plain.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        if let Some(value) = self.pass().value {
            headers.secret.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// Asks, and once more with credentials if the registry wants them.
    fn ask(&self, uri: &Uri, deadline: Instant) -> Result<Answer, Fault> {
        let answer = self.client.get(uri, &self.headers(deadline)?, deadline)?;
        if answer.status != StatusCode::UNAUTHORIZED {
            self.pass.lock().unwrap_or_else(PoisonError::into_inner).met = true;
            return expect_content(answer);
        }
        self.answer(&answer, deadline)?;
        expect_content(self.client.get(uri, &self.headers(deadline)?, deadline)?)
    }

    /// Does what an answer with status 401 asks for.
    fn answer(&self, answer: &Answer, deadline: Instant) -> Result<(), Fault> {
        let values = answer.headers.get_all(header::WWW_AUTHENTICATE);
        let values = values.iter().filter_map(|value| value.to_str().ok());
        match challenge(values) {
            Some(challenge @ Challenge::Bearer { .. }) => self.renew(&challenge, deadline),
            Some(Challenge::Basic) => {
                let Some(credentials) = &self.credentials else {
                    return Err(self.refused("wants a name and a password, none are given").into());
                };
                self.keep(Pass {
                    met: true,
                    value: Some(secret(&credentials.basic())?),
                    renew: None,
                });
                Ok(())
            }
            None => Err(self.refused("answered 401 without a challenge that we know").into()),
        }
    }

    fn refused(&self, why: &str) -> Error {
        Error::new(Kind::Input, format!("the registry of {} {why}", self.image))
    }

    fn keep(&self, pass: Pass) {
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = pass;
    }

    /// Gets a token (Docker's token authentication specification).
    fn renew(&self, challenge: &Challenge, deadline: Instant) -> Result<(), Fault> {
        let Challenge::Bearer { realm, service } = challenge else { return Ok(()) };
        let mut text = realm.clone();
        let scope = format!("repository:{}:{}", self.image.repository, self.actions);
        let parameters = [("service", service.as_deref()), ("scope", Some(&scope))];
        for (name, value) in parameters.into_iter().filter_map(|(n, v)| Some((n, v?))) {
            text.push(if text.contains('?') { '&' } else { '?' });
            text.push_str(&format!("{name}={}", escaped(value)));
        }
        let uri = parse(&text)?;
        if self.base.starts_with("https:") && uri.scheme_str() != Some("https") {
            let why = format!("sends us to {} for a token, which is not https", shown(&uri));
            return Err(Error::new(Kind::Refused, self.refused(&why).to_string()).into());
        }
        let mut headers = Headers::default();
        if let Some(credentials) = &self.credentials {
            let mut own = HeaderMap::new();
            own.insert(header::AUTHORIZATION, secret(&credentials.basic())?);
            headers.secret = own;
        }
        let mut answer = expect_content(self.client.get(&uri, &headers, deadline)?)?;
        let bytes = body(&mut answer, MAX_TOKEN)?;
        let token: Token = serde_json::from_slice(&bytes)
            .map_err(|_| self.refused("names a token server that gives no token"))?;
        let text = if token.token.is_empty() { &token.access_token } else { &token.token };
        if text.is_empty() {
            return Err(self.refused("names a token server that gives no token").into());
        }
        // A little before its end, so that it does not end under way.
        let seconds = token.expires_in.unwrap_or(TOKEN_SECONDS).clamp(10, 86_400);
        let end = Instant::now() + Duration::from_secs(seconds).mul_f32(0.8);
        let value = Some(secret(&format!("Bearer {text}"))?);
        self.keep(Pass { met: true, value, renew: Some((challenge.clone(), end)) });
        Ok(())
    }
}

fn parse(text: &str) -> Result<Uri, Error> {
    let wrong = |_| {
        let text = text.split('?').next().unwrap_or_default().escape_debug();
        Error::new(Kind::Input, format!("{text} is no address"))
    };
    text.parse().map_err(wrong)
}

/// A header's value that is never printed.
fn secret(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Error::new(Kind::Input, "credentials hold a byte that no header may"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `value` for a query (RFC 3986 section 2.3).
fn escaped(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    value
        .bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// The manifest or index in an answer.
fn document(answer: &mut Answer) -> Result<Document, Fault> {
    let bytes = body(answer, MAX_MANIFEST)?;
    let media_type = answer.headers.get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    Ok(Document { media_type, digest, bytes })
}

/// A short body.
fn body(answer: &mut Answer, limit: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = (&mut answer.body).take(limit + 1).read_to_end(&mut bytes);
    let place = || shown(&answer.uri);
    if let Err(error) = read {
        let message = format!("{} broke off: {error}", place());
        return Err(Fault::Passing(Error::new(Kind::Io, message), None));
    }
    if bytes.len() as u64 > limit {
        let message = format!("{} has more bytes than the {limit} that are allowed", place());
        return Err(Error::new(Kind::Input, message).into());
    }
    Ok(bytes)
}
