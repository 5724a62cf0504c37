//! The rows about where inputs come from.
//!
//! Pure. Invariant: a function here says the same as the CEL rule with its message.

use super::super::types::{Source, Spec};
use super::super::{FieldPath, source};
use super::table::Found;

pub(super) fn member(spec: &Spec) -> Vec<Found> {
    let sources = source::sources(spec).into_iter();
    let wrong = sources.filter(|(_, source)| source.kinds().len() != 1);
    wrong.map(|(path, _)| Found { path, detail: None }).collect()
}

pub(super) fn inline_member(spec: &Spec) -> Vec<Found> {
    let inlines = source::sources(spec).into_iter();
    let inlines = inlines.filter_map(|(path, source)| Some((path, source.inline.as_ref()?)));
    let wrong = inlines.filter(|(_, inline)| inline.text.is_some() == inline.base64.is_some());
    wrong.map(|(path, _)| Found { path: path.member("inline"), detail: None }).collect()
}

pub(super) fn files(spec: &Spec) -> Vec<Found> {
    let sources = source::sources(spec).into_iter();
    let files = sources.filter(|(_, source)| source.file.is_some());
    files.map(|(path, _)| Found { path: path.member("file"), detail: None }).collect()
}

/// The inline bytes of every source that has some, or why they cannot be had.
fn inline(spec: &Spec) -> impl Iterator<Item = (FieldPath, Result<Vec<u8>, source::InlineError>)> {
    let sources = source::sources(spec).into_iter();
    sources.filter_map(|(path, source)| {
        let inline = source.inline.as_ref()?;
        Some((path.member("inline"), source::inline_bytes(inline)))
    })
}

pub(super) fn inline_bytes(spec: &Spec) -> Vec<Found> {
    inline(spec)
        .filter_map(|(path, bytes)| match bytes {
            Err(error @ source::InlineError::Base64(_)) => {
                Some(Found { path: path.member("base64"), detail: Some(error.to_string()) })
            }
            _ => None,
        })
        .collect()
}

pub(super) fn inline_total(spec: &Spec) -> Vec<Found> {
    let (mut total, mut last) = (0usize, None);
    for (path, bytes) in inline(spec) {
        total = total.saturating_add(bytes.map_or(0, |bytes| bytes.len()));
        last = Some(path);
    }
    let over = last.filter(|_| total > source::MAX_INLINE);
    over.map(|path| Found { path, detail: Some(format!("here are {total}")) }).into_iter().collect()
}

pub(super) fn inline_digest(spec: &Spec) -> Vec<Found> {
    let differs = |(path, source): (FieldPath, &Source)| {
        let wanted = source.digest.as_ref()?;
        let bytes = source::inline_bytes(source.inline.as_ref()?).ok()?;
        let has = source::digest(&bytes);
        let detail = Some(format!("they have {has}"));
        (has != *wanted).then(|| Found { path: path.member("digest"), detail })
    };
    source::sources(spec).into_iter().filter_map(differs).collect()
}

pub(super) fn file_name(spec: &Spec) -> Vec<Found> {
    let sources = source::sources(spec).into_iter();
    let bad = sources.filter(|(_, s)| s.file.as_ref().is_some_and(|file| file.contains('\0')));
    bad.map(|(path, _)| Found { path: path.member("file"), detail: None }).collect()
}

pub(super) fn digest(spec: &Spec) -> Vec<Found> {
    let open = |source: &Source| {
        let outside = source.http.is_some() || source.pvc.is_some() || source.oci.is_some();
        outside && source.pinned().is_none() && !source.allow_mutable
    };
    let sources = source::sources(spec).into_iter().filter(|(_, source)| open(source));
    sources.map(|(path, _)| Found { path, detail: None }).collect()
}
