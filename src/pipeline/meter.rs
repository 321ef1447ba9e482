//! The meter: what the pipeline counts, in terms of the daemon's metrics.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::dead_letter::{PublishError, Reason};
use super::lanes::{BreakerChange, Census, Hold, PartitionCensus};
use super::scaling::Verdict;
use super::source::{CommitError, Loss};
use crate::metrics::{
    BreakerState, CircuitBreakerMetrics, CommitStatus, DaemonMetrics, HoldReason, MessageStatus, PartitionMetrics,
    RebalanceKind, Tally,
};
use crate::record::{Timestamp, TopicPartition};

pub(super) struct Meter {
    metrics: Arc<DaemonMetrics>,
    partitions: Mutex<HashMap<TopicPartition, Partition>>,
    /// Of each route that has one, by what it is for.
    breakers: HashMap<String, CircuitBreakerMetrics>,
}

/// An assigned partition.
struct Partition {
    metrics: PartitionMetrics,
    /// Unix time in milliseconds from which on it is known to be behind, the last known time of its oldest record at best.
    behind_since: Option<u64>,
}

/// What one worker did since it last reported.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) success: u64,
    pub(super) skipped: u64,
    pub(super) failed: u64,
    pub(super) retried: u64,
    times: Tally,
}

impl Attempted {
    /// An attempt took this long.
    pub(super) fn took(&mut self, time: Duration) {
        self.times.observe(time);
    }

    /// So many attempts, which were expected to take no time, took this long together. Where that is longer than no time, it was one of them:
    /// none of the others waited, or it would have been looked at by itself.
    pub(super) fn took_together(&mut self, time: Duration, attempts: usize) {
        /// The smallest that the metric tells apart: within it, it is all the same who had how much.
        const NO_TIME: Duration = Duration::from_micros(100);
        if time <= NO_TIME {
            let count = u32::try_from(attempts).unwrap_or(u32::MAX).max(1);
            self.times.observe_many(time / count, attempts);
        } else {
            self.times.observe(time);
            self.times.observe_many(Duration::ZERO, attempts - 1);
        }
    }
}

impl Meter {
    /// For this many workers at least and at most.
    pub(super) fn new(metrics: Arc<DaemonMetrics>, workers: RangeInclusive<usize>, capacity: usize) -> Self {
        metrics.workers.set(*workers.start());
        metrics.workers_min.set(*workers.start());
        metrics.workers_max.set(*workers.end());
        metrics.queue_capacity.set(capacity);
        Self { metrics, partitions: Mutex::new(HashMap::new()), breakers: HashMap::new() }
    }

