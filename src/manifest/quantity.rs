//! An amount of a resource, as pods request it: `500m`, `2`, `128Mi`.
//!
//! Does not say what the resource is. Invariant: the text is a Kubernetes quantity that is not
//! negative; a whole number in a document is the same as its text.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::LazyLock;

use regex_lite::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// What the schema demands of a quantity: the grammar of Kubernetes without a minus sign.
const PATTERN: &str =
    r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE](\+|-)?[0-9]{1,2})?$";

/// An amount of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Quantity(String);

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an amount; write a number such as 2, 500m or 128Mi")]
pub struct NoQuantity {
    /// What was written.
    pub text: String,
}

impl Quantity {
    /// Takes `text` if it is an amount.
    pub fn new(text: &str) -> Result<Self, NoQuantity> {
        static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(PATTERN).ok());
        let fits = FORM.as_ref().is_some_and(|form| form.is_match(text)) && text.len() <= 32;
        let refused = || NoQuantity { text: text.to_owned() };
        fits.then(|| Self(text.to_owned())).ok_or_else(refused)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares the amounts, as far as both fit 128 bits in billionths.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(self.billionths()?.cmp(&other.billionths()?))
    }

    /// The amount in billionths, rounded up as Kubernetes does.
    fn billionths(&self) -> Option<u128> {
        let text = self.0.trim_start_matches('+');
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
        let places = u32::try_from(fraction.len()).ok()?;
        let (binary, decimal) = scale(suffix)?;
        let up = 10u128.checked_pow(u32::try_from(decimal + 9).unwrap_or(0))?;
        let down = 10u128.checked_pow(u32::try_from(-(decimal + 9)).unwrap_or(0))?;
        let scaled = digits.checked_mul(1 << binary)?.checked_mul(up)?;
        Some(scaled.div_ceil(10u128.checked_pow(places)?.checked_mul(down)?))
    }
}

/// What a suffix multiplies with: a power of two and a power of ten.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [(&str, i32); 10] = [
        ("", 0),
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    if let Some(at) = BINARY.iter().position(|known| *known == suffix) {
        return Some((10 * (u32::try_from(at).ok()? + 1), 0));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
        return Some((0, *power));
    }
    Some((0, suffix.get(1..)?.parse().ok()?))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An amount such as 2, 500m or 128Mi.",
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            "pattern": PATTERN,
        })
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount such as 2, 500m or 128Mi")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
        Quantity::new(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_compare_by_value() {
        // Kubernetes: 1Ki = 1024, 1e3 = 1k, 1n is the smallest unit.
        let order = |a: &str, b: &str| {
            Quantity::new(a).unwrap().compare(&Quantity::new(b).unwrap()).unwrap()
        };
        for (less, more) in
            [("999m", "1"), ("1k", "1Ki"), ("0.5", "501m"), ("1n", "1u"), ("1e3", "1001")]
        {
            assert_eq!(order(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(order(more, less), Ordering::Greater, "{more} {less}");
        }
        for (a, b) in [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1e3", "1k"),
            ("+2", "2.0"),
            (".5", "500m"),
            ("1e-3", "1m"),
        ] {
            assert_eq!(order(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-1", "1 Mi", "1mi", "Mi", "1Kib", "0x1", "1,5", "१", "1e", "1e400", "."]
        {
            assert!(Quantity::new(text).is_err(), "{text}");
        }
    }
}
