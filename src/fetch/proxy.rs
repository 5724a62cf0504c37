//! Which proxy a request goes through: what the operator says, or the usual environment variables.
//!
//! Knows HTTP proxies with CONNECT only. Invariant: who is named in the list of exceptions is never
//! asked through a proxy.

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

use super::guard::{Guard, host};
use super::range::Range;
use crate::engine::base::{Error, Kind};

/// Proxies and who is asked without one.
#[derive(Debug, Default)]
pub struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    without: Vec<Without>,
}

/// Who is asked without a proxy.
#[derive(Debug)]
enum Without {
    All,
    /// The name and all names below it.
    Zone(String),
    Range(Range),
}

impl Proxies {
    /// One proxy for everything but `without`, a list such as `.svc,10.0.0.0/8,example.com`.
    pub fn new(proxy: &str, without: &str) -> Result<Self, Error> {
        let proxy = parse("--source-proxy", proxy)?;
        Ok(Self { https: proxy.clone(), http: proxy, without: exceptions(without) })
    }

    /// What the environment says. `HTTP_PROXY` in capitals is not read where a web server may have
    /// set it: that is never a pod or a desk.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let any = |names: &[&'static str]| {
            let found = names.iter().find_map(|name| Some((*name, get(name)?)));
            found.map_or(Ok(None), |(name, value)| parse(name, &value))
        };
        let without = get("NO_PROXY").or_else(|| get("no_proxy")).unwrap_or_default();
        Ok(Self {
            https: any(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?,
            http: any(&["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])?,
            without: exceptions(&without),
        })
    }

    /// The proxy for `uri`.
    pub(super) fn of(&self, uri: &Uri) -> Option<Proxy> {
        let proxy = if uri.scheme_str() == Some("http") { &self.http } else { &self.https };
        let host = host(uri)?;
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let without = self.without.iter().any(|without| match without {
            Without::All => true,
            Without::Range(range) => address.is_some_and(|address| range.holds(address)),
            Without::Zone(zone) => {
                let rest = host.strip_suffix(zone.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        });
        proxy.clone().filter(|_| !without)
    }

    /// `guard`, knowing the places of the proxies.
    pub(super) fn known_to(&self, guard: Guard) -> Guard {
        let all = [&self.https, &self.http].into_iter().flatten();
        all.fold(guard, |guard, proxy| guard.behind(proxy.host(), proxy.port()))
    }
}

fn parse(name: &str, value: &str) -> Result<Option<Proxy>, Error> {
    if value.trim().is_empty() {
        return Ok(None);
    }
    // The value may hold a password: it is not repeated.
    let wrong = || {
        let message = format!("{name} is no proxy such as http://proxy.example.com:3128");
        Error::new(Kind::Document, message)
    };
    let proxy = Proxy::new(value.trim()).map_err(|_| wrong())?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(Some(proxy)),
        _ => Err(wrong()),
    }
}

fn exceptions(list: &str) -> Vec<Without> {
    let words = list.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| match word.parse() {
            _ if word == "*" => Without::All,
            Ok(range) => Without::Range(range),
            Err(_) => {
                let zone = word.trim_start_matches('*').trim_matches('.');
                Without::Zone(zone.to_ascii_lowercase())
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_asked_directly() {
        let proxies =
            Proxies::new("http://proxy.example:3128", "a.example, .svc,10.0.0.0/8,*.b.example")
                .unwrap();
        for (url, direct) in [
            ("https://a.example/", true),
            ("https://x.A.example/", true),
            ("https://xa.example/", false),
            ("https://files.web.svc/", true),
            ("https://10.1.1.1/", true),
            ("https://11.1.1.1/", false),
            ("http://c.b.example/", true),
            ("http://c.example/", false),
        ] {
            assert_eq!(proxies.of(&url.parse().unwrap()).is_none(), direct, "{url}");
        }
        assert!(
            Proxies::new("http://p:1", "*").unwrap().of(&"https://a/".parse().unwrap()).is_none()
        );
    }

    #[test]
    fn the_environment_is_read_by_scheme() {
        let set = |name: &str| match name {
            "https_proxy" => Some("http://one:1".to_owned()),
            "HTTP_PROXY" => Some("two:2".to_owned()),
            _ => None,
        };
        let proxies = Proxies::from_environment(set).unwrap();
        let host = |url: &str| proxies.of(&url.parse().unwrap()).unwrap().host().to_owned();
        assert_eq!((host("https://a/"), host("http://a/")), ("one".to_owned(), "two".to_owned()));
        let error = Proxies::new("socks5://user:secret@p:1", "").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
