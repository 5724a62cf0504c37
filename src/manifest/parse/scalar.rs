//! What an unquoted scalar means, and whether every reader of YAML agrees.
//!
//! Three readings are compared: YAML 1.1 as its usual readers have it, kubectl (go-yaml 2.4 below
//! sigs.k8s.io/yaml, whose rules are neither version's), and the core schema of YAML 1.2.
//! Does not know fields. Invariant: a scalar on which two of them differ is never given a meaning.

use std::fmt;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::{Number, Value};

/// What a reader takes a scalar for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reading {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Date,
    Merge,
    Default,
    Text,
}

/// Why a scalar has no meaning here.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScalarError {
    /// Two readers differ.
    #[error("{text} without quotes is {first} to {reader} and {second} to YAML 1.2; {fix}")]
    Ambiguous {
        /// What was written.
        text: String,
        /// What one reader takes it for.
        first: String,
        /// That reader.
        reader: &'static str,
        /// What YAML 1.2 takes it for.
        second: String,
        /// What to write instead.
        fix: String,
    },
    /// A number that JSON cannot hold.
    #[error("{text} is not a number that a document can hold; put it in quotes if it is text")]
    NoNumber {
        /// What was written.
        text: String,
    },
    /// A tag that does not go with the text.
    #[error("{text:?} is {found}, which is not what its tag !!{tag} says")]
    Tag {
        /// What was written.
        text: String,
        /// What it is.
        found: String,
        /// The tag without its exclamation marks.
        tag: &'static str,
    },
}

/// The value of the unquoted scalar `text`.
pub(super) fn plain(text: &str) -> Result<Value, ScalarError> {
    let second = core(text);
    let others = [("YAML 1.1", yaml11(text)), ("kubectl", kubectl(text))];
    if let Some((reader, first)) = others.into_iter().find(|(_, reading)| *reading != second) {
        let text = super::super::walk::cut(text);
        let fix = fix(&text, &first, &second);
        let (first, second) = (first.about(&text), second.about(&text));
        return Err(ScalarError::Ambiguous { text, first, reader, second, fix });
    }
    let no_number = || ScalarError::NoNumber { text: text.to_owned() };
    Ok(match second {
        Reading::Null => Value::Null,
        Reading::Bool(truth) => Value::Bool(truth),
        Reading::Int(number) => Value::Number(Number::from_i128(number).ok_or_else(no_number)?),
        Reading::Float(number) => Value::Number(Number::from_f64(number).ok_or_else(no_number)?),
        _ => Value::String(text.to_owned()),
    })
}

/// The value of `text` with the tag `!!tag` of the core schema.
pub(super) fn tagged(text: &str, tag: &'static str) -> Result<Value, ScalarError> {
    if tag == "str" {
        return Ok(Value::String(text.to_owned()));
    }
    let value = plain(text)?;
    let fits = match tag {
        "null" => value.is_null(),
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        _ => false,
    };
    let found = super::super::walk::describe(&value);
    if fits { Ok(value) } else { Err(ScalarError::Tag { text: text.to_owned(), found, tag }) }
}

/// What to write instead of `text`.
fn fix(text: &str, first: &Reading, second: &Reading) -> String {
    if *first == Reading::Merge {
        return "merge keys are not part of YAML 1.2: write the members out".to_owned();
    }
    let mut plain: Vec<String> = [first, second].into_iter().filter_map(Reading::literal).collect();
    plain.dedup();
    let quoted = format!("write {text:?} in quotes");
    if plain.is_empty() { quoted } else { format!("{quoted}, or {}", plain.join(" or ")) }
}

impl Reading {
    /// How to write this so that all readers agree.
    fn literal(&self) -> Option<String> {
        match self {
            Self::Null => Some("null".to_owned()),
            Self::Bool(truth) => Some(truth.to_string()),
            Self::Int(number) => Some(number.to_string()),
            Self::Float(number) if number.is_finite() => Some(number.to_string()),
            _ => None,
        }
    }

    fn about(&self, text: &str) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(truth) => truth.to_string(),
            Self::Int(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number}"),
            Self::Date => "a date".to_owned(),
            Self::Merge => "a merge key".to_owned(),
            Self::Default => "a default key".to_owned(),
            Self::Text => format!("the text {text:?}"),
        }
    }
}

/// A pattern of this file, compiled once.
struct Form(LazyLock<Option<Regex>>);

impl Form {
    fn fits(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|form| form.is_match(text))
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Form")
    }
}

