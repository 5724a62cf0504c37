//! The manifest of a package: one digest for each of its other files (DSP0243 5.1).
//!
//! Opens nothing. Invariants: a line is `SHA256(name)= hex` to the byte, which vCenter and the
//! strict readers want; a written manifest does not name itself.

use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use super::ova::Digest;
use crate::engine::base::{Error, Kind, SectorSource, Work};

/// Bytes digested at once.
const BATCH: u64 = 1 << 20;

/// The longest manifest that is read.
pub(super) const MOST: u64 = 1 << 20;

/// A digest being computed.
#[derive(Clone)]
pub(super) enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub(super) fn new(digest: Digest) -> Self {
        match digest {
            Digest::Sha1 => Self::Sha1(Sha1::new()),
            Digest::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    /// The one of this name in a manifest.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "SHA1" => Self::Sha1(Sha1::new()),
            "SHA256" => Self::Sha256(Sha256::new()),
            "SHA512" => Self::Sha512(Sha512::new()),
            _ => return None,
        })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The name in a manifest, and the digest in hexadecimal.
    pub(super) fn finish(self) -> (&'static str, String) {
        match self {
            Self::Sha1(hasher) => ("SHA1", hex::encode(hasher.finalize())),
            Self::Sha256(hasher) => ("SHA256", hex::encode(hasher.finalize())),
            Self::Sha512(hasher) => ("SHA512", hex::encode(hasher.finalize())),
        }
    }
}

/// A line of a manifest.
pub(super) fn line(name: &str, hasher: Hasher) -> String {
    let (digest, hex) = hasher.finish();
    format!("{digest}({name})= {hex}\n")
}

/// What a manifest says about one file.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) name: String,
    hasher: Hasher,
    hex: String,
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim")
            .field("name", &self.name)
            .field("hex", &self.hex)
            .finish_non_exhaustive()
    }
}

/// Reads an untrusted manifest. Spaces are taken where some writers put them.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Claim>, Error> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Error::new(Kind::Damaged, format!("the manifest is not UTF-8: {e}")))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            claim(line).ok_or_else(|| {
                let message = format!(
                    "line {number} of the manifest is no \"SHA256(name)= hex\" (or SHA1, SHA512)"
                );
                Error::new(Kind::Damaged, message)
            })
        })
        .collect()
}

fn claim(line: &str) -> Option<Claim> {
    let (digest, rest) = line.split_once('(')?;
    let (name, hex) = rest.rsplit_once(")=").or_else(|| rest.rsplit_once(") ="))?;
    let hasher = Hasher::of(digest.trim())?;
    let hex = hex.trim().to_ascii_lowercase();
    let right = hex.len() == hasher.clone().finish().1.len()
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    right.then(|| Claim { name: name.to_owned(), hasher, hex })
}

impl Claim {
    /// Reads the whole file and compares.
    pub(super) fn verify(&self, source: &dyn SectorSource, work: &Work<'_>) -> Result<(), Error> {
        let mut hasher = self.hasher.clone();
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < source.len() {
            let len = (source.len() - at).min(BATCH);
            buffer.resize(len as usize, 0);
            source.read_at(at, &mut buffer)?;
            hasher.update(&buffer);
            work.progress.advance(len)?;
            at += len;
        }
        let (digest, hex) = hasher.finish();
        if hex == self.hex {
            return Ok(());
        }
        let message =
            format!("\"{}\" has the {digest} {hex}; the manifest says {}", self.name, self.hex);
        Err(Error::new(Kind::Damaged, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_vcenter_wants_them() {
        // From sha256sum and sha1sum of an empty file.
        assert_eq!(
            line("a b.ovf", Hasher::new(Digest::Sha256)),
            "SHA256(a b.ovf)= e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
        );
        assert_eq!(
            line("a.ovf", Hasher::new(Digest::Sha1)),
            "SHA1(a.ovf)= da39a3ee5e6b4b0d3255bfef95601890afd80709\n"
        );
    }

    #[test]
    fn what_writers_write_is_read_and_nothing_else() {
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        for good in [
            format!("SHA1(a)= {sha1}\n"),
            format!("SHA1 (a) = {}\r\n\n", sha1.to_uppercase()),
            format!("SHA1(a)={sha1}"),
        ] {
            let claims = parse(good.as_bytes()).unwrap();
            assert_eq!((claims[0].name.as_str(), claims[0].hex.as_str()), ("a", sha1));
        }
        for bad in [
            format!("MD5(a)= {sha1}"),
            format!("SHA256(a)= {sha1}"),
            format!("SHA1(a= {sha1}"),
            "SHA1(a)= xyz".to_owned(),
            format!("SHA1(a)= {}", sha1.replace('a', "z")),
            "hello".to_owned(),
        ] {
            let error = parse(format!("\n{bad}").as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("line 2 of the manifest is no"), "{bad}");
        }
        assert!(parse(b"\xff").is_err());
    }
}
