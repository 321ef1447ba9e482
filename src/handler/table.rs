//! A table of topics: what stands at a topic's name, or at a pattern that it matches.
//!
//! The router, the routes of a running daemon and the subscription of its source are such tables, so that a pattern means one thing
//! wherever it is asked. The invariant: a name of its own counts more than any pattern, and no pattern stands for a topic of dead letters
//! that the table's own topics have by their names, nor for the marks of any letters of theirs.

use std::collections::BTreeMap;
use std::fmt;

use super::pattern::TopicPattern;
use super::route::Unhandled;
use crate::dead_letters::letters_of_marks;
use crate::record::Topic;

/// What is put behind a topic's name for that of its dead letters, where none is named.
const LETTERS: &str = ".dlq";

/// The topic whose dead letters go to `letters`, where none is named.
pub(super) fn origin_of(letters: &Topic) -> Option<Topic> {
    letters.as_str().strip_suffix(LETTERS).map(Topic::from)
}

/// The topic for the dead letters of `topic`, where none is named.
pub(crate) fn letters_of(topic: &Topic) -> Topic {
    Topic::from(format!("{topic}{LETTERS}"))
}

/// What a table says of topics.
pub(crate) trait Entry {
    /// What becomes of records that can't be handled.
    fn unhandled(&self) -> &Unhandled;

    /// Whether their dead letters go to the topic of [`letters_of`].
    fn has_letters_by_name(&self) -> bool {
        *self.unhandled() == Unhandled::DeadLetter(None)
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct TopicTable<T> {
    named: BTreeMap<Topic, T>,
    /// In the order in which they were added.
    patterns: Vec<(TopicPattern, T)>,
}

/// What a table has for a topic.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found<'t, T> {
    Nothing,
    Named(&'t T),
    Matching(&'t T),
    /// Nobody can tell which is meant.
    Ambiguous(&'t TopicPattern, &'t TopicPattern),
}

impl<'t, T> Found<'t, T> {
    /// What it has, if that is one thing.
    pub(crate) fn one(self) -> Option<&'t T> {
        match self {
            Self::Named(entry) | Self::Matching(entry) => Some(entry),
            Self::Nothing | Self::Ambiguous(..) => None,
        }
    }
}

impl<T> TopicTable<T> {
    /// Adds an entry for a topic; says whether there was none before.
    pub(crate) fn insert(&mut self, topic: Topic, entry: T) -> bool {
        self.named.insert(topic, entry).is_none()
    }

    /// Adds an entry for all topics that match a pattern; says whether the pattern, by its text, was there already.
    pub(crate) fn insert_pattern(&mut self, pattern: TopicPattern, entry: T) -> bool {
        let known = self.patterns.iter_mut().find(|(known, _)| *known == pattern);
        let is_new = known.is_none();
        match known {
            Some((_, known)) => *known = entry,
            None => self.patterns.push((pattern, entry)),
        }
        is_new
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.patterns.is_empty()
    }

    /// The entries of single topics, in order of their names.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&Topic, &T)> {
        self.named.iter()
    }

    /// The entries of patterns, in the order in which they were added.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = (&TopicPattern, &T)> {
        self.patterns.iter().map(|(pattern, entry)| (pattern, entry))
    }

    /// All entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &T> {
        self.named.values().chain(self.patterns.iter().map(|(_, entry)| entry))
    }

    /// The entry of this name, or of the pattern of this text.
    #[cfg(feature = "cli")]
    pub(crate) fn entry_mut(&mut self, key: &str) -> Option<&mut T> {
        let of_pattern = self.patterns.iter_mut().find(|(pattern, _)| pattern.as_str() == key);
        self.named.get_mut(&Topic::from(key)).or(of_pattern.map(|(_, entry)| entry))
    }

    /// The same with its entries turned into something else.
    pub(crate) fn map<U>(self, change: impl Fn(T) -> U) -> TopicTable<U> {
        let named = self.named.into_iter().map(|(topic, entry)| (topic, change(entry))).collect();
        let patterns = self.patterns.into_iter().map(|(pattern, entry)| (pattern, change(entry))).collect();
        TopicTable { named, patterns }
    }

    /// Everything in it: the entries of single topics, and those of patterns.
    pub(crate) fn into_parts(self) -> (BTreeMap<Topic, T>, Vec<(TopicPattern, T)>) {
        (self.named, self.patterns)
    }
}

