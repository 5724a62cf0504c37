//! The superblock of untrusted sectors.
//!
//! Invariant: what passes here has sizes and features that the rest of the reader knows.

use zerocopy::{FromBytes, IntoBytes};

use super::super::constants::{
    BIG_METADATA, COMPRESS_LZO, COMPRESS_ZSTD, DEFAULT_SUBVOLUME, EXTENDED_IREF, METADATA_UUID,
    MIXED_BACKREF, MIXED_GROUPS, NO_HOLES, SKINNY_METADATA, checksum,
};
use super::super::ondisk::{MAGIC, SUPER_OFFSET, SUPER_SIZE, Superblock};
use super::damaged;
use crate::engine::base::{Error, Kind, SectorSource};
use crate::engine::filesystem::Facts;
use uuid::Uuid;

/// Features by their names; what is not here is refused.
const FEATURES: &[(u64, &str)] = &[
    (MIXED_BACKREF, "mixed-backref"),
    (DEFAULT_SUBVOLUME, "default-subvol"),
    (MIXED_GROUPS, "mixed-bg"),
    (COMPRESS_LZO, "compress-lzo"),
    (COMPRESS_ZSTD, "compress-zstd"),
    (BIG_METADATA, "big-metadata"),
    (EXTENDED_IREF, "extref"),
    (SKINNY_METADATA, "skinny-metadata"),
    (NO_HOLES, "no-holes"),
    (METADATA_UUID, "metadata-uuid"),
    (1 << 7, "raid56"),
    (1 << 11, "raid1c34"),
    (1 << 16, "simple-quota"),
];

/// Features that change only who may write.
const READ_ONLY_FEATURES: &[(u64, &str)] =
    &[(1 << 0, "free-space-tree"), (1 << 2, "verity"), (1 << 3, "block-group-tree")];

/// The superblock; none if there is none.
pub(super) fn find(medium: &dyn SectorSource) -> Result<Option<Superblock>, Error> {
    if medium.len() < SUPER_OFFSET + SUPER_SIZE {
        return Ok(None);
    }
    let mut bytes = [0; SUPER_SIZE as usize];
    medium.read_at(SUPER_OFFSET, &mut bytes)?;
    let Ok(block) = Superblock::read_from_bytes(&bytes) else { return Ok(None) };
    if block.magic != MAGIC {
        return Ok(None);
    }
    match block.csum_type.get() {
        0 => {}
        1 => return Err(unsupported("the checksum is xxhash64; CRC-32C is read")),
        2 => return Err(unsupported("the checksum is SHA-256; CRC-32C is read")),
        3 => return Err(unsupported("the checksum is BLAKE2b; CRC-32C is read")),
        other => {
            return Err(damaged(format!("the superblock has checksum type {other}, not 0 to 3")));
        }
    }
    if block.csum.get(..4) != checksum(block.as_bytes()).get(..4) {
        return Err(damaged("the superblock at 65536 has a wrong checksum".to_owned()));
    }
    check(&block)?;
    Ok(Some(block))
}

fn check(block: &Superblock) -> Result<(), Error> {
    let (sector, node) = (block.sectorsize.get(), block.nodesize.get());
    let size = |bytes: u32| bytes.is_power_of_two() && (4096..=65536).contains(&bytes);
    if !size(sector) || !size(node) {
        let message = format!("sectors of {sector} and nodes of {node} bytes, not 4096 to 65536");
        return Err(damaged(message));
    }
    if block.bytenr.get() != SUPER_OFFSET {
        let message = format!("the superblock at 65536 says that it lies at {}", block.bytenr);
        return Err(damaged(message));
    }
    let known = FEATURES.iter().fold(0, |all, (bit, _)| all | bit);
    let unknown = block.incompat_flags.get() & !known;
    if unknown != 0 {
        return Err(unsupported(&format!("incompatible features {unknown:#x} are not known")));
    }
    if block.num_devices.get() != 1 {
        let message = format!("it has {} devices; only one is read", block.num_devices);
        return Err(unsupported(&message));
    }
    Ok(())
}

/// The label's bytes up to the first zero.
fn label(block: &Superblock) -> Option<String> {
    let bytes = block.label.split(|byte| *byte == 0).next().unwrap_or_default();
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// What `inspect` shows.
pub(super) fn facts(block: &Superblock) -> Facts {
    let names = |flags: u64, table: &[(u64, &str)]| -> Vec<String> {
        let set = table.iter().filter(|(bit, _)| flags & bit != 0);
        set.map(|(_, name)| (*name).to_owned()).collect()
    };
    let mut features = names(block.incompat_flags.get(), FEATURES);
    features.extend(names(block.compat_ro_flags.get(), READ_ONLY_FEATURES));
    Facts {
        kind: "btrfs",
        label: label(block),
        uuid: Some(Uuid::from_bytes(block.fsid).to_string()),
        block_size: block.sectorsize.get().into(),
        size: block.total_bytes.get(),
        free: block.total_bytes.get().checked_sub(block.bytes_used.get()),
        features,
    }
}

/// What nodes call the filesystem.
pub(super) fn node_id(block: &Superblock) -> [u8; 16] {
    let own = block.incompat_flags.get() & METADATA_UUID != 0;
    if own { block.metadata_uuid } else { block.fsid }
}

pub(super) fn unsupported(message: &str) -> Error {
    Error::new(Kind::Unsupported, format!("btrfs: {message}"))
}
