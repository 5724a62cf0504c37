//! Why a build in a pod failed, and the code that says so to machines.
//!
//! Does not print. Invariant: one function maps the engine's kinds to codes, for desk and pod.

use std::io;
use std::path::PathBuf;

use crate::engine::base::{self, Kind};
use crate::manifest::hash::UnknownDigest;
use crate::manifest::{ParseError, Problem};
use crate::publish;
use crate::report::Code;

/// A failed build.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document's file cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The document's text is not valid.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The file holds no document, or several.
    #[error("the file holds {found} documents, the builder needs exactly one")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// The document asks for what cannot be made.
    #[error("{}", joined(problems))]
    Problems {
        /// All that is wrong, at least one.
        problems: Vec<Problem>,
    },
    /// There is no such entry to publish.
    #[error("spec.publish has no entry {name:?}; it has: {}", known.join(", "))]
    Target {
        /// The entry that was asked for.
        name: String,
        /// The entries there are.
        known: Vec<String>,
    },
    /// The caller gave another place than the entry asks for.
    #[error("the entry {name:?} of spec.publish needs {flag}")]
    Destination {
        /// The entry that was asked for.
        name: String,
        /// The flag of what it needs.
        flag: &'static str,
    },
    /// A hash is not the one that the caller computed.
    #[error(
        "{what} is {computed} here and {given} for the caller; both must come from one release"
    )]
    Hash {
        /// Which hash.
        what: &'static str,
        /// The hash as computed here.
        computed: String,
        /// The hash as given.
        given: String,
    },
    /// The boot assets here are not those that the caller hashed.
    #[error(
        "boot assets {set}: the builder's image has {here}, the operator's {there}; both must run the \
         same image, or have the same files"
    )]
    BootAssets {
        /// The set.
        set: String,
        /// The digest here.
        here: String,
        /// The caller's.
        there: String,
    },
    /// An input without digest after all inputs were read.
    #[error(transparent)]
    Digest(#[from] UnknownDigest),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] base::Error),
    /// Publishing failed.
    #[error(transparent)]
    Publish(#[from] publish::Error),
    /// A defect: the program panicked.
    #[error("the builder has a defect: {message}")]
    Panic {
        /// What it said.
        message: String,
    },
}

impl Error {
    /// The code of this failure.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Parse(_)
            | Self::Count { .. }
            | Self::Problems { .. }
            | Self::Target { .. }
            | Self::Destination { .. } => Code::InvalidDocument,
            Self::BootAssets { .. } => Code::InvalidInput,
            Self::Read { .. } => Code::Io,
            Self::Hash { .. } | Self::Digest(_) | Self::Panic { .. } => Code::Bug,
            Self::Engine(error) => code_of(error.kind()),
            Self::Publish(error) => publish_code(error),
        }
    }

    /// The document field it is about.
    #[must_use]
    pub fn field(&self) -> Option<String> {
        match self {
            Self::Parse(error) => error.path().map(ToString::to_string),
            Self::Problems { problems } => problems.first().map(|p| p.path.to_string()),
            Self::Target { .. } | Self::Destination { .. } => Some("spec.publish".to_owned()),
            Self::BootAssets { .. } => Some("spec.boot".to_owned()),
            Self::Digest(error) => Some(error.path.to_string()),
            Self::Engine(error) | Self::Publish(publish::Error::Engine(error)) => {
                error.origin().map(ToString::to_string)
            }
            Self::Read { .. }
            | Self::Count { .. }
            | Self::Hash { .. }
            | Self::Publish(_)
            | Self::Panic { .. } => None,
        }
    }
}

/// The code of a failure of this kind.
#[must_use]
pub const fn code_of(kind: Kind) -> Code {
    match kind {
        Kind::Document => Code::InvalidDocument,
        Kind::Input | Kind::Damaged | Kind::Unsupported => Code::InvalidInput,
        Kind::Refused => Code::SourceRefused,
        Kind::Rejected => Code::PushRefused,
        Kind::NoSpace => Code::VolumeTooSmall,
        Kind::Io => Code::Io,
        Kind::Cancelled => Code::Stopped,
    }
}

fn publish_code(error: &publish::Error) -> Code {
    match error {
        publish::Error::TooSmall { .. } | publish::Error::FilesTooSmall { .. } => {
            Code::VolumeTooSmall
        }
        publish::Error::HoldsOther { .. } | publish::Error::HoldsOtherFiles { .. } => {
            Code::VolumeHoldsOther
        }
        publish::Error::DeviceRefused { .. }
        | publish::Error::DeviceReadOnly { .. }
        | publish::Error::DeviceInUse { .. }
        | publish::Error::DeviceDiffers { .. } => Code::Io,
        publish::Error::Engine(error) => code_of(error.kind()),
    }
}

/// All problems, each with its path; the path of a single one is in `Error::field`.
fn joined(problems: &[Problem]) -> String {
    if let [only] = problems {
        return only.message.clone();
    }
    let texts: Vec<_> = problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect();
    texts.join("; ")
}

/// An error with its causes, outermost first. The message of an I/O error that only wraps another
/// is left out: what was attempted on which file has been said by then.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        cause = inner.source();
        let wraps = inner.downcast_ref::<io::Error>().is_some_and(|e| e.get_ref().is_some());
        if !(wraps && cause.is_some()) {
            text.push_str(": ");
            text.push_str(&inner.to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_everything_once() {
        let source = fs_err::File::open("/nonexistent/file").unwrap_err();
        let error = Error::Read { path: "/nonexistent/file".into(), source };
        let text = "reading /nonexistent/file: No such file or directory (os error 2)";
        assert_eq!(chain(&error), text);
    }
}
