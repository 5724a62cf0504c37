//! The inputs that a document names, and the bytes of those it holds itself.
//!
//! Does not read files. Invariant: `sources` lists every source of a document once, with its path.

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::FieldPath;
use super::types::{Inline, Source, Spec};

/// All inline bytes of a document together may be at most this many.
pub const MAX_INLINE: usize = 128 << 10;

/// Why inline bytes cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InlineError {
    /// The text is not base64.
    #[error("not base64 (RFC 4648 with padding): {0}")]
    Base64(String),
    /// Neither or both members are given.
    #[error("inline needs exactly one of: text, base64")]
    Members,
}

/// Every source in `spec` with the path of its field.
#[must_use]
pub fn sources(spec: &Spec) -> Vec<(FieldPath, &Source)> {
    let sector = spec.boot.as_ref().and_then(|boot| boot.sector.as_ref());
    let source = sector.and_then(|sector| sector.source.as_ref());
    source.map(|source| (FieldPath::new("spec.boot.sector.source"), source)).into_iter().collect()
}

/// The bytes that stand in the document.
pub fn inline_bytes(inline: &Inline) -> Result<Vec<u8>, InlineError> {
    match (&inline.text, &inline.base64) {
        (Some(text), None) => Ok(text.clone().into_bytes()),
        (None, Some(base64)) => {
            let compact: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            base64::engine::general_purpose::STANDARD
                .decode(compact)
                .map_err(|e| InlineError::Base64(e.to_string()))
        }
        _ => Err(InlineError::Members),
    }
}

/// The digest of `bytes` as documents write it: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
