//! Durations and sizes as people write them.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pipeline::control::Rate;

/// A duration as people write it: `500ms`, `30s`, `10min`, `1h30min`. A number without a unit is refused.
///
/// Units: `d`, `h`, `min` or `m`, `s`, `ms`, each with a whole number, the larger ones first.
///
/// ```
/// use daemonry::config::Period;
/// use std::time::Duration;
///
/// let period: Period = "1min30s".parse()?;
/// assert_eq!(period, Period(Duration::from_secs(90)));
/// assert_eq!(Period(Duration::from_millis(1500)).to_string(), "1s500ms");
/// assert!("90".parse::<Period>().is_err());
/// # Ok::<(), daemonry::config::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes as people write it: `64MiB`, `4096B`, `1GB`. A number without a unit is refused.
///
/// Units: `B`, `KiB`, `MiB`, `GiB` (powers of 1024), and `kB`, `MB`, `GB` (powers of 1000), with a whole number.
///
/// ```
/// use daemonry::config::Size;
///
/// let size: Size = "64MiB".parse()?;
/// assert_eq!(size, Size(64 << 20));
/// assert_eq!(Size(1500).to_string(), "1500B");
/// assert!("64".parse::<Size>().is_err());
/// # Ok::<(), daemonry::config::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

/// So many within a time, as people write it: `100/s`, `20/1min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PerTime(pub(crate) Rate);

/// A time that something may take, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

/// A text that is no duration, or no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct UnitError {
    /// What would be one.
    expected: &'static str,
}

const PERIODS: [(&str, u64); 6] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

impl Period {
    const EXPECTED: &str = "a duration with its unit, as in `30s`, `500ms`, `10min` or `1h30min`";
    /// As a regular expression, without what is too large.
    pub(crate) const PATTERN: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+(min|m))?([0-9]+s)?([0-9]+ms)?$";

    fn parse(mut text: &str) -> Option<Duration> {
        let (mut millis, mut last) = (0_u64, u64::MAX);
        while !text.is_empty() {
            let digits = text.find(|c: char| !c.is_ascii_digit())?;
            let (number, rest) = text.split_at(digits);
            let length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(length);
            let unit = PERIODS.iter().find(|(unit, _)| *unit == name)?.1;
            if unit >= last {
                return None;
            }
            millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
            (text, last) = (rest, unit);
        }
        (last != u64::MAX).then(|| Duration::from_millis(millis))
    }
}

impl Limit {
    const EXPECTED: &str = "`none`, or a duration with its unit, as in `30s`, `500ms`, `10min` or `1h30min`";
    const NONE: &str = "none";
    /// As a regular expression, without what is too large.
    pub(crate) const PATTERN: &str = "^(none|([0-9]+d)?([0-9]+h)?([0-9]+(min|m))?([0-9]+s)?([0-9]+ms)?)$";

    fn parse(text: &str) -> Option<Option<Duration>> {
        if text == Self::NONE { Some(None) } else { Period::parse(text).map(Some) }
    }
}

impl PerTime {
    const EXPECTED: &str = "how many within a time, as in `100/s` or `20/1min`";
    /// As a regular expression, without what is too large.
    pub(crate) const PATTERN: &str =
        "^[0-9]+/(d|h|min|m|s|ms|([0-9]+d)?([0-9]+h)?([0-9]+(min|m))?([0-9]+s)?([0-9]+ms)?)$";

    fn parse(text: &str) -> Option<Rate> {
        let (attempts, interval) = text.split_once('/')?;
        let is_unit = !interval.starts_with(|first: char| first.is_ascii_digit());
        let interval = if is_unit { Period::parse(&format!("1{interval}")) } else { Period::parse(interval) };
        Rate::new(attempts.parse().ok()?, interval?)
    }
}

impl Size {
    const EXPECTED: &str = "a size with its unit, as in `64MiB`, `512KiB`, `4096B` or `1GB`";
    /// As a regular expression, without what is too large.
    pub(crate) const PATTERN: &str = "^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)$";

