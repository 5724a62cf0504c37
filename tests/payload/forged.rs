//! Tars made byte by byte, so that any field can lie.
//!
//! Judges nothing. Invariant: checksums are right unless a test says otherwise.

/// A header of tar in its parts.
#[derive(Clone, Debug)]
pub(crate) struct Header([u8; 512]);

pub(crate) fn entry(name: &str, kind: u8, size: u64) -> Header {
    let mut header = Header([0; 512]);
    header.set(0, name.as_bytes());
    header.set(100, b"0000644\0");
    header.set(108, b"0000000\0");
    header.set(116, b"0000000\0");
    header.set(124, format!("{size:011o}\0").as_bytes());
    header.set(136, b"00000000000\0");
    header.0[156] = kind;
    header.set(257, b"ustar\x0000");
    header
}

impl Header {
    pub(crate) fn set(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn link(mut self, target: &str) -> Self {
        self.set(157, target.as_bytes());
        self
    }

    pub(crate) fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.set(at, bytes);
        self
    }

    pub(crate) fn sealed(mut self) -> [u8; 512] {
        self.set(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.set(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// A tar.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn add(mut self, header: Header, body: &[u8]) -> Self {
        self.0.extend(header.sealed());
        self.0.extend(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, body: &[u8]) -> Self {
        self.add(entry(name, b'0', body.len() as u64), body)
    }

    pub(crate) fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
            let len = (1..).find(|digits| (rest.len() + digits).to_string().len() == *digits);
            text.extend((rest.len() + len.unwrap()).to_string().as_bytes());
            text.extend(rest);
        }
        self.add(entry("pax", kind, text.len() as u64), &text)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}
