//! Requests and answers of the faked API server: taken apart, and put together.
//!
//! Knows nothing of what is stored (that is `server`). Invariant: nothing of a request is lost that
//! an answer depends on.

use std::collections::BTreeMap;

use axum::http::{Request, Response};
use kube::client::Body;
use serde_json::Value;

use super::objects::{Key, Refusal};

/// A request as it was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) verb: &'static str,
    pub(super) plural: String,
    pub(super) name: String,
}

impl Seen {
    pub(super) fn is_write(&self) -> bool {
        !["get", "list"].contains(&self.verb)
    }
}

/// A request taken apart.
pub(super) struct Call {
    pub(super) group: String,
    pub(super) seen: Seen,
    pub(super) key: Key,
    pub(super) sub: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Value,
    pub(super) content_type: String,
}

impl Call {
    pub(super) async fn of(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        // /api/v1/… or /apis/GROUP/VERSION/…
        let rest = path.get(if path[0] == "api" { 2 } else { 3 }..).unwrap();
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let part = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
        let (plural, name, sub) = (part(0), part(1), part(2));
        let pairs = parts.uri.query().unwrap_or_default().split('&');
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        let verb = match parts.method.as_str() {
            "GET" if name.is_empty() => "list",
            "GET" => "get",
            "POST" => "create",
            "PATCH" => "patch",
            "DELETE" => "delete",
            other => panic!("{other} is no verb of this server"),
        };
        let content_type = parts.headers.get("content-type");
        Self {
            group: path.get(1).copied().unwrap_or_default().to_owned(),
            key: Key::new(&plural, namespace, &name),
            seen: Seen { verb, plural, name },
            sub,
            query: pairs.map(|(k, v)| (k.to_owned(), v.replace("%2F", "/"))).collect(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            content_type: content_type.map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default(),
        }
    }
}

/// The reason that goes with a code.
pub(super) fn reason(code: u16) -> &'static str {
    match code {
        403 => "Forbidden",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        504 => "Timeout",
        _ => "InternalError",
    }
}

/// An answer as it goes over the wire.
pub(super) fn response(answer: Result<Value, Refusal>) -> Response<Body> {
    let (code, body) = match &answer {
        Ok(object) => (200, object.clone()),
        Err(refusal) => (refusal.code, refusal.to_status()),
    };
    let response = Response::builder().status(code).header("content-type", "application/json");
    let response = if code == 429 { response.header("retry-after", "1") } else { response };
    response.body(Body::from(body.to_string().into_bytes())).unwrap()
}
