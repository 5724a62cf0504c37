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
        let plain = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        match (plain, self.0.is_empty()) {
            (true, true) => Self(name.to_owned()),
            (true, false) => Self(format!("{}.{name}", self.0)),
            (false, _) => Self(format!("{}[{name:?}]", self.0)),
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
        let cut = self.0.rfind(['.', '['])?;
        Some(Self(self.0.get(..cut)?.to_owned()))
    }
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
    }
}