macro_rules! forms {
    ($($name:ident = $pattern:literal;)*) => {
        $(static $name: Form = Form(LazyLock::new(|| Regex::new($pattern).ok()));)*
        #[cfg(test)]
        const PATTERNS: &[&str] = &[$($pattern),*];
    };
}

forms! {
    // yaml.org/type/int.html and float.html, without the slip there that takes "1.2.3" for a number
    // (no reader follows it).
    OLD_BINARY = "^[-+]?0b[01_]+$";
    OLD_OCTAL = "^[-+]?0[0-7_]+$";
    OLD_DECIMAL = "^[-+]?(0|[1-9][0-9_]*)$";
    OLD_HEX = "^[-+]?0x[0-9a-fA-F_]+$";
    OLD_SIXTY = r"^[-+]?([1-9][0-9_]*(:[0-5]?[0-9])+|[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*)$";
    OLD_FLOAT = r"^[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?$";
    OLD_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
    OLD_TIME = r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?$";
    // yaml.org/spec/1.2.2, 10.3.2. The float form is also go-yaml's yamlStyleFloat.
    DECIMAL = "^[-+]?[0-9]+$";
    OCTAL = "^0o[0-7]+$";
    HEX = "^0x[0-9a-fA-F]+$";
    FLOAT = r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$";
}

/// What all three share: null, true, false, infinities and not-a-number.
fn word(text: &str) -> Option<Reading> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Reading::Null,
        "true" | "True" | "TRUE" => Reading::Bool(true),
        "false" | "False" | "FALSE" => Reading::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Reading::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Reading::Float(f64::NEG_INFINITY),
        // One value that equals itself stands for not-a-number: all readers agree on it.
        ".nan" | ".NaN" | ".NAN" => Reading::Float(f64::INFINITY),
        _ => return None,
    })
}

/// The further words of YAML 1.1, which kubectl knows, too.
fn old_word(text: &str) -> Option<Reading> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Reading::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Reading::Bool(false),
        "<<" => Reading::Merge,
        _ => return None,
    })
}

/// yaml.org/type: YAML 1.1.
fn yaml11(text: &str) -> Reading {
    if let Some(reading) = word(text).or_else(|| old_word(text)) {
        return reading;
    }
    let plain = text.replace('_', "");
    match text {
        "=" => Reading::Default,
        _ if OLD_BINARY.fits(text) => integer(&plain, 2, "0b"),
        _ if OLD_DECIMAL.fits(text) => integer(&plain, 10, ""),
        _ if OLD_OCTAL.fits(text) => integer(&plain, 8, ""),
        _ if OLD_HEX.fits(text) => integer(&plain, 16, "0x"),
        _ if OLD_SIXTY.fits(text) => sixty(&plain),
        _ if OLD_FLOAT.fits(text) => float(&plain),
        _ if OLD_DATE.fits(text) || OLD_TIME.fits(text) => Reading::Date,
        _ => Reading::Text,
    }
}

/// go.yaml.in/yaml/v2 resolve.go. Dates stay text when they are read without a target type.
fn kubectl(text: &str) -> Reading {
    if let Some(reading) = word(text).or_else(|| old_word(text)) {
        return reading;
    }
    let plain = text.replace('_', "");
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
    if !numeric {
        let fraction = text.starts_with('.') && FLOAT.fits(&plain);
        return if fraction { float(&plain) } else { Reading::Text };
    }
    let body = plain.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let sign = &plain[..plain.len() - body.len()];
    if sign.len() > 1 {
        return Reading::Text;
    }
    let (radix, prefix) = match body.get(..2) {
        Some("0b") => (2, "0b"),
        Some("0o") => (8, "0o"),
        Some("0x") => (16, "0x"),
        Some(start) if start.starts_with('0') => (8, ""),
        _ => (10, ""),
    };
    let fits = |number: &i128| i64::try_from(*number).is_ok() || u64::try_from(*number).is_ok();
    match integer(&format!("{sign}{body}"), radix, prefix) {
        Reading::Int(number) if fits(&number) => Reading::Int(number),
        _ if FLOAT.fits(&plain) => float(&plain),
        _ => Reading::Text,
    }
}

/// yaml.org/spec/1.2.2, 10.3.2: the core schema.
fn core(text: &str) -> Reading {
    match text {
        _ if DECIMAL.fits(text) => integer(text, 10, ""),
        _ if OCTAL.fits(text) => integer(text, 8, "0o"),
        _ if HEX.fits(text) => integer(text, 16, "0x"),
        _ if FLOAT.fits(text) => float(text),
        _ => word(text).unwrap_or(Reading::Text),
    }
}