    /// The same for routes with circuit breakers, by what they are for.
    pub(super) fn with_breakers<'a>(mut self, routes: impl Iterator<Item = &'a str>) -> Self {
        let of = |route: &str| (route.to_owned(), self.metrics.circuit_breaker(route));
        self.breakers = routes.map(of).collect();
        self
    }

    /// A route's circuit breaker has changed.
    pub(super) fn breaker(&self, route: &str, change: &BreakerChange) {
        let Some(metrics) = self.breakers.get(route) else { return };
        let state = match change {
            BreakerChange::Opened(..) | BreakerChange::StaysOpen(..) => BreakerState::Open,
            BreakerChange::HalfOpen => BreakerState::HalfOpen,
            BreakerChange::Closed(_) => BreakerState::Closed,
        };
        metrics.open.set(usize::from(state != BreakerState::Closed));
        metrics.changes.of(state).add(1);
    }

    /// A worker's own counts.
    pub(super) fn attempted(&self) -> Attempted {
        Attempted { success: 0, skipped: 0, failed: 0, retried: 0, times: self.metrics.processing.tally() }
    }

    /// Takes over what a worker counted.
    pub(super) fn count(&self, attempted: &mut Attempted) {
        let messages = &self.metrics.messages;
        for (status, count) in [
            (MessageStatus::Success, &mut attempted.success),
            (MessageStatus::Skipped, &mut attempted.skipped),
            (MessageStatus::Failed, &mut attempted.failed),
            (MessageStatus::Retried, &mut attempted.retried),
        ] {
            if *count > 0 {
                messages.of(status).add(*count);
                if status == MessageStatus::Retried {
                    self.metrics.retries.add(*count);
                }
                *count = 0;
            }
        }
        attempted.times.flush();
    }

    /// Attempts that ended so far, and how long they took together.
    pub(super) fn attempts(&self) -> (u64, Duration) {
        (self.metrics.processing.count(), self.metrics.processing.sum())
    }

    /// It was decided how many workers there are.
    pub(super) fn scaled(&self, verdict: &Verdict) {
        self.metrics.scaling.of(verdict.direction).of(verdict.reason).add(1);
        self.metrics.workers.set(verdict.workers);
    }

    /// Records that their route's filter passed over.
    pub(super) fn unwanted(&self, records: usize) {
        self.metrics.messages.of(MessageStatus::Skipped).add(records as u64);
    }

    pub(super) fn dead_lettered(&self, reason: Reason) {
        self.metrics.messages.of(MessageStatus::DeadLettered).add(1);
        self.metrics.dead_letters.of(reason.into()).add(1);
    }

    pub(super) fn dead_letter_failed(&self, error: &PublishError) {
        self.metrics.dead_letter_failures.of(error.into()).add(1);
    }

    pub(super) fn committed(&self, result: &Result<(), CommitError>, time: Duration) {
        self.metrics.commit_duration.observe(time);
        let status = result.as_ref().err().map_or(CommitStatus::Success, CommitStatus::from);
        self.metrics.commits.of(status).add(1);
    }

    pub(super) fn forgot(&self, runs: u64) {
        self.metrics.forgotten_runs.add(runs);
    }

    /// A partition went on elsewhere, and so many offsets are lost, if that is known.
    pub(super) fn missed(&self, loss: Loss, offsets: Option<u64>) {
        self.metrics.resets.of(loss.into()).add(1);
        self.metrics.missed_offsets.of(loss.into()).add(offsets.unwrap_or(0));
    }

    pub(super) fn rebalanced(&self, kind: RebalanceKind) {
        self.metrics.rebalances.of(kind).add(1);
    }

    pub(super) fn backpressure(&self, active: bool) {
        self.metrics.backpressure.set(usize::from(active));
        self.metrics.backpressure_changes.add(1);
    }

    /// So many handlers overstay; so many of them were not known to.
    pub(super) fn handlers_overdue(&self, count: usize, new: u64) {
        self.metrics.handlers_overdue.set(count);
        self.metrics.handlers_overdue_total.add(new);
    }

    /// These partitions stall.
    pub(super) fn stalled(&self, stalled: &[TopicPartition]) {
        for (place, partition) in self.partitions.lock().iter() {
            partition.metrics.stalled.set(usize::from(stalled.contains(place)));
        }
    }

    /// Takes over what the lanes hold now, and answers for each partition how far behind it is.
    pub(super) fn census(&self, census: &Census, now: Instant, clock: Timestamp) -> Vec<Duration> {
        let metrics = &self.metrics;
        metrics.queue_depth.set(census.queued.records);
        metrics.queue_bytes.set(census.queued.bytes);
        metrics.parked_records.set(census.parked.records);
        metrics.parked_bytes.set(census.parked.bytes);
        metrics.workers.set(census.workers);
        metrics.workers_busy.set(census.busy);
        metrics.in_flight.set(census.busy);
        let age = census.oldest.map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest));
        metrics.oldest_unfinished.set(age);
        for hold in Hold::ALL {
            let held = census.partitions.iter().filter(|partition| partition.hold == Some(hold)).count();
            metrics.partitions_held.of(hold.into()).set(held);
        }
        metrics.partitions_assigned.set(census.partitions.len());
        let on_probation = census.partitions.iter().filter(|partition| partition.probation).count();
        metrics.partitions_on_probation.set(on_probation);
        let sum = |of: fn(&PartitionCensus) -> u64| usize::try_from(census.partitions.iter().map(of).sum::<u64>());
        metrics.uncommitted.set(sum(|partition| partition.uncommitted).unwrap_or(usize::MAX));
        metrics.window.set(sum(|partition| partition.window.records).unwrap_or(usize::MAX));
        let bytes = census.partitions.iter().map(|partition| partition.window.bytes).max();
        metrics.commit_metadata_bytes.set(bytes.unwrap_or(0));
        let mut known = self.partitions.lock();
        known.retain(|place, _| census.partitions.iter().any(|partition| partition.topic_partition == *place));
        let behind = census.partitions.iter().map(|partition| {
            let place = &partition.topic_partition;
            let known = known
                .entry(place.clone())
                .or_insert_with(|| Partition { metrics: metrics.partition(place), behind_since: None });
            if let Some(lag) = partition.lag {
                known.metrics.lag_messages.set(usize::try_from(lag).unwrap_or(usize::MAX));
            }
            let age = known.age(partition, clock);
            known.metrics.lag_seconds.set(age);
            age
        });
        behind.collect()
    }
}

