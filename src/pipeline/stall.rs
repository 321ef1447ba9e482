//! Stalls: partitions of which records wait, and nothing comes of it. A pure part: whoever looks brings what it saw and the time.
//!
//! What counts is that the daemon does nothing although it could. So it is no stall while records of the partition are finished, however
//! they end: retries and dead letters have metrics of their own. Nor is it one while somebody has paused it, or all of its keys that could start, or its circuit
//! breaker is open, while a handler of it runs within its timeout, while its retry or its batch waits for a time that is yet to come, while
//! there is no worker free for it, or while nobody answers for it. One that waits for its dead letter stalls, also while that is tried for the first
//! time, which takes half a minute where nobody answers; but nobody here can help it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::lanes::{AssignmentContext, Census, PartitionCensus};
use super::source::Epoch;
use crate::handler::Work;
use crate::record::TopicPartition;

/// What is seen of a partition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) topic_partition: TopicPartition,
    pub(super) epoch: Epoch,
    /// Records that were finished in this assignment so far.
    pub(super) finished: u64,
    /// How many wait though something could be done about them; none where that is as it should be.
    pub(super) idle: u64,
    /// They wait for a dead letter that isn't written yet.
    pub(super) for_letter: bool,
}

/// What the lanes and the workers show: `at_work` are the attempts that run and are not overdue.
pub(super) fn sights(census: &Census, at_work: &[&AssignmentContext], now: Instant) -> Vec<Sight> {
    let nothing_could_start = at_work.len() >= census.workers || !census.may_start;
    let is_excused = |partition: &PartitionCensus| {
        let place = &partition.topic_partition;
        let is_at_work = |context: &&&AssignmentContext| match context.route.work {
            Work::Each(_) => context.topic_partition == *place,
            // A batch is of all partitions, and known by its first.
            Work::Batch(_) => context.topic_partition.topic == place.topic,
        };
        nothing_could_start
            || partition.stands_still
            || partition.keys_paused
            || partition.is_silent
            || partition.waits_until.is_some_and(|until| until > now)
            || at_work.iter().any(|context| is_at_work(&context))
    };
    let sight = |partition: &PartitionCensus| Sight {
        topic_partition: partition.topic_partition.clone(),
        epoch: partition.epoch,
        finished: partition.finished,
        idle: partition.lag.filter(|&lag| lag > 0 && !is_excused(partition)).unwrap_or(0),
        for_letter: partition.waits_for_letter,
    };
    census.partitions.iter().map(sight).collect()
}

/// A partition that stalls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    pub(super) topic_partition: TopicPartition,
    /// For how long nothing has come of it.
    pub(super) time: Duration,
    /// How many records wait.
    pub(super) records: u64,
    /// For a dead letter that isn't written yet.
    pub(super) for_letter: bool,
    /// Something was finished in this assignment before.
    pub(super) moved: bool,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic_partition, time, records, for_letter, .. } = self;
        let why = if *for_letter { ", one for its dead letter" } else { "" };
        write!(
            f,
            "nothing of {topic_partition} was processed for {} s though {records} records wait{why}",
            time.as_secs()
        )
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Stalls {
    after: Duration,
    watched: HashMap<TopicPartition, Watched>,
}

#[derive(Debug)]
struct Watched {
    last: Sight,
    /// When something was last done, or there was nothing to do.
    since: Instant,
}

impl Stalls {
    /// Nothing was seen yet. A stall is one from `after` on.
    pub(super) fn new(after: Duration) -> Self {
        Self { after, watched: HashMap::new() }
    }

