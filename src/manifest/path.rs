//! The path of a field in a document, as users read it: `spec.formats[1].qcow2.compression`.
//!
//! Does not look fields up. Invariant: equal paths have equal texts.

use std::fmt;

/// A field's path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(String);

impl FieldPath {
    /// The path with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The member `name` of this object. A name that is not plain is put in quotes.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        let plain = !name.is_empty() && name.chars().all(is_plain);
        match (plain, self.0.is_empty()) {
            (true, true) => Self(name.to_owned()),
            (true, false) => Self(format!("{}.{name}", self.0)),
            (false, _) => Self(format!("{}[{}]", self.0, serde_json::Value::from(name))),
        }
    }

    /// The element `index` of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object or list that holds this field; none for a top-level field.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let mut segments = self.segments()?;
        segments.pop();
        if segments.is_empty() { None } else { Some(Self::of(&segments)) }
    }

    /// The path of these steps.
    #[must_use]
    pub fn of(segments: &[Segment]) -> Self {
        segments.iter().fold(Self::default(), |path, segment| match segment {
            Segment::Member(name) => path.member(name),
            Segment::Index(index) => path.index(*index),
        })
    }

    /// The steps from the root to this field; none if the text is no path.
    #[must_use]
    pub fn segments(&self) -> Option<Vec<Segment>> {
        let (segments, rest) = split(&self.0)?;
        rest.is_empty().then_some(segments)
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Into the member with this name.
    Member(String),
    /// Into the element with this index.
    Index(usize),
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// The path that `text` begins with and what follows it.
pub(super) fn split(text: &str) -> Option<(Vec<Segment>, &str)> {
    let (mut segments, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (segment, behind) = bracket(inner)?;
            segments.push(segment);
            rest = behind;
            continue;
        }
        let name = match (rest.strip_prefix('.'), segments.is_empty()) {
            (Some(name), false) => name,
            (None, true) => rest,
            _ => break,
        };
        let end = name.find(|c| !is_plain(c)).unwrap_or(name.len());
        let (name, behind) = name.split_at(end);
        if name.is_empty() {
            return None;
        }
        segments.push(Segment::Member(name.to_owned()));
        rest = behind;
    }
    Some((segments, rest))
}

/// What stands behind an opening bracket: an index or a name in quotes.
fn bracket(inner: &str) -> Option<(Segment, &str)> {
    if inner.starts_with('"') {
        let mut names = serde_json::Deserializer::from_str(inner).into_iter::<String>();
        let name = names.next()?.ok()?;
        let rest = inner.get(names.byte_offset()..)?.strip_prefix(']')?;
        return Some((Segment::Member(name), rest));
    }
    let (index, rest) = inner.split_once(']')?;
    let digits = !index.is_empty() && index.chars().all(|c| c.is_ascii_digit());
    Some((Segment::Index(digits.then(|| index.parse().ok())??), rest))
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_users_write_them() {
        let path = FieldPath::new("spec").member("formats").index(1).member("qcow2");
        assert_eq!(path.as_str(), "spec.formats[1].qcow2");
        assert_eq!(path.parent().unwrap().as_str(), "spec.formats[1]");
        assert_eq!(path.parent().unwrap().parent().unwrap().as_str(), "spec.formats");
        assert_eq!(FieldPath::new("a").member("x.y/z").as_str(), "a[\"x.y/z\"]");
        assert_eq!(FieldPath::default().member("spec").as_str(), "spec");
        assert_eq!(FieldPath::new("spec").parent(), None);
        let path = FieldPath::new("spec.a").member("x.y/\"z]").index(0);
        assert_eq!(path.parent().unwrap().parent().unwrap().as_str(), "spec.a");
    }

    #[test]
    fn what_is_no_path_has_no_steps() {
        for text in
            ["a..b", ".a", "a.", "a[", "a[]", "a[x]", "a[-1]", "a[\"x]", "a b", "a[0]b", "a=b"]
        {
            assert_eq!(FieldPath::new(text).segments(), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn steps_come_back(names in proptest::collection::vec(".*", 1..4), index: usize) {
            let mut steps: Vec<_> = names.into_iter().map(Segment::Member).collect();
            steps.push(Segment::Index(index));
            proptest::prop_assert_eq!(FieldPath::of(&steps).segments(), Some(steps));
        }
    }
}
