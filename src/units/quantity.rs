//! Sizes as users write them: Kubernetes quantities in whole binary units.
//!
//! Does not accept decimal suffixes: `512M` is 512,000,000 bytes and nearly always a slip for
//! `512Mi`. Invariant: what is accepted is exact, and `Display` of the result parses back to it.

use super::ByteSize;

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// A decimal suffix; both readings are shown.
    #[error("{text} is a decimal size, {exact} bytes; write {number}{binary}i for {meant} bytes")]
    Decimal {
        /// What was written.
        text: String,
        /// What it means to Kubernetes, with thousands separated.
        exact: String,
        /// The number before the suffix.
        number: u64,
        /// The binary suffix without its `i`.
        binary: char,
        /// What was probably meant, with thousands separated.
        meant: String,
    },
    /// Not a number with a known suffix.
    #[error(
        "{text:?} is not a size; write a whole number of bytes or one with Ki, Mi, Gi, Ti, Pi or Ei, such as 512Mi"
    )]
    Form {
        /// What was written.
        text: String,
    },
    /// More than 64 bits.
    #[error(
        "{text} does not fit 64 bits; the largest size is {} bytes",
        grouped(u128::from(u64::MAX))
    )]
    TooBig {
        /// What was written.
        text: String,
    },
}

/// Reads `512`, `4Ki`, `512Mi`, … as a number of bytes.
pub fn parse_size(text: &str) -> Result<ByteSize, QuantityError> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = text.split_at(digits);
    let form = || QuantityError::Form { text: text.to_owned() };
    let too_big = || QuantityError::TooBig { text: text.to_owned() };
    if number.is_empty() {
        return Err(form());
    }
    let number: u64 = number.parse().map_err(|_| too_big())?;
    let shift = match suffix {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        "Pi" => 50,
        "Ei" => 60,
        _ => return Err(decimal(text, number, suffix).unwrap_or_else(form)),
    };
    number.checked_mul(1 << shift).map(ByteSize::bytes).ok_or_else(too_big)
}

/// The error for a decimal suffix, if `suffix` is one.
fn decimal(text: &str, number: u64, suffix: &str) -> Option<QuantityError> {
    let power = match suffix {
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        "E" => 6,
        _ => return None,
    };
    Some(QuantityError::Decimal {
        text: text.to_owned(),
        exact: grouped(u128::from(number) * 1000u128.pow(power)),
        number,
        binary: suffix.to_ascii_uppercase().chars().next()?,
        meant: grouped(u128::from(number) << (10 * power)),
    })
}

/// A number with its thousands separated by commas.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_suffixes_show_both_readings() {
        let message = parse_size("512M").unwrap_err().to_string();
        assert_eq!(
            message,
            "512M is a decimal size, 512,000,000 bytes; write 512Mi for 536,870,912 bytes"
        );
    }

    #[test]
    fn refusals() {
        for text in ["", "Mi", "-1", "1.5Gi", "1 Mi", "1m", "0x10", "1e3", "1Mib", "١Mi"] {
            assert!(matches!(parse_size(text), Err(QuantityError::Form { .. })), "{text}");
        }
        for text in ["16Ei", "18446744073709551616", "99999999999999999999999999Ki"] {
            assert!(matches!(parse_size(text), Err(QuantityError::TooBig { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn display_parses_back(bytes: u64) {
            let size = ByteSize::bytes(bytes);
            prop_assert_eq!(parse_size(&size.to_string()), Ok(size));
        }

        #[test]
        fn any_text_is_answered(text: String) {
            let _ = parse_size(&text);
        }
    }
}
