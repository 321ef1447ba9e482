//! What was to be read next is gone: why, what there is to say of it, and where to go on.
//!
//! Pure. Three things may have happened, each with a policy of its own. Nobody can help what is lost; so nothing goes on without one that says
//! so, and whoever has to decide is told what to decide.

use super::config::{KafkaConfig, LossPolicy};
use super::native::Failure;
use crate::pipeline::source::Loss;
use crate::record::{Offset, Topic, TopicPartition};

/// By these words librdkafka tells a log that was cut from all else that makes an offset unusable: told to stop at each, it has one code for
/// all of them.
const TRUNCATED: &str = "Partition log truncation detected";
/// And behind these, up to where it is left. It tells that nowhere else.
const LEFT: &str = "broker end offset is ";

/// Why a partition can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The brokers don't have its next offset.
    Gone,
    /// Its log was cut below what was read of it, and is left up to here, as far as that is known.
    Truncated(Option<Offset>),
    /// Its offsets went back.
    Rewound,
}

/// A partition that can't be read on, and what the brokers have of it now.
#[derive(Debug)]
pub(super) struct Lost<'a> {
    /// Which one.
    pub(super) place: &'a TopicPartition,
    /// What was to be read next; `None` at its beginning.
    pub(super) next: Option<Offset>,
    /// What is left of what was read, where it was cut.
    pub(super) left: Option<Offset>,
    /// Its first offset now.
    pub(super) first: Offset,
    /// Its end now.
    pub(super) end: Offset,
}

impl Cause {
    /// What librdkafka means.
    pub(super) fn of(failure: &Failure) -> Self {
        if !failure.reason.contains(TRUNCATED) {
            return Self::Gone;
        }
        let left = failure.reason.split_once(LEFT).and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        Self::Truncated(left.filter(|left| *left >= 0).map(Offset))
    }
}

impl KafkaConfig {
    /// What to do about a loss.
    pub(super) fn policy(&self, loss: Loss) -> LossPolicy {
        match loss {
            Loss::Removed => self.out_of_range,
            Loss::Truncated => self.truncated,
            Loss::Recreated => self.recreated,
        }
    }
}

impl Lost<'_> {
    /// Where to go on. That what is unfinished isn't passed over is not looked at here.
    pub(super) fn target(&self, loss: Loss, policy: LossPolicy) -> Offset {
        match (policy, loss, self.left) {
            (LossPolicy::Latest, ..) => self.end,
            // What is there from here on was never read, whatever offsets it has.
            (_, Loss::Truncated, Some(left)) => {
                self.next.map_or(left, |next| left.min(next)).min(self.end).max(self.first)
            }
            // Of a log of which it isn't known what it shares with the former one, nothing is passed over.
            _ => self.first,
        }
    }

    /// How many offsets are lost if it goes on at `target`, as far as that can be known.
    pub(super) fn offsets(&self, loss: Loss, target: Offset) -> Option<u64> {
        let count = |from: Offset, to: Offset| u64::try_from(to.0 - from.0).ok();
        match loss {
            Loss::Removed => count(self.next?, target),
            Loss::Truncated => {
                let left = self.left?;
                Some(count(left, self.next?)? + count(left, target).unwrap_or(0))
            }
            Loss::Recreated => None,
        }
    }

    /// Why nothing goes on, and how it can.
    pub(super) fn refusal(&self, loss: Loss) -> String {
        let Self { place, first, end, .. } = self;
        let next = self.next.map_or_else(|| "its beginning".to_owned(), |next| next.to_string());
        match (loss, self.left) {
            (Loss::Removed, _) if self.next.is_some_and(|next| next < *first) => format!(
                "{place} can't be read on at {next}, its records were removed before they were read, the first that is left is {first}: reset the group's offset, or set `out_of_range` to `earliest` or `latest`; starting it again changes nothing"
            ),
            (Loss::Removed, _) => format!(
                "{place} can't be read on at {next}, it goes from {first} to {end}: its log was cut, its topic made anew, or the group's offset set wrong; reset the group's offset, or set `out_of_range` to `earliest` or `latest`; starting it again changes nothing"
            ),
            (Loss::Truncated, Some(left)) => format!(
                "the log of {place} was cut off below what was read of it, as by an unclean leader election: read up to {next}, left up to {left}, and what is written there since is new; reset the group's offset to {left}, or set `truncated` to `earliest`, which is the same, or `latest`; starting it again changes nothing"
            ),
            (Loss::Truncated, None) => format!(
                "the log of {place} was cut off below what was read of it, or is another topic's by now: read up to {next}, and nobody knows what of that is left; it goes from {first} to {end} now; reset the group's offset, or set `truncated` to `earliest`, which reads all of it, or `latest`; starting it again changes nothing"
            ),
            (Loss::Recreated, _) => recreated(&place.topic),
        }
    }
}

