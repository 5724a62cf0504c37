//! What a registry says when it does not do what it was asked for (distribution specification v1.1,
//! "Error Codes").
//!
//! Sends nothing. Invariants: what is repeated is short and holds neither control characters nor
//! anything that was sent as a secret.

use std::io::Read as _;

use serde::Deserialize;

use crate::fetch::Answer;

/// Bytes that are read of an answer, and characters that are shown of a text.
const MAX_ANSWER: u64 = 16 << 10;
const MAX_TEXT: usize = 300;
/// Errors of one answer that are shown.
const MAX_ERRORS: usize = 3;
/// Shorter secrets are not looked for: they would be found everywhere.
const SHORT: usize = 4;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered {
    errors: Vec<Problem>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    message: Option<String>,
}

/// The registry's words in an answer, with what leads over to them; empty if there are none.
pub(super) fn said(answer: &mut Answer, secrets: &[String]) -> String {
    let mut bytes = Vec::new();
    // What came before a failure may be enough; if not, it is no JSON.
    let _ = (&mut answer.body).take(MAX_ANSWER).read_to_end(&mut bytes);
    words(&bytes, secrets)
}

fn words(bytes: &[u8], secrets: &[String]) -> String {
    let Ok(Answered { errors }) = serde_json::from_slice(bytes) else { return String::new() };
    let shown = errors.iter().take(MAX_ERRORS).map(|Problem { code, message }| {
        let message = message.as_deref().filter(|message| !message.is_empty());
        let text = message.map_or_else(|| code.clone(), |message| format!("{code}: {message}"));
        clean(&text, secrets)
    });
    let shown: Vec<_> = shown.filter(|text| !text.is_empty()).collect();
    if shown.is_empty() { shown.concat() } else { format!("; it says {}", shown.join("; ")) }
}

/// `text` without secrets and control characters, cut.
fn clean(text: &str, secrets: &[String]) -> String {
    let known = secrets.iter().filter(|secret| secret.len() >= SHORT);
    let text = known.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"));
    let text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short_clean_and_hold_no_secret() {
        let secrets = ["canary".to_owned(), "x".to_owned()];
        let long = "y".repeat(1000);
        for (body, wanted) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"no\n access","detail":{"a":1}}]}"#,
                "; it says DENIED: no  access".to_owned(),
            ),
            (r#"{"errors":[{"code":"A"},{"code":"B","message":null}]}"#, "; it says A; B".into()),
            (
                r#"{"errors":[{"code":"A","message":"Basic canary is x"}]}"#,
                "; it says A: Basic … is x".into(),
            ),
            (
                &*format!(r#"{{"errors":[{{"code":"A","message":"{long}"}}]}}"#),
                format!("; it says A: {}", "y".repeat(297)),
            ),
            (
                r#"{"errors":[{"code":"A"},{"code":"B"},{"code":"C"},{"code":"D"}]}"#,
                "; it says A; B; C".into(),
            ),
            (r#"{"errors":[]}"#, String::new()),
            (r#"{"errors":7}"#, String::new()),
            ("<html>", String::new()),
            ("", String::new()),
        ] {
            assert_eq!(words(body.as_bytes(), &secrets), wanted, "{body}");
        }
    }
}
