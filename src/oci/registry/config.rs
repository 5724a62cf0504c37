//! Credentials out of a Docker configuration, `config.json` or a pull secret.
//!
//! Runs no credential helper. Invariant: no message holds a password.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use serde::Deserialize;

use crate::engine::base::{Error, Kind};
use crate::oci::Reference;

/// A configuration may be so long: a Secret's limit.
const MAX_CONFIG: usize = 1 << 20;

/// Name and password for a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// The value of an `Authorization` header (RFC 7617).
    pub(super) fn basic(&self) -> String {
        let text = format!("{}:{}", self.user, self.password);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    }
}

/// The parts of a Docker configuration that we know.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerConfig").field("auths", &self.auths.keys()).finish_non_exhaustive()
    }
}

impl DockerConfig {
    /// Reads a configuration. `place` says in messages where it comes from.
    pub fn parse(text: &[u8], place: &str) -> Result<Self, Error> {
        let wrong = |why: String| {
            Error::new(Kind::Input, format!("{place} is no Docker configuration: {why}"))
        };
        if text.len() > MAX_CONFIG {
            return Err(wrong(format!("it has {} bytes, {MAX_CONFIG} are allowed", text.len())));
        }
        // serde_json's message may repeat a value; the place in the text suffices.
        let parsed = serde_json::from_slice(text);
        parsed.map_err(|e| {
            wrong(format!("no JSON of that form at line {}, column {}", e.line(), e.column()))
        })
    }

    /// The credentials for an image, the entry with the longest matching path first; None where the
    /// configuration has none.
    pub fn credentials(&self, image: &Reference) -> Result<Option<Credentials>, Error> {
        let wrong = |why: String| Err(Error::new(Kind::Input, why));
        let registry = &image.registry;
        let best = self.auths.iter().filter(|(key, _)| covers(key, image));
        let best = best.max_by_key(|(key, _)| normal(key).len());
        if let Some(helper) = self.cred_helpers.get(registry) {
            return wrong(format!(
                "credentials for {registry} come from the credential helper {helper:?}, which is \
                 not run; needed is an entry in auths"
            ));
        }
        let Some((key, entry)) = best else { return Ok(None) };
        if !entry.identitytoken.is_empty() {
            return wrong(format!(
                "the entry {key:?} holds an identity token, which is not supported; needed is a \
                 name with a password or access token"
            ));
        }
        if !entry.username.is_empty() {
            let Entry { username, password, .. } = entry;
            return Ok(Some(Credentials { user: username.clone(), password: password.clone() }));
        }
        if entry.auth.is_empty() {
            let store = &self.creds_store;
            return match store.is_empty() {
                true => wrong(format!("the entry {key:?} holds neither auth nor username")),
                false => wrong(format!(
                    "the entry {key:?} leaves its credentials to the store {store:?}, which is \
                     not asked; needed is auth or username and password"
                )),
            };
        }
        let decoded = base64::engine::general_purpose::STANDARD.decode(entry.auth.trim());
        let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match text.as_deref().map(|text| text.trim_end_matches('\0').split_once(':')) {
            Some(Some((user, password))) => {
                Ok(Some(Credentials { user: user.to_owned(), password: password.to_owned() }))
            }
            _ => {
                wrong(format!("the entry {key:?} has an auth that is not base64 of name:password"))
            }
        }
    }
}

/// A key as `host[:port][/path]`.
fn normal(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        key => key,
    }
}

/// Whether an entry is for the image: the same host, and a path that leads to the repository.
fn covers(key: &str, image: &Reference) -> bool {
    let key = normal(key);
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    let rest = image.repository.strip_prefix(path);
    host == image.registry
        && rest.is_some_and(|r| path.is_empty() || r.is_empty() || r.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(config: &str, image: &str) -> Result<Option<Credentials>, Error> {
        let config = DockerConfig::parse(config.as_bytes(), "config.json").unwrap();
        config.credentials(&image.parse().unwrap())
    }

    #[test]
    fn the_longest_path_wins() {
        // printf 'u:p:q' | base64
        let config = r#"{"auths": {"r.example": {"auth": "dTpwOnE="},
            "https://r.example/team/": {"username": "t", "password": "s"},
            "https://index.docker.io/v1/": {"auth": "dTpwOnE="}}}"#;
        let user = |image| of(config, image).unwrap().map(|c| (c.user, c.password));
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(user("r.example/a"), pair("u", "p:q"));
        assert_eq!(user("r.example/team/a"), pair("t", "s"));
        assert_eq!(user("r.example/teams/a"), pair("u", "p:q"));
        assert_eq!(user("alpine"), pair("u", "p:q"));
        assert_eq!(user("r.example:5000/a"), None);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (config, wanted) in [
            (r#"{"credHelpers": {"r.example": "ecr-login"}}"#, "ecr-login"),
            (r#"{"auths": {"r.example": {}}, "credsStore": "desktop"}"#, "\"desktop\""),
            (r#"{"auths": {"r.example": {"auth": "c2VjcmV0"}}}"#, "not base64 of name:password"),
            (r#"{"auths": {"r.example": {"identitytoken": "x"}}}"#, "identity token"),
            (r#"{"auths": {"r.example": {}}}"#, "neither auth nor username"),
        ] {
            let error = of(config, "r.example/a").unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains("secret"), "{error}");
        }
        let error = DockerConfig::parse(br#"{"auths": "canary"}"#, "the pull secret").unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
