//! The messages of a topic: which key each one has is drawn by chance, and the same in every run.

use crate::topic::{KEYS, Keys, Topic};

/// What chance starts with.
const SEED: u64 = 42;

/// A message, without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number, from 0.
    pub number: u64,
    /// The number of its key.
    pub key: usize,
    /// Its number among those of its key, from 0.
    pub sequence: u64,
}

/// The messages of a topic, in order.
#[derive(Debug)]
pub struct Messages {
    numbers: std::ops::Range<u64>,
    chance: fastrand::Rng,
    /// For each key, the share of the messages that have it or one before it; empty where all are alike.
    shares: Vec<f64>,
    sequences: Vec<u64>,
}

impl Messages {
    /// Those of this topic.
    pub fn of(topic: &Topic) -> Self {
        Self::drawn(topic.messages, topic.keys)
    }

    /// So many.
    pub fn drawn(count: u64, keys: Keys) -> Self {
        let shares = match keys {
            Keys::Uniform => Vec::new(),
            Keys::Zipf => zipf(1.1),
        };
        Self { numbers: 0..count, chance: fastrand::Rng::with_seed(SEED), shares, sequences: vec![0; KEYS] }
    }

    /// The numbers of the messages of the most frequent key.
    pub fn hottest(self) -> Vec<u64> {
        let mut numbers = vec![Vec::new(); KEYS];
        self.for_each(|message| numbers[message.key].push(message.number));
        numbers.into_iter().max_by_key(Vec::len).unwrap_or_default()
    }
}

impl Iterator for Messages {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let number = self.numbers.next()?;
        let key = if self.shares.is_empty() {
            self.chance.usize(..KEYS)
        } else {
            let drawn = self.chance.f64();
            self.shares.partition_point(|share| *share < drawn).min(KEYS - 1)
        };
        let sequence = self.sequences[key];
        self.sequences[key] += 1;
        Some(Message { number, key, sequence })
    }
}

fn zipf(exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    let mut shares: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        })
        .collect();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic;

    #[test]
    fn messages_are_the_same_in_every_run() {
        let run = || Messages::of(&topic::SKEWED).collect::<Vec<_>>();
        assert_eq!(run(), run());
    }

    #[test]
    fn the_hottest_key_is_a_seventh_of_the_skewed_ones() {
        let hottest = Messages::of(&topic::SKEWED).hottest();
        assert!(hottest.is_sorted());
        // docs/performance.md has both.
        assert_eq!(hottest.len(), 3_071);
        let work = meter::Work::parse("skew:5:200").unwrap();
        let alone: std::time::Duration = hottest.iter().filter_map(|number| work.wait_of(*number)).sum();
        assert_eq!(alone.as_millis(), 20_425);
    }

    #[test]
    fn the_sequence_of_a_key_has_no_gaps() {
        let mut next = vec![0; KEYS];
        for message in Messages::drawn(300_000, Keys::Uniform) {
            assert_eq!(message.sequence, next[message.key]);
            next[message.key] += 1;
        }
        assert!(next.iter().all(|count| *count > 0), "some key of 10,000 never came");
    }
}
