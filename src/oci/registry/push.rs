//! Requests of a push: what is there already, manifests, and how each answer is judged.
//!
//! Uploads no blob (see `upload`). Invariants: credentials go to the registry's own host and to the
//! token server that it names, wherever a `Location` leads; a refusal is of kind `Rejected`, what may
//! pass is tried again and of kind `Io` in the end.

use std::time::Instant;

use sha2::{Digest as _, Sha256};
use ureq::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use super::refusal::said;
use super::{Document, Registry, document, parse};
use crate::engine::base::{ByteSource, Error, Kind, Progress, SectorSource as _};
use crate::fetch::{Answer, Fault, Headers, Part, same_origin, shown, unexpected};
use crate::oci::reference::{is_digest, is_tag};

/// What names the digest of what an answer is about.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A request of a push.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) uri: &'a Uri,
    /// Headers beside those that every request has.
    pub(super) headers: HeaderMap,
    pub(super) part: Option<&'a Part<'a>>,
}

impl<'a> Asked<'a> {
    pub(super) fn bare(method: Method, uri: &'a Uri) -> Self {
        Self { method, uri, headers: HeaderMap::new(), part: None }
    }
}

impl Registry {
    /// The same, which asks for the right to push, too.
    #[must_use]
    pub const fn pushing(mut self) -> Self {
        self.actions = "pull,push";
        self
    }

    /// Whether the repository has the manifest with this digest.
    pub fn has_manifest(&self, digest: &str, progress: &dyn Progress) -> Result<bool, Error> {
        let uri = self.uri("manifests", digest)?;
        let found = self.head(&uri, progress)?;
        if let Some(other) = found.as_ref().and_then(|found| found.as_deref())
            && other != digest
        {
            let message = format!("{} is answered with the digest {other}", shown(&uri));
            return Err(Error::new(Kind::Rejected, message));
        }
        Ok(found.is_some())
    }

    /// The digest that a tag names; None where there is no such tag.
    pub fn tag_digest(&self, tag: &str, progress: &dyn Progress) -> Result<Option<String>, Error> {
        match self.head(&self.tag_uri(tag)?, progress)? {
            None => Ok(None),
            Some(Some(digest)) => Ok(Some(digest)),
            // A registry may keep the digest to itself.
            Some(None) => Ok(self.tagged(tag, progress)?.map(|document| document.digest)),
        }
    }

    /// The manifest or index that a tag names; None where there is no such tag.
    pub fn tagged(&self, tag: &str, progress: &dyn Progress) -> Result<Option<Document>, Error> {
        let uri = self.tag_uri(tag)?;
        let deadline = self.client.deadline();
        self.client.persist(deadline, progress, || {
            let mut answer = self.exchange(&Asked::bare(Method::GET, &uri), deadline)?;
            match answer.status {
                StatusCode::NOT_FOUND => Ok(None),
                StatusCode::OK => document(&mut answer).map(Some).map_err(rejected),
                _ => Err(self.refusal(answer)),
            }
        })
    }

    /// Stores a manifest or an index under a tag, or under its digest.
    pub fn put_manifest(
        &self,
        tag: Option<&str>,
        media_type: &'static str,
        bytes: &[u8],
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
        let uri = match tag {
            Some(tag) => self.tag_uri(tag)?,
            None => self.uri("manifests", &digest)?,
        };
        let source = ByteSource::new(bytes);
        let deadline = self.client.deadline();
        self.client.persist(deadline, progress, || {
            let part = Part::new(&source, 0..source.len(), progress);
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            let asked = Asked { method: Method::PUT, uri: &uri, headers, part: Some(&part) };
            let answer = self.exchange(&asked, deadline)?;
            self.stored(answer, &digest).map(|_| ())
        })
    }

    /// What a HEAD tells: whether something is there, and its digest if that is said.
    fn head(&self, uri: &Uri, progress: &dyn Progress) -> Result<Option<Option<String>>, Error> {
        let deadline = self.client.deadline();
        self.client.persist(deadline, progress, || {
            let answer = self.exchange(&Asked::bare(Method::HEAD, uri), deadline)?;
            match answer.status {
                StatusCode::NOT_FOUND => Ok(None),
                StatusCode::OK => Ok(Some(told_digest(&answer))),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    // The registry's words are in a body, which the answer to a HEAD has not.
                    let asked = self.exchange(&Asked::bare(Method::GET, uri), deadline)?;
                    let told = if asked.status == answer.status { asked } else { answer };
                    Err(self.refusal(told))
                }
                _ => Err(self.refusal(answer)),
            }
        })
    }

    fn tag_uri(&self, tag: &str) -> Result<Uri, Error> {
        if !is_tag(tag) {
            let message = format!(
                "{:?} is no tag; allowed are letters, digits and ._- after the first, at most 128",
                tag.chars().take(200).collect::<String>()
            );
            return Err(Error::new(Kind::Document, message));
        }
        self.uri("manifests", tag)
    }

    /// Sends a request, and once more with credentials if the registry wants them.
    pub(super) fn exchange(&self, asked: &Asked<'_>, deadline: Instant) -> Result<Answer, Fault> {
        let own = same_origin(asked.uri, &parse(&self.base)?);
        let send = || {
            let mut headers = match own {
                true => self.headers(deadline).map_err(|e| rejected(e.into()))?,
                false => Headers::default(),
            };
            headers.plain.extend(asked.headers.clone());
            let sent = self.client.send(&asked.method, asked.uri, &headers, asked.part, deadline);
            sent.map_err(rejected)
        };
        let answer = send()?;
        if answer.status != StatusCode::UNAUTHORIZED || !own {
            return Ok(answer);
        }
        self.answer(&answer, deadline).map_err(rejected)?;
        send()
    }

    /// Takes an answer that says that something was stored; what it says to be its digest must be.
    pub(super) fn stored(&self, answer: Answer, digest: &str) -> Result<Answer, Fault> {
        if !matches!(answer.status.as_u16(), 200..=202 | 204) {
            return Err(self.refusal(answer));
        }
        if let Some(other) = told_digest(&answer).filter(|other| other != digest) {
            let place = shown(&answer.uri);
            let message = format!("{place} stored {digest}, and says that it is {other}");
            return Err(Error::new(Kind::Rejected, message).into());
        }
        Ok(answer)
    }

    /// What an answer means that nobody hoped for.
    pub(super) fn refusal(&self, mut answer: Answer) -> Fault {
        let said = said(&mut answer, &self.secrets());
        unexpected(&answer, Kind::Rejected, &said)
    }

    /// What no message may repeat.
    fn secrets(&self) -> Vec<String> {
        let pass = self.pass().value;
        let pass = pass.as_ref().and_then(|value| value.to_str().ok()?.split_once(' '));
        let own = self.credentials.iter().flat_map(|credentials| {
            let basic = credentials.basic();
            let encoded = basic.split_once(' ').map(|(_, encoded)| encoded.to_owned());
            [Some(credentials.password.clone()), encoded].into_iter().flatten()
        });
        own.chain(pass.map(|(_, token)| token.to_owned())).collect()
    }
}

/// The digest that an answer names, if it is one.
fn told_digest(answer: &Answer) -> Option<String> {
    let told = answer.headers.get(CONTENT_DIGEST)?.to_str().ok()?;
    is_digest(told).then(|| told.to_owned())
}

/// What fails for good while pushing is the registry's refusal, not a fault of an input.
fn rejected(fault: Fault) -> Fault {
    match fault {
        Fault::Final(error) if error.kind() == Kind::Input => {
            Error::new(Kind::Rejected, error.to_string()).into()
        }
        other => other,
    }
}
