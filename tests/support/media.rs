//! Media to write: made of patches, so that their holes are known and terabytes cost nothing.
//!
//! Invariant: a medium's reference file is made with plain file writes, not with our writers.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use vmimage::engine::base::{Error, Extent, SectorSource};

/// A medium that is zero but for its patches.
#[derive(Clone, Debug)]
pub(crate) struct Patched {
    pub(crate) name: &'static str,
    pub(crate) len: u64,
    /// In order, not overlapping.
    pub(crate) patches: Vec<(u64, Vec<u8>)>,
}

impl SectorSource for Patched {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let wanted = Extent::new(offset, offset + buffer.len() as u64).unwrap();
        assert!(wanted.end() <= self.len);
        buffer.fill(0);
        let first = self.patches.partition_point(|(at, bytes)| at + bytes.len() as u64 <= offset);
        for (at, bytes) in &self.patches[first..] {
            let Some(both) = extent(*at, bytes).intersect(wanted) else { break };
            let from = (both.start() - at) as usize;
            let to = (both.start() - offset) as usize;
            let len = both.len() as usize;
            buffer[to..to + len].copy_from_slice(&bytes[from..from + len]);
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Option<Extent> {
        let first = self.patches.partition_point(|(at, bytes)| at + bytes.len() as u64 <= offset);
        let (at, bytes) = self.patches.get(first)?;
        let found = extent(*at, bytes);
        Extent::new(found.start().max(offset), found.end())
    }
}

fn extent(at: u64, bytes: &[u8]) -> Extent {
    Extent::new(at, at + bytes.len() as u64).unwrap()
}

impl Patched {
    /// The medium as a sparse file, made without our writers.
    pub(crate) fn reference(&self, path: &Path) {
        let file = fs_err::File::create_new(path).unwrap().into_file();
        file.set_len(self.len).unwrap();
        for (at, bytes) in &self.patches {
            file.write_all_at(bytes, *at).unwrap();
        }
    }
}

/// Numbers without pattern, the same every time (xorshift).
#[derive(Clone, Debug)]
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes that do not compress.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..len.div_ceil(8)).flat_map(|_| self.number().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }

    /// Bytes that compress to about an eighth.
    pub(crate) fn words(&mut self, len: usize) -> Vec<u8> {
        let words: Vec<_> = (0..64).map(|_| self.bytes(24)).collect();
        let mut bytes = Vec::with_capacity(len + 24);
        while bytes.len() < len {
            bytes.extend(&words[(self.number() >> 32) as usize % words.len()]);
        }
        bytes.truncate(len);
        bytes
    }
}

/// 512 bytes that a BIOS would start.
pub(crate) fn hello() -> Patched {
    let mut sector = b"\xeb\xfehello".to_vec();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    Patched { name: "hello", len: 512, patches: vec![(0, sector)] }
}

/// 64 MiB of holes, text, noise and written zeros in pieces of any size.
pub(crate) fn mix() -> Patched {
    let mut noise = Noise(0x0123_4567_89ab_cdef);
    let (len, mut at) = (64 << 20, 0);
    let mut patches = Vec::new();
    loop {
        let size = (noise.number() % 300_000 + 1) as usize;
        if at + size as u64 > len {
            break;
        }
        match noise.number() >> 61 {
            0 => patches.push((at, noise.bytes(size))),
            1..=3 => patches.push((at, noise.words(size))),
            4 => patches.push((at, vec![0; size])),
            _ => {}
        }
        at += size as u64;
    }
    Patched { name: "mix", len, patches }
}

/// What every writer is tried with, but for the giant.
pub(crate) fn all() -> Vec<Patched> {
    let mut noise = Noise(42);
    let mib = 1u64 << 20;
    let mut far = noise.bytes(20_000).repeat(53);
    far.truncate(1 << 20);
    let ends = |len: u64| vec![(0, b"first".to_vec()), (len - 4, b"last".to_vec())];
    vec![
        hello(),
        Patched { name: "empty", len: mib, patches: vec![] },
        Patched { name: "zeros", len: mib, patches: vec![(0, vec![0; 1 << 20])] },
        Patched { name: "ends", len: mib, patches: ends(mib) },
        Patched { name: "odd", len: 3 * mib + 512, patches: ends(3 * mib + 512) },
        Patched { name: "noise", len: 5 * mib, patches: vec![(0, noise.bytes(5 << 20))] },
        Patched { name: "text", len: 5 * mib, patches: vec![(700, noise.words(5 << 19))] },
        // Only a deflate window of more than 4 KiB finds the repetition.
        Patched { name: "far", len: mib, patches: vec![(0, far)] },
        mix(),
    ]
}

/// 5 TiB with a few clusters, one of them across the border of two L2 tables.
pub(crate) fn giant() -> Patched {
    let mut noise = Noise(7);
    let (len, table) = (5u64 << 40, 512u64 << 20);
    let patches = vec![
        (0, noise.words(70_000)),
        (3 * table - 100_000, noise.words(200_000)),
        (4 << 40, noise.bytes(65_536)),
        (len - 512, noise.bytes(512)),
    ];
    Patched { name: "giant", len, patches }
}
