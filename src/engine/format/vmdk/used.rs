//! A map of the sectors of a part of a file: what is in use, and what is used twice.
//!
//! Knows no format. Invariant: nothing outside of the part is marked.

/// Which sectors of a part of the file are in use.
pub(super) struct Used {
    pub(super) start: u64,
    pub(super) end: u64,
    words: Vec<u64>,
}

impl Used {
    pub(super) fn new(start: u64, end: u64) -> Self {
        Self { start, end, words: vec![0; (end - start).div_ceil(64) as usize] }
    }

    /// Marks what of `len` sectors from `at` on lies here; the first that was marked already.
    pub(super) fn mark(&mut self, at: u64, len: u64) -> Option<u64> {
        let to = at.saturating_add(len).min(self.end);
        let mut from = at.max(self.start);
        let mut twice = None;
        while from < to {
            let (index, bit) = ((from - self.start) / 64, (from - self.start) % 64);
            let count = (64 - bit).min(to - from);
            let mask = (u64::MAX >> (64 - count)) << bit;
            if let Some(word) = self.words.get_mut(index as usize) {
                let both = *word & mask;
                if both != 0 {
                    twice.get_or_insert(from - bit + u64::from(both.trailing_zeros()));
                }
                *word |= mask;
            }
            from += count;
        }
        twice
    }

    /// The runs of sectors from `first` on that are not in use, with their lengths.
    pub(super) fn free(&self, first: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut at = first.max(self.start);
        let used = |at: u64| {
            let word = self.words.get(((at - self.start) / 64) as usize).copied();
            word.unwrap_or(u64::MAX) >> ((at - self.start) % 64) & 1 == 1
        };
        std::iter::from_fn(move || {
            while at < self.end && used(at) {
                at += 1;
            }
            let start = at;
            while at < self.end && !used(at) {
                at += 1;
            }
            (start < at).then_some((start, at - start))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_twice_is_told_and_what_is_not_marked_is_free() {
        let mut used = Used::new(100, 400);
        assert_eq!(used.mark(0, 110), None);
        assert_eq!(used.mark(390, u64::MAX), None);
        assert_eq!(used.mark(110, 130), None);
        assert_eq!(used.mark(250, 64), None);
        assert_eq!(used.mark(239, 2), Some(239));
        assert_eq!(used.mark(240, 11), Some(240));
        assert_eq!(used.mark(400, 5), None);
        assert_eq!(used.free(0).collect::<Vec<_>>(), [(314, 76)]);
        assert_eq!(used.free(350).collect::<Vec<_>>(), [(350, 40)]);
        assert_eq!(used.free(390).count(), 0);
    }
}
