//! SNTP (RFC 4330, RFC 5905 §7.3 and §14): a request, and the time in its answer.
//!
//! Sends nothing itself. Invariant: an answer counts only if it repeats what the request said.

use std::time::Duration;

/// Seconds from 1900, where NTP counts from, to 1970.
const EPOCH: u64 = 2_208_988_800;

/// A request: version 4, mode 3 (client). The transmit timestamp is nonsense on purpose: servers
/// only repeat it, and it tells a stranger nothing.
pub(crate) fn request(nonce: [u8; 8]) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0x23;
    bytes[40..].copy_from_slice(&nonce);
    bytes
}

/// The time since 1970 when the answer was sent, and how long the server had it; none, if this is
/// no answer to `nonce`, or of a server that does not know the time.
pub(crate) fn answer(bytes: &[u8], nonce: [u8; 8]) -> Option<(Duration, Duration)> {
    let (first, stratum) = (*bytes.first()?, *bytes.get(1)?);
    // RFC 4330 §5: mode 4, a version, the own timestamp, no alarm, a stratum, a time.
    let (alarm, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
    let sane = mode == 4 && (3..=4).contains(&version) && alarm != 3 && (1..=15).contains(&stratum);
    if !sane || bytes.get(24..32)? != nonce {
        return None;
    }
    let (received, sent) = (time(bytes.get(32..40)?)?, time(bytes.get(40..48)?)?);
    Some((sent, sent.saturating_sub(received)))
}

/// RFC 5905 §6: seconds and their fraction, 32 bits each. The second era begins in 2036: what
/// would lie before 1970 lies there.
fn time(bytes: &[u8]) -> Option<Duration> {
    let seconds = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    let fraction = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
    if seconds == 0 && fraction == 0 {
        return None;
    }
    let seconds = match u64::from(seconds).checked_sub(EPOCH) {
        Some(seconds) => seconds,
        None => u64::from(seconds) + (1 << 32) - EPOCH,
    };
    Some(
        Duration::new(seconds, 0)
            + Duration::from_nanos((u64::from(fraction) * 1_000_000_000) >> 32),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes[0] = 0x24;
        bytes[1] = 2;
        bytes[24..32].copy_from_slice(b"nonsense");
        // 2026-11-21 00:00:00 UTC is 1795219200 after 1970 (date -d), 4004208000 after 1900.
        bytes[32..36].copy_from_slice(&4_004_207_999_u32.to_be_bytes());
        bytes[40..44].copy_from_slice(&4_004_208_000_u32.to_be_bytes());
        bytes[44] = 0x80;
        bytes
    }

    #[test]
    fn a_time_by_hand() {
        let found = answer(&good(), *b"nonsense").unwrap();
        assert_eq!(found.0, Duration::new(1_795_219_200, 500_000_000));
        assert_eq!(found.1, Duration::from_millis(1500));
        let request = request(*b"nonsense");
        assert_eq!((request[0], &request[40..]), (0b00_100_011, &b"nonsense"[..]));
    }

    #[test]
    fn after_2036() {
        let mut bytes = good();
        bytes[32..36].copy_from_slice(&1_u32.to_be_bytes());
        bytes[40..44].copy_from_slice(&1_u32.to_be_bytes());
        // date -u -d '2036-02-07 06:28:16' +%s
        assert_eq!(answer(&bytes, *b"nonsense").unwrap().0.as_secs(), 2_085_978_496 + 1);
    }

    #[test]
    fn answers_that_are_none() {
        for (at, value) in [(0, 0x23), (0, 0xe4), (0, 0x04), (1, 0), (1, 16), (24, 0), (31, 0)] {
            let mut bytes = good();
            bytes[at] = value;
            assert_eq!(answer(&bytes, *b"nonsense"), None, "byte {at}");
        }
        for length in 0..48 {
            assert_eq!(answer(&good()[..length], *b"nonsense"), None);
        }
        let mut bytes = good();
        bytes[40..48].fill(0);
        assert_eq!(answer(&bytes, *b"nonsense"), None);
    }
}
