//! Times as ISO 9660 writes them, to the second and back.
//!
//! Invariant: what is written is between 1900 and 2155 in a directory record, between 0001 and 9999
//! in a volume descriptor: earlier and later times become the first and the last that can be.

use super::ondisk::{Date7, Date17};
use crate::engine::base::tree::Time;

const DAY: i64 = 86_400;

/// Year, month, day, hour, minute and second in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

/// Days from 1970-01-01 to the first of March of `year` (years that begin in March, so that the leap
/// day is the last one).
const fn days_to_march(year: i64) -> i64 {
    let years = year.div_euclid(400);
    let within = year.rem_euclid(400);
    years * 146_097 + within * 365 + within / 4 - within / 100 - 719_468
}

impl Civil {
    fn new(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY);
        let within = seconds.rem_euclid(DAY);
        // A first guess that is at most one year off.
        let mut year = 1970 + days.div_euclid(366);
        year += (days - days_to_march(year)).div_euclid(366);
        while days_to_march(year + 1) <= days {
            year += 1;
        }
        while days_to_march(year) > days {
            year -= 1;
        }
        let day = days - days_to_march(year);
        // Months from March on have 31, 30, 31, 30, 31 days, and again.
        let month = (5 * day + 2) / 153;
        let small = |value: i64| u8::try_from(value).unwrap_or_default();
        Self {
            year: year + i64::from(month >= 10),
            month: small(if month < 10 { month + 3 } else { month - 9 }),
            day: small(day - (153 * month + 2) / 5 + 1),
            hour: small(within / 3600),
            minute: small(within / 60 % 60),
            second: small(within % 60),
        }
    }

    fn seconds(self) -> i64 {
        let march = i64::from(self.month) - 3;
        let (year, month) =
            if march < 0 { (self.year - 1, march + 12) } else { (self.year, march) };
        let days = days_to_march(year) + (153 * month + 2) / 5 + i64::from(self.day) - 1;
        days * DAY
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
    }
}

impl Date7 {
    /// 1900-01-01T00:00:00Z and 2155-12-31T23:59:59Z.
    const RANGE: (i64, i64) = (-2_208_988_800, 5_869_583_999);

    pub(super) fn new(time: Time) -> Self {
        let civil = Civil::new(time.seconds.clamp(Self::RANGE.0, Self::RANGE.1));
        Self {
            year: u8::try_from(civil.year - 1900).unwrap_or_default(),
            month: civil.month,
            day: civil.day,
            hour: civil.hour,
            minute: civil.minute,
            second: civil.second,
            zone: 0,
        }
    }

    /// The time; what is no date becomes 1970.
    pub(super) fn time(self) -> Time {
        let valid = (1..=12).contains(&self.month) && (1..=31).contains(&self.day);
        if !valid {
            return Time::default();
        }
        let civil = Civil {
            year: 1900 + i64::from(self.year),
            month: self.month,
            day: self.day,
            hour: self.hour,
            minute: self.minute,
            second: self.second,
        };
        Time { seconds: civil.seconds() - i64::from(self.zone) * 900, nanos: 0 }
    }
}

impl Date17 {
    /// ECMA-119 9.4.27.2: no date.
    pub(super) const NONE: Self = Self { digits: [b'0'; 16], zone: 0 };

    /// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
    const RANGE: (i64, i64) = (-62_135_596_800, 253_402_300_799);

    pub(super) fn new(time: Time) -> Self {
        let clamped = time.seconds.clamp(Self::RANGE.0, Self::RANGE.1);
        let civil = Civil::new(clamped);
        let hundredths = if clamped == time.seconds { time.nanos / 10_000_000 } else { 0 };
        let text = format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}{hundredths:02}",
            civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
        );
        Self::of_digits(text.as_bytes()).unwrap_or(Self::NONE)
    }

    /// 16 digits.
    fn of_digits(text: &[u8]) -> Option<Self> {
        let digits = <[u8; 16]>::try_from(text).ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self { digits, zone: 0 })
    }

    /// From what `blkid` prints: `2026-11-21-14-10-00-00`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let lens: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        let date = Self::of_digits(parts.concat().as_bytes())?;
        (lens == [4, 2, 2, 2, 2, 2, 2] && date.digits != Self::NONE.digits).then_some(date)
    }

    /// The time; what is no date becomes 1970.
    pub(super) fn time(&self) -> Time {
        let number = |from: usize, len: usize| {
            let digits = self.digits.get(from..from + len)?;
            digits.iter().try_fold(0_u32, |sum, digit| {
                char::from(*digit).to_digit(10).map(|digit| sum * 10 + digit)
            })
        };
        let part = |from: usize| number(from, 2).and_then(|part| u8::try_from(part).ok());
        let civil = || {
            let civil = Civil {
                year: i64::from(number(0, 4)?),
                month: part(4)?,
                day: part(6)?,
                hour: part(8)?,
                minute: part(10)?,
                second: part(12)?,
            };
            let valid = (1..=12).contains(&civil.month) && (1..=31).contains(&civil.day);
            valid.then_some((civil, part(14)?))
        };
        civil().map_or(Time::default(), |(civil, hundredths)| Time {
            seconds: civil.seconds() - i64::from(self.zone) * 900,
            nanos: u32::from(hundredths) * 10_000_000,
        })
    }

    /// As `blkid` prints it; none if it is no date.
    pub(super) fn text(&self) -> Option<String> {
        if self.digits == Self::NONE.digits || !self.digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (year, rest) = self.digits.split_at(4);
        let mut text: String = year.iter().map(|digit| char::from(*digit)).collect();
        for pair in rest.chunks(2) {
            text.push('-');
            text.extend(pair.iter().map(|digit| char::from(*digit)));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time { seconds, nanos: 0 }
    }

    /// Expectations of `date -u -d @N`.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01-00-00-00-00"),
            (951_782_399, "2000-02-28-23-59-59-00"),
            (951_782_400, "2000-02-29-00-00-00-00"),
            (951_868_800, "2000-03-01-00-00-00-00"),
            (4_107_542_400, "2100-03-01-00-00-00-00"),
            (-1, "1969-12-31-23-59-59-00"),
            (-2_203_891_200, "1900-03-01-00-00-00-00"),
            (1_795_270_200, "2026-11-21-14-10-00-00"),
            (253_402_300_799, "9999-12-31-23-59-59-00"),
            (i64::MAX, "9999-12-31-23-59-59-00"),
            (i64::MIN, "0001-01-01-00-00-00-00"),
        ] {
            assert_eq!(Date17::new(at(seconds)).text().as_deref(), Some(text), "{seconds}");
            assert_eq!(Date17::parse(text).unwrap().text().as_deref(), Some(text));
        }
        assert!(Date17::parse("0000-00-00-00-00-00-00").is_none());
        assert!(Date17::parse("2026-11-21").is_none());
    }

    #[test]
    fn every_day_comes_back() {
        let mut seconds = Date7::RANGE.0;
        while seconds <= Date7::RANGE.1 {
            assert_eq!(Date7::new(at(seconds)).time(), at(seconds));
            seconds += DAY - 7;
        }
        assert_eq!(Date7::new(at(i64::MIN)).time(), at(Date7::RANGE.0));
        assert_eq!(Date7::new(at(i64::MAX)).time(), at(Date7::RANGE.1));
        let zone = Date7 { zone: 4, ..Date7::new(at(7200)) };
        assert_eq!(zone.time(), at(3600));
        assert_eq!(Date7::default().time(), at(0));
    }
}
