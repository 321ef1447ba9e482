//! Where a group is to go on, as somebody writes it.

use std::str::FromStr;

use crate::operator::moment::Moment;
use crate::record::{Offset, Timestamp};

/// Where partitions are to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// With the first record that there is.
    Earliest,
    /// With the next one that is written.
    Latest,
    Offset(Offset),
    /// So many offsets further than now; back where it is negative.
    Shift(i64),
    /// With the first record of then or later.
    Time(Timestamp),
    /// Where another group has got to.
    Group(String),
}

impl FromStr for To {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected `earliest`, `latest`, an offset, `+N` or `-N` from now on, a time as in `2026-11-26T20:00:00Z`, or `group:NAME`";
        let number =
            |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok());
        let found = match (text, text.split_at_checked(1)) {
            ("earliest", _) => Some(Self::Earliest),
            ("latest", _) => Some(Self::Latest),
            (_, Some(("+", digits))) => number(digits).flatten().map(Self::Shift),
            (_, Some(("-", digits))) => number(digits).flatten().map(|number| Self::Shift(-number)),
            _ => match text.strip_prefix("group:") {
                Some("") => None,
                Some(group) => Some(Self::Group(group.to_owned())),
                None => number(text)
                    .flatten()
                    .map(|offset| Self::Offset(Offset(offset)))
                    .or_else(|| Moment::at(text).map(|Moment(time)| Self::Time(time))),
            },
        };
        found.ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let to = |text: &str| text.parse::<To>();
        assert_eq!(to("earliest"), Ok(To::Earliest));
        assert_eq!(to("latest"), Ok(To::Latest));
        assert_eq!(to("42"), Ok(To::Offset(Offset(42))));
        assert_eq!(to("+3"), Ok(To::Shift(3)));
        assert_eq!(to("-1000"), Ok(To::Shift(-1_000)));
        assert_eq!(to("group:shop"), Ok(To::Group("shop".to_owned())));
        assert_eq!(to("1970-01-01T00:00:01Z"), Ok(To::Time(Timestamp::from_millis(1_000).expect("a time"))));
        for wrong in ["", "+", "-", "+-1", "--1", "1.5", "first", "group:", "2026-11-26", "99999999999999999999", "ä"]
        {
            assert!(to(wrong).is_err(), "{wrong}");
        }
    }
}
