//! A file with edits, as a source: the file itself is shared, not copied.
//!
//! Invariant: reading beyond the end fails, as it does with a file.

use std::sync::Arc;

use vmimage::engine::base::{Error, Extent, Kind, SectorSource};
use vmimage::engine::format::FormatName;

use crate::seal::seal;
use crate::{Case, Edit, Value};

/// Bytes at the start of a file (and, for footers, before its end) where edits count most.
const HEADERS: u64 = 4096;

/// The edited file.
#[derive(Debug)]
pub struct Broken {
    file: Arc<[u8]>,
    /// Later ones win.
    patches: Vec<(u64, Vec<u8>)>,
    len: u64,
}

impl Broken {
    /// `file` as `case` breaks it.
    pub fn new(file: Arc<[u8]>, case: &Case, format: FormatName) -> Self {
        let len = file.len() as u64;
        let mut broken = Self { file, patches: Vec::new(), len };
        for edit in case.edits.iter().take(64) {
            let at = place(edit, len);
            let bytes = broken.bytes(&edit.value, len);
            broken.patches.push((at, bytes));
        }
        if case.sealed {
            let fixed = seal(format, &broken);
            broken.patches.extend(fixed);
        }
        broken.len = len.saturating_sub(u64::from(case.cut));
        broken
    }

    /// `file` with edits at exactly their places.
    pub fn placed(file: Arc<[u8]>, edits: impl Iterator<Item = Edit>, cut: u16) -> Self {
        let len = file.len() as u64;
        let mut broken = Self { file, patches: Vec::new(), len };
        for edit in edits {
            let bytes = broken.bytes(&edit.value, len);
            broken.patches.push((u64::from(edit.at), bytes));
        }
        broken.len = len.saturating_sub(u64::from(cut));
        broken
    }

    /// Makes the checksums of a btrfs right: of the superblock and of the nodes that were edited.
    pub fn seal_btrfs(&mut self) {
        let edited: Vec<u64> = self.patches.iter().map(|(at, _)| *at).collect();
        let fixed = crate::seal::btrfs(self, &edited);
        self.patches.extend(fixed);
    }

    fn bytes(&self, value: &Value, len: u64) -> Vec<u8> {
        match *value {
            Value::Bytes(bytes) => bytes.to_vec(),
            Value::Byte(byte) => vec![byte],
            Value::Little(number) => number.to_le_bytes().to_vec(),
            Value::Big(number) => number.to_be_bytes().to_vec(),
            Value::Shifted(number, bits) => {
                (u64::from(number) << (bits % 57)).to_be_bytes().to_vec()
            }
            Value::Ones => vec![0xff; 8],
            Value::Zeros => vec![0; 8],
            Value::Copy(from) => {
                let mut bytes = vec![0; 64.min(len as usize)];
                let from = u64::from(from) % (len - bytes.len() as u64 + 1);
                self.read(from, &mut bytes);
                bytes
            }
        }
    }

    /// Fills `buffer`; what lies behind the file's end stays as it is.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) {
        let end = offset + buffer.len() as u64;
        let there = self.file.len().min(end as usize).saturating_sub(offset as usize);
        if there > 0 {
            buffer[..there].copy_from_slice(&self.file[offset as usize..][..there]);
        }
        for (at, bytes) in &self.patches {
            let (from, to) = ((*at).max(offset), (at + bytes.len() as u64).min(end));
            if from < to {
                let source = &bytes[(from - at) as usize..(to - at) as usize];
                buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
            }
        }
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.file.len() as u64
    }
}

/// A quarter of all edits are in the first bytes, a quarter in the last, a quarter at the starts of
/// 64 KiB units (where tables begin), the others anywhere.
fn place(edit: &Edit, len: u64) -> u64 {
    let (kind, at) = (edit.at % 4, u64::from(edit.at / 4));
    match kind {
        0 => at % HEADERS.min(len),
        1 => len - 1 - at % HEADERS.min(len),
        2 => (((at >> 6) << 16) + (at & 63) * 8) % len,
        _ => at % len,
    }
}

impl SectorSource for Broken {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.len) {
            let message = format!("reading {} bytes at {offset} of {}", buffer.len(), self.len);
            return Err(Error::new(Kind::Io, message));
        }
        self.read(offset, buffer);
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        Extent::new(offset, self.len)
    }
}
