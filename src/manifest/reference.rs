//! References in texts: `$(uuid:root)` and `$(partuuid:root)`.
//!
//! Does not know ids. Invariant: what has another form is text and stays as it is.

use std::ops::Range;

/// What a reference stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// The UUID of the filesystem in a partition.
    Filesystem,
    /// The id of a partition.
    Partition,
}

/// A reference in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// What it stands for.
    pub id: Id,
    /// The partition's name.
    pub partition: &'a str,
    /// The bytes of the text that it takes.
    pub range: Range<usize>,
}

const FORMS: [(&str, Id); 2] = [("$(uuid:", Id::Filesystem), ("$(partuuid:", Id::Partition)];

/// All references in `text`. One without an end reaches to the end of its line.
#[must_use]
pub fn references(text: &str) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("$(") {
        let rest = text.get(start..).unwrap_or_default();
        for (form, id) in FORMS {
            let Some(name) = rest.strip_prefix(form) else { continue };
            let line = name.lines().next().unwrap_or_default();
            let (partition, closed) = line.split_once(')').map_or((line, 0), |(name, _)| (name, 1));
            let end = start + form.len() + partition.len() + closed;
            found.push(Reference { id, partition, range: start..end });
        }
    }
    found
}

/// `text` with `of` in the place of each reference.
pub fn substitute<E>(
    text: &str,
    mut of: impl FnMut(Id, &str) -> Result<String, E>,
) -> Result<String, E> {
    let (mut whole, mut done) = (String::new(), 0);
    for Reference { id, partition, range } in references(text) {
        whole.push_str(text.get(done..range.start).unwrap_or_default());
        whole.push_str(&of(id, partition)?);
        done = range.end;
    }
    whole.push_str(text.get(done..).unwrap_or_default());
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_and_replaced() {
        let text = "root=PARTUUID=$(partuuid:root) $(date) $(uuid:a.b)$(uuid:c)é";
        let found: Vec<_> = references(text).into_iter().map(|r| (r.id, r.partition)).collect();
        let expected = [(Id::Partition, "root"), (Id::Filesystem, "a.b"), (Id::Filesystem, "c")];
        assert_eq!(found, expected);
        let replaced = substitute::<()>(text, |_, name| Ok(format!("<{name}>")));
        assert_eq!(replaced.unwrap(), "root=PARTUUID=<root> $(date) <a.b><c>é");
        assert_eq!(
            substitute(text, |_, name| Err::<String, _>(name.to_owned())),
            Err("root".to_owned())
        );
        assert_eq!(references("$(uuid:open\nnext)")[0].partition, "open");
        assert_eq!(references("$(uuid:")[0].range, 0..7);
        assert_eq!(references("$UUID $(uid:x) (uuid:x)"), []);
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_what_is_no_reference(text in "[$(uidpart:)é\n a]{0,40}") {
            let kept = substitute::<()>(&text, |_, _| Ok(String::new())).unwrap();
            let taken: usize = references(&text).iter().map(|r| r.range.len()).sum();
            proptest::prop_assert_eq!(kept.len() + taken, text.len());
        }
    }
}
