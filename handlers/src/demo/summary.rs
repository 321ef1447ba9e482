//! The end of the demo: what the daemons counted, beside what the brokers have, and whether the two agree.

use std::fmt;

use daemonry::app::ConsumerTopics;
use daemonry::kafka::{KafkaAdmin, KafkaConfig, Standing};
use daemonry::record::Topic;

use super::figures::Records;
use super::view::grouped;

/// The topics of a daemon and their dead letters, on both sides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Account {
    /// By their names.
    pub(super) topic: String,
    pub(super) letters: String,
    /// What the daemon counted.
    pub(super) counted: Records,
    /// Where the topics' partitions end, together: so many records were written.
    pub(super) written: u64,
    /// The committed offsets, together.
    pub(super) committed: u64,
    /// What the commits remember as finished above them.
    pub(super) above: u64,
    /// Records in the topic of its dead letters.
    pub(super) letters_written: u64,
}

impl Account {
    /// Asks the brokers.
    pub(super) async fn of(kafka: &KafkaConfig, read: &ConsumerTopics, counted: Records) -> anyhow::Result<Self> {
        let admin = KafkaAdmin::new(kafka)?;
        let sum =
            |offsets: &mut dyn Iterator<Item = i64>| offsets.filter_map(|offset| u64::try_from(offset).ok()).sum();
        let standing = self::standing(&admin, &read.topics).await?;
        let letters_standing = self::standing(&admin, &read.dead_letters).await?;
        Ok(Self {
            topic: names(&read.topics),
            letters: names(&read.dead_letters),
            counted,
            written: sum(&mut standing.iter().map(|partition| partition.end.0)),
            committed: sum(&mut standing.iter().filter_map(|partition| Some(partition.committed?.offset().0))),
            above: standing.iter().map(|partition| partition.finished_above).sum(),
            letters_written: sum(&mut letters_standing.iter().map(|partition| partition.end.0)),
        })
    }

    /// Records that are still to be handled.
    fn left(&self) -> u64 {
        self.written.saturating_sub(self.committed + self.above)
    }

    /// Where the two sides differ.
    fn differences(&self) -> Vec<String> {
        let Self { topic, letters, counted, committed, above, letters_written, .. } = self;
        let mut differences = Vec::new();
        if counted.finished() != committed + above {
            differences.push(format!(
                "{topic}: the daemon has finished {}, but {} are committed",
                counted.finished(),
                committed + above
            ));
        }
        if counted.dead_lettered != *letters_written {
            differences.push(format!(
                "{letters}: the daemon has written {}, but there are {letters_written}",
                counted.dead_lettered
            ));
        }
        differences
    }
}

fn names(topics: &[Topic]) -> String {
    topics.iter().map(Topic::as_str).collect::<Vec<_>>().join(", ")
}

/// Where the partitions of all these topics stand.
async fn standing(admin: &KafkaAdmin, topics: &[Topic]) -> anyhow::Result<Vec<Standing>> {
    let mut standing = Vec::new();
    for topic in topics {
        standing.extend(admin.standing(topic).await?.unwrap_or_default());
    }
    Ok(standing)
}

/// All topics of the demo.
#[derive(Debug)]
pub(super) struct Summary(pub(super) Vec<Account>);

impl Summary {
    /// Where daemons and brokers differ; nothing where they agree.
    pub(super) fn differences(&self) -> Vec<String> {
        self.0.iter().flat_map(Account::differences).collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().flat_map(|account| [account.topic.len(), account.letters.len()]);
        let wide = names.max().unwrap_or(0);
        let mut row = |topic: &str, cells: [&str; 6]| {
            let [written, committed, handled, skipped, dead_lettered, left] = cells;
            writeln!(
                f,
                "{topic:wide$}  {written:>9}  {committed:>9} = {handled:>9} + {skipped:>7} + {dead_lettered:>12}  {left:>7}"
            )
        };
        row("", ["written", "committed", "handled", "skipped", "dead letters", "left"])?;
        for account in &self.0 {
            let Account { topic, counted, written, committed, above, .. } = account;
            let cells =
                [*written, committed + above, counted.handled, counted.skipped, counted.dead_lettered, account.left()];
            let cells = cells.map(grouped);
            row(topic, cells.each_ref().map(String::as_str))?;
        }
        for Account { letters, letters_written, .. } in self.0.iter().filter(|account| !account.letters.is_empty()) {
            writeln!(f, "{letters:wide$}  {:>9}", grouped(*letters_written))?;
        }
        let above: u64 = self.0.iter().map(|account| account.above).sum();
        if above > 0 {
            writeln!(
                f,
                "Of what is committed, {} stand above a record that is not finished: the commits remember them.",
                grouped(above)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        let counted = Records { handled: 1_000, skipped: 3, dead_lettered: 7, ..Records::default() };
        Account {
            topic: "orders".to_owned(),
            letters: "orders.dlq".to_owned(),
            counted,
            written: 1_020,
            committed: 1_000,
            above: 10,
            letters_written: 7,
        }
    }

    #[test]
    fn what_is_committed_and_remembered_is_what_was_finished() {
        assert!(Summary(vec![account()]).differences().is_empty());
        assert_eq!(account().left(), 10);
    }

    #[test]
    fn each_difference_is_named() {
        let account = Account { committed: 999, letters_written: 6, ..account() };
        assert_eq!(
            Summary(vec![account]).differences(),
            [
                "orders: the daemon has finished 1010, but 1009 are committed",
                "orders.dlq: the daemon has written 7, but there are 6"
            ]
        );
    }

    #[test]
    fn summary_is_a_table() {
        let expected = "              written  committed =   handled + skipped + dead letters     left
orders          1,020      1,010 =     1,000 +       3 +            7       10
orders.dlq          7
Of what is committed, 10 stand above a record that is not finished: the commits remember them.
";
        assert_eq!(Summary(vec![account()]).to_string(), expected);
    }
}
