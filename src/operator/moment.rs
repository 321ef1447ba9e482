//! Times as operators say them, and as they are shown: RFC 3339.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::config::Period;
use crate::record::Timestamp;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A time; shown in UTC, to the millisecond. Read as `2026-11-26T18:00:00Z`, or as how long ago it was, as in `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

impl Moment {
    /// To the second, for a table.
    pub(super) fn in_seconds(self) -> String {
        let (date, rest) = self.parts();
        format!("{date}T{:02}:{:02}:{:02}Z", rest / HOUR, rest / MINUTE % 60, rest / SECOND % 60)
    }

    /// The day, and the milliseconds of it that have passed.
    fn parts(self) -> (String, i64) {
        let millis = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        let (year, month, day) = date_of(millis / DAY);
        (format!("{year:04}-{month:02}-{day:02}"), millis % DAY)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, rest) = self.parts();
        let (hours, minutes) = (rest / HOUR, rest / MINUTE % 60);
        write!(f, "{date}T{hours:02}:{minutes:02}:{:02}.{:03}Z", rest / SECOND % 60, rest % SECOND)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(Period(ago)) = text.parse() {
            let millis = (Timestamp::now() - ago).as_millis();
            // No finer than it is shown: what is said again must be the same.
            return i64::try_from(millis)
                .ok()
                .and_then(Timestamp::from_millis)
                .map(Self)
                .ok_or("allowed: a shorter time");
        }
        let millis = parse(text).ok_or("allowed: a time as in `2026-11-26T18:00:00Z`, or how long ago, as in `2h`")?;
        Timestamp::from_millis(millis).map(Self).ok_or("allowed: times since 1970")
    }
}

/// Milliseconds since 1970 of an RFC 3339 time.
fn parse(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, zone) = time.split_at(time.find(['Z', 'z', '+', '-'])?);
    let (time, fraction) = time.split_once('.').map_or((time, None), |(time, fraction)| (time, Some(fraction)));
    let [hours, minutes, seconds] = numbers(time, ':', [2, 2, 2])?;
    let days = days_to(year, month, day);
    // What no calendar has comes back as another day.
    if date_of(days) != (year, month, day) || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let millis = fraction.map_or(Some(0), |digits| {
        let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let padded = format!("{digits:0<3}");
        if all_digits { padded[..3].parse().ok() } else { None }
    })?;
    let ahead = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * HOUR + minutes * MINUTE) * if sign == "-" { -1 } else { 1 }
        }
    };
    Some(days * DAY + hours * HOUR + minutes * MINUTE + seconds * SECOND + millis - ahead)
}

/// Numbers of so many digits each, with this between them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part =
            parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days of 400 years, after which the calendar begins anew.
const ERA: i64 = 146_097;
/// From March 1st of the year 0, where an era begins, to 1970: with leap days at the end of a year, its months follow a rule.
const BEFORE_1970: i64 = 719_468;

/// The day of so many days since 1970: year, month, day of the month.
fn date_of(days: i64) -> (i64, i64, i64) {
    let since = days + BEFORE_1970;
    let (era, day) = (since.div_euclid(ERA), since.rem_euclid(ERA));
    // Without the leap days before it, each year has 365.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// Days since 1970.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA + year * 365 + year / 4 - year / 100 + day - BEFORE_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<u64> {
        text.parse().ok().map(|Moment(time)| time.as_millis())
    }

    #[test]
    fn times_are_read_as_rfc_3339_writes_them() {
        assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(read("2026-11-26T18:00:00Z"), Some(1_795_716_000_000));
        assert_eq!(read("2026-11-26t18:00:00.25z"), Some(1_795_716_000_250));
        assert_eq!(read("2026-11-26 19:30:00.1239+01:30"), Some(1_795_716_000_123));
        assert_eq!(read("2026-11-26T16:00:00-02:00"), Some(1_795_716_000_000));
        assert_eq!(read("2000-02-29T00:00:00Z"), Some(951_782_400_000));
    }

    #[test]
    fn what_is_no_time_is_refused_and_told_what_would_be_one() {
        for wrong in [
            "",
            "now",
            "90",
            "2026-11-26",
            "2026-11-26T18:00:00",
            "2026-11-26T18:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-11-26T24:00:00Z",
            "2026-11-26T18:60:00Z",
            "2026-11-26T18:00:00.Z",
            "2026-11-26T18:00:00.x1Z",
            "2026-11-26T18:00:00Zulu",
            "2026-11-26T18:00:00+1:00",
            "2026-11-26T18:00:00+24:00",
            "+026-11-26T18:00:00Z",
            "2026-11-26T18:00:0\u{665}Z",
            "1969-12-31T23:59:59Z",
        ] {
            let said = wrong.parse::<Moment>().expect_err(wrong);
            assert!(said.starts_with("allowed: "), "{said}");
        }
    }

    #[test]
    fn how_long_ago_counts_from_now() {
        let before = Timestamp::now().as_millis() - 7_200_000;
        let read = read("2h").expect("a period");
        assert!((before..before + 60_000).contains(&read), "{read} {before}");
    }

    proptest::proptest! {
        #[test]
        fn a_time_is_read_back_as_it_is_shown(millis in 0..253_402_300_800_000_i64) {
            let moment = Moment(Timestamp::from_millis(millis).expect("not negative"));
            proptest::prop_assert_eq!(moment.to_string().parse(), Ok(moment));
            let seconds: Moment = moment.in_seconds().parse().expect("a time");
            proptest::prop_assert_eq!(seconds.0.as_millis(), moment.0.as_millis() / 1_000 * 1_000);
        }
    }

    #[test]
    fn the_last_time_that_there_is_can_be_shown() {
        let last = Moment(Timestamp::from_millis(i64::MAX).expect("not negative"));
        assert_eq!(last.to_string(), "292278994-08-17T07:12:55.807Z");
    }
}
