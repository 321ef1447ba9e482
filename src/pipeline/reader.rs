//! The reader: owns the source, brings its records into the lanes, and sees partitions in and out.
//!
//! It asks for no more than the lanes will take, and goes on polling whatever happens, so that the membership survives. Partitions on
//! their way out are drained beside the reading: the source keeps them until their drain has committed.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::arrival::{Arrivals, arrivals};
use super::committer::CommitDesk;
use super::control::{Letters, Watch};
use super::dead_letter::DeadLetterSink;
use super::demand::Demand;
use super::lanes::Lanes;
use super::shared::Shared;
use super::source::{
    Assigned, Batch, CommitError, Epoch, Event, Loss, Missed, Progress, Revocation, Source, SourceError,
};
use super::{PipelineError, PipelineSettings, Stopped};
use crate::handler::Routes;
use crate::metrics::RebalanceKind;
use crate::record::Timestamp;

/// How long the last commit of a stop may take once the handlers have ended or their time is over.
const LAST_COMMIT: Duration = Duration::from_secs(5);
/// The same where all is committed but that it ends: there is little to wait for, and the group is better left while there is a connection.
const MARK: Duration = Duration::from_secs(1);
/// After so many records the pipeline's other tasks have their turn: they may be on the same thread, and a source may always have more.
const TURN: usize = 4096;

pub(super) struct Reader<S: Source> {
    pub(super) source: S,
    pub(super) shared: Arc<Shared<S::Progress>>,
    pub(super) desk: CommitDesk,
    pub(super) routes: Routes,
    pub(super) settings: PipelineSettings,
    pub(super) stop_drain: Duration,
    pub(super) beat: Arc<dyn Fn(Beat) + Send + Sync>,
    pub(super) control: Watch,
    /// Where letters go, and what writes them.
    pub(super) letters: Arc<Letters>,
    pub(super) sink: Arc<dyn DeadLetterSink>,
    /// Who this is, to whoever reads its partitions next.
    pub(super) holder: u32,
}

/// What a pipeline says of itself, for the probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The source was polled.
    Polled,
    /// The group has given this member its partitions, or said that there are none for it.
    Joined,
    /// The source can't be read from, or not from all of it; says why.
    Failing(String),
    /// It can be read from again.
    Recovered,
    /// Records wait, and for too long nothing has come of it; says so. Doesn't show that the reading goes on.
    Stalled(String),
    /// That is over. Nor does this.
    Flowing,
    /// A stop has begun, asked for or after a failure.
    Stopping,
}

/// What comes beside the reading, and seldom: while nothing of it does, it costs a read one look at all of it together.
enum Aside {
    /// A stop was asked for.
    Stop,
    /// The pipeline can't go on.
    Failed,
    /// Something was asked for through the control.
    Steered,
    /// Partitions may go.
    Drained(Drained),
    /// What was started has ended, or its time is over.
    Stopped(Stopped),
}

type Pending = Pin<Box<dyn Future<Output = Aside> + Send>>;
type Asides = FuturesUnordered<Pending>;

/// What became of partitions on their way out.
struct Drained {
    revocation: Revocation,
    left: Stopped,
}