    fn parse(text: &str) -> Option<usize> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, name) = text.split_at(digits);
        let unit = SIZES.iter().find(|(unit, _)| *unit == name)?.1;
        number.parse::<usize>().ok()?.checked_mul(unit)
    }
}

impl fmt::Display for Period {
    /// In whole units, the largest first, down to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (name, unit) in PERIODS.iter().filter(|(name, _)| *name != "m") {
            if millis >= *unit {
                write!(f, "{}{name}", millis / unit)?;
                millis %= unit;
            }
        }
        Ok(())
    }
}

impl fmt::Display for PerTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = Period(self.0.interval()).to_string();
        let one = interval.strip_prefix('1').filter(|rest| PERIODS.iter().any(|(unit, _)| unit == rest));
        write!(f, "{}/{}", self.0.attempts(), one.unwrap_or(&interval))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => Period(time).fmt(f),
            None => f.write_str(Self::NONE),
        }
    }
}

impl fmt::Display for Size {
    /// In the largest power of 1024 that leaves nothing over.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: usize| self.0 != 0 && self.0.is_multiple_of(unit);
        let (name, unit) = SIZES[..3].iter().copied().find(|(_, unit)| fits(*unit)).unwrap_or(SIZES[3]);
        write!(f, "{}{name}", self.0 / unit)
    }
}

macro_rules! written_as_text {
    ($unit:ty, $parsed:path) => {
        impl std::str::FromStr for $unit {
            type Err = UnitError;

            fn from_str(text: &str) -> Result<Self, UnitError> {
                <$unit>::parse(text).map($parsed).ok_or(UnitError { expected: <$unit>::EXPECTED })
            }
        }

        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $unit;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(<$unit>::EXPECTED)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$unit, E> {
                        <$unit>::parse(text)
                            .map($parsed)
                            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &<$unit>::EXPECTED))
                    }
                }
                // Any scalar: a number without a unit is told what it lacks, not that it is no text.
                deserializer.deserialize_any(Text)
            }
        }
    };
}

written_as_text!(Period, Period);
written_as_text!(Size, Size);
written_as_text!(Limit, Limit);
written_as_text!(PerTime, PerTime);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_read_and_written_as_people_write_them() {
        let read = |text: &str| {
            text.parse::<PerTime>().ok().map(|PerTime(rate)| (rate.attempts(), rate.interval().as_millis()))
        };
        for (text, expected, written) in [
            ("100/s", (100, 1_000), "100/s"),
            ("20/1min", (20, 60_000), "20/min"),
            ("5/1min30s", (5, 90_000), "5/1min30s"),
            ("3/10s", (3, 10_000), "3/10s"),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
            assert_eq!(text.parse::<PerTime>().map(|rate| rate.to_string()), Ok(written.to_owned()));
        }
        for wrong in ["", "100", "0/s", "x/s", "100/", "100/0s", "-1/s", "1/2/s", "off"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Period>().ok().map(|period| period.0);
        for (text, millis) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("10min", 600_000),
            ("10m", 600_000),
            ("1h30min", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            assert_eq!(read(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "30",
            "s",
            "30 s",
            "1.5s",
            "-1s",
            "1s1s",
            "1s2h",
            "1min1m",
            "30sec",
            "99999999999999999999s",
            "99999999999999999d",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Size>().ok().map(|size| size.0);
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1KiB", 1024), ("4096B", 4096), ("1GB", 1_000_000_000), ("2kB", 2_000), ("0B", 0)]
        {
            assert_eq!(read(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "64",
            "MiB",
            "64 MiB",
            "1.5MiB",
            "-1B",
            "64Mi",
            "64mib",
            "99999999999999999999B",
            "99999999999999999GiB",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(millis in prop_oneof![0..10_000_000_u64, 0..1_u64 << 60], bytes in any::<usize>()) {
            let period = Period(Duration::from_millis(millis));
            let limit = Limit((millis % 7 > 0).then_some(period.0));
            prop_assert_eq!(limit.to_string().parse(), Ok(limit));
            prop_assert_eq!(period.to_string().parse(), Ok(period));
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }
}