fn integer(text: &str, radix: u32, prefix: &str) -> Reading {
    let digits = text.trim_start_matches(['+', '-']);
    let Some(digits) = digits.strip_prefix(prefix) else { return Reading::Text };
    let numeric = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    match i128::from_str_radix(digits, radix) {
        Ok(number) if numeric => Reading::Int(if text.starts_with('-') { -number } else { number }),
        Err(_) if numeric => Reading::Int(i128::MAX),
        _ => Reading::Text,
    }
}

fn float(text: &str) -> Reading {
    text.parse().map_or(Reading::Text, Reading::Float)
}

/// A number in base 60, such as 1:30.
fn sixty(text: &str) -> Reading {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.trim_start_matches(['+', '-']);
    let sum = digits
        .split(':')
        .try_fold(0i128, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?));
    let sum = sum.unwrap_or(i128::MAX);
    let sum = if text.starts_with('-') { sum.saturating_neg() } else { sum };
    if text.contains('.') { float(&format!("{sum}.{fraction}")) } else { Reading::Int(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_pattern_compiles() {
        for pattern in PATTERNS {
            assert!(Regex::new(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn scalars_that_all_readers_take_alike() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("Null", json!(null)),
            ("true", json!(true)),
            ("FALSE", json!(false)),
            ("0", json!(0)),
            ("-5", json!(-5)),
            ("+12", json!(12)),
            ("0x1F", json!(31)),
            ("18446744073709551615", json!(u64::MAX)),
            ("0.5", json!(0.5)),
            ("-1.", json!(-1.0)),
            (".5", json!(0.5)),
            ("1.5e+3", json!(1500.0)),
            ("512Mi", json!("512Mi")),
            ("1.2.3", json!("1.2.3")),
            ("00:30", json!("00:30")),
            ("vmimage.dev/v1alpha1", json!("vmimage.dev/v1alpha1")),
            ("yeS", json!("yeS")),
            ("-", json!("-")),
            (".", json!(".")),
            ("Hello World!", json!("Hello World!")),
            ("12-34", json!("12-34")),
            ("é", json!("é")),
        ] {
            assert_eq!(plain(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn scalars_that_readers_take_differently_are_refused_with_both_readings() {
        // go-yaml's column was observed with sigs.k8s.io/yaml 1.6.0, YAML 1.1's with PyYAML 6.0.3
        // where that follows yaml.org/type.
        for (text, says) in [
            (
                "0755",
                "the number 493 to YAML 1.1 and the number 755 to YAML 1.2; write \"0755\" in quotes, or 493 or 755",
            ),
            (
                "0o755",
                "the text \"0o755\" to YAML 1.1 and the number 493 to YAML 1.2; write \"0o755\" in quotes, or 493",
            ),
            (
                "no",
                "false to YAML 1.1 and the text \"no\" to YAML 1.2; write \"no\" in quotes, or false",
            ),
            ("On", "true to YAML 1.1 and the text"),
            ("y", "true to YAML 1.1 and the text"),
            ("1:30", "the number 90 to YAML 1.1 and the text"),
            ("-1:30.5", "the number -90.5 to YAML 1.1"),
            ("1_000", "the number 1000 to YAML 1.1 and the text"),
            ("2001-12-14", "a date to YAML 1.1 and the text"),
            ("2001-12-14t21:59:43.10-05:00", "a date to YAML 1.1 and the text"),
            ("1e3", "the text \"1e3\" to YAML 1.1 and the number 1000 to YAML 1.2"),
            ("08", "the text \"08\" to YAML 1.1 and the number 8"),
            ("0b11", "the number 3 to YAML 1.1 and the text"),
            ("-0x1F", "the number -31 to YAML 1.1 and the text"),
            ("0X1F", "the number 31 to kubectl and the text"),
            ("=", "a default key to YAML 1.1 and the text"),
            ("<<", "a merge key to YAML 1.1 and the text"),
        ] {
            let message = plain(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{text} without quotes is ")), "{message}");
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused() {
        for text in [".inf", "-.INF", ".NaN", "18446744073709551616", "1.0e+999"] {
            assert!(plain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tag_says_what_a_scalar_is_and_must_fit() {
        assert_eq!(tagged("0755", "str"), Ok(json!("0755")));
        assert_eq!(tagged("5", "int"), Ok(json!(5)));
        assert_eq!(tagged("5", "float"), Ok(json!(5)));
        let message = tagged("x", "int").unwrap_err().to_string();
        assert_eq!(message, "\"x\" is the text \"x\", which is not what its tag !!int says");
    }
}
