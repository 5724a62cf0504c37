//! What the extra fields of an entry say: large sizes, Unix times and owners.
//!
//! APPNOTE 4.5.3 (0x0001) and 4.6.1; Info-ZIP's extrafld.txt for 0x5455 "UT", 0x5855 "UX", 0x7855
//! "Ux" and 0x7875 "ux". Invariant: a field that does not fit its own length ends the list.

use crate::engine::base::tree::Time;

/// What was said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extra {
    pub(super) modified: Option<Time>,
    pub(super) owner: Option<(u32, u32)>,
}

/// Takes the first `N` bytes as a number.
fn take(bytes: &mut &[u8], count: usize) -> Option<u64> {
    let (now, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    if now.len() > 8 {
        return None;
    }
    Some(now.iter().rev().fold(0, |n, byte| (n << 8) | u64::from(*byte)))
}

/// The fields: number and bytes of each.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let id = take(&mut bytes, 2)?;
        let len = usize::try_from(take(&mut bytes, 2)?).ok()?;
        let (field, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        Some((id, field))
    })
}

/// Replaces each number that says "too large" by the one in the field 0x0001, in order. None if it
/// is not there.
pub(super) fn large(extra: &[u8], numbers: [&mut u64; 3]) -> Option<()> {
    let mut field = fields(extra).find(|(id, _)| *id == 1).map(|(_, field)| field);
    for number in numbers {
        if *number == u64::from(u32::MAX) {
            *number = take(field.as_mut()?, 8)?;
        }
    }
    Some(())
}

impl Extra {
    /// Takes what the fields say.
    pub(super) fn take(&mut self, extra: &[u8]) {
        for (id, mut field) in fields(extra) {
            // A damaged field says nothing.
            let _ = self.field(id, &mut field);
        }
    }

    fn field(&mut self, id: u64, field: &mut &[u8]) -> Option<()> {
        let signed = |n: u64| i64::from(u32::try_from(n).unwrap_or(0) as i32);
        let at = |seconds| Some(Time { seconds, nanos: 0 });
        match id {
            0x5455 if take(field, 1)? & 1 != 0 => self.modified = at(signed(take(field, 4)?)),
            0x5855 => {
                take(field, 4)?;
                self.modified = self.modified.or(at(signed(take(field, 4)?)));
                self.owner = self.owner.or(owner(take(field, 2)?, take(field, 2)?));
            }
            0x7855 => self.owner = self.owner.or(owner(take(field, 2)?, take(field, 2)?)),
            0x7875 if take(field, 1)? == 1 => {
                let mut number = || {
                    let len = usize::try_from(take(field, 1)?).ok()?;
                    take(field, len)
                };
                self.owner = owner(number()?, number()?);
            }
            _ => {}
        }
        Some(())
    }
}

fn owner(uid: u64, gid: u64) -> Option<(u32, u32)> {
    Some((u32::try_from(uid).ok()?, u32::try_from(gid).ok()?))
}

/// A time of DOS, taken as UTC: whoever reads it elsewhere gets the same. Two seconds are its unit.
pub(super) fn dos(date: u16, time: u16) -> Time {
    let (year, month, day) = (1980 + i64::from(date >> 9), i64::from(date >> 5 & 15), date & 31);
    let month = month.clamp(1, 12);
    // Days since 1970-03-01 of years that begin in March.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100
        + year / 400
        + (month * 153 + 2) / 5
        + i64::from(day.max(1))
        - 719_469;
    let (hours, minutes, seconds) = (time >> 11, time >> 5 & 63, (time & 31) * 2);
    let seconds =
        days * 86_400 + i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
    Time { seconds, nanos: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times_are_days_and_seconds() {
        // date -u -d "1980-01-01" +%s; date -u -d "2000-02-29 12:34:56" +%s; 2107-12-31 23:59:58
        for (date, time, seconds) in [
            (0x0021, 0, 315_532_800),
            ((20 << 9) | (2 << 5) | 29, (12 << 11) | (34 << 5) | 28, 951_827_696),
            ((127 << 9) | (12 << 5) | 31, (23 << 11) | (59 << 5) | 29, 4_354_819_198),
        ] {
            assert_eq!(dos(date, time).seconds, seconds);
        }
        // Months and days that are none end nothing.
        dos(u16::MAX, u16::MAX);
        dos(0, 0);
    }

    #[test]
    fn large_numbers_come_in_order() {
        let field = |id: u16, bytes: &[u8]| {
            [&id.to_le_bytes()[..], &(bytes.len() as u16).to_le_bytes(), bytes].concat()
        };
        let extra =
            [field(9, b"abc"), field(1, &[7u64.to_le_bytes(), 8u64.to_le_bytes()].concat())];
        let max = u64::from(u32::MAX);
        let (mut a, mut b, mut c) = (max, 5, max);
        large(&extra.concat(), [&mut a, &mut b, &mut c]).unwrap();
        assert_eq!((a, b, c), (7, 5, 8));
        let (mut a, mut b, mut c) = (max, max, max);
        assert!(large(&extra.concat(), [&mut a, &mut b, &mut c]).is_none());
        assert!(large(&[], [&mut 1, &mut 2, &mut 3]).is_some());
    }
}