    /// Those that stall now, the longest first.
    pub(super) fn look(&mut self, sights: Vec<Sight>, now: Instant) -> Vec<Stall> {
        let mut before = std::mem::take(&mut self.watched);
        let mut stalls = Vec::new();
        for sight in sights {
            let was = before.remove(&sight.topic_partition);
            let stood = was.filter(|Watched { last, .. }| {
                // Fewer wait where what was finished before is read past.
                let is_moving = sight.epoch != last.epoch || sight.finished != last.finished || sight.idle < last.idle;
                sight.idle > 0 && last.idle > 0 && !is_moving
            });
            let since = stood.map_or(now, |watched| watched.since);
            let time = now.saturating_duration_since(since);
            if sight.idle > 0 && time >= self.after {
                stalls.push(Stall {
                    topic_partition: sight.topic_partition.clone(),
                    time,
                    records: sight.idle,
                    for_letter: sight.for_letter,
                    moved: sight.finished > 0,
                });
            }
            self.watched.insert(sight.topic_partition.clone(), Watched { last: sight, since });
        }
        stalls.sort_by(|one, other| {
            other.time.cmp(&one.time).then_with(|| one.topic_partition.cmp(&other.topic_partition))
        });
        stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(300);

    fn sight(partition: i32, epoch: u64, finished: u64, idle: u64) -> Sight {
        let topic_partition = TopicPartition::new("orders", partition);
        Sight { topic_partition, epoch: Epoch(epoch), finished, idle, for_letter: false }
    }

    /// What is said of a partition at these seconds, where so many records are finished and so many wait.
    fn seen(looks: &[(u64, u64, u64)]) -> Vec<Option<u64>> {
        let (start, mut stalls) = (Instant::now(), Stalls::new(AFTER));
        let look = |&(second, finished, idle)| {
            let found = stalls.look(vec![sight(0, 1, finished, idle)], start + Duration::from_secs(second));
            found.first().map(|stall| stall.time.as_secs())
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn nothing_done_for_five_minutes_while_records_wait_is_a_stall_until_something_is() {
        let looks = [(0, 7, 10), (299, 7, 10), (300, 7, 12), (400, 7, 12), (401, 8, 12), (402, 8, 12)];
        assert_eq!(seen(&looks), [None, None, Some(300), Some(400), None, None]);
    }

    #[test]
    fn the_time_begins_when_there_is_something_to_do() {
        assert_eq!(seen(&[(0, 7, 0), (4_000, 7, 1), (4_299, 7, 1), (4_300, 7, 1)]), [None, None, None, Some(300)]);
    }

    #[test]
    fn one_record_now_and_then_and_records_that_are_read_past_are_no_stall() {
        let slow: Vec<_> = (0..100).map(|n| (n * 200, n, 50)).collect();
        assert!(seen(&slow).iter().all(Option::is_none));
        let past: Vec<_> = (0..100).map(|n| (n * 200, 7, 500 - n)).collect();
        assert!(seen(&past).iter().all(Option::is_none));
    }

    #[test]
    fn a_moment_without_anything_to_do_ends_it() {
        assert_eq!(seen(&[(0, 7, 5), (300, 7, 5), (301, 7, 0), (302, 7, 5)]), [None, Some(300), None, None]);
    }

    #[test]
    fn one_partition_stalls_whatever_the_others_do_and_a_new_assignment_begins_anew() {
        let (start, mut stalls) = (Instant::now(), Stalls::new(AFTER));
        let mut look = |second, sights: &[Sight]| {
            let found = stalls.look(sights.to_vec(), start + Duration::from_secs(second));
            found.into_iter().map(|stall| (stall.topic_partition.partition.0, stall.moved)).collect::<Vec<_>>()
        };
        assert_eq!(look(0, &[sight(0, 1, 0, 5), sight(1, 2, 10, 50)]), []);
        assert_eq!(look(300, &[sight(0, 1, 0, 5), sight(1, 2, 90, 50)]), [(0, false)]);
        assert_eq!(look(600, &[sight(1, 2, 90, 50), sight(0, 1, 0, 5)]), [(0, false), (1, true)]);
        // One was given up, the other one is assigned anew.
        assert_eq!(look(601, &[sight(1, 3, 0, 50)]), []);
        assert_eq!(look(602, &[sight(0, 4, 0, 5), sight(1, 3, 0, 50)]), []);
    }
}
