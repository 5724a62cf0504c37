//! How archives are put into a tree.
//!
//! Does nothing. Invariant: the defaults change nothing that an archive says and bound everything.

use super::Selection;
use crate::engine::archive::Format;
use crate::engine::base::tree::{Limits, Time, TreePath};

/// What becomes of an entry's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// It stays.
    #[default]
    Keep,
    /// It becomes this one if it is later.
    Clamp(Time),
    /// It becomes this one.
    Set(Time),
}

impl Times {
    pub(super) fn of(self, time: Time) -> Time {
        match self {
            Self::Keep => time,
            Self::Clamp(latest) => time.min(latest),
            Self::Set(time) => time,
        }
    }
}

/// How an archive is unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpack {
    /// Which archive it is; none: what its first bytes say.
    pub format: Option<Format>,
    /// Which entries, by their names in the archive.
    pub selection: Selection,
    /// Names that are taken off the front of each path; what has no more is left out.
    pub strip: usize,
    /// The directory in the tree.
    pub target: TreePath,
    /// The owner and group of all; none: what the archive says.
    pub owner: Option<(u32, u32)>,
    /// The bits of a mode that stay, of directories and of all else.
    pub directory_mask: u16,
    /// The same for all else.
    pub file_mask: u16,
    /// What becomes of times.
    pub times: Times,
    /// The time of directories that the archive does not have.
    pub implied: Time,
    /// What the archive may hold at most.
    pub limits: Limits,
    /// Times that a compressed archive may be as long as its packed bytes; 1 GiB is always allowed.
    pub ratio: u64,
}

impl Default for Unpack {
    fn default() -> Self {
        Self {
            format: None,
            selection: Selection::default(),
            strip: 0,
            target: TreePath::default(),
            owner: None,
            directory_mask: 0o7777,
            file_mask: 0o7777,
            times: Times::Keep,
            implied: Time::default(),
            limits: Limits::default(),
            ratio: 2000,
        }
    }
}

/// What came out of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries that were taken.
    pub entries: usize,
    /// Those that are one more name of another.
    pub links: usize,
    /// Bytes of the files, holes counted.
    pub bytes: u64,
}
