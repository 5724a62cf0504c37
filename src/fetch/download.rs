//! One input, fetched whole into a temporary file and verified on the way.
//!
//! Invariants: what is returned has the digest and the length that were asked for; no more than the
//! limit is ever written; a part of an input is never returned.

use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use ureq::http::{HeaderValue, StatusCode, Uri, header};

use super::client::{Answer, Client, Fault, Headers, expect_content, shown};
use crate::engine::base::{
    Error, Kind, PositionalSink as _, Progress, Scratch, SectorSource, Spool, is_zero,
};

/// Bytes read at once.
const BATCH: usize = 256 << 10;

/// What is fetched.
pub struct Wanted<'a> {
    /// From where.
    pub uri: &'a Uri,
    /// What is sent along; asked before every try, since a token may have expired.
    pub headers: &'a dyn Fn() -> Result<Headers, Error>,
    /// Its digest, if it is known: `sha256:` and 64 hexadecimal digits.
    pub digest: Option<&'a str>,
    /// Its length, if it is known.
    pub len: Option<u64>,
    /// It may not be longer.
    pub limit: u64,
}

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("uri", &shown(self.uri)).finish_non_exhaustive()
    }
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its bytes.
    pub source: Arc<dyn SectorSource>,
    /// Their digest.
    pub digest: String,
}

/// What has arrived so far.
struct Arrived {
    spool: Spool,
    hash: Sha256,
    len: u64,
    /// The entity tag of what these bytes are the beginning of.
    tag: Option<HeaderValue>,
}

impl Client {
    /// Fetches `wanted`.
    pub fn download(
        &self,
        wanted: &Wanted<'_>,
        scratch: &Scratch,
        progress: &dyn Progress,
    ) -> Result<Fetched, Error> {
        let deadline = self.deadline();
        let spool = scratch.spool()?;
        let mut arrived = Arrived { spool, hash: Sha256::new(), len: 0, tag: None };
        self.persist(deadline, progress, || {
            self.attempt(wanted, &mut arrived, scratch, deadline, progress)
        })?;
        let Arrived { spool, hash, len, .. } = arrived;
        spool.set_len(len)?;
        let digest = format!("sha256:{}", hex::encode(hash.finalize()));
        if let Some(wanted_digest) = wanted.digest.filter(|wanted| *wanted != digest) {
            let message = format!(
                "{} has digest {digest}, the document wants {wanted_digest}",
                shown(wanted.uri)
            );
            return Err(Error::new(Kind::Input, message));
        }
        Ok(Fetched { source: Arc::new(spool), digest })
    }

    /// Fetches what has not arrived yet.
    fn attempt(
        &self,
        wanted: &Wanted<'_>,
        arrived: &mut Arrived,
        scratch: &Scratch,
        deadline: Instant,
        progress: &dyn Progress,
    ) -> Result<(), Fault> {
        let mut headers = (wanted.headers)()?;
        // The rest alone is asked for where the tag makes sure that it belongs to the beginning.
        if let Some(tag) = arrived.tag.as_ref().filter(|_| arrived.len > 0) {
            let range = HeaderValue::try_from(format!("bytes={}-", arrived.len));
            if let Ok(range) = range {
                headers.plain.insert(header::RANGE, range);
                headers.plain.insert(header::IF_RANGE, tag.clone());
            }
        }
        let mut answer = expect_content(self.get(wanted.uri, &headers, deadline)?)?;
        if !arrived.continues(&answer) {
            arrived.restart(&answer)?;
        }
        expect_identity(&answer)?;
        let announced = announced(&answer).map(|len| len.saturating_add(arrived.len));
        judge_len(wanted, announced, arrived.len, scratch)?;
        progress.begin("fetching", announced.unwrap_or(0));
        arrived.take(wanted, &mut answer, announced, progress)
    }
}

