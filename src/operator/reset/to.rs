//! Where a group is to go on, and in which partitions, as somebody writes it.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::operator::moment::Moment;
use crate::record::{Offset, Partition, Timestamp, Topic};

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

/// A topic, and some of its partitions; all where none are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) topic: Topic,
    pub(super) partitions: BTreeSet<Partition>,
}

impl FromStr for Chosen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a topic, or some partitions of it as in `orders:0,3`";
        // No topic has a colon in its name.
        let (topic, partitions) = text.split_once(':').map_or((text, None), |(topic, numbers)| (topic, Some(numbers)));
        let number = |text: &str| text.parse::<u16>().map(|number| Partition(number.into())).map_err(|_| EXPECTED);
        let partitions = partitions.map(|numbers| numbers.split(',').map(number).collect::<Result<_, _>>());
        match topic {
            "" => Err(EXPECTED),
            topic => Ok(Self { topic: Topic::from(topic), partitions: partitions.transpose()?.unwrap_or_default() }),
        }
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

    #[test]
    fn partitions_are_chosen_by_their_numbers() {
        let chosen = |text: &str| text.parse::<Chosen>().map(|one| (one.topic.to_string(), one.partitions.len()));
        assert_eq!(chosen("orders"), Ok(("orders".to_owned(), 0)));
        assert_eq!(chosen("orders:3"), Ok(("orders".to_owned(), 1)));
        assert_eq!(chosen("orders:0,3,0"), Ok(("orders".to_owned(), 2)));
        for wrong in ["", ":1", "orders:", "orders:x", "orders:-1", "orders:1,,2"] {
            assert!(chosen(wrong).is_err(), "{wrong}");
        }
    }
}
