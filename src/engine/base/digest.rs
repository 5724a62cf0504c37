//! The SHA-256 of a whole medium.
//!
//! Does not write and keeps nothing. Invariant: the digest is that of all bytes in order; zeros
//! outside of extents are hashed without being read, and memory does not grow with the medium.

use sha2::{Digest as _, Sha256};

use super::{Error, Progress, SectorSource};

/// Bytes read at once.
const BATCH: u64 = 1 << 20;

/// What holes are hashed from.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The SHA-256 of all bytes of `source`: `sha256:` and 64 hexadecimal digits.
pub fn digest(source: &dyn SectorSource, progress: &dyn Progress) -> Result<String, Error> {
    progress.begin("hashing", source.len());
    let mut hash = Sha256::new();
    let mut buffer = Vec::new();
    let mut at = 0;
    while let Some(extent) = source.next_extent(at).filter(|e| e.start() < source.len()) {
        zeros(&mut hash, extent.start() - at, progress)?;
        at = extent.start();
        let end = extent.end().min(source.len());
        while at < end {
            let len = (end - at).min(BATCH);
            buffer.resize(len as usize, 0);
            source.read_at(at, &mut buffer)?;
            hash.update(&buffer);
            progress.advance(len)?;
            at += len;
        }
    }
    zeros(&mut hash, source.len() - at, progress)?;
    Ok(format!("sha256:{}", hex::encode(hash.finalize())))
}

/// Hashes `count` zeros.
fn zeros(hash: &mut Sha256, mut count: u64, progress: &dyn Progress) -> Result<(), Error> {
    while count > 0 {
        let mut part = 0;
        while part < BATCH && count > 0 {
            let len = count.min(ZEROS.len() as u64);
            hash.update(ZEROS.get(..len as usize).unwrap_or_default());
            part += len;
            count -= len;
        }
        progress.advance(part)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::{ByteSource, Extent, Silent};

    /// A medium of which only `data` is not a hole.
    #[derive(Debug)]
    struct Sparse {
        len: u64,
        start: u64,
        data: ByteSource,
    }

    impl SectorSource for Sparse {
        fn len(&self) -> u64 {
            self.len
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
            assert!(offset >= self.start, "a hole was read");
            self.data.read_at(offset - self.start, buffer)
        }

        fn next_extent(&self, offset: u64) -> Option<Extent> {
            Extent::new(self.start.max(offset), self.start + self.data.len())
        }
    }

    #[test]
    fn digests_are_those_of_sha256sum() {
        // sha256sum < /dev/null; printf abc | sha256sum
        for (text, wanted) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            let source = ByteSource::new(text.as_bytes());
            assert_eq!(digest(&source, &Silent).unwrap(), format!("sha256:{wanted}"));
        }
    }

    #[test]
    fn holes_are_hashed_but_not_read() {
        // (head -c 3000000 /dev/zero; printf abc; head -c 70001 /dev/zero) | sha256sum
        let data = ByteSource::new(&b"abc"[..]);
        let source = Sparse { len: 3_070_004, start: 3_000_000, data };
        let wanted = "53afbb1b79ab706b3a0e8d62d4f0544152a6602685b70b3295dfffdbae975841";
        assert_eq!(digest(&source, &Silent).unwrap(), format!("sha256:{wanted}"));
    }
}