impl<S: Source> Reader<S> {
    /// Reads until `stop`, then drains what was started, and gives the source back to be closed.
    pub(super) async fn run(mut self, stop: CancellationToken) -> (S, Result<Stopped, PipelineError>) {
        let shared = Arc::clone(&self.shared);
        let mut asides = Asides::new();
        asides.push(Box::pin(stop.cancelled_owned().map(|()| Aside::Stop)));
        asides.push(failed(&shared));
        asides.push(self.steered());
        let mut room = pin!(shared.room.notified());
        let mut is_stopping = false;
        let mut failure = None;
        let mut wait = Instant::now();
        let mut failed_before = false;
        let mut taken = 0;
        loop {
            if taken >= TURN {
                taken = 0;
                yield_now().await;
            }
            let demand = if is_stopping { Demand::none() } else { shared.lanes().demand() };
            let now = Instant::now();
            tokio::select! {
                biased;
                Some(aside) = asides.next() => match aside {
                    Aside::Stopped(stopped) => return (self.source, failure.map_or(Ok(stopped), Err)),
                    Aside::Drained(drained) => self.give_up(drained),
                    // Whoever stops does so whatever else is asked of it.
                    _ if is_stopping => {}
                    Aside::Stop => {
                        is_stopping = true;
                        asides.push(self.begin_stop());
                    }
                    Aside::Failed => match shared.failure() {
                        Some(error) => {
                            error!(daemon = shared.daemon.as_str(), %error, "can't go on, stopping");
                            failure.get_or_insert(error);
                            is_stopping = true;
                            asides.push(self.begin_stop());
                        }
                        None => asides.push(failed(&shared)),
                    },
                    Aside::Steered => {
                        self.obey();
                        asides.push(self.steered());
                    }
                },
                () = sleep_until(wait), if wait > now => {}
                event = self.source.poll(&demand, self.settings.read_timeout), if wait <= now => {
                    let error = match event {
                        Ok(event) => {
                            (self.beat)(Beat::Polled);
                            if std::mem::take(&mut failed_before) {
                                (self.beat)(Beat::Recovered);
                            }
                            taken += event.records();
                            self.take(event, &asides, is_stopping).err()
                        }
                        Err(SourceError::Transient(error)) => {
                            warn!(daemon = shared.daemon.as_str(), error, "reading failed, it is tried again");
                            (self.beat)(Beat::Failing(error));
                            failed_before = true;
                            wait = now + self.settings.read_error_wait;
                            None
                        }
                        Err(SourceError::Misconfigured(error)) => Some(PipelineError::Misconfigured(error)),
                        Err(SourceError::Failed(error)) => Some(PipelineError::Failed(error)),
                        Err(SourceError::Fatal(error)) => Some(PipelineError::Fatal(error)),
                    };
                    if let Some(error) = error {
                        // What was started may still end, and what is finished is still committed, where that is possible.
                        if failure.is_none() {
                            error!(daemon = shared.daemon.as_str(), %error, "reading can't go on, stopping");
                        }
                        failure.get_or_insert(error);
                        wait = now + self.settings.read_error_wait;
                        if !std::mem::replace(&mut is_stopping, true) {
                            asides.push(self.begin_stop());
                        }
                    }
                }
                // Last: what was allowed still is, and with each event it is asked for anew.
                () = &mut room, if !is_stopping => room.set(shared.room.notified()),
            }
        }
    }

    /// Something is asked for that was not yet done.
    fn steered(&self) -> Pending {
        Box::pin(self.control.changed().map(|()| Aside::Steered))
    }

    fn take(&mut self, event: Event<S::Progress>, asides: &Asides, stopping: bool) -> Result<(), PipelineError> {
        match event {
            Event::Assigned(assigned) => {
                (self.beat)(Beat::Joined);
                self.assign(assigned, stopping)?;
            }
            Event::Records(batches) => {
                let now = Instant::now();
                for batch in batches {
                    let Some(arrivals) = self.arrivals(batch) else { continue };
                    self.shared.change(|lanes| lanes.push(arrivals, now));
                }
            }
            Event::Revoked(revocation) => {
                self.shared.rebalanced(RebalanceKind::Revoked, revocation.epochs().len());
                info!(
                    daemon = self.shared.daemon.as_str(),
                    partitions = revocation.epochs().len(),
                    "partitions revoked, draining"
                );
                asides.push(self.drain(revocation));
            }
            Event::Lost(epochs) => {
                self.shared.rebalanced(RebalanceKind::Lost, epochs.len());
                warn!(
                    daemon = self.shared.daemon.as_str(),
                    partitions = epochs.len(),
                    "partitions lost, what was unfinished runs elsewhere"
                );
                self.shared.change(|lanes| lanes.lose(&epochs));
            }
            Event::Missed(missed) => self.miss(&missed),
            Event::Ends(ends) => self.shared.change(|lanes| lanes.note_ends(&ends)),
            Event::Silent(silent) => self.shared.lanes().note_silent(&silent),
            Event::Trouble(Some(error)) => {
                warn!(daemon = self.shared.daemon.as_str(), error, "reading is in trouble, it goes on being tried");
                (self.beat)(Beat::Failing(error));
            }
            Event::Trouble(None) => {
                info!(daemon = self.shared.daemon.as_str(), "reading is out of trouble");
                (self.beat)(Beat::Recovered);
            }
            Event::Idle => {}
        }
        Ok(())
    }

