//! What a registry that answers 401 asks for.
//!
//! Sends nothing. Invariant: of several challenges the one that needs no password in every request
//! is taken.

/// How a registry wants to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token from another server.
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// For whom.
        service: Option<String>,
    },
    /// With name and password.
    Basic,
}

/// The challenge in the values of the `WWW-Authenticate` headers (RFC 9110 section 11.6.1).
pub(super) fn challenge<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut found = None;
    for value in values {
        let mut scheme = String::new();
        let (mut realm, mut service) = (None, None);
        for (name, parameter) in words(value) {
            match parameter {
                None => {
                    scheme = name.to_ascii_lowercase();
                    if scheme == "basic" {
                        found = found.or(Some(Challenge::Basic));
                    }
                }
                Some(text) if scheme == "bearer" => match name.to_ascii_lowercase().as_str() {
                    "realm" => realm = Some(text),
                    "service" => service = Some(text),
                    _ => {}
                },
                Some(_) => {}
            }
        }
        if let Some(realm) = realm {
            return Some(Challenge::Bearer { realm, service });
        }
    }
    found
}

/// Schemes (without value) and parameters (with one) in order.
fn words(value: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut rest = value.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=', '\t']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after.trim_start_matches([' ', '\t']);
        if let Some(after) = rest.strip_prefix('=') {
            let (text, after) = text(after.trim_start_matches([' ', '\t']));
            found.push((name.to_owned(), Some(text)));
            rest = after;
        } else {
            found.push((name.to_owned(), None));
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
}

/// A token or a quoted string, and what follows.
fn text(from: &str) -> (String, &str) {
    let Some(quoted) = from.strip_prefix('"') else {
        let (token, rest) = from.split_at(from.find([' ', ',', '\t']).unwrap_or(from.len()));
        return (token.to_owned(), rest);
    };
    let mut text = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (text, quoted.get(at + 1..).unwrap_or_default()),
            c => {
                escaped = false;
                text.push(c);
            }
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_real_registries_are_understood() {
        let bearer = |realm: &str, service: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(ToOwned::to_owned),
        };
        for (values, wanted) in [
            (
                &[
                    r#"Bearer realm="https://a/token",service="r.example",scope="repository:x:pull""#,
                ][..],
                Some(bearer("https://a/token", Some("r.example"))),
            ),
            (&[r#"Basic realm="Registry Realm""#], Some(Challenge::Basic)),
            (&["Basic"], Some(Challenge::Basic)),
            (
                &[r#"Basic realm="x", bearer realm="https://a/\"t""#],
                Some(bearer("https://a/\"t", None)),
            ),
            (&["Basic realm=x", "Bearer realm=https://a/t"], Some(bearer("https://a/t", None))),
            (&["Negotiate"], None),
            (&["Bearer"], None),
            (&[r#"Bearer realm=""#], Some(bearer("", None))),
            (&["=,= ,,=\""], None),
            (&[], None),
        ] {
            assert_eq!(challenge(values.iter().copied()), wanted, "{values:?}");
        }
    }
}
