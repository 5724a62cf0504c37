//! Logs built by hand from the specification ([MS-VHDX] section 2.3), as a crash leaves them.

use crate::support::MIB;

pub(crate) const SECTOR: usize = 4096;
pub(crate) const GUID: [u8; 16] = *b"a log to replay!";
pub(crate) const LOG: usize = 1 << 20;

/// One write of an entry.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Data { at: u64, sector: Vec<u8> },
    Zero { at: u64, len: u64 },
}

/// An entry of the log; lengths of the file are in MiB.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    /// The offset in the log of the first entry of the sequence.
    pub(crate) tail: usize,
    pub(crate) flushed: u64,
    pub(crate) last: u64,
    pub(crate) guid: [u8; 16],
    pub(crate) writes: Vec<Write>,
}

impl Entry {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut descriptors = Vec::new();
        let mut sectors = Vec::new();
        for write in &self.writes {
            match write {
                Write::Zero { at, len } => {
                    descriptors.extend(b"zero\0\0\0\0");
                    descriptors.extend(len.to_le_bytes());
                    descriptors.extend(at.to_le_bytes());
                }
                Write::Data { at, sector } => {
                    assert_eq!(sector.len(), SECTOR);
                    descriptors.extend(b"desc");
                    descriptors.extend(&sector[4092..]);
                    descriptors.extend(&sector[..8]);
                    descriptors.extend(at.to_le_bytes());
                    sectors.extend(b"data");
                    sectors.extend(((self.sequence >> 32) as u32).to_le_bytes());
                    sectors.extend(&sector[8..4092]);
                    sectors.extend((self.sequence as u32).to_le_bytes());
                }
            }
            descriptors.extend(self.sequence.to_le_bytes());
        }
        let front = (64 + descriptors.len()).next_multiple_of(SECTOR);
        let length = (front + sectors.len()) as u32;
        let mut entry = b"loge\0\0\0\0".to_vec();
        entry.extend(length.to_le_bytes());
        entry.extend((self.tail as u32).to_le_bytes());
        entry.extend(self.sequence.to_le_bytes());
        entry.extend((self.writes.len() as u32).to_le_bytes());
        entry.extend([0; 4]);
        entry.extend(self.guid);
        entry.extend((self.flushed * MIB).to_le_bytes());
        entry.extend((self.last * MIB).to_le_bytes());
        entry.extend(descriptors);
        entry.resize(front, 0);
        entry.extend(sectors);
        seal(&mut entry);
        entry
    }
}

/// Sets the checksum at byte 4, where all structures have it.
pub(crate) fn seal(bytes: &mut [u8]) {
    bytes[4..8].fill(0);
    let crc = crc32c::crc32c(bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Puts entries into the log of `file` at these offsets, around its end where they are longer, and
/// tells both headers that there is something to replay.
pub(crate) fn leave(file: &mut [u8], entries: &[(usize, Vec<u8>)]) {
    for (at, entry) in entries {
        for (n, sector) in entry.chunks(SECTOR).enumerate() {
            let at = MIB as usize + (at + n * SECTOR) % LOG;
            file[at..at + SECTOR].copy_from_slice(sector);
        }
    }
    for header in [64 << 10, 128 << 10] {
        file[header + 48..header + 64].copy_from_slice(&GUID);
        seal(&mut file[header..header + SECTOR]);
    }
}
