//! Digests as images write them, and blobs that must have them.
//!
//! OCI Image Format Specification 1.1, "Descriptor": `sha256:` and 64 digits in lower case. Other
//! algorithms are not read. Invariant: a digest is safe as a file's name.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use super::{Blobs, Descriptor};
use crate::engine::base::{self, Error, Kind, SectorSource, Silent};

/// A SHA-256.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Box<str>);

impl Digest {
    /// The digest of this text.
    pub fn new(text: &str) -> Result<Self, Error> {
        let hex = text.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        });
        if hex.is_none() {
            let shown: String = text.chars().take(100).collect();
            let message = format!(
                "\"{}\" is no digest; \"sha256:\" and 64 hexadecimal digits are allowed",
                shown.escape_debug()
            );
            return Err(Error::new(Kind::Input, message));
        }
        Ok(Self(text.into()))
    }

    /// The whole text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits alone.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or_default()
    }

    /// Whether these bytes have it; an error names `what` they are.
    pub(super) fn judge(&self, source: &dyn SectorSource, what: &str) -> Result<(), Error> {
        let found = base::digest(source, &Silent)?;
        if found != self.as_str() {
            let message = format!("{what} has the digest {found} instead of {self}");
            return Err(Error::new(Kind::Damaged, message));
        }
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// The blob of a descriptor, with its length and digest.
pub(super) fn fetch(
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
) -> Result<Arc<dyn SectorSource>, Error> {
    let source = blobs.blob(&descriptor.digest, descriptor.size)?;
    judged(source, descriptor)
}

/// The manifest or index of a descriptor, with its length and digest.
pub(super) fn fetch_manifest(
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
) -> Result<Arc<dyn SectorSource>, Error> {
    let source = blobs.manifest(&descriptor.digest, descriptor.size)?;
    judged(source, descriptor)
}

fn judged(
    source: Arc<dyn SectorSource>,
    descriptor: &Descriptor,
) -> Result<Arc<dyn SectorSource>, Error> {
    let Descriptor { digest, size, .. } = descriptor;
    if source.len() != *size {
        let message = format!("the blob {digest} has {} bytes instead of {size}", source.len());
        return Err(Error::new(Kind::Damaged, message));
    }
    digest.judge(source.as_ref(), "the blob")?;
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_one_spelling() {
        let hex = "0123456789abcdef".repeat(4);
        assert_eq!(Digest::new(&format!("sha256:{hex}")).unwrap().hex(), hex);
        for bad in [
            hex.clone(),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{hex}0"),
            format!("sha512:{hex}{hex}"),
            format!("sha256:../{}", &hex[3..]),
            String::new(),
        ] {
            assert!(Digest::new(&bad).is_err(), "{bad}");
        }
    }
}
