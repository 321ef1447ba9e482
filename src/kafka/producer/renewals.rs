//! How often a producer may be made anew because it doesn't deliver.
//!
//! Owner: the producer. Where another one helps, it helps at once. Where it doesn't, because too few replicas are in sync for instance, the
//! cause is elsewhere, and one after the other would be made for nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::record::{Partition, TopicPartition};

/// How long after one that did not help the next one is made. Doubles up to the other.
const PAUSE: Duration = Duration::from_secs(60);
const PAUSE_CAP: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    /// The last one, until it has helped.
    last: Option<Renewal>,
}

#[derive(Debug)]
struct Renewal {
    /// Where nothing was delivered.
    place: TopicPartition,
    at: Instant,
    pause: Duration,
}

impl Renewals {
    /// Whether another producer may be made now.
    pub(super) fn may(&self, now: Instant) -> bool {
        self.last.as_ref().is_none_or(|last| now >= last.at + last.pause)
    }

    /// One was made, since nothing was delivered there.
    pub(super) fn note(&mut self, place: TopicPartition, now: Instant) {
        let pause = self.last.take().map_or(PAUSE, |last| (last.pause * 2).min(PAUSE_CAP));
        self.last = Some(Renewal { place, at: now, pause });
    }

    /// Something was delivered there.
    pub(super) fn delivered(&mut self, topic: &str, partition: Partition) {
        self.last.take_if(|last| last.place.partition == partition && last.place.topic.as_str() == topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(topic: &str) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition: Partition(0) }
    }

    #[test]
    fn what_does_not_help_is_done_less_and_less_often() {
        let (mut renewals, start) = (Renewals::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(renewals.may(start));

        renewals.note(place("a"), start);
        assert!(!renewals.may(at(59)) && renewals.may(at(60)));

        renewals.note(place("b"), at(60));
        assert!(!renewals.may(at(179)) && renewals.may(at(180)));

        for _ in 0..5 {
            renewals.note(place("a"), at(180));
        }
        assert!(!renewals.may(at(479)) && renewals.may(at(480)));
    }

    #[test]
    fn what_has_helped_may_be_done_again_at_once() {
        let (mut renewals, start) = (Renewals::default(), Instant::now());
        renewals.note(place("a"), start);

        renewals.delivered("b", Partition(0));
        renewals.delivered("a", Partition(1));
        assert!(!renewals.may(start), "that was delivered before, too");

        renewals.delivered("a", Partition(0));
        assert!(renewals.may(start));
        renewals.note(place("a"), start);
        assert!(renewals.may(start + Duration::from_secs(60)), "the pause has not grown");
    }
}
