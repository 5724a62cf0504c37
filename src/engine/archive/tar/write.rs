//! Writes archives of files.
//!
//! Invariants: mode 0644, owner 0, time 0 whatever the machine; a body is exactly as long as its
//! header says, or the archive is not finished.

use super::BLOCK;
use crate::engine::base::{Error, Kind, StreamSink};

/// Archivers fill the last record: 20 blocks.
const RECORD: u64 = 20 * BLOCK;

/// What a ustar header can tell: 11 octal digits.
const USTAR_MOST: u64 = (8 << 30) - 1;

static ZEROS: [u8; RECORD as usize] = [0; RECORD as usize];

/// Which headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// POSIX.1-1988: what OVF asks for (DSP0243 5.3). Members are shorter than 8 GiB.
    Ustar,
    /// Old GNU: sizes of 8 GiB and more in binary.
    Gnu,
}

/// The header of a file.
pub fn header(dialect: Dialect, name: &str, size: u64) -> Result<[u8; 512], Error> {
    let mut header = match dialect {
        Dialect::Ustar => tar::Header::new_ustar(),
        Dialect::Gnu => tar::Header::new_gnu(),
    };
    if dialect == Dialect::Ustar && size > USTAR_MOST {
        let message = format!(
            "\"{name}\" has {size} bytes; a member of a ustar archive has at most {USTAR_MOST}"
        );
        return Err(Error::new(Kind::Document, message));
    }
    let named = header.set_path(name);
    named.map_err(|e| Error::io(format!("\"{name}\" as a name in a tar archive"), e))?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// How many zeros follow a body of `size` bytes.
#[must_use]
pub const fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// How many zeros end an archive whose members take `len` bytes.
#[must_use]
pub const fn trailer(len: u64) -> u64 {
    let least = len + 2 * BLOCK;
    2 * BLOCK + (RECORD - least % RECORD) % RECORD
}

/// An archive being written to a pipe: for each member `begin`, then its bytes.
pub struct Writer<'a> {
    dialect: Dialect,
    sink: &'a mut dyn StreamSink,
    written: u64,
    /// What the current body lacks.
    left: u64,
    /// What fills its last block.
    padding: u64,
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("dialect", &self.dialect)
            .field("written", &self.written)
            .finish()
    }
}

impl<'a> Writer<'a> {
    /// An empty archive.
    pub fn new(dialect: Dialect, sink: &'a mut dyn StreamSink) -> Self {
        Self { dialect, sink, written: 0, left: 0, padding: 0 }
    }

    /// Begins a member of exactly `size` bytes.
    pub fn begin(&mut self, name: &str, size: u64) -> Result<(), Error> {
        self.end()?;
        let header = header(self.dialect, name, size)?;
        self.sink.write(&header)?;
        self.written += header.len() as u64;
        self.left = size;
        self.padding = padding(size);
        Ok(())
    }

    /// A whole member.
    pub fn member(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.begin(name, bytes.len() as u64)?;
        self.write(bytes)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<(), Error> {
        self.end()?;
        self.zeros(trailer(self.written))
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.left > 0 {
            let message = format!("a member of a tar archive lacks {} bytes", self.left);
            return Err(Error::new(Kind::Io, message));
        }
        let padding = std::mem::take(&mut self.padding);
        self.zeros(padding)
    }

    /// At most a record and a block.
    fn zeros(&mut self, count: u64) -> Result<(), Error> {
        let mut left = count;
        while left > 0 {
            let len = left.min(RECORD);
            self.sink.write(ZEROS.get(..len as usize).unwrap_or_default())?;
            self.written += len;
            left -= len;
        }
        Ok(())
    }
}

impl StreamSink for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = bytes.len() as u64;
        let Some(left) = self.left.checked_sub(len) else {
            let over = len - self.left;
            let message = format!("a member of a tar archive is {over} bytes longer than was said");
            return Err(Error::new(Kind::Io, message));
        };
        self.sink.write(bytes)?;
        self.left = left;
        self.written += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_end_with_a_record() {
        assert_eq!(trailer(0), RECORD);
        assert_eq!(trailer(RECORD - 1024), 1024);
        assert_eq!(trailer(RECORD - 512), RECORD + 512);
        assert_eq!(trailer(RECORD), RECORD);
        assert_eq!((padding(0), padding(1), padding(512), padding(513)), (0, 511, 0, 511));
    }

    #[test]
    fn bodies_are_as_long_as_was_said() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(Dialect::Ustar, &mut bytes);
        writer.begin("a", 3).unwrap();
        assert!(writer.write(b"abcd").is_err());
        writer.write(b"ab").unwrap();
        let error = writer.begin("b", 1).unwrap_err();
        assert_eq!(error.to_string(), "a member of a tar archive lacks 1 bytes");
        writer.write(b"c").unwrap();
        writer.finish().unwrap();
        assert_eq!(bytes.len() as u64, RECORD);
    }

    #[test]
    fn members_of_8_gib_are_refused_where_they_cannot_be_told() {
        assert!(header(Dialect::Ustar, "a", USTAR_MOST).is_ok());
        let error = header(Dialect::Ustar, "a", USTAR_MOST + 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"a\" has 8589934592 bytes; a member of a ustar archive has at most 8589934591"
        );
        assert!(header(Dialect::Gnu, "a", USTAR_MOST + 1).is_ok());
        assert!(header(Dialect::Gnu, &"a".repeat(300), 1).is_err());
    }
}
