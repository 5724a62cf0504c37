//! Uploads of blobs (distribution specification v1.1, "Pushing blobs").
//!
//! ```text
//! HEAD ──404──▶ POST ──Location──▶ PATCH ──Location──▶ PUT ?digest=
//!                 ▲                  │ broke off
//!                 └──── lost ◀── GET ◀┘ Range: what it has
//! ```
//!
//! Makes no blob. Invariant: a blob that the repository has is not sent; each try begins with asking
//! for it, so an upload whose last answer was lost is not done twice.

use std::time::Instant;

use ureq::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use super::push::Asked;
use super::{Registry, parse};
use crate::engine::base::{Error, Kind, Progress, SectorSource};
use crate::fetch::{Answer, Fault, Part, shown};

/// Shorter blobs go with the request that ends the upload.
const SMALL: u64 = 1 << 20;

/// A blob that is being uploaded.
struct Blob<'a> {
    uri: Uri,
    digest: &'a str,
    source: &'a dyn SectorSource,
    /// Where an upload goes on that was begun.
    session: Option<Uri>,
}

impl Registry {
    /// Uploads the blob with this digest, unless the repository has it. Whether it was sent.
    pub fn upload(
        &self,
        digest: &str,
        source: &dyn SectorSource,
        progress: &dyn Progress,
    ) -> Result<bool, Error> {
        let uri = self.uri("blobs", digest)?;
        let mut blob = Blob { uri, digest, source, session: None };
        let deadline = self.client.deadline();
        let mut sent = false;
        self.client.persist(deadline, progress, || {
            let asked = Asked::bare(Method::HEAD, &blob.uri);
            let answer = self.exchange(&asked, deadline)?;
            let ours = answer.uri == blob.uri;
            match answer.status {
                StatusCode::OK => return Ok(()),
                StatusCode::NOT_FOUND => {}
                // Whoever keeps the bytes for the registry may not like the question.
                _ if !ours => {}
                _ => return Err(self.refusal(answer)),
            }
            sent = true;
            self.attempt(&mut blob, deadline, progress)
        })?;
        Ok(sent)
    }

    /// Sends what is missing and ends the upload.
    fn attempt(
        &self,
        blob: &mut Blob<'_>,
        deadline: Instant,
        progress: &dyn Progress,
    ) -> Result<(), Fault> {
        let resumed = match blob.session.take() {
            Some(place) => self.resume(&place, blob.source.len(), deadline)?,
            None => None,
        };
        let (place, have) = match resumed {
            Some(resumed) => resumed,
            None => (self.begin(deadline)?, 0),
        };
        progress.begin("uploading", blob.source.len() - have);
        if have == 0 && blob.source.len() <= SMALL {
            return self.finish(blob, &place, 0, deadline, progress);
        }
        let place = self.patch(blob, place, have, deadline, progress)?;
        self.finish(blob, &place, blob.source.len(), deadline, progress)
    }

    /// Begins an upload.
    fn begin(&self, deadline: Instant) -> Result<Uri, Fault> {
        let uri = parse(&format!("{}/blobs/uploads/", self.base))?;
        let nothing = Part::nothing();
        let asked = Asked { part: Some(&nothing), ..Asked::bare(Method::POST, &uri) };
        let answer = self.exchange(&asked, deadline)?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(self.refusal(answer));
        }
        self.place(&answer, &uri)?.ok_or_else(|| {
            let message = format!("{} begins an upload and says no place for it", shown(&uri));
            Error::new(Kind::Rejected, message).into()
        })
    }

    /// Where an upload goes on that broke off, and from which byte; None where it is lost.
    fn resume(
        &self,
        place: &Uri,
        len: u64,
        deadline: Instant,
    ) -> Result<Option<(Uri, u64)>, Fault> {
        let answer = self.exchange(&Asked::bare(Method::GET, place), deadline)?;
        if !matches!(answer.status.as_u16(), 200 | 202 | 204) {
            return Ok(None);
        }
        let have = received(&answer).unwrap_or(0);
        let next = self.place(&answer, place)?.unwrap_or_else(|| place.clone());
        Ok(Some((next, have)).filter(|_| have <= len))
    }

    /// Sends the bytes from `have` on, and says where the upload goes on.
    fn patch(
        &self,
        blob: &mut Blob<'_>,
        place: Uri,
        have: u64,
        deadline: Instant,
        progress: &dyn Progress,
    ) -> Result<Uri, Fault> {
        let len = blob.source.len();
        if have == len {
            return Ok(place);
        }
        blob.session = Some(place.clone());
        let part = Part::new(blob.source, have..len, progress);
        let mut headers = bytes();
        // One stream from the beginning is what every registry takes, and says no range.
        if have > 0 {
            let range = HeaderValue::try_from(format!("{have}-{}", len - 1));
            headers.extend(range.ok().map(|range| (header::CONTENT_RANGE, range)));
        }
        let asked = Asked { method: Method::PATCH, uri: &place, headers, part: Some(&part) };
        let answer = self.exchange(&asked, deadline)?;
        let next = self.place(&answer, &place)?.unwrap_or_else(|| place.clone());
        let status = answer.status.as_u16();
        match status {
            200..=202 | 204 => {}
            404 | 416 => {
                // Of 416 the place stays: what it has is asked for.
                blob.session = blob.session.take().filter(|_| status == 416);
                return Err(lost(&place, "does not know how to go on"));
            }
            _ => return Err(self.refusal(answer)),
        }
        blob.session = Some(next.clone());
        match received(&answer).filter(|have| *have != len) {
            Some(have) => Err(lost(&place, &format!("took {have} of {len} bytes"))),
            None => Ok(next),
        }
    }

    /// Ends an upload, with the bytes from `from` on.
    fn finish(
        &self,
        blob: &mut Blob<'_>,
        place: &Uri,
        from: u64,
        deadline: Instant,
        progress: &dyn Progress,
    ) -> Result<(), Fault> {
        blob.session = None;
        let join = if place.query().is_some() { '&' } else { '?' };
        let uri = parse(&format!("{place}{join}digest={}", blob.digest))?;
        let part = Part::new(blob.source, from..blob.source.len(), progress);
        let asked = Asked { method: Method::PUT, uri: &uri, headers: bytes(), part: Some(&part) };
        let answer = self.exchange(&asked, deadline)?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(lost(place, "has forgotten the upload"));
        }
        self.stored(answer, blob.digest).map(|_| ())
    }

    /// Where the answer to a request for `uri` says that an upload goes on.
    fn place(&self, answer: &Answer, uri: &Uri) -> Result<Option<Uri>, Error> {
        let target = answer.headers.get(header::LOCATION);
        target.map(|target| self.client.next(&answer.uri, uri, target)).transpose()
    }
}

fn bytes() -> HeaderMap {
    let kind = HeaderValue::from_static("application/octet-stream");
    HeaderMap::from_iter([(header::CONTENT_TYPE, kind)])
}

/// How many bytes an answer says that the upload has: `Range: 0-N`, where 0-0 also stands for none.
fn received(answer: &Answer) -> Option<u64> {
    let range = answer.headers.get(header::RANGE)?.to_str().ok()?.trim();
    let last: u64 = range.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    if last == 0 { Some(0) } else { last.checked_add(1) }
}

fn lost(place: &Uri, why: &str) -> Fault {
    Fault::Passing(Error::new(Kind::Io, format!("{} {why}", shown(place))), None)
}
