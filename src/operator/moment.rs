//! Times as operators say them, and as they are shown: RFC 3339.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::config::Period;
use crate::record::Timestamp;

/// A time; shown in UTC, to the millisecond. Read as `2026-11-26T18:00:00Z`, or as how long ago it was, as in `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

impl Moment {
    /// The one that is written as a time; `None` where that is none, or one before 1970.
    pub(super) fn at(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        Timestamp::from_millis(time.as_millisecond()).filter(|_| time >= jiff::Timestamp::UNIX_EPOCH).map(Self)
    }

    /// To the second, for a table.
    pub(super) fn in_seconds(self) -> String {
        format!("{:.0}", self.shown())
    }

    /// The last that a calendar has, for what is later.
    fn shown(self) -> jiff::Timestamp {
        let millis = i64::try_from(self.0.as_millis()).ok();
        millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok()).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.shown())
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
            let time = i64::try_from(millis).ok().and_then(Timestamp::from_millis);
            return time.map(Self).ok_or("allowed: a shorter time");
        }
        Self::at(text).ok_or("allowed: a time as in `2026-11-26T18:00:00Z`, since 1970, or how long ago, as in `2h`")
    }
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
            "2026-11-26T18:00:0\u{665}Z",
            "1969-12-31T23:59:59Z",
            "1969-12-31T23:59:59.9999Z",
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
        fn a_time_is_read_back_as_it_is_shown(millis in 0..253_402_200_000_000_i64) {
            let moment = Moment(Timestamp::from_millis(millis).expect("not negative"));
            proptest::prop_assert_eq!(moment.to_string().parse(), Ok(moment));
            let seconds: Moment = moment.in_seconds().parse().expect("a time");
            proptest::prop_assert_eq!(seconds.0.as_millis(), moment.0.as_millis() / 1_000 * 1_000);
        }
    }

    #[test]
    fn a_time_that_no_calendar_has_can_be_shown() {
        let last = Moment(Timestamp::from_millis(i64::MAX).expect("not negative"));
        assert_eq!(last.to_string(), "9999-12-30T22:00:00.999Z");
    }
}
