//! Reading btrfs: one device, single or DUP; files may be compressed with zlib or zstd.
//!
//! Reads the default subvolume; subvolumes and snapshots in it are directories. Checksums of nodes
//! are verified, those of data are not. Invariant: whatever the sectors hold, reading ends.

mod build;
mod file;
mod inodes;
mod superblock;
mod unpack;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zerocopy::{FromZeros, IntoBytes};

use self::build::Builder;
use self::inodes::dir_items;
use self::superblock::unsupported;
use self::volume::{Pointer, Volume};
use super::constants::{DIR_ITEM, FS_TREE, ROOT_ITEM, ROOT_REF, ROOT_TREE_DIR};
use super::ondisk::{RootItem, Superblock};
use crate::engine::base::tree::{Limits, Tree};
use crate::engine::base::{Error, Kind as ErrorKind, SectorSource};
use crate::engine::filesystem::Facts;

/// What it is.
pub(super) fn look(medium: &dyn SectorSource) -> Result<Option<Facts>, Error> {
    Ok(superblock::find(medium)?.map(|block| superblock::facts(&block)))
}

/// The tree of the default subvolume.
pub(super) fn read(medium: Arc<dyn SectorSource>, limits: &Limits) -> Result<Tree, Error> {
    let Some(block) = superblock::find(medium.as_ref())? else {
        return Err(damaged("there is no superblock".to_owned()));
    };
    if block.log_root.get() != 0 {
        let advice = "its log was not replayed: mount it once, and unmount it";
        return Err(unsupported(advice));
    }
    let volume = Arc::new(Volume::open(medium, &block)?);
    let roots = Roots::read(&volume, &block)?;
    Builder::new(volume, roots, limits).build()
}

fn damaged(message: String) -> Error {
    Error::new(ErrorKind::Damaged, format!("btrfs: {message}"))
}

/// The tree of roots.
#[derive(Debug)]
struct Roots {
    trees: BTreeMap<u64, Pointer>,
    /// Which subvolume lies in which: parent and child.
    nested: BTreeSet<(u64, u64)>,
    default: u64,
}

impl Roots {
    fn read(volume: &Volume, block: &Superblock) -> Result<Self, Error> {
        let root = Pointer {
            address: block.root.get(),
            level: block.root_level,
            generation: block.generation.get(),
        };
        let mut roots = Self { trees: BTreeMap::new(), nested: BTreeSet::new(), default: FS_TREE };
        volume.walk(root, &mut |key, data| {
            match (key.objectid, key.kind) {
                (number, ROOT_ITEM) => {
                    // Older ones are shorter.
                    let mut item = RootItem::new_zeroed();
                    let into = item.as_mut_bytes().iter_mut();
                    into.zip(data).for_each(|(into, byte)| *into = *byte);
                    let pointer = Pointer {
                        address: item.bytenr.get(),
                        level: item.level,
                        generation: item.generation.get(),
                    };
                    roots.trees.insert(number, pointer);
                }
                (parent, ROOT_REF) => {
                    roots.nested.insert((parent, key.offset));
                }
                (ROOT_TREE_DIR, DIR_ITEM) => {
                    let named =
                        dir_items(data)?.into_iter().find(|(_, name, _)| *name == b"default");
                    roots.default = named.map_or(roots.default, |(place, ..)| place.objectid);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(roots)
    }
}
