//! The topics that are read, and what is in them.

/// A topic, whole when it has all its messages.
#[derive(Debug, PartialEq)]
pub struct Topic {
    /// Its short name.
    pub name: &'static str,
    /// Its messages.
    pub messages: u64,
    /// Bytes of each.
    pub size: usize,
    /// Its partitions.
    pub partitions: u16,
    /// How keys are drawn.
    pub keys: Keys,
}

/// How often each of the 10,000 keys comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All alike.
    Uniform,
    /// By Zipf's law with the exponent 1.1: the first one makes 15 % of the messages.
    Zipf,
}

/// How many keys there are.
pub const KEYS: usize = 10_000;

const fn topic(name: &'static str, messages: u64, size: usize) -> Topic {
    Topic { name, messages, size, partitions: 8, keys: Keys::Uniform }
}

/// Small messages.
pub const SMALL: Topic = topic("w1a", 4_000_000, 100);
/// Messages of 1 KiB.
pub const KIB: Topic = topic("w1b", 1_000_000, 1_024);
/// For handlers that wait.
pub const WAITING: Topic = topic("w2", 200_000, 200);
/// For handlers that wait, with few keys that are most of it.
pub const SKEWED: Topic = Topic { keys: Keys::Zipf, ..topic("w4", 20_000, 200) };
/// To be read as JSON.
pub const JSON: Topic = topic("json", 2_000_000, 200);
/// 2 GiB of messages of 1 MiB.
pub const LARGE: Topic = topic("large", 2_048, 1 << 20);
/// For the growth in partitions.
pub const PARTITIONS_8: Topic = topic("partitions-8", 1_000_000, 100);
/// The same in many partitions.
pub const PARTITIONS_100: Topic = Topic { partitions: 100, ..topic("partitions-100", 1_000_000, 100) };
/// The same in very many partitions.
pub const PARTITIONS_1000: Topic = Topic { partitions: 1_000, ..topic("partitions-1000", 1_000_000, 100) };
/// What each of many daemons reads: several times what it reads ahead, or it is the first touch of that memory which is measured.
pub const EACH: Topic = topic("each", 400_000, 100);
/// For what does not depend on how many there are.
pub const FEW: Topic = topic("few", 8_000, 100);

/// All of them.
pub const ALL: [&Topic; 11] =
    [&SMALL, &KIB, &WAITING, &SKEWED, &JSON, &LARGE, &PARTITIONS_8, &PARTITIONS_100, &PARTITIONS_1000, &EACH, &FEW];

/// The topic of this short name.
pub fn named(name: &str) -> Option<&'static Topic> {
    ALL.into_iter().find(|topic| topic.name == name)
}

impl Topic {
    /// Its name on a cluster. What is in it is part of the name, so that another version's is another topic.
    pub fn full_name(&self) -> String {
        format!("daemonry-bench-{}-{}x{}", self.name, self.messages, self.size)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_topics_share_a_name() {
        let names: BTreeSet<_> = ALL.iter().map(|topic| topic.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(named("w4"), Some(&SKEWED));
        assert_eq!(named("w5"), None);
    }
}