impl<T: Entry> TopicTable<T> {
    /// What it has for a topic.
    pub(crate) fn find(&self, topic: &Topic) -> Found<'_, T> {
        if let Some(entry) = self.named.get(topic) {
            return Found::Named(entry);
        }
        let mut matching = self.matching(topic);
        match (matching.next(), matching.next()) {
            (None, _) => Found::Nothing,
            _ if self.is_for_letters(topic) => Found::Nothing,
            (Some((_, entry)), None) => Found::Matching(entry),
            (Some((first, _)), Some((second, _))) => Found::Ambiguous(first, second),
        }
    }

    /// The patterns that a topic's name matches, whatever else there is.
    pub(crate) fn matching(&self, topic: &Topic) -> impl Iterator<Item = (&TopicPattern, &T)> {
        self.patterns().filter(move |(pattern, _)| pattern.matches(topic))
    }

    /// Whether it is the topic for dead letters of one that stands here, or for the letters of those letters; or for the marks of either.
    fn is_for_letters(&self, topic: &Topic) -> bool {
        let marked = letters_of_marks(topic);
        let is_named = |letters: &Topic| self.entries().any(|entry| entry.unhandled().named_letters() == Some(letters));
        marked.as_ref().is_some_and(is_named) || self.has_by_name(marked.as_ref().unwrap_or(topic))
    }

    fn has_by_name(&self, letters: &Topic) -> bool {
        std::iter::successors(origin_of(letters), origin_of).any(|read| {
            let matching = self.matching(&read).map(|(_, entry)| entry);
            self.named.get(&read).into_iter().chain(matching).any(Entry::has_letters_by_name)
        })
    }
}

impl<T> Default for TopicTable<T> {
    fn default() -> Self {
        Self { named: BTreeMap::new(), patterns: Vec::new() }
    }
}

impl<T: fmt::Debug> fmt::Debug for TopicTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.named()).entries(self.patterns()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number, and where the letters go.
    #[derive(Debug, Clone)]
    struct Route(u32, Unhandled);

    impl Entry for Route {
        fn unhandled(&self) -> &Unhandled {
            &self.1
        }
    }

    /// Whose letters go by the topic's name.
    fn by_name(number: u32) -> Route {
        Route(number, Unhandled::DeadLetter(None))
    }

    fn table(named: &[(&str, Route)], patterns: &[(&str, Route)]) -> TopicTable<Route> {
        let mut table = TopicTable::default();
        for (topic, route) in named {
            table.insert(Topic::from(topic), route.clone());
        }
        for (pattern, route) in patterns {
            table.insert_pattern(TopicPattern::new(pattern).unwrap_or_else(|error| panic!("{error}")), route.clone());
        }
        table
    }

    fn found(table: &TopicTable<Route>, topic: &str) -> Option<u32> {
        table.find(&topic.into()).one().map(|route| route.0)
    }

    #[test]
    fn name_counts_more_than_a_pattern() {
        let table = table(&[("orders.eu", by_name(1))], &[(r"orders\..+", by_name(2))]);
        assert_eq!(["orders.eu", "orders.us", "bills"].map(|topic| found(&table, topic)), [Some(1), Some(2), None]);
    }

    #[test]
    fn topic_that_two_patterns_match_is_nobodys() {
        let mut table = table(&[], &[("a.*", by_name(1)), (".*b", by_name(2)), ("ab+", by_name(3))]);
        assert_eq!(["ax", "xb", "ab", "abb"].map(|topic| found(&table, topic)), [Some(1), Some(2), None, None]);
        let Found::Ambiguous(first, second) = table.find(&"ab".into()) else { panic!("two match it") };
        assert_eq!([first.as_str(), second.as_str()], ["a.*", ".*b"]);
        table.insert("ab".into(), by_name(4));
        assert_eq!(found(&table, "ab"), Some(4));
    }

    #[test]
    fn letters_of_what_is_read_are_matched_by_no_pattern() {
        let elsewhere = Route(3, Unhandled::DeadLetter(Some("failed".into())));
        let all = table(&[("bills", by_name(1))], &[("orders.*", by_name(2)), ("b.*|failed[.]marks", elsewhere)]);
        for letters in ["orders.dlq", "orders.eu.dlq", "orders.dlq.dlq", "bills.dlq", "bills.dlq.dlq"] {
            assert_eq!(found(&all, letters), None, "{letters}");
            // What became of them stands beside them.
            assert_eq!(found(&all, &format!("{letters}.marks")), None, "{letters}.marks");
        }
        assert_eq!(found(&all, "failed.marks"), None);
        assert_eq!(
            [found(&all, "orders.marks"), found(&all, "banks.marks")],
            [Some(2), Some(3)],
            "no letters are there"
        );
        // Those that go elsewhere have nothing to do with the name.
        assert_eq!(found(&all, "banks.dlq"), Some(3));
    }

    #[test]
    fn pattern_for_dead_letters_finds_them_but_not_its_own() {
        let letters = table(&[], &[(r".+\.dlq", by_name(1))]);
        assert_eq!(
            ["orders.dlq", "orders.dlq.dlq", "orders"].map(|topic| found(&letters, topic)),
            [Some(1), None, None]
        );
    }
}
