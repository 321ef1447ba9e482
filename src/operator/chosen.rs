//! Which partitions of a topic are meant, as somebody writes it. The invariant: what is no number is no partition, and never the whole topic.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::record::{Partition, Topic};

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