impl Partition {
    /// How far behind it is: the age of its oldest unfinished record. Of one that was not read yet, such as while it is paused, nothing
    /// is known but since when it waits.
    fn age(&mut self, seen: &PartitionCensus, clock: Timestamp) -> Duration {
        self.behind_since = match (seen.oldest_timestamp, seen.lag) {
            (Some(oldest), _) => Some(oldest),
            (None, Some(0) | None) => None,
            (None, Some(_)) => self.behind_since.or(Some(clock.as_millis())),
        };
        let age = self.behind_since.map_or(0, |since| clock.as_millis().saturating_sub(since));
        Duration::from_millis(age)
    }
}

impl Drop for Meter {
    /// What was is no more: between two runs of a daemon nothing is queued, and nobody works.
    fn drop(&mut self) {
        let metrics = &self.metrics;
        let gauges = [
            &metrics.queue_depth,
            &metrics.queue_bytes,
            &metrics.queue_capacity,
            &metrics.parked_records,
            &metrics.parked_bytes,
            &metrics.workers,
            &metrics.workers_min,
            &metrics.workers_max,
            &metrics.workers_busy,
            &metrics.in_flight,
            &metrics.handlers_overdue,
            &metrics.backpressure,
            &metrics.partitions_assigned,
            &metrics.partitions_on_probation,
            &metrics.uncommitted,
            &metrics.window,
            &metrics.commit_metadata_bytes,
        ];
        let held = Hold::ALL.map(|hold| metrics.partitions_held.of(hold.into()));
        gauges.into_iter().chain(held).for_each(|gauge| gauge.set(0));
        metrics.oldest_unfinished.set(Duration::ZERO);
        self.breakers.values().for_each(|breaker| breaker.open.set(0));
    }
}

impl From<Hold> for HoldReason {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::Window => Self::Window,
            Hold::Parked => Self::Parked,
            Hold::DeadLetter => Self::DeadLetter,
            Hold::Paused => Self::Paused,
            Hold::CircuitBreaker => Self::CircuitBreaker,
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Load;
    use super::super::source::{Epoch, Window};
    use super::super::view::Reach;
    use super::*;
    use crate::metrics::Metrics;

    /// How far behind a partition is in the end, of which this was seen a second apart: its lag, and its oldest record's time.
    fn age(seen: &[(Option<u64>, Option<u64>)]) -> u64 {
        let metrics = Metrics::new().daemon("orders");
        let place = TopicPartition::new("created", 0);
        let mut partition = Partition { metrics: metrics.partition(&place), behind_since: None };
        let ages = (1_000..).step_by(1_000).zip(seen).map(|(clock, &(lag, oldest_timestamp))| {
            let census = PartitionCensus {
                topic_partition: place.clone(),
                epoch: Epoch(1),
                hold: None,
                stands_still: false,
                probation: false,
                waits_until: None,
                keys_paused: false,
                waits_for_letter: false,
                is_silent: false,
                finished: 0,
                lag,
                uncommitted: 0,
                unfinished: 0,
                queued: Load::default(),
                parked: Load::default(),
                busy: 0,
                lanes: 0,
                deepest_lane: 0,
                reach: Reach::default(),
                window: Window::default(),
                oldest_timestamp,
            };
            partition.age(&census, Timestamp::from_millis(clock).expect("after 1970"))
        });
        u64::try_from(ages.last().expect("something was seen").as_millis()).expect("small")
    }

    #[test]
    fn partition_is_behind_by_the_age_of_its_oldest_record_and_not_once_it_has_none() {
        assert_eq!(age(&[(Some(3), Some(400))]), 600);
        assert_eq!(age(&[(Some(3), Some(400)), (Some(2), Some(1_900))]), 100);
        assert_eq!(age(&[(Some(3), Some(400)), (Some(0), None)]), 0);
        assert_eq!(age(&[(None, None)]), 0);
    }

    #[test]
    fn partition_that_is_not_read_falls_behind_from_when_it_was_not_at_its_end() {
        assert_eq!(age(&[(Some(0), None), (Some(5), None), (Some(5), None), (Some(9), None)]), 2_000);
        // What was seen before of its records goes on to count.
        assert_eq!(age(&[(Some(3), Some(400)), (Some(3), None)]), 1_600);
        assert_eq!(age(&[(Some(3), Some(400)), (Some(0), None), (Some(3), None), (Some(3), None)]), 1_000);
    }
}
