//! The inputs that a document names, and the bytes of those it holds itself.
//!
//! Does not read files. Invariant: `sources` lists every source of a document once, with its path.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::FieldPath;
use super::path::Segment;
use super::types::{Inline, Partition, Source, Spec, Step};

/// All inline bytes of a document together may be at most this many.
pub const MAX_INLINE: usize = 128 << 10;

/// Why inline bytes cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InlineError {
    /// The text is not base64.
    #[error("not base64 (RFC 4648 with padding): {0}")]
    Base64(String),
    /// Neither or both members are given.
    #[error("inline needs exactly one of: text, base64")]
    Members,
}

/// Every source in `spec` with the path of its field, in the order of the document.
#[must_use]
pub fn sources(spec: &Spec) -> Vec<(FieldPath, &Source)> {
    let mut found = Vec::new();
    let sector = spec.boot.as_ref().and_then(|boot| boot.sector.as_ref());
    if let Some(source) = sector.and_then(|sector| sector.source.as_ref()) {
        found.push((FieldPath::new("spec.boot.sector.source"), source));
    }
    if let Some(boot) = &spec.boot {
        let path = FieldPath::new("spec.boot");
        let kernel = boot.kernel.as_ref().and_then(|kernel| kernel.source.as_ref());
        found.extend(kernel.map(|source| (path.member("kernel").member("source"), source)));
        let path = path.member("initrd");
        let initrd = boot.initrd.as_ref().and_then(|initrd| initrd.source.as_ref());
        found.extend(initrd.map(|source| (path.member("source"), source)));
        let (path, steps) = (path.member("build"), initrd_steps(spec).iter().enumerate());
        found.extend(steps.filter_map(|step| of_step(&path, step)));
    }
    for (path, partition) in partitions(spec) {
        found.extend(partition.contents.iter().enumerate().filter_map(|step| of_step(&path, step)));
        found.extend(partition.source.as_ref().map(|source| (path.member("source"), source)));
    }
    let steps = spec.iso.iter().flat_map(|iso| iso.contents.iter().enumerate());
    found.extend(steps.filter_map(|step| of_step(&FieldPath::new("spec.iso"), step)));
    found
}

/// Every partition in `spec` with the path of its field.
pub fn partitions(spec: &Spec) -> impl Iterator<Item = (FieldPath, &Partition)> {
    let list = spec.disk.iter().flat_map(|disk| disk.partitions.iter().enumerate());
    list.map(|(at, partition)| (FieldPath::new("spec.disk.partitions").index(at), partition))
}

/// The steps of the initrd.
fn initrd_steps(spec: &Spec) -> &[Step] {
    let initrd = spec.boot.as_ref().and_then(|boot| boot.initrd.as_ref());
    initrd.and_then(|initrd| initrd.build.as_ref()).map_or(&[], |build| &build.contents)
}

/// Every step in `spec` with the path of its field.
pub fn steps(spec: &Spec) -> impl Iterator<Item = (FieldPath, &Step)> {
    let initrd = (FieldPath::new("spec.boot.initrd.build"), initrd_steps(spec));
    let disk = partitions(spec).map(|(path, partition)| (path, partition.contents.as_slice()));
    let iso = spec.iso.iter().map(|iso| (FieldPath::new("spec.iso"), iso.contents.as_slice()));
    std::iter::once(initrd).chain(disk).chain(iso).flat_map(|(path, steps)| {
        let path = path.member("contents");
        steps.iter().enumerate().map(move |(at, step)| (path.index(at), step))
    })
}

/// The source of a step, if it has one.
#[must_use]
pub fn step_source(step: &Step) -> Option<(&'static str, &Source)> {
    let file = step.file.as_ref().and_then(|file| file.source.as_ref());
    None.or(step.archive.as_ref().map(|archive| ("archive", &archive.source)))
        .or(step.image.as_ref().map(|image| ("image", &image.source)))
        .or(step.from_image.as_ref().map(|image| ("fromImage", &image.source)))
        .or(file.map(|source| ("file", source)))
        .or(step.service.as_ref().map(|service| ("service", &service.source)))
}

fn of_step<'a>(
    parent: &FieldPath,
    (at, step): (usize, &'a Step),
) -> Option<(FieldPath, &'a Source)> {
    let (member, source) = step_source(step)?;
    Some((parent.member("contents").index(at).member(member).member("source"), source))
}

/// The sources of `spec` whose digest only their bytes tell, and which may have any: in the order of
/// the document. ConfigMaps are not among them, since whoever hashes a document can read those.
#[must_use]
pub fn mutable(spec: &Spec) -> Vec<(FieldPath, &Source)> {
    let open = |source: &Source| {
        let read = source.inline.is_some() || source.config_map_key_ref.is_some();
        source.allow_mutable && source.pinned().is_none() && !read
    };
    sources(spec).into_iter().filter(|(_, source)| open(source)).collect()
}

/// Writes digests into a spec: each into the source at its path.
pub fn pin(spec: &mut Value, digests: &BTreeMap<FieldPath, String>) {
    for (path, digest) in digests {
        let segments = path.segments().unwrap_or_default();
        let found = segments.iter().skip(1).try_fold(&mut *spec, |value, segment| match segment {
            Segment::Member(name) => value.get_mut(name),
            Segment::Index(at) => value.get_mut(at),
        });
        if let Some(Value::Object(source)) = found {
            source.insert("digest".to_owned(), digest.clone().into());
        }
    }
}

/// The bytes that stand in the document.
pub fn inline_bytes(inline: &Inline) -> Result<Vec<u8>, InlineError> {
    match (&inline.text, &inline.base64) {
        (Some(text), None) => Ok(text.clone().into_bytes()),
        (None, Some(base64)) => {
            let compact: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            base64::engine::general_purpose::STANDARD
                .decode(compact)
                .map_err(|e| InlineError::Base64(e.to_string()))
        }
        _ => Err(InlineError::Members),
    }
}

/// The digest of `bytes` as documents write it: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