    /// Does what somebody has asked for meanwhile.
    fn obey(&mut self) {
        let overrides = self.control.overrides();
        debug!(daemon = self.shared.daemon.as_str(), ?overrides, "steered");
        self.shared.change(|lanes| lanes.set_paused(|place| overrides.is_paused(place)));
        self.shared.change(|lanes| lanes.set_rate(overrides.rate(), Instant::now()));
        self.shared.change(|lanes| lanes.set_key_rate(overrides.key_rate()));
        self.shared.change(|lanes| lanes.fix_workers(overrides.workers()));
        self.shared.change(|lanes| lanes.set_paused_keys(overrides.paused_keys()));
        let new = self.shared.skips.set(overrides.skips());
        if !new.is_empty() {
            self.shared.change(|lanes| lanes.hurry(&new, Instant::now()));
        }
        for seek in self.control.seeks() {
            info!(daemon = self.shared.daemon.as_str(), topic_partition = %seek.topic_partition(), to = %seek.to(), "asked to go on elsewhere");
            self.source.seek(seek);
        }
    }

    /// What was to be read next is gone.
    fn miss(&self, missed: &Missed) {
        let Missed { topic_partition, loss, offsets } = missed;
        self.shared.meter.missed(*loss, *offsets);
        let daemon = self.shared.daemon.as_str();
        let (topic, partition) = (topic_partition.topic.as_str(), topic_partition.partition.0);
        match loss {
            Loss::Removed => error!(
                daemon,
                topic, partition, offsets, "records were removed before they were read, they are lost to this group"
            ),
            Loss::Truncated => error!(
                daemon,
                topic,
                partition,
                offsets,
                "the log was cut below what was read of it, the brokers have lost records that they had acknowledged"
            ),
            Loss::Recreated => error!(
                daemon,
                topic,
                partition,
                offsets,
                "the topic was deleted and made anew, what was unread of the former one is lost"
            ),
        }
    }

    /// What the route says of these records. Of an assignment that is over there is nothing to say.
    fn arrivals(&self, batch: Batch) -> Option<Arrivals> {
        let route = match batch.records.first() {
            Some(first) => self.routes.of(first.topic())?,
            None => {
                let Batch { epoch, next, rewritten, .. } = batch;
                return Some(Arrivals { epoch, records: Vec::new(), next, rewritten });
            }
        };
        if let (Some(from), Some(first)) = (batch.rewritten, batch.records.first()) {
            let (topic, partition, offset) = (first.topic().as_str(), first.partition().0, from.0);
            error!(
                daemon = self.shared.daemon.as_str(),
                topic,
                partition,
                offset,
                "the log was cut below what is finished, the brokers have lost records that they had acknowledged; what has their offsets now runs"
            );
        }
        Some(arrivals(batch, &route.settings))
    }

    fn assign(&mut self, assigned: Vec<Assigned<S::Progress>>, stopping: bool) -> Result<(), PipelineError> {
        if !assigned.is_empty() {
            self.shared.rebalanced(RebalanceKind::Assigned, assigned.len());
        }
        for mut assigned in assigned {
            self.take_over(&mut assigned);
            let (topic, partition) = (&assigned.topic_partition.topic, assigned.topic_partition.partition.0);
            let Some(route) = self.routes.resolve(topic).cloned() else {
                return Err(PipelineError::Failed(format!(
                    "the source assigned topic `{topic}`, which no route serves"
                )));
            };
            info!(daemon = self.shared.daemon.as_str(), topic = topic.as_str(), partition, "partition assigned");
            let epoch = assigned.epoch;
            if let Some(letters) = route.settings.dead_letter_topic(topic) {
                self.letters.go_to(&letters, &*self.sink);
            }
            self.shared.change(|lanes| lanes.assign(assigned, route));
            if stopping {
                // Nothing is read for it any more; its assignment ends with the others'.
                self.shared.change(|lanes| lanes.release(&[epoch]));
            }
        }
        let overrides = self.control.current();
        self.shared.change(|lanes| lanes.set_paused(|place| overrides.is_paused(place)));
        Ok(())
    }

    /// Tells how the partition was left, where that matters.
    fn take_over(&self, assigned: &mut Assigned<S::Progress>) {
        let Some(quarantine) = self.settings.crash_quarantine else { return };
        let handover = assigned.progress.take_over(self.holder, quarantine.limit, Timestamp::now());
        let daemon = self.shared.daemon.as_str();
        let (topic, partition) = (assigned.topic_partition.topic.as_str(), assigned.topic_partition.partition.0);
        if handover.unclean {
            info!(daemon, topic, partition, "whoever read this partition before ended without warning, or lost it");
        }
        if handover.probation {
            let records = self.settings.queue_records;
            warn!(
                daemon,
                topic,
                partition,
                records,
                "partition is on probation: its next records run one at a time, and nothing else of this daemon beside them"
            );
        }
        for (position, ends) in handover.condemned {
            error!(
                daemon,
                topic,
                partition,
                ?position,
                ends,
                "the process ended each time that this record ran alone, it becomes a dead letter"
            );
        }
    }

