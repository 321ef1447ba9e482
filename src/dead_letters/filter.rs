//! Which letters.

use super::letter::{NotALetter, View};
use super::marks::MarkKind;
use crate::pipeline::dead_letter::Reason;
use crate::record::{Offset, Partition, Record, Timestamp, Topic};

/// Which letters are meant: those that meet every condition. Without conditions it is all that were neither re-driven nor discarded.
///
/// ```
/// use daemonry::dead_letters::Filter;
/// use daemonry::pipeline::dead_letter::Reason;
///
/// let timeouts_of_ada = Filter::all().reason(Reason::Timeout).key("ada").error_contains("connection");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub(super) places: Vec<(Partition, Offset)>,
    except: Vec<(Partition, Offset)>,
    pub(super) partitions: Vec<Partition>,
    pub(super) since: Option<Timestamp>,
    until: Option<Timestamp>,
    reasons: Vec<Reason>,
    error: Option<String>,
    origin: Option<Topic>,
    origin_partition: Option<Partition>,
    key: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    with_redriven: bool,
    with_discarded: bool,
}

impl Filter {
    /// No condition.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only the letter at this place of the letters' topic; more than one such condition means any of these places.
    #[must_use]
    pub fn at(mut self, partition: Partition, offset: Offset) -> Self {
        self.places.push((partition, offset));
        self
    }

    /// Not the letter at this place of the letters' topic.
    #[must_use]
    pub fn except(mut self, partition: Partition, offset: Offset) -> Self {
        self.except.push((partition, offset));
        self
    }

    /// Only letters of this partition of the letters' topic; more than one means any of them.
    #[must_use]
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partitions.push(partition);
        self
    }

    /// Only letters that were written at this time or later. Reading starts there, too.
    #[must_use]
    pub fn since(self, time: Timestamp) -> Self {
        Self { since: Some(time), ..self }
    }

    /// Only letters that were written before this time.
    #[must_use]
    pub fn until(self, time: Timestamp) -> Self {
        Self { until: Some(time), ..self }
    }

    /// Only letters with this reason; more than one means any of them.
    #[must_use]
    pub fn reason(mut self, reason: Reason) -> Self {
        self.reasons.push(reason);
        self
    }

    /// Only letters whose error has this text in it, capitals and small letters told apart.
    #[must_use]
    pub fn error_contains(self, text: impl Into<String>) -> Self {
        Self { error: Some(text.into()), ..self }
    }

    /// Only letters of records that were read from this topic.
    #[must_use]
    pub fn origin(self, topic: impl Into<Topic>) -> Self {
        Self { origin: Some(topic.into()), ..self }
    }

    /// Only letters of records that were read from this partition of their topic.
    #[must_use]
    pub fn origin_partition(self, partition: Partition) -> Self {
        Self { origin_partition: Some(partition), ..self }
    }

    /// Only letters of records with this key.
    #[must_use]
    pub fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Only letters that have a header of this name, whatever its value.
    #[must_use]
    pub fn has_header(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), None));
        self
    }

    /// Only letters that have a header of this name with this value.
    #[must_use]
    pub fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Those that were re-driven already, too.
    #[must_use]
    pub fn with_redriven(self) -> Self {
        Self { with_redriven: true, ..self }
    }

    /// Those that were discarded, too.
    #[must_use]
    pub fn with_discarded(self) -> Self {
        Self { with_discarded: true, ..self }
    }

    /// Whether a letter with this mark is left out.
    pub(super) fn leaves_out(&self, mark: Option<MarkKind>) -> bool {
        match mark {
            None => false,
            Some(MarkKind::Redriven) => !self.with_redriven,
            Some(MarkKind::Discarded) => !self.with_discarded,
        }
    }

    /// Whether a record meets the conditions. One that is no letter never meets a condition on what a letter says.
    pub(super) fn meets(&self, record: &Record, view: &Result<View<'_>, NotALetter>) -> bool {
        let any = |empty: bool, found: bool| empty || found;
        any(self.partitions.is_empty(), self.partitions.contains(&record.partition()))
            && any(self.places.is_empty(), self.places.contains(&(record.partition(), record.offset())))
            && !self.except.contains(&(record.partition(), record.offset()))
            && self.key.as_deref().is_none_or(|key| record.key() == Some(key))
            && self.headers.iter().all(|(name, value)| {
                record.headers().any(|found| found.name == name && (value.is_none() || value.as_deref() == found.value))
            })
            && match view {
                Ok(view) => self.meets_letter(view),
                Err(_) => !self.asks_of_letters(),
            }
    }

    fn meets_letter(&self, view: &View<'_>) -> bool {
        (self.reasons.is_empty() || self.reasons.contains(&view.reason))
            && self.error.as_deref().is_none_or(|text| view.error.contains(text))
            && self.origin.as_ref().is_none_or(|topic| topic.as_str() == view.topic)
            && self.origin_partition.is_none_or(|partition| partition.0 == view.partition)
            && self.since.is_none_or(|since| view.failed_at.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| view.failed_at.is_some_and(|at| at < until))
    }

    fn asks_of_letters(&self) -> bool {
        !self.reasons.is_empty()
            || self.error.is_some()
            || self.origin.is_some()
            || self.origin_partition.is_some()
            || self.since.is_some()
            || self.until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{letter_of, record_at};
    use super::*;
    use crate::record::OwnedRecord;

    fn meets(filter: &Filter, record: OwnedRecord) -> bool {
        let record = record_at(2, 17, record);
        filter.meets(&record, &View::of(record.headers().collect()))
    }

    fn letter() -> OwnedRecord {
        letter_of(OwnedRecord::new("v").with_key("ada").with_header("trace", "x"))
    }

    #[test]
    fn each_condition_lets_its_letters_through_and_no_others() {
        let time = |millis| Timestamp::from_millis(millis).expect("not negative");
        let cases = [
            (Filter::all(), true),
            (Filter::all().at(Partition(2), Offset(17)).at(Partition(0), Offset(1)), true),
            (Filter::all().at(Partition(2), Offset(16)), false),
            (Filter::all().partition(Partition(2)), true),
            (Filter::all().partition(Partition(1)), false),
            (Filter::all().since(time(1_600_000_000_001)), true),
            (Filter::all().since(time(1_600_000_000_002)), false),
            (Filter::all().until(time(1_600_000_000_002)), true),
            (Filter::all().until(time(1_600_000_000_001)), false),
            (Filter::all().reason(Reason::Poison).reason(Reason::Undecodable), true),
            (Filter::all().reason(Reason::Poison), false),
            (Filter::all().error_contains("JSON"), true),
            (Filter::all().error_contains("json"), false),
            (Filter::all().origin("orders").origin_partition(Partition(3)), true),
            (Filter::all().origin("orders").origin_partition(Partition(2)), false),
            (Filter::all().origin("order"), false),
            (Filter::all().key("ada"), true),
            (Filter::all().key(""), false),
            (Filter::all().has_header("trace").header("trace", "x"), true),
            (Filter::all().header("trace", "y"), false),
            (Filter::all().has_header("span"), false),
        ];
        for (filter, expected) in cases {
            assert_eq!(meets(&filter, letter()), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_record_that_is_no_letter_meets_only_what_any_record_can() {
        let foreign = || OwnedRecord::new("v").with_key("ada");
        assert!(meets(&Filter::all().key("ada").partition(Partition(2)), foreign()));
        assert!(!meets(&Filter::all().reason(Reason::Poison), foreign()));
        assert!(!meets(&Filter::all().until(Timestamp::now()), foreign()));
    }
}
