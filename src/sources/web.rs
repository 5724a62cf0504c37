//! Files on web servers, with headers from a Secret and authorities from a ConfigMap.
//!
//! Invariant: the values of headers are in no message.

use ureq::http::{HeaderName, HeaderValue, Uri};

use super::{Provided, Sources};
use crate::engine::base::{Error, Kind, Progress};
use crate::fetch::{Headers, Wanted};
use crate::manifest::types::{CaBundle, Http};

impl Sources {
    /// Fetches a file.
    pub(super) fn web(
        &self,
        http: &Http,
        digest: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<Provided, Error> {
        let uri: Uri = http
            .url
            .parse()
            .map_err(|e| Error::new(Kind::Document, format!("the url is no address: {e}")))?;
        let headers = match &http.headers_secret_ref {
            Some(secret) => self.headers(&secret.name)?,
            None => Headers::default(),
        };
        let headers = || Ok(headers.clone());
        let client = match &http.ca_bundle {
            Some(bundle) => self.client.trusting(&self.bundle(bundle)?)?,
            None => self.client.clone(),
        };
        let limit = self.scratch.left();
        let wanted = Wanted { uri: &uri, headers: &headers, digest, len: None, limit };
        let fetched = client.download(&wanted, &self.scratch, progress)?;
        Ok(Provided { source: fetched.source, digest: Some(fetched.digest) })
    }

    pub(super) fn bundle(&self, bundle: &CaBundle) -> Result<Vec<u8>, Error> {
        self.mounts.config_map_key(&bundle.config_map_key_ref)
    }

    /// The keys of a Secret as headers.
    fn headers(&self, secret: &str) -> Result<Headers, Error> {
        let mut headers = Headers::default();
        for key in self.secrets().all(secret)? {
            let wrong = |what: &str| {
                let message = format!("the key {:?} of Secret {secret:?} {what}", key.key);
                Error::new(Kind::Input, message)
            };
            let name = HeaderName::from_bytes(key.key.as_bytes());
            let name = name.map_err(|_| wrong("is no name of a header"))?;
            let bytes = self.secrets().bytes(&key)?;
            let value = HeaderValue::from_bytes(bytes.trim_ascii());
            let mut value = value.map_err(|_| wrong("holds a byte that no header may"))?;
            value.set_sensitive(true);
            headers.secret.insert(name, value);
        }
        Ok(headers)
    }
}
