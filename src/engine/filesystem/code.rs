//! Boot code in the first bytes of a volume, which is made once the places of files are known.
//!
//! Knows no boot loader. Invariant: two codes are equal only if they are the same one.

use std::fmt;
use std::sync::Arc;

use crate::engine::base::Placement;
use crate::engine::base::tree::TreePath;

/// Makes boot code out of the places of files.
type Make = dyn Fn(&[Placement]) -> Vec<u8> + Send + Sync;

/// What a BIOS runs at the beginning of a volume. On FAT the parameters of the volume replace what
/// the code has in their place.
#[derive(Clone)]
pub struct BootCode {
    /// Files of the tree whose places the code must know.
    pub files: Vec<TreePath>,
    /// The first bytes out of the places of `files` on the medium: on FAT at most 512, on FAT32 up to
    /// the 32 reserved sectors, on ext 1024.
    pub make: Arc<Make>,
}

impl BootCode {
    /// Code that depends on no file.
    #[must_use]
    pub fn fixed(bytes: Vec<u8>) -> Self {
        Self { files: Vec::new(), make: Arc::new(move |_| bytes.clone()) }
    }
}

impl fmt::Debug for BootCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootCode").field("files", &self.files).finish_non_exhaustive()
    }
}

impl PartialEq for BootCode {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && Arc::ptr_eq(&self.make, &other.make)
    }
}
