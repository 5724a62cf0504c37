//! Times as FAT has them: local time is UTC, in steps of two seconds, from 1980 to 2107.
//!
//! Reads no clock. Invariant: a time outside of the range becomes the nearest one inside.

use crate::engine::base::tree::Time;

/// 1980-01-01T00:00:00Z.
const FIRST: i64 = 315_532_800;
/// 2107-12-31T23:59:59Z.
const LAST: i64 = 4_354_819_199;
const DAY: i64 = 86_400;

/// A moment in a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Years since 1980, month, day.
    pub(super) date: u16,
    /// Hours, minutes, seconds / 2.
    pub(super) time: u16,
    /// Hundredths of a second in the two seconds.
    pub(super) fine: u8,
}

impl Stamp {
    /// The nearest moment that FAT can tell.
    pub(super) fn of(time: Time) -> Self {
        let seconds = time.seconds.clamp(FIRST, LAST);
        let nanos = if seconds == time.seconds { time.nanos } else { 0 };
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        let low = |number: i64| u16::try_from(number).unwrap_or_default();
        let hundredths = (second % 2) * 100 + i64::from(nanos / 10_000_000);
        Self {
            date: (low(year - 1980) << 9) | (low(month) << 5) | low(day),
            time: (low(second / 3600) << 11) | (low(second / 60 % 60) << 5) | low(second % 60 / 2),
            fine: u8::try_from(hundredths).unwrap_or_default(),
        }
    }

    /// The moment; what no calendar has (month 0, 25 o'clock) counts on from the nearest that is.
    pub(super) fn time(self) -> Time {
        let (date, time) = (i64::from(self.date), i64::from(self.time));
        let month = (date >> 5 & 15).clamp(1, 12);
        let day = (date & 31).max(1);
        let days = days(1980 + (date >> 9), month, day);
        let second = (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2;
        Time { seconds: days * DAY + second, nanos: 0 }
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that the
/// odd day is the last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let from_march = (month + 9) % 12;
    let year = year - from_march / 10;
    let leaps = year / 4 - year / 100 + year / 400;
    // 306 days lie between March and January; 719,468 between the first of March 0 and 1970.
    year * 365 + leaps + (from_march * 306 + 5) / 10 + day - 1 - 719_468
}

/// The date of a day after February 1970: the year whose first of March is the last one not behind it.
fn civil(day: i64) -> (i64, i64, i64) {
    // Too early by a few years at most: no year has more than 366 days.
    let mut year = 1969 + day / 366;
    while days(year + 1, 3, 1) <= day {
        year += 1;
    }
    let in_year = day - days(year, 3, 1);
    let from_march = (in_year * 10 + 5) / 306;
    let day = in_year - (from_march * 306 + 5) / 10 + 1;
    let month = (from_march + 2) % 12 + 1;
    (year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(seconds: i64) -> Stamp {
        Stamp::of(Time { seconds, nanos: 0 })
    }

    #[test]
    fn moments_are_those_of_date() {
        // `date -u -d @N +%F\ %T`
        for (seconds, (year, month, day), (hour, minute, second)) in [
            (315_532_800, (1980, 1, 1), (0, 0, 0)),
            (951_782_400, (2000, 2, 29), (0, 0, 0)),
            (1_700_000_001, (2023, 11, 14), (22, 13, 20)),
            (4_107_542_399, (2100, 2, 28), (23, 59, 58)),
            (4_107_542_400, (2100, 3, 1), (0, 0, 0)),
            (4_354_819_199, (2107, 12, 31), (23, 59, 58)),
        ] {
            let found = stamp(seconds);
            assert_eq!(found.date, ((year - 1980) << 9) | (month << 5) | day, "{seconds}");
            assert_eq!(found.time, (hour << 11) | (minute << 5) | (second / 2), "{seconds}");
            assert_eq!(found.time().seconds, seconds - seconds % 2);
        }
        assert_eq!(Stamp::of(Time { seconds: 1_700_000_001, nanos: 990_000_000 }).fine, 199);
    }

    #[test]
    fn every_day_comes_back_and_others_become_the_nearest() {
        for day in FIRST / DAY..=LAST / DAY {
            assert_eq!(stamp(day * DAY).time().seconds, day * DAY);
        }
        assert_eq!(stamp(-5), stamp(FIRST));
        assert_eq!(stamp(i64::MAX), stamp(LAST));
        for (date, time) in [(0, 0), (0xFFFF, 0xFFFF)] {
            Stamp { date, time, fine: 0 }.time();
        }
    }
}
