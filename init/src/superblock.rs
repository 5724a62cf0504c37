//! What lies on a disk, and its label: ISO 9660, btrfs, ext2/3/4, FAT.
//!
//! Only looks at superblocks; whether a filesystem is sound is the kernel's matter. Invariant:
//! labels are compared whole, so `tinyboot` does not mean `tinyboot2`.

/// A filesystem that was recognized.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    /// What `mount` calls it.
    pub(crate) kind: &'static str,
    pub(crate) label: String,
    /// In lower case, as `root=UUID=` has it; empty where there is none.
    pub(crate) uuid: String,
}

/// What must be read of a disk's beginning.
pub(crate) const LENGTH: usize = BTRFS + 0x1000;

/// ECMA-119 §6.2.1 and §8.4: the volume descriptors begin at sector 16, the primary one has type 1,
/// the identifier `CD001`, and the volume identifier in bytes 41 to 72.
const ISO: usize = 16 * 2048;
/// btrfs on-disk format: the first superblock at 64 KiB; `fsid` at 0x20, `magic` at 0x40, `label`
/// of 256 bytes at 0x12b.
const BTRFS: usize = 0x1_0000;
/// ext4 disk layout (Documentation/filesystems/ext4/super.rst): at 1024; `s_magic` at 0x38,
/// `s_uuid` at 0x68, `s_volume_name` of 16 bytes at 0x78.
const EXT: usize = 1024;

/// What the first bytes of a disk hold. The order is that of the certainty: an ISO may have
/// anything before its descriptors, even a FAT's boot sector.
pub(crate) fn look(disk: &[u8]) -> Option<Found> {
    iso(disk).or_else(|| btrfs(disk)).or_else(|| ext(disk)).or_else(|| fat(disk))
}

fn iso(disk: &[u8]) -> Option<Found> {
    let descriptor = disk.get(ISO..ISO + 2048)?;
    if descriptor.get(..6)? != b"\x01CD001" {
        return None;
    }
    let label = text(descriptor.get(40..72)?).trim_end_matches(' ').to_owned();
    Some(Found { kind: "iso9660", label, uuid: String::new() })
}

fn btrfs(disk: &[u8]) -> Option<Found> {
    let block = disk.get(BTRFS..BTRFS + 0x1000)?;
    if block.get(0x40..0x48)? != b"_BHRfS_M" {
        return None;
    }
    let (label, uuid) = (text(block.get(0x12b..0x22b)?), uuid(block.get(0x20..0x30)?));
    Some(Found { kind: "btrfs", label, uuid })
}

fn ext(disk: &[u8]) -> Option<Found> {
    let block = disk.get(EXT..EXT + 1024)?;
    if block.get(0x38..0x3a)? != [0x53, 0xef] {
        return None;
    }
    let (label, uuid) = (text(block.get(0x78..0x88)?), uuid(block.get(0x68..0x78)?));
    // The ext4 driver of the kernel mounts all three.
    Some(Found { kind: "ext4", label, uuid })
}

/// fatgen103: `BS_VolLab` at 43 with `BS_BootSig` 0x29 at 38 (FAT12/16), at 71 with 66 (FAT32,
/// where `BPB_FATSz16` is 0).
fn fat(disk: &[u8]) -> Option<Found> {
    let sector = disk.get(..512)?;
    if sector.get(510..)? != [0x55, 0xaa] || !matches!(sector.first()?, 0xeb | 0xe9) {
        return None;
    }
    let wide = sector.get(22..24)? == [0, 0];
    let (mark, label) = if wide { (66, 71) } else { (38, 43) };
    if sector.get(mark) != Some(&0x29) {
        return None;
    }
    let label = text(sector.get(label..label + 11)?).trim_end_matches(' ').to_owned();
    let id = sector.get(mark + 1..mark + 5)?;
    let uuid = id.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (high, low) = uuid.split_at_checked(4)?;
    Some(Found { kind: "vfat", label, uuid: format!("{high}-{low}") })
}

/// Up to the first zero; what is no UTF-8 is replaced, and so equals no label that can be written.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        text.push_str(if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" });
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank() -> Vec<u8> {
        vec![0; LENGTH]
    }

    #[test]
    fn labels_end_where_they_end() {
        let mut disk = blank();
        disk[0x1_0040..0x1_0048].copy_from_slice(b"_BHRfS_M");
        disk[0x1_012b..0x1_0134].copy_from_slice(b"tinyboot2");
        disk[0x1_0020..0x1_0030].copy_from_slice(&(0..16).collect::<Vec<u8>>());
        let found = look(&disk).unwrap();
        assert_eq!((found.kind, found.label.as_str()), ("btrfs", "tinyboot2"));
        assert_eq!(found.uuid, "00010203-0405-0607-0809-0a0b0c0d0e0f");
        let mut disk = blank();
        disk[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        disk[1024 + 0x78..1024 + 0x88].copy_from_slice(b"sixteen-letters!");
        assert_eq!(look(&disk).unwrap().label, "sixteen-letters!");
        let mut disk = blank();
        disk[0x8000..0x8006].copy_from_slice(b"\x01CD001");
        disk[0x8028..0x8048].copy_from_slice(b"TINY BOOT                       ");
        assert_eq!(look(&disk).unwrap().label, "TINY BOOT");
        assert_eq!(look(&blank()), None);
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let mut disk = blank();
        disk[0x1_0040..0x1_0048].copy_from_slice(b"_BHRfS_M");
        assert!(look(&disk).is_some());
        for length in [0, 1, 511, 512, 1024, 1100, 0x8006, 0x1_0048, LENGTH - 1] {
            assert_eq!(look(&disk[..length]), None, "{length}");
        }
    }
}
