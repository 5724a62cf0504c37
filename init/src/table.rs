//! A partition in its table: its UUID, and its end moved to the disk's.
//!
//! Knows GPT (UEFI 2.10 §5.3) and MBR (§5.2.1), and logical partitions not. Invariant: nothing is
//! written where a checksum is wrong, or another partition lies behind; a GPT's new backup is
//! whole before the primary header names it.

use std::io;
use std::os::unix::fs::FileExt;

/// UEFI 2.10 table 5.5 and §5.3.2: what a header must be, and how long entries are at most here.
const SIGNATURE: &[u8] = b"EFI PART";
const HEADER: usize = 92;
const ENTRIES: u64 = 1 << 20;

/// A disk with its sizes.
#[derive(Debug)]
pub(crate) struct Disk<F> {
    pub(crate) file: F,
    /// Bytes.
    pub(crate) length: u64,
    /// Bytes of a logical block.
    pub(crate) block: u64,
}

/// A GPT as read: the header block, its entries, and the place in them of one partition.
struct Gpt {
    header: Vec<u8>,
    entries: Vec<u8>,
    at: usize,
    step: usize,
}

fn odd<T>(what: &str) -> io::Result<T> {
    Err(io::Error::other(what.to_owned()))
}

impl<F: FileExt> Disk<F> {
    /// PARTUUID of the partition that begins at this byte, as `root=PARTUUID=` has it.
    pub(crate) fn uuid(&self, start: u64, number: u32) -> io::Result<String> {
        if let Some(gpt) = self.gpt(start)? {
            let id = gpt.entries.get(gpt.at + 16..gpt.at + 32).unwrap_or_default();
            // UEFI 2.10 appendix A: the first three fields are little-endian.
            let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
            let mut text = String::new();
            for (at, from) in order.into_iter().enumerate() {
                text.push_str(if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" });
                text.push_str(&format!("{:02x}", id.get(from).copied().unwrap_or(0)));
            }
            return Ok(text);
        }
        let sector = self.read(0, 512)?;
        Ok(format!("{:08x}-{number:02x}", u32_at(&sector, 440)))
    }

    /// Moves the end of the partition that begins at this byte to the end of what is free.
    /// Returns its new length in bytes if it has grown.
    pub(crate) fn grow(&self, start: u64) -> io::Result<Option<u64>> {
        match self.gpt(start)? {
            Some(gpt) => self.grow_gpt(gpt, start),
            None => self.grow_mbr(start),
        }
    }

    fn gpt(&self, start: u64) -> io::Result<Option<Gpt>> {
        let header = self.read(self.block, self.block)?;
        if header.get(..8) != Some(SIGNATURE) {
            return Ok(None);
        }
        if header_sum(&header) != Some(u32_at(&header, 16)) {
            return odd("the GPT header's checksum is wrong");
        }
        let (count, size) = (u64::from(u32_at(&header, 80)), u64::from(u32_at(&header, 84)));
        let length = count.saturating_mul(size);
        if !(128..=4096).contains(&size) || length > ENTRIES {
            return odd("the GPT's entries have an odd size");
        }
        let entries = self.read(u64_at(&header, 72).saturating_mul(self.block), length)?;
        if crc(&entries) != u32_at(&header, 88) {
            return odd("the checksum of the GPT's entries is wrong");
        }
        let step = usize::try_from(size).map_err(io::Error::other)?;
        let first = start / self.block;
        let used = |entry: &[u8]| entry.get(..16).is_some_and(|kind| kind.iter().any(|b| *b != 0));
        let found =
            entries.chunks(step).position(|entry| used(entry) && u64_at(entry, 32) == first);
        let Some(found) = found else { return odd("no GPT entry begins where the partition does") };
        Ok(Some(Gpt { at: found * step, step, header, entries }))
    }

    fn grow_gpt(&self, gpt: Gpt, start: u64) -> io::Result<Option<u64>> {
        let Gpt { mut header, mut entries, at, step } = gpt;
        let first = start / self.block;
        if entries.chunks(step).any(|entry| u64_at(entry, 32) > first) {
            return odd("another partition lies behind");
        }
        let last = (self.length / self.block).saturating_sub(1);
        let length = u64::try_from(entries.len()).map_err(io::Error::other)?;
        let space = length.div_ceil(self.block);
        let usable = last.saturating_sub(space + 1);
        // The end stays a multiple of 4 KiB.
        let align = (4096 / self.block).max(1);
        let end = ((usable + 1) / align * align).saturating_sub(1);
        if end <= entries.get(at..).map_or(0, |entry| u64_at(entry, 40)) {
            return Ok(None);
        }
        put(&mut entries, at + 40, end);
        put(&mut header, 48, usable);
        let sum = crc(&entries).to_le_bytes();
        set(&mut header, 88, &sum);
        // The backup: entries before it, places exchanged.
        let mut backup = header.clone();
        put(&mut backup, 24, last);
        put(&mut backup, 32, 1);
        put(&mut backup, 72, last - space);
        put(&mut header, 24, 1);
        put(&mut header, 32, last);
        let place = u64_at(&header, 72);
        for (header, lba) in [(&mut backup, last - space), (&mut header, place)] {
            let own = u64_at(header, 24);
            let sum = header_sum(header).unwrap_or(0).to_le_bytes();
            set(header, 16, &sum);
            self.file.write_all_at(&entries, lba * self.block)?;
            self.file.write_all_at(header, own * self.block)?;
        }
        // The protective MBR covers the disk (UEFI 2.10 §5.2.3).
        let mut sector = self.read(0, 512)?;
        if sector.get(450) == Some(&0xee) {
            let size = u32::try_from(last).unwrap_or(u32::MAX).to_le_bytes();
            set(&mut sector, 458, &size);
            self.file.write_all_at(&sector, 0)?;
        }
        Ok(Some((end + 1 - first) * self.block))
    }

    fn grow_mbr(&self, start: u64) -> io::Result<Option<u64>> {
        let mut sector = self.read(0, 512)?;
        if sector.get(510..) != Some(&[0x55, 0xaa]) {
            return odd("there is no partition table");
        }
        let first = start / self.block;
        let (mut mine, mut behind) = (None, false);
        for at in [446, 462, 478, 494] {
            let begins = u64::from(u32_at(&sector, at + 8));
            if u32_at(&sector, at + 12) != 0 && begins == first {
                mine = Some(at);
            }
            behind |= begins > first;
        }
        let Some(at) = mine else { return odd("no MBR entry begins where the partition does") };
        if behind {
            return odd("another partition lies behind");
        }
        let align = (4096 / self.block).max(1);
        let most = (self.length / self.block).min(u64::from(u32::MAX)) / align * align;
        let length = u32::try_from(most.saturating_sub(first)).map_err(io::Error::other)?;
        if length <= u32_at(&sector, at + 12) {
            return Ok(None);
        }
        set(&mut sector, at + 12, &length.to_le_bytes());
        self.file.write_all_at(&sector, 0)?;
        Ok(Some(u64::from(length) * self.block))
    }

    fn read(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes.iter_mut().skip(at).zip(value).for_each(|(to, byte)| *to = *byte);
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    set(bytes, at, &value.to_le_bytes());
}

/// The checksum of a header, calculated with zeros in its own place.
fn header_sum(header: &[u8]) -> Option<u32> {
    let length = usize::try_from(u32_at(header, 12)).ok().filter(|length| *length >= HEADER)?;
    let mut bytes = header.get(..length)?.to_vec();
    set(&mut bytes, 16, &[0; 4]);
    Some(crc(&bytes))
}

/// CRC-32 of ISO-HDLC, bit by bit: some kilobytes, once.
fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue() {
        // CRC RevEng: CRC-32/ISO-HDLC of "123456789".
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn an_mbr_entry_grows_unless_another_lies_behind() {
        let file = tempfile();
        let mut sector = vec![0; 512];
        set(&mut sector, 440, &[0x78, 0x56, 0x34, 0x12]);
        set(&mut sector, 446 + 8, &2048_u32.to_le_bytes());
        set(&mut sector, 446 + 12, &2048_u32.to_le_bytes());
        set(&mut sector, 510, &[0x55, 0xaa]);
        file.write_all_at(&sector, 0).unwrap();
        file.set_len(8 << 20).unwrap();
        let disk = Disk { file, length: 8 << 20, block: 512 };
        assert_eq!(disk.uuid(1 << 20, 1).unwrap(), "12345678-01");
        assert_eq!(disk.grow(1 << 20).unwrap(), Some(7 << 20));
        assert_eq!(disk.grow(1 << 20).unwrap(), None);
        assert!(disk.grow(512).unwrap_err().to_string().contains("no MBR entry"));
        set(&mut sector, 462 + 8, &9000_u32.to_le_bytes());
        disk.file.write_all_at(&sector, 0).unwrap();
        assert!(disk.grow(1 << 20).unwrap_err().to_string().contains("behind"));
    }

    fn tempfile() -> std::fs::File {
        let path = std::env::temp_dir().join(format!("vmimage-init-{}", std::process::id()));
        let mut options = fs_err::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        fs_err::remove_file(path).unwrap();
        file.into_parts().0
    }
}