/// Why nothing is read of this topic: what is committed of a partition was on its way while the topic was made anew.
pub(super) fn committed_of_former(place: &TopicPartition) -> String {
    let topic = &place.topic;
    format!(
        "topic `{topic}` was deleted and made anew while it was read, and what is committed of {place} is of the former one: reset the group's offsets, or set `recreated` to `earliest` or `latest`; starting it again changes nothing"
    )
}

/// Why nothing goes on that is read of this topic, and how it can.
pub(super) fn recreated(topic: &Topic) -> String {
    format!(
        "topic `{topic}` was deleted and made anew while it was read, and what was unread of the former one is lost: started again, the group begins with the new one where `start` says; for it to go on by itself the next time, set `recreated` to `earliest` or `latest`"
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode as Code;

    use super::*;

    fn cause(reason: &str) -> Cause {
        Cause::of(&Failure { code: Code::AutoOffsetReset, reason: reason.to_owned() })
    }

    #[test]
    fn what_librdkafka_says_tells_where_a_log_was_cut() {
        let gone =
            "fetch failed due to requested offset not available on the broker: Broker: Offset out of range (broker 1)";
        assert_eq!(cause(gone), Cause::Gone);
        let cut = "Partition log truncation detected at offset 160 (leader epoch 2): broker end offset is 100 (offset leader epoch 2). Reset to INVALID.: Local: Partition log truncation detected (broker 2)";
        assert_eq!(cause(cut), Cause::Truncated(Some(Offset(100))));
        let unknown = "No epoch found less or equal to offset 160 (leader epoch 2): broker end offset is -1 (offset leader epoch -1). Reset using configured policy.: Local: Partition log truncation detected (broker 2)";
        assert_eq!(cause(unknown), Cause::Truncated(None));
    }

    #[test]
    fn a_log_that_was_cut_goes_on_where_it_was_cut_or_at_its_end() {
        let place = TopicPartition::new("orders", 0);
        let (first, end) = (Offset(0), Offset(130));
        let lost = Lost { place: &place, next: Some(Offset(160)), left: Some(Offset(100)), first, end };
        let of = |policy| {
            let target = lost.target(Loss::Truncated, policy);
            (target, lost.offsets(Loss::Truncated, target))
        };
        assert_eq!(of(LossPolicy::Earliest), (Offset(100), Some(60)), "what had been read is gone");
        assert_eq!(of(LossPolicy::Latest), (Offset(130), Some(90)), "and what is new is passed over");
        let unknown = Lost { left: None, ..lost };
        let target = unknown.target(Loss::Truncated, LossPolicy::Earliest);
        assert_eq!((target, unknown.offsets(Loss::Truncated, target)), (Offset(0), None), "nothing is passed over");
    }

    #[test]
    fn what_was_removed_goes_on_behind_it() {
        let place = TopicPartition::new("orders", 0);
        let lost = Lost { place: &place, next: Some(Offset(100)), left: None, first: Offset(150), end: Offset(200) };
        let of = |policy| {
            let target = lost.target(Loss::Removed, policy);
            (target, lost.offsets(Loss::Removed, target))
        };
        assert_eq!(of(LossPolicy::Earliest), (Offset(150), Some(50)));
        assert_eq!(of(LossPolicy::Latest), (Offset(200), Some(100)));
        let behind = Lost { next: Some(Offset(1000)), ..lost };
        assert_eq!(behind.offsets(Loss::Removed, Offset(150)), None, "nobody knows what stood there");
    }
}
