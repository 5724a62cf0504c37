//! Checksums and name hashes of ext.
//!
//! Knows no structure. Invariant: the same on every machine, whatever the sign of its characters.

/// CRC-32C going on from `seed`, neither begun nor ended with an inversion (kernel documentation,
/// checksums.rst).
pub(super) fn crc(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// What every checksum but the superblock's goes on from: that of the UUID.
pub(super) fn crc_of_uuid(uuid: &[u8; 16]) -> u32 {
    crc(!0, uuid)
}

/// What checksums of an inode and of its blocks go on from.
pub(super) fn crc_of_inode(seed: u32, ino: u32, generation: u32) -> u32 {
    crc(crc(seed, &ino.to_le_bytes()), &generation.to_le_bytes())
}

/// How names are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameHash {
    /// What the hash begins with: the superblock's seed.
    pub(super) seed: [u32; 4],
    /// Whether bytes above 127 count as negative numbers, as on x86.
    pub(super) signed: bool,
}

/// The state before the first name's byte where the seed is zero: that of MD4 (RFC 1320, 3.3).
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The largest hash that stands for "end of the directory"; names never get it.
const END: u32 = 0xffff_fffe;

/// Of each round: added number, order of words, rotations (half of MD4's three rounds).
const ROUNDS: [(u32, [usize; 8], [u32; 4]); 3] = [
    (0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]),
    (0x5a82_7999, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13]),
    (0x6ed9_eba1, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]),
];

impl NameHash {
    /// The seed out of a superblock.
    pub(super) fn new(seed: &[u8; 16], signed: bool) -> Self {
        let (words, _) = seed.as_chunks::<4>();
        let mut numbers = [0; 4];
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = u32::from_le_bytes(*word);
        }
        Self { seed: if numbers == [0; 4] { START } else { numbers }, signed }
    }

    /// The major hash of a name, and the minor one that nothing on disk needs but order.
    pub(super) fn of(self, name: &[u8]) -> (u32, u32) {
        let mut state = self.seed;
        let mut rest = name;
        while !rest.is_empty() {
            mix(&mut state, &self.words(rest));
            rest = rest.get(32..).unwrap_or_default();
        }
        let [_, major, minor, _] = state;
        let major = major & !1;
        (if major == END { END - 2 } else { major }, minor)
    }

    /// Up to 32 bytes of a name in words, filled up with its length.
    fn words(self, rest: &[u8]) -> [u32; 8] {
        // OK to cast: names have at most 255 bytes.
        let len = rest.len() as u32;
        let pad = len | len << 8 | len << 16 | len << 24;
        let mut words = [pad; 8];
        for (word, four) in words.iter_mut().zip(rest.chunks(4)) {
            for byte in four {
                let value = if self.signed {
                    i32::from(byte.cast_signed()).cast_unsigned()
                } else {
                    u32::from(*byte)
                };
                *word = value.wrapping_add(*word << 8);
            }
        }
        words
    }
}

fn mix(state: &mut [u32; 4], words: &[u32; 8]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for (round, (add, order, turns)) in ROUNDS.iter().enumerate() {
        for (at, turn) in order.iter().zip(turns.iter().cycle()) {
            let f = match round {
                0 => d ^ (b & (c ^ d)),
                1 => (b & c).wrapping_add((b ^ c) & d),
                _ => b ^ c ^ d,
            };
            let word = words.get(*at).copied().unwrap_or_default();
            let sum = a.wrapping_add(f).wrapping_add(word).wrapping_add(*add);
            (a, b, c, d) = (d, sum.rotate_left(*turn), b, c);
        }
    }
    for (old, new) in state.iter_mut().zip([a, b, c, d]) {
        *old = old.wrapping_add(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values were printed by `debugfs -R "dx_hash -h half_md4 [-s SEED] NAME"`.
    #[test]
    fn names_hash_as_debugfs_says() {
        let seed = 0x5f0d_7b1e_0102_4304_8506_0708_090a_0b0c_u128.to_be_bytes();
        let long = b"a-name-that-is-longer-than-thirty-two-bytes-and-more";
        for (name, seeded, plain) in [
            (&b"lost+found"[..], (0xbcc6_f94c, 0x4b86_17e3), (0x591d_e422, 0x6ffc_56e0)),
            (b"hello", (0x7448_6312, 0xae50_3e1f), (0x1746_da32, 0x4200_13b5)),
            (long, (0x5953_d564, 0x70a3_0b2e), (0x3536_db20, 0x91ce_88e7)),
            (b"\xff\xfe\x80x", (0x0adf_0faa, 0x08fd_0473), (0x7252_c798, 0x89c0_54ce)),
        ] {
            assert_eq!(NameHash::new(&seed, true).of(name), seeded, "{}", name.escape_ascii());
            assert_eq!(NameHash::new(&[0; 16], true).of(name), plain, "{}", name.escape_ascii());
        }
        let unsigned = NameHash::new(&seed, false);
        assert_eq!(unsigned.of(b"hello").0, 0x7448_6312);
        assert_ne!(unsigned.of(b"\xff\xfe\x80x").0, 0x0adf_0faa);
    }

    #[test]
    fn the_checksum_is_crc32c_without_its_inversions() {
        // "123456789" has the check value 0xe3069283 (RFC 3720, B.4 uses the same polynomial).
        assert_eq!(crc(!0, b"123456789"), !0xe306_9283);
        assert_eq!(crc(crc(!0, b"1234"), b"56789"), !0xe306_9283);
    }
}
