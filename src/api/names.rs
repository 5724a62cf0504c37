//! Names of the objects that the controller makes for one target.
//!
//! Invariant: a name depends on namespace, image, target and targetHash only, so two controllers
//! that act at once make the same object, and two targets never share one.

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Longest part of the image's name in a child's name: with hash, `-`, attempt and the pod's
/// suffix it stays below 63 characters.
const IMAGE_PART: usize = 40;

/// The base name of everything made for one target: `<image>-<hash12>`.
#[must_use]
pub fn base(namespace: &str, image: &str, target: &str, target_hash: &str) -> String {
    let key = json!([namespace, image, target, target_hash]).to_string();
    let hash = hex::encode(Sha256::digest(key));
    let cut = image.get(..image.floor_char_boundary(IMAGE_PART)).unwrap_or(image);
    let plain = cut.replace('.', "-");
    format!("{}-{}", plain.trim_end_matches('-'), hash.get(..12).unwrap_or(&hash))
}

/// The name of an attempt's Job.
#[must_use]
pub fn job(base: &str, attempt: u32) -> String {
    format!("{base}-{attempt}")
}

/// The attempt that a Job's name tells, if it is one of `base`.
#[must_use]
pub fn attempt(base: &str, job: &str) -> Option<u32> {
    job.strip_prefix(base)?.strip_prefix('-')?.parse().ok()
}

/// The name of the ConfigMap that keeps the build manifest.
#[must_use]
pub fn manifest(base: &str) -> String {
    format!("{base}-m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let long = "a.".repeat(31) + "z";
        let name = base("ns", &long, "golden", "abc");
        assert!(job(&name, 999).len() <= 63 - 6, "a pod adds six characters: {name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        let others = [
            base("n", "s", "golden", "abc"),
            base("ns", &long, "other", "abc"),
            base("ns", &long, "golden", "abd"),
        ];
        assert!(others.iter().all(|other| *other != name));
        assert_eq!(attempt(&name, &job(&name, 7)), Some(7));
        assert_eq!(attempt(&name, "other-1"), None);
    }

    #[test]
    fn a_name_is_what_it_always_was() {
        // printf '["default","hello","golden","00"]' | sha256sum
        assert_eq!(base("default", "hello", "golden", "00"), "hello-6cde6f9a695a");
    }
}