impl Arrived {
    /// Whether `answer` is the rest of what has arrived.
    fn continues(&self, answer: &Answer) -> bool {
        let range = answer.headers.get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
        let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next());
        answer.status == StatusCode::PARTIAL_CONTENT
            && self.len > 0
            && start.and_then(|start| start.parse().ok()) == Some(self.len)
    }

    /// Forgets what has arrived.
    fn restart(&mut self, answer: &Answer) -> Result<(), Fault> {
        if answer.status == StatusCode::PARTIAL_CONTENT {
            let message =
                format!("{} answered with another part than asked for", shown(&answer.uri));
            self.tag = None;
            return Err(Fault::Passing(Error::new(Kind::Io, message), None));
        }
        self.spool.set_len(0)?;
        self.hash = Sha256::new();
        self.len = 0;
        // A weak tag does not promise the same bytes.
        let tag = answer.headers.get(header::ETAG);
        self.tag = tag.filter(|tag| tag.as_bytes().starts_with(b"\"")).cloned();
        Ok(())
    }

    /// Takes the body.
    fn take(
        &mut self,
        wanted: &Wanted<'_>,
        answer: &mut Answer,
        announced: Option<u64>,
        progress: &dyn Progress,
    ) -> Result<(), Fault> {
        let mut buffer = vec![0; BATCH];
        loop {
            let count = match fill(&mut answer.body, &mut buffer) {
                Ok(count) => count,
                Err(error) => {
                    let place = shown(wanted.uri);
                    let message = format!("{place} broke off after {} bytes: {error}", self.len);
                    return Err(Fault::Passing(Error::new(Kind::Io, message), None));
                }
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            let len = self.len.saturating_add(count as u64);
            if len > limit(wanted) {
                return Err(too_long(wanted, None).into());
            }
            // A hole stays a hole.
            if !is_zero(bytes) {
                self.spool.write_at(self.len, bytes)?;
            }
            self.hash.update(bytes);
            self.len = len;
            progress.advance(count as u64)?;
            if count < BATCH {
                break;
            }
        }
        let complete = announced.or(wanted.len).is_none_or(|len| len == self.len);
        match complete {
            true => Ok(()),
            false => {
                let wanted_len = announced.or(wanted.len).unwrap_or_default();
                let place = shown(wanted.uri);
                let message = format!("{place} sent {} bytes instead of {wanted_len}", self.len);
                Err(Fault::Passing(Error::new(Kind::Io, message), None))
            }
        }
    }
}

/// Reads until `buffer` is full or the body ends. What came before a failure is lost: at most a
/// batch.
fn fill(body: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match body.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn announced(answer: &Answer) -> Option<u64> {
    answer.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The body must not be encoded: the digest is that of the bytes as they are.
fn expect_identity(answer: &Answer) -> Result<(), Error> {
    let encoding = answer.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    match encoding {
        None | Some(b"" | b"identity") => Ok(()),
        Some(other) => {
            let other = String::from_utf8_lossy(other).escape_debug().to_string();
            let place = shown(&answer.uri);
            let message =
                format!("{place} answers with Content-Encoding {other}, which nobody asked for");
            Err(Error::new(Kind::Input, message))
        }
    }
}

/// The number of bytes that may come.
fn limit(wanted: &Wanted<'_>) -> u64 {
    wanted.len.unwrap_or(wanted.limit).min(wanted.limit)
}

/// Judges an announced length before anything is read.
fn judge_len(
    wanted: &Wanted<'_>,
    announced: Option<u64>,
    arrived: u64,
    scratch: &Scratch,
) -> Result<(), Error> {
    let Some(len) = announced else { return Ok(()) };
    if len > limit(wanted) {
        return Err(too_long(wanted, Some(len)));
    }
    let left = scratch.left().saturating_add(arrived);
    if len > left {
        let message = format!(
            "{} has {len} bytes, temporary files have room for {left}: raise \
             build.scratch.sizeLimit (in a cluster) or --scratch-limit",
            shown(wanted.uri)
        );
        return Err(Error::new(Kind::NoSpace, message));
    }
    Ok(())
}

fn too_long(wanted: &Wanted<'_>, len: Option<u64>) -> Error {
    let has = len.map_or_else(|| "more bytes".to_owned(), |len| format!("{len} bytes"));
    let message = format!("{} has {has}, {} are allowed", shown(wanted.uri), limit(wanted));
    Error::new(Kind::Input, message)
}
