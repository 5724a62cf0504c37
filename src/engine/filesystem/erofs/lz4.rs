//! LZ4 blocks that fill a cluster: as much input as fits is taken.
//!
//! Compresses by `lz4_flex`, which cannot be told how much may come out. Instead its sequences are cut
//! where the cluster is full, and literals follow to its end. Source: LZ4 Block Format Description,
//! "End of block conditions": the last 5 bytes are literals, the last match begins 12 bytes before
//! the end at least. Invariant: what comes out unpacks to exactly the bytes that were taken.

use lz4_flex::block::{compress_into, get_maximum_output_size};

/// Bytes of a packed cluster.
pub(super) const CLUSTER: usize = 4096;

/// Input that is tried at once, at first and at most.
const FIRST: usize = 16 << 10;
const MOST: usize = 512 << 10;

/// What must follow the last match: enough for both conditions.
const LAST: usize = 12;

/// Fills one cluster after the other.
#[derive(Debug)]
pub(super) struct Filler {
    /// Input that filled the last cluster, and some more.
    hint: usize,
    packed: Vec<u8>,
}

impl Filler {
    pub(super) const fn new() -> Self {
        Self { hint: FIRST, packed: Vec::new() }
    }

    /// Begins something else: what came before decides nothing.
    pub(super) const fn reset(&mut self) {
        self.hint = FIRST;
    }

    /// The packed bytes, at most a cluster, and how much of `input` they hold; none if that is no
    /// more than a cluster.
    pub(super) fn fill(&mut self, input: &[u8]) -> Option<(usize, Vec<u8>)> {
        let mut tried = self.hint;
        loop {
            let chunk = input.get(..tried.min(input.len()))?;
            self.packed.resize(get_maximum_output_size(chunk.len()), 0);
            let len = compress_into(chunk, &mut self.packed).ok()?;
            let packed = self.packed.get(..len)?;
            if len <= CLUSTER && chunk.len() < input.len() && tried < MOST {
                tried = (tried * 2).min(MOST);
                continue;
            }
            let (taken, bytes) =
                if len <= CLUSTER { (chunk.len(), packed.to_vec()) } else { cut(packed, chunk)? };
            self.hint = (taken + taken / 4 + CLUSTER).clamp(2 * CLUSTER, MOST);
            return (taken > CLUSTER).then_some((taken, bytes));
        }
    }
}

/// The first sequences of `packed`, which is more than a cluster, and literals of `chunk` behind.
fn cut(packed: &[u8], chunk: &[u8]) -> Option<(usize, Vec<u8>)> {
    // Where the sequences that are kept end, packed and unpacked.
    let (mut at, mut taken) = (0, 0);
    while let Some((next, more)) = sequence(packed, at) {
        if next + 1 + LAST > CLUSTER {
            break;
        }
        (at, taken) = (next, taken + more);
    }
    let room = CLUSTER - at;
    let rest = chunk.get(taken..)?;
    let size = |len: usize| 1 + len + if len < 15 { 0 } else { 1 + (len - 15) / 255 };
    let mut len = rest.len().min(room - 1);
    while size(len) > room {
        len -= 1;
    }
    let mut bytes = packed.get(..at)?.to_vec();
    bytes.push((len.min(15) as u8) << 4);
    if let Some(mut more) = len.checked_sub(15) {
        while more >= 255 {
            bytes.push(255);
            more -= 255;
        }
        bytes.push(more as u8);
    }
    bytes.extend_from_slice(rest.get(..len)?);
    Some((taken + len, bytes))
}

/// Where the sequence at `at` ends, and how many bytes it unpacks to; none if it is the last.
fn sequence(packed: &[u8], at: usize) -> Option<(usize, usize)> {
    let token = *packed.get(at)?;
    let (literals, at) = length(packed, at + 1, usize::from(token >> 4))?;
    let (matched, at) = length(packed, at + literals + 2, usize::from(token & 15))?;
    Some((at, literals + matched + 4))
}

fn length(packed: &[u8], mut at: usize, nibble: usize) -> Option<(usize, usize)> {
    let mut len = nibble;
    if nibble == 15 {
        loop {
            let more = *packed.get(at)?;
            at += 1;
            len += usize::from(more);
            if more < 255 {
                break;
            }
        }
    }
    (at <= packed.len()).then_some((len, at))
}

/// The first `len` bytes of what is packed, untrusted. What follows is not looked at: a part of the
/// file may have been packed again with what comes next, and zeros may stand behind the packed bytes.
pub(super) fn unpack(packed: &[u8], len: usize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; len];
    if lz4_flex::block::decompress_into(packed, &mut bytes).is_ok_and(|got| got == len) {
        return Ok(bytes);
    }
    let mut bytes = Vec::with_capacity(len);
    let short = || "it ends within a sequence".to_owned();
    let mut at = 0;
    while bytes.len() < len {
        let token = *packed.get(at).ok_or_else(short)?;
        let (literals, from) = length(packed, at + 1, usize::from(token >> 4)).ok_or_else(short)?;
        let literals = literals.min(len - bytes.len());
        bytes.extend_from_slice(packed.get(from..from + literals).ok_or_else(short)?);
        if bytes.len() == len {
            break;
        }
        at = from + literals;
        let distance = packed.get(at..at + 2).ok_or_else(short)?;
        let distance = distance.iter().rev().fold(0, |d, byte| d << 8 | usize::from(*byte));
        let (matched, next) = length(packed, at + 2, usize::from(token & 15)).ok_or_else(short)?;
        let begin = bytes.len().checked_sub(distance).filter(|_| distance > 0);
        let begin = begin.ok_or_else(|| format!("a match is {distance} bytes back"))?;
        for n in 0..(matched + 4).min(len - bytes.len()) {
            let byte = bytes.get(begin + n).copied().unwrap_or_default();
            bytes.push(byte);
        }
        at = next;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        // Runs of all lengths, and bytes without pattern in between.
        let mut input = Vec::new();
        while input.len() < 700_000 {
            let len = usize::from(next());
            let byte = next();
            input.extend(std::iter::repeat_n(byte, len * usize::from(next() % 5)));
            input.extend((0..len / 3).map(|_| next() & 7));
        }
        let mut filler = Filler::new();
        let (mut at, mut clusters) = (0, 0);
        while at < input.len() {
            let Some((taken, packed)) = filler.fill(&input[at..]) else {
                assert!(input.len() - at <= CLUSTER);
                break;
            };
            assert!(packed.len() <= CLUSTER);
            let mut back = vec![0; taken];
            assert_eq!(lz4_flex::block::decompress_into(&packed, &mut back).unwrap(), taken);
            assert!(back == input[at..at + taken]);
            // All but the last are full.
            assert!(packed.len() > CLUSTER - 20 || at + taken == input.len(), "{}", packed.len());
            at += taken;
            clusters += 1;
        }
        assert!(clusters * CLUSTER < input.len() * 3 / 4);
    }

    #[test]
    fn noise_is_not_taken() {
        let noise: Vec<u8> =
            (0..20_000u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 37) as u8).collect();
        let taken = Filler::new().fill(&noise);
        assert!(taken.is_none_or(|(taken, _)| taken > CLUSTER));
        assert!(Filler::new().fill(b"short").is_none());
    }
}
