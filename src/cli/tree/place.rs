//! `IMAGE[:[PARTITION][/PATH]]`: which files of which image are meant.
//!
//! Invariant: a text means one place, whatever files there are: IMAGE ends at the first colon that
//! has no backslash before it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use crate::cli::failure::{Failure, Failures};
use crate::cli::image::args::SourceFlags;
use crate::cli::image::source::Opened;
use crate::cli::inspect::flags_for;
use crate::cli::interrupt::Interrupt;
use crate::engine::base::tree::{Limits, NodeId, Tree, TreePath};
use crate::engine::view::{self, Choice};
use crate::report::Code;

/// A place in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The image file.
    pub(super) image: PathBuf,
    /// The partition.
    pub(super) choice: Choice,
    /// The path in its filesystem.
    pub(super) path: TreePath,
    /// Whether the path ended with a slash, so that a link at its end is followed.
    pub(super) slash: bool,
}

/// The files of an image.
#[derive(Debug)]
pub(super) struct Files {
    /// The place as the user wrote it, for messages.
    pub(super) name: String,
    /// The image.
    pub(super) opened: Opened,
    /// Its tree.
    pub(super) tree: Tree,
}

impl Place {
    /// The place that `text` names.
    pub(super) fn of(text: &OsStr) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        let mut image = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        let inner = loop {
            match rest {
                [] => break &[][..],
                [b'\\', b':', behind @ ..] => {
                    image.push(b':');
                    rest = behind;
                }
                [b':', behind @ ..] => break behind,
                [byte, behind @ ..] => {
                    image.push(*byte);
                    rest = behind;
                }
            }
        };
        let slash = inner.iter().position(|byte| *byte == b'/').unwrap_or(inner.len());
        let (partition, path) = inner.split_at_checked(slash).unwrap_or((inner, &[]));
        let refused =
            |why: String| Failure::new(Code::InvalidDocument, format!("the place {text:?}: {why}"));
        if image.is_empty() {
            return Err(refused("it names no image; IMAGE:PARTITION/PATH is wanted".to_owned()));
        }
        let partition = str::from_utf8(partition)
            .map_err(|_| refused("the name of a partition is UTF-8; use its number".to_owned()))?;
        Ok(Self {
            image: OsString::from_vec(image).into(),
            choice: Choice::of(partition),
            path: TreePath::new(path).map_err(|e| refused(e.to_string()))?,
            slash: path.ends_with(b"/"),
        })
    }

    /// Opens the image and reads the tree.
    pub(super) fn open(
        &self,
        flags: &SourceFlags,
        interrupt: &Interrupt,
    ) -> Result<Files, Failures> {
        let flags = flags_for(&self.image, flags)?;
        let opened = Opened::open(&self.image, &flags, interrupt)?;
        let (volume, tree) = view::tree(&opened.disk(), &self.choice, &Limits::default())
            .map_err(|e| opened.fail(&e))?;
        interrupt.check()?;
        let name = match volume.partition {
            None => opened.name.clone(),
            Some(number) => format!("{}:{number}", opened.name),
        };
        Ok(Files { name, opened, tree })
    }
}

impl Files {
    /// The node at the place; a link at its end is followed if `follow`.
    pub(super) fn node(&self, place: &Place, follow: bool) -> Result<NodeId, Failure> {
        let found = match follow || place.slash {
            true => self.tree.resolve(&place.path),
            false => self.tree.find(&place.path),
        };
        found.ok_or_else(|| {
            let message = format!("there is no {} in {}", place.path, self.name);
            Failure::new(Code::InvalidInput, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_means_one_place() {
        let name = |text: &str| Choice::Name(text.to_owned());
        for (text, image, choice, path) in [
            ("disk.raw", "disk.raw", Choice::Only, "/"),
            ("disk.raw:", "disk.raw", Choice::Only, "/"),
            ("d/disk.raw:/etc", "d/disk.raw", Choice::Only, "/etc"),
            ("disk.raw:2/boot", "disk.raw", Choice::Number(2), "/boot"),
            ("disk.raw:2", "disk.raw", Choice::Number(2), "/"),
            ("disk.qcow2:root/etc", "disk.qcow2", name("root"), "/etc"),
            ("disk.qcow2:EFI system/a", "disk.qcow2", name("EFI system"), "/a"),
            ("a\\:b.raw:/c:d/e\\:f", "a:b.raw", Choice::Only, "/c:d/e\\\\:f"),
            ("-:/etc", "-", Choice::Only, "/etc"),
        ] {
            let place = Place::of(OsStr::new(text)).unwrap();
            let seen = (place.image.to_str().unwrap(), &place.choice, place.path.to_string());
            assert_eq!(seen, (image, &choice, path.to_owned()), "{text}");
        }
        for (text, why) in [(":/etc", "names no image"), ("a:/b/../c", "leads upwards")] {
            let message = Place::of(OsStr::new(text)).unwrap_err().message;
            assert!(message.contains(why), "{message}");
        }
    }
}