    /// Lets what was started in these partitions end, and commits it. Handlers get the time of the settings, the commit what is
    /// left until the source gives the partitions up.
    fn drain(&self, revocation: Revocation) -> Pending {
        let epochs = revocation.epochs().to_vec();
        self.shared.change(|lanes| lanes.release(&epochs));
        let (shared, desk) = (Arc::clone(&self.shared), self.desk.clone());
        let until = (Instant::now() + self.settings.rebalance_drain).min(revocation.deadline());
        Box::pin(async move {
            let unfinished = end_of(&shared, &epochs, Lanes::out, until).await;
            // Where it fails, what it would have covered runs again elsewhere; the committer has said so.
            let uncommitted = last_commit(&shared, &desk, epochs, revocation.deadline()).await.is_err();
            Aside::Drained(Drained { revocation, left: Stopped { unfinished, uncommitted } })
        })
    }

    /// The partitions have drained, or their time is over: they may go.
    fn give_up(&mut self, drained: Drained) {
        let Drained { revocation, left: Stopped { unfinished, uncommitted } } = drained;
        let (daemon, partitions) = (self.shared.daemon.as_str(), revocation.epochs().len());
        if unfinished > 0 {
            warn!(
                daemon,
                partitions, unfinished, "revoked partitions given up, unfinished handlers go on without them"
            );
        } else if uncommitted {
            warn!(daemon, partitions, "revoked partitions given up without their last commit");
        } else {
            info!(daemon, partitions, "revoked partitions given up, drained");
        }
        self.shared.change(|lanes| lanes.lose(revocation.epochs()));
        revocation.complete();
    }

    /// Starts nothing more, anywhere; waits for what was started, and commits.
    fn begin_stop(&self) -> Pending {
        (self.beat)(Beat::Stopping);
        let until = Instant::now() + self.stop_drain;
        let (shared, desk) = (Arc::clone(&self.shared), self.desk.clone());
        let epochs = shared.lanes().epochs();
        shared.change(|lanes| lanes.release(&epochs));
        info!(daemon = shared.daemon.as_str(), running = shared.lanes().busy(), "stopping, started handlers may end");
        // Handlers of assignments that are over have been started too, and the process must not end under them.
        let left = |lanes: &Lanes<S::Progress>, epochs: &[Epoch]| lanes.out(epochs).max(lanes.busy());
        Box::pin(async move {
            let unfinished = end_of(&shared, &epochs, left, until).await;
            // A partition that was sought meanwhile has a new assignment, and a place to commit.
            let epochs = shared.lanes().epochs();
            let uncommitted = last_commit(&shared, &desk, epochs, until + LAST_COMMIT).await.is_err();
            Aside::Stopped(Stopped { unfinished, uncommitted })
        })
    }
}

/// Somebody says that the pipeline can't go on.
fn failed<G: Progress>(shared: &Arc<Shared<G>>) -> Pending {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        shared.failed.notified().await;
        Aside::Failed
    })
}

/// Commits what is left of these assignments, and that they are left in order. Where that alone can't be told, nothing is missing: whoever reads
/// them next takes this for an end without warning, and one alone means nothing.
async fn last_commit<G: Progress>(
    shared: &Shared<G>,
    desk: &CommitDesk,
    epochs: Vec<Epoch>,
    deadline: Instant,
) -> Result<(), CommitError> {
    let owes = shared.lanes().owe_commits(&epochs);
    let deadline = if owes { deadline } else { deadline.min(Instant::now() + MARK) };
    desk.commit(epochs, deadline).await.or_else(|error| if owes { Err(error) } else { Ok(()) })
}

/// Waits until nothing that `left` counts is out any more, at most until `until`. Says what is left.
async fn end_of<G: Progress>(
    shared: &Shared<G>,
    epochs: &[Epoch],
    left: impl Fn(&Lanes<G>, &[Epoch]) -> usize,
    until: Instant,
) -> usize {
    loop {
        let mut drained = pin!(shared.drained.notified());
        drained.as_mut().enable();
        if left(&shared.lanes(), epochs) == 0 {
            return 0;
        }
        tokio::select! {
            biased;
            () = drained => {}
            () = sleep_until(until) => return left(&shared.lanes(), epochs),
        }
    }
}
