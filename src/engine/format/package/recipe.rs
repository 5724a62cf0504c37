//! What a file is made of: an image or a package of one, and what is around it.
//!
//! Writes nothing. Invariant: a recipe that `check` accepts is not refused for what it is later.

use super::{ova, vagrant};
use crate::engine::base::{Error, Kind};
use crate::engine::codec::wrap::Wrap;
use crate::engine::format::Params;

/// An image, or a package of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// An image alone.
    Image(Params),
    /// A tar of an OVF descriptor, its manifest and a streamOptimized VMDK.
    Ova(ova::Params),
    /// A Vagrant box: a tar.gz.
    Box(vagrant::Params),
    /// A tar.gz in old GNU format that holds `disk.raw`: what Compute Engine imports. Whoever
    /// writes one gives it a disk of whole GiB.
    GceTar,
}

/// How a file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// An image, or a package of one.
    pub form: Form,
    /// What is around it. Boxes and `GceTar` are gzip by themselves.
    pub wrap: Option<Wrap>,
}

impl From<Params> for Recipe {
    fn from(params: Params) -> Self {
        Self { form: Form::Image(params), wrap: None }
    }
}

impl Recipe {
    /// Refuses what no file can be, before anything is written.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(Kind::Document, message));
        match (&self.form, self.wrap) {
            (_, Some(wrap)) if !wrap.writes() => {
                refuse(format!("{wrap} is only read; gzip, xz and zstd are written"))
            }
            (Form::Image(params), Some(wrap)) if params.companion("x").is_some() => refuse(
                format!("{wrap} is around one file; {} of this subformat is two", params.format()),
            ),
            (Form::Ova(_), Some(wrap)) => refuse(format!(
                "an OVA cannot be wrapped in {wrap}: its disk is compressed already"
            )),
            (Form::Box(_) | Form::GceTar, Some(wrap)) => {
                refuse(format!("a tar.gz cannot be wrapped in {wrap}: it is gzip already"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what a pipe cannot take unless it is spooled, with the reason.
    pub fn streams(&self) -> Result<(), Error> {
        let why = match &self.form {
            Form::Image(params) => return params.streams(),
            Form::GceTar => return Ok(()),
            Form::Ova(_) => {
                "an OVA cannot be written to a pipe: the size and the digest of its disk are known last but stand first"
            }
            Form::Box(_) => {
                "a box cannot be written to a pipe: the size of its disk is known last but stands first"
            }
        };
        Err(Error::new(Kind::Document, why))
    }

    /// The name of the second file, beside one that is called `name`.
    #[must_use]
    pub fn companion(&self, name: &str) -> Option<String> {
        match &self.form {
            Form::Image(params) => params.companion(name),
            _ => None,
        }
    }

    /// What a file's name ends with, without the first dot: `qcow2`, `raw.gz`, `ova`, `tar.gz`.
    #[must_use]
    pub fn extension(&self) -> String {
        let inner = match &self.form {
            Form::Image(params) => params.format().as_str(),
            Form::Ova(_) => "ova",
            Form::Box(_) => "box",
            Form::GceTar => "tar.gz",
        };
        match self.wrap {
            Some(wrap) => format!("{inner}.{}", wrap.suffix()),
            None => inner.to_owned(),
        }
    }

    /// The name of the file inside of what is around it.
    pub(super) fn inner_name<'a>(&self, name: &'a str) -> &'a str {
        let dot_suffix = self.wrap.map(|wrap| format!(".{}", wrap.suffix()));
        dot_suffix.and_then(|suffix| name.strip_suffix(&suffix)).unwrap_or(name)
    }
}
