//! The ids of a medium: disk, partitions and filesystems, and the texts that name them.
//!
//! Pure. Invariant: an id that nobody gave follows from the document's name, what it holds and the
//! name of the partition; never from a clock or chance.

use uuid::Uuid;

use super::base::{Error, Kind};
use super::partition::{Scheme, first_logical, number};
use crate::manifest::GROUP;
use crate::manifest::reference::{Id, substitute};
use crate::manifest::types::{Disk, FilesystemKind, Partition, PartitionTable};

/// What ids that nobody gave are made of.
#[derive(Clone, Copy, Debug)]
pub struct Seed(Uuid);

impl Seed {
    /// The seed of the document `name` with this contentHash.
    #[must_use]
    pub fn new(name: &str, content_hash: &str) -> Self {
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_DNS, GROUP.as_bytes());
        Self(Uuid::new_v5(&namespace, format!("{content_hash}/{name}").as_bytes()))
    }

    /// The id of what has this name; names have their kind in front.
    #[must_use]
    pub(super) fn id(self, name: &str) -> Uuid {
        Uuid::new_v5(&self.0, name.as_bytes())
    }
}

/// The ids of one disk.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// The disk's GUID.
    pub(super) disk: Uuid,
    /// The signature in its master boot record.
    pub(super) signature: u32,
    /// In the order of the partitions.
    pub(super) partitions: Vec<PartitionIds>,
}

/// The ids of one partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionIds {
    /// The partition's name in the document.
    pub(super) name: String,
    /// Its GUID.
    pub(super) guid: Uuid,
    /// What Linux calls its PARTUUID; none without a table.
    pub(super) partuuid: Option<String>,
    /// What ids inside of the filesystem are made of.
    pub(super) seed: Uuid,
    /// The filesystem's UUID or serial number as `blkid` prints it; none where it has none.
    pub(super) filesystem: Option<String>,
}

impl Ids {
    /// The ids of `disk`.
    pub(super) fn new(disk: &Disk, seed: Seed) -> Result<Self, Error> {
        let given = disk.disk_id.as_deref();
        let own = seed.id("disk");
        let signature = given.and_then(|id| u32::from_str_radix(id.strip_prefix("0x")?, 16).ok());
        let guid = given.filter(|id| !id.starts_with("0x")).map(parsed).transpose()?;
        let mut ids = Self {
            disk: guid.unwrap_or(own),
            // Windows and Linux take 0 for a disk without a signature.
            signature: signature.unwrap_or_else(|| own.as_fields().0.max(1)),
            partitions: Vec::new(),
        };
        let logical: Vec<bool> = disk.partitions.iter().map(|p| p.logical).collect();
        let first = first_logical(Scheme::Mbr, &logical);
        for (index, partition) in disk.partitions.iter().enumerate() {
            let guid = partition.id.as_deref().map(parsed).transpose()?;
            let guid = guid.unwrap_or_else(|| seed.id(&format!("partition/{}", partition.name)));
            let partuuid = match disk.partition_table {
                PartitionTable::None => None,
                PartitionTable::Gpt => Some(guid.to_string()),
                PartitionTable::Mbr => {
                    Some(format!("{:08x}-{:02x}", ids.signature, number(index, first)))
                }
            };
            let seed = seed.id(&format!("filesystem/{}", partition.name));
            let filesystem = filesystem(partition, seed);
            let name = partition.name.clone();
            ids.partitions.push(PartitionIds { name, guid, partuuid, seed, filesystem });
        }
        Ok(ids)
    }

    /// `text` with `$(uuid:NAME)` and `$(partuuid:NAME)` replaced.
    pub(super) fn fill(&self, text: &str) -> Result<String, Error> {
        substitute(text, |id, name| self.look_up(id, name))
    }

    fn look_up(&self, id: Id, name: &str) -> Result<String, Error> {
        let refused = |why: &str| {
            let known: Vec<_> = self.partitions.iter().map(|p| p.name.as_str()).collect();
            let message = format!("the partition {name:?} {why}; there are: {}", known.join(", "));
            Error::new(Kind::Document, message)
        };
        let partition = self.partitions.iter().find(|p| p.name == name);
        let partition = partition.ok_or_else(|| refused("is not there"))?;
        let (found, why) = match id {
            Id::Filesystem => (&partition.filesystem, "has no filesystem with a UUID"),
            Id::Partition => (&partition.partuuid, "has a PARTUUID only in a partition table"),
        };
        found.clone().ok_or_else(|| refused(why))
    }
}

/// The UUID of a partition's filesystem: the given one, else one made of `seed`.
fn filesystem(partition: &Partition, seed: Uuid) -> Option<String> {
    let filesystem = partition.filesystem.as_ref()?;
    if let Some(given) = &filesystem.uuid {
        return Some(given.clone());
    }
    let (first, second, ..) = seed.as_fields();
    match filesystem.kind {
        FilesystemKind::Squashfs => None,
        FilesystemKind::Vfat => Some(format!("{:04X}-{second:04X}", first >> 16)),
        FilesystemKind::Ffs => Some(format!("{first:08x}{:08x}", u32::from(second))),
        _ => Some(seed.to_string()),
    }
}

fn parsed(id: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(id).map_err(|e| Error::new(Kind::Document, format!("{id:?} is no GUID: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::types::Filesystem;

    fn partition(name: &str, kind: FilesystemKind) -> Partition {
        let filesystem = Some(Filesystem { kind, ..Filesystem::default() });
        Partition { name: name.to_owned(), filesystem, ..Partition::default() }
    }

    #[test]
    fn references_are_filled_and_what_looks_alike_stays() {
        let partitions =
            vec![partition("root", FilesystemKind::Ext4), partition("esp", FilesystemKind::Vfat)];
        let partition_table = PartitionTable::Mbr;
        let disk_id = Some("0xdeadbeef".to_owned());
        let disk = Disk { partition_table, disk_id, partitions, ..Disk::default() };
        let ids = Ids::new(&disk, Seed::new("a", "hash")).unwrap();
        let root = ids.partitions[0].filesystem.clone().unwrap();
        let filled = ids.fill("a $(uuid:root) $(partuuid:esp) $(ls) $(x:y)").unwrap();
        assert_eq!(filled, format!("a {root} deadbeef-02 $(ls) $(x:y)"));
        let serial = ids.fill("$(uuid:esp)").unwrap();
        assert_eq!((serial.len(), serial.find('-')), (9, Some(4)), "{serial}");
        let error = ids.fill("$(uuid:boot)").unwrap_err().to_string();
        assert_eq!(error, "the partition \"boot\" is not there; there are: root, esp");
        let plain = Disk { partition_table: PartitionTable::None, ..disk };
        let error = Ids::new(&plain, Seed::new("a", "hash")).unwrap().fill("$(partuuid:root)");
        assert!(error.unwrap_err().to_string().contains("only in a partition table"));
    }

    #[test]
    fn every_id_depends_on_name_content_and_partition() {
        let id = |name, hash, partition| Seed::new(name, hash).id(partition);
        let one = id("a", "h", "partition/root");
        assert_eq!(one, id("a", "h", "partition/root"));
        for other in
            [id("b", "h", "partition/root"), id("a", "i", "partition/root"), id("a", "h", "x")]
        {
            assert_ne!(one, other);
        }
    }
}
