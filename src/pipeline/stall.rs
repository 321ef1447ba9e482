//! Stall: records wait, and nothing comes of it. A pure part: whoever looks brings what it saw and the time.
//!
//! What counts is that the daemon does nothing although it could. So it is no stall while attempts end, however they end: retries and
//! dead letters have metrics of their own. Nor is it one while somebody has paused what waits or its circuit breaker is open, while its handler runs within its
//! timeout, while its retry or its batch waits for a time that is yet to come, or while there is no worker free for it.

use std::time::Duration;

use tokio::time::Instant;

use super::lanes::{AssignmentContext, Census, PartitionCensus};
use crate::handler::Work;

/// What is seen at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Attempts that have ended so far, and records without one.
    pub(super) ended: u64,
    /// Records that wait in partitions where something could be done and nothing is.
    pub(super) idle: u64,
}

impl Look {
    /// What the lanes and the workers show: `at_work` are the attempts that run and are not overdue.
    pub(super) fn new(ended: u64, census: &Census, at_work: &[&AssignmentContext], now: Instant) -> Self {
        if at_work.len() >= census.workers || !census.may_start {
            return Self { ended, idle: 0 };
        }
        let is_excused = |partition: &PartitionCensus| {
            let place = &partition.topic_partition;
            let is_at_work = |context: &&&AssignmentContext| match context.route.work {
                Work::Each(_) => context.topic_partition == *place,
                // A batch is of all partitions, and known by its first.
                Work::Batch(_) => context.topic_partition.topic == place.topic,
            };
            partition.stands_still
                || partition.waits_until.is_some_and(|until| until > now)
                || at_work.iter().any(|context| is_at_work(&context))
        };
        let idle = census.partitions.iter().filter(|partition| !is_excused(partition));
        Self { ended, idle: idle.filter_map(|partition| partition.lag).sum() }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Stall {
    after: Duration,
    last: Look,
    /// When something was last done, or there was nothing to do.
    since: Instant,
}

impl Stall {
    /// Nothing was seen yet. A stall is one from `after` on.
    pub(super) fn new(after: Duration, now: Instant) -> Self {
        Self { after, last: Look::default(), since: now }
    }

    /// How long nothing has been done, once that is a stall.
    pub(super) fn look(&mut self, look: Look, now: Instant) -> Option<Duration> {
        // Fewer wait where what was finished before is read past.
        let is_moving = look.ended != self.last.ended || look.idle < self.last.idle;
        if look.idle == 0 || self.last.idle == 0 || is_moving {
            self.since = now;
        }
        self.last = look;
        let time = now.saturating_duration_since(self.since);
        (time >= self.after && look.idle > 0).then_some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(300);

    /// What is said of looks at these seconds.
    fn seen(looks: &[(u64, u64, u64)]) -> Vec<Option<u64>> {
        let start = Instant::now();
        let mut stall = Stall::new(AFTER, start);
        let look = |&(second, ended, idle)| {
            let stalled = stall.look(Look { ended, idle }, start + Duration::from_secs(second));
            stalled.map(|time| time.as_secs())
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
    fn one_attempt_now_and_then_and_records_that_are_read_past_are_no_stall() {
        let slow: Vec<_> = (0..100).map(|n| (n * 200, n, 50)).collect();
        assert!(seen(&slow).iter().all(Option::is_none));
        let past: Vec<_> = (0..100).map(|n| (n * 200, 7, 500 - n)).collect();
        assert!(seen(&past).iter().all(Option::is_none));
    }

    #[test]
    fn a_moment_without_anything_to_do_ends_it() {
        assert_eq!(seen(&[(0, 7, 5), (300, 7, 5), (301, 7, 0), (302, 7, 5)]), [None, Some(300), None, None]);
    }
}
