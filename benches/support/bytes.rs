//! The bytes that benches work on: generated, the same every time.
//!
//! Invariant: they are about as compressible as the root filesystem of a distribution: text, tables,
//! machine code, and what is compressed already.

/// A linear congruential generator (Knuth's constants): not random, but without short cycles.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Small numbers are more likely: a power law, as with words of a language.
    pub(crate) fn skewed(&mut self, below: u64) -> u64 {
        let (a, b) = (self.next() % 1024, self.next() % 1024);
        (a * b * below) >> 20
    }
}

/// Makes one file after the other.
pub(crate) struct Bytes {
    pub(crate) numbers: Numbers,
    words: Vec<Vec<u8>>,
}

impl Bytes {
    pub(crate) fn new(seed: u64) -> Self {
        Self { numbers: Numbers(seed), words: words() }
    }

    pub(crate) fn next(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len).unwrap()];
        match self.numbers.next() % 20 {
            0..9 => text(&mut bytes, &self.words, &mut self.numbers),
            9..18 => records(&mut bytes, &mut self.numbers),
            _ => noise(&mut bytes, &mut self.numbers),
        }
        bytes
    }
}

/// 4000 invented words.
fn words() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(3);
    let mut word = || {
        let len = 2 + numbers.next() % 9;
        (0..len).map(|_| b"etaoinshrdlucmfwypvbgkqjxz_/.0"[numbers.skewed(30) as usize]).collect()
    };
    (0..4000).map(|_| word()).collect()
}

fn text(bytes: &mut [u8], words: &[Vec<u8>], numbers: &mut Numbers) {
    let mut at = 0;
    while at < bytes.len() {
        let word = &words[numbers.skewed(words.len() as u64) as usize];
        let len = word.len().min(bytes.len() - at);
        bytes[at..at + len].copy_from_slice(&word[..len]);
        if let Some(behind) = bytes.get_mut(at + len) {
            *behind = if numbers.next().is_multiple_of(12) { b'\n' } else { b' ' };
        }
        at += len + 1;
    }
}

/// Like tables and machine code: 16 bytes with some that change little and some that change much.
fn records(bytes: &mut [u8], numbers: &mut Numbers) {
    let mut counter = 0u32;
    for record in bytes.chunks_mut(16) {
        counter = counter.wrapping_add((numbers.skewed(64)) as u32);
        let mut full = [0; 16];
        full[..4].copy_from_slice(&counter.to_le_bytes());
        full[4] = numbers.skewed(40) as u8;
        full[5] = numbers.skewed(200) as u8;
        full[8..10].copy_from_slice(&(numbers.next() as u16).to_le_bytes());
        full[12] = 0x48 + numbers.skewed(8) as u8;
        record.copy_from_slice(&full[..record.len()]);
    }
}

pub(crate) fn noise(bytes: &mut [u8], numbers: &mut Numbers) {
    for word in bytes.chunks_mut(4) {
        let number = (numbers.next() as u32) ^ (numbers.next() as u32).rotate_left(16);
        word.copy_from_slice(&number.to_le_bytes()[..word.len()]);
    }
}
