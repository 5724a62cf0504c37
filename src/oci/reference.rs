//! Names of images: `registry.example.com:5000/team/image:tag@sha256:…`.
//!
//! Asks nobody. Invariant: a reference has a registry, a repository, and a tag or a digest; short
//! names mean what they mean to Docker and to a kubelet.

use std::fmt;
use std::str::FromStr;

/// The registry of names that name none.
const DEFAULT: &str = "docker.io";
/// Where that registry answers.
const DEFAULT_HOST: &str = "registry-1.docker.io";

/// An image's name (distribution specification v1.1, "Pulling manifests"; the grammar of short
/// names is that of the `distribution/reference` package).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry as it is written in configurations.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest of the manifest: `sha256:` and 64 hexadecimal digits.
    pub digest: Option<String>,
}

impl Reference {
    /// Host and port that answer for the registry.
    #[must_use]
    pub fn host(&self) -> &str {
        if self.registry == DEFAULT { DEFAULT_HOST } else { &self.registry }
    }

    /// The repository without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What a manifest is asked for by: the digest where there is one, else the tag.
    #[must_use]
    pub fn selector(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

/// Whether `text` is a digest that we can verify.
pub(super) fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether `text` can be a tag.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// A component of a repository: lower case words with separators between them.
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(word)
        && bytes.last().copied().is_some_and(word)
        && bytes.iter().all(|b| word(*b) || b"._-".contains(b))
        && !text.contains("..")
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let name = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b))
        }
    };
    name && port
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!("{text:?} is no image such as registry.example.com/team/image:tag: {why}"))
        };
        let (rest, digest) = match text.split_once('@') {
            Some((_, digest)) if !is_digest(digest) => {
                return wrong("the digest is not sha256: and 64 hexadecimal digits");
            }
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return wrong("the tag is not valid");
        }
        let named = |first: &str| first.contains(['.', ':', '[']) || first == "localhost";
        let (registry, repository) = match rest.split_once('/') {
            Some((first, repository)) if named(first) => (first, repository.to_owned()),
            Some(_) => (DEFAULT, rest.to_owned()),
            None => (DEFAULT, format!("library/{rest}")),
        };
        if !is_host(registry) {
            return wrong("the registry is not valid");
        }
        if repository.len() > 255 || !repository.split('/').all(is_component) {
            return wrong("the repository is not valid");
        }
        let registry = match registry {
            "index.docker.io" => DEFAULT,
            other => other,
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_they_mean_to_docker() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        for (text, wanted) in [
            ("alpine", "docker.io/library/alpine".to_owned()),
            ("team/image:1", "docker.io/team/image:1".to_owned()),
            ("localhost/image", "localhost/image".to_owned()),
            ("localhost:5000/image", "localhost:5000/image".to_owned()),
            ("r.example:5000/a/b_c/d-e:v1.0", "r.example:5000/a/b_c/d-e:v1.0".to_owned()),
            ("[::1]:5000/a", "[::1]:5000/a".to_owned()),
            (&*format!("r.example/a:t@{digest}"), format!("r.example/a:t@{digest}")),
            (&*format!("r.example/a@{digest}"), format!("r.example/a@{digest}")),
        ] {
            let found: Reference = text.parse().unwrap();
            assert_eq!(found.to_string(), wanted, "{text}");
        }
        assert_eq!("alpine".parse::<Reference>().unwrap().host(), "registry-1.docker.io");
        assert_eq!(format!("a:t@{digest}").parse::<Reference>().unwrap().selector(), digest);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "/",
            "a/",
            "A/b",
            "a..b",
            "r.example/../x",
            "r.example/a?b",
            "r.example:99999/a",
            "r.example/a@sha256:12",
            "r.example/a@md5:00",
            "r.example/a:b c",
            "u@r.example/a",
            "r.example/a:",
            "http://r.example/a",
            "r.example/a#b",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
