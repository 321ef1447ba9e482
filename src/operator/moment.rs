//! Moments as RFC 3339 writes them.

use crate::record::Timestamp;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// From 0000-03-01, where the algorithms' years begin, to 1970-01-01.
const BEFORE_1970: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats itself.
const ERA: i64 = 146_097;

/// A moment in UTC, to the second.
pub(super) fn written(time: Timestamp) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let ((year, month, day), rest) = (civil(millis.div_euclid(DAY)), millis.rem_euclid(DAY));
    let (hour, minute, second) = (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE / SECOND);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The moment that is written so, as in `2026-11-26T20:00:00Z` or `2026-11-26T21:00:00.250+01:00`; `None` where that is none, or one
/// before 1970.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    let ahead = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), zone) => {
            let [hours, minutes] = fields(zone, ':', [2, 2])?;
            let ahead = (hours < 24 && minutes < 60).then_some(hours * HOUR + minutes * MINUTE)?;
            if sign == "-" { -ahead } else { ahead }
        }
        _ => return None,
    };
    // 60 is a leap second.
    let is_time = hour < 24 && minute < 60 && second <= 60;
    let days = days(year, month, day);
    // A day that there is comes back as itself.
    if !is_time || civil(days) != (year, month, day) {
        return None;
    }
    let millis = days * DAY + hour * HOUR + minute * MINUTE + second * SECOND + fraction.map_or(Some(0), millis)?;
    Timestamp::from_millis(millis - ahead)
}

/// The first three digits of a fraction of a second.
fn millis(fraction: &str) -> Option<i64> {
    let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| format!("{fraction}00")[..3].parse().ok())?
}

/// Numbers of these lengths.
fn fields<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part =
            parts.next().filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days from 1970-01-01 to this one. Years begin in March, so that a leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - BEFORE_1970
}

/// The day that is so many after 1970-01-01: year, month and day.
fn civil(days: i64) -> (i64, i64, i64) {
    let (era, of_era) = ((days + BEFORE_1970).div_euclid(ERA), (days + BEFORE_1970).rem_euclid(ERA));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<u64> {
        read(text).map(Timestamp::as_millis)
    }

    #[test]
    fn moments_are_read_in_any_zone() {
        assert_eq!(at("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(at("2026-11-26T20:15:30Z"), Some(1_795_724_130_000));
        assert_eq!(at("2026-11-26T21:15:30+01:00"), Some(1_795_724_130_000));
        assert_eq!(at("2026-11-26 12:45:30.5-07:30"), Some(1_795_724_130_500));
        assert_eq!(at("2024-02-29t23:59:60.123456z"), Some(1_709_251_200_123));
    }

    #[test]
    fn what_is_no_moment_is_told() {
        let wrong = [
            "",
            "earliest",
            "2026-11-26",
            "2026-11-26T20:15Z",
            "2026-11-26T20:15:30",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1x0Z",
            "2026-01-01T00:00:00Z1",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+25:00",
            "+026-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ];
        for text in wrong {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_that_is_written_is_read_as_the_same() {
        // A day and an hour further each time, through leap years and around centuries.
        for second in (0..5_000_000_000_u64).step_by(90_061) {
            let time = Timestamp::from_millis(i64::try_from(second * 1_000).expect("small")).expect("not before 1970");
            assert_eq!(read(&written(time)), Some(time), "{}", written(time));
        }
    }
}
