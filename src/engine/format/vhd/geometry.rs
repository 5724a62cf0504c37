//! Cylinders, heads and sectors, and the size of the disk that they or the footer tell.
//!
//! Knows no file. Invariant: what `rounded` gives is what every reader takes for the size, whether
//! it believes the geometry or the size field.

use super::ondisk::Footer;
use crate::units::SECTOR;

/// A geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chs {
    pub(super) cylinders: u16,
    pub(super) heads: u8,
    pub(super) sectors: u8,
}

/// The largest geometry. It says nothing about the size of the disk.
pub(super) const LARGEST: Chs = Chs { cylinders: 65_535, heads: 16, sectors: 255 };

/// Who tells the size exactly in `current_size`. The geometry of all others is believed. This is
/// what qemu-img 7.2 does with footers that differ in nothing else; a test asks it again.
const EXACT_CREATORS: [&[u8; 4]; 5] = [b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS"];

impl Chs {
    /// Sectors that it reaches.
    pub(super) fn total(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors)
    }
}

/// The geometry of a disk: specification, "Appendix: CHS Calculation". Reaches at most `sectors`.
fn geometry(sectors: u64) -> Chs {
    let sectors = sectors.min(LARGEST.total());
    let (mut per_track, mut heads, mut tracks);
    if sectors >= 65_535 * 16 * 63 {
        (per_track, heads, tracks) = (255, 16, sectors / 255);
    } else {
        (per_track, tracks) = (17, sectors / 17);
        heads = tracks.div_ceil(1024).max(4);
        if tracks >= heads * 1024 || heads > 16 {
            (per_track, heads, tracks) = (31, 16, sectors / 31);
        }
        if tracks >= heads * 1024 {
            (per_track, heads, tracks) = (63, 16, sectors / 63);
        }
    }
    let cylinders = u16::try_from(tracks / heads).unwrap_or(u16::MAX);
    Chs { cylinders, heads: u8::try_from(heads).unwrap_or(16), sectors: per_track }
}

/// The smallest geometry that reaches `sectors`, and the sectors of the disk then: with the largest
/// one as many as wanted, since it says nothing.
pub(super) fn rounded(sectors: u64) -> (Chs, u64) {
    // One more cylinder is at most 16 * 255 sectors away; none is behind the largest.
    let reaches = |chs: &Chs| chs.total() >= sectors || *chs == LARGEST;
    let chs = (sectors..).map(geometry).find(reaches).unwrap_or(LARGEST);
    (chs, if chs == LARGEST { sectors } else { chs.total() })
}

/// The bytes of the disk that `footer` tells, and whether they are exact.
pub(super) fn size_of_disk(footer: &Footer) -> (u64, bool) {
    let chs = Chs {
        cylinders: footer.cylinders.get(),
        heads: footer.heads,
        sectors: footer.sectors_per_track,
    };
    let exact = EXACT_CREATORS.contains(&&footer.creator_application);
    if exact || chs == LARGEST {
        (footer.current_size.get() / SECTOR * SECTOR, true)
    } else {
        (chs.total() * SECTOR, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sectors: u64) -> (u16, u8, u8, u64) {
        let (chs, total) = rounded(sectors);
        (chs.cylinders, chs.heads, chs.sectors, total)
    }

    /// What qemu-img 7.2 writes for these sizes.
    #[test]
    fn the_rounded_size_is_that_of_qemu() {
        assert_eq!(of(1), (1, 4, 17, 68));
        assert_eq!(of(2 << 10), (31, 4, 17, 2_108));
        assert_eq!(of(10 << 10), (151, 4, 17, 10_268));
        assert_eq!(of(64 << 11), (964, 8, 17, 131_104));
        assert_eq!(of(503 << 11), (1_022, 16, 63, 1_030_176));
        assert_eq!(of(1 << 21), (2_081, 16, 63, 2_097_648));
        assert_eq!(of(33 << 21), (16_963, 16, 255, 69_209_040));
        assert_eq!(of(127 << 21), (65_279, 16, 255, 266_338_320));
        assert_eq!(of(130 << 21), (65_535, 16, 255, 130 << 21));
    }

    #[test]
    fn nothing_is_cut_off() {
        for sectors in (0..5_000).chain([LARGEST.total() - 5_000]) {
            let (chs, total) = rounded(sectors);
            assert!(total >= sectors && total == chs.total(), "{sectors}");
        }
        for sectors in LARGEST.total() - 1..LARGEST.total() + 2 {
            assert_eq!(rounded(sectors), (LARGEST, sectors));
        }
    }
}
