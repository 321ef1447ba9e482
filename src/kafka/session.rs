//! A session: one client from its start to its end, and all that is only true as long as it lives.
//!
//! Owner: the event thread. When a client can't go on, its session is ended, all its assignments are lost, and a new one begins.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use tracing::{debug, warn};

use super::assignment::{Assigned, Assignment, Faults};
use super::bootstrap::Bootstrap;
use super::client::{Client, Destroyed};
use super::commits::Commits;
use super::config::{GroupProtocol, KafkaConfig};
use super::context::Signal;
use super::faults::{self, Fault};
use super::identities::{self, Identities};
use super::losses::Cause;
use super::mailbox::{CommitRequest, Mailbox};
use super::native::{CommitQueue, generation};
use super::origin::{self, Origin};
use super::pulse::{Heard, Pulse};
use super::reading::Reading;
use super::rebalance::{Change, Rebalances};
use super::resets::Resets;
use super::seeks::Seeks;
use super::selection::Selection;
use super::starts::Known;
use super::startup::Startup;
use super::trouble::Until;
use super::validations::Validations;
use super::wake::Wake;
use crate::pipeline::metadata::LaneTag;
use crate::pipeline::seek::Seek;
use crate::pipeline::source::{CommitError, Epoch, Event, SourceError};
use crate::record::{Topic, TopicPartition};

/// How often the ends of partitions are told.
const ENDS: Duration = Duration::from_secs(1);
/// How long a client that is given up may take to leave the group. Nobody waits for it.
const LEAVE: Duration = Duration::from_secs(30);
/// How often everything is looked at without having been asked to.
pub(super) const BEAT: Duration = Duration::from_millis(100);

/// What outlives a session.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) config: KafkaConfig,
    pub(super) selection: Selection,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) reading: Arc<Reading>,
    pub(super) wake: Arc<Wake>,
    /// Whether a broker ever answered a question: then our credentials were good once.
    pub(super) was_reached: bool,
    /// When one last did.
    pub(super) heard: Instant,
    /// Whether the group ever gave us something: then the configuration can't be all wrong.
    pub(super) was_assigned: bool,
    /// Which partitions are no news.
    pub(super) known: Arc<Known>,
    /// Which topics are read.
    pub(super) topics: identities::Known,
    epochs: u64,
}

/// Why a session can't go on.
#[derive(Debug)]
pub(super) enum Halt {
    /// A new one may.
    Rebuild(String),
    /// A new one may, once another member has left that goes by this one's name.
    Taken(String),
    /// The brokers have not let us in, and never did. A new one may be lucky, a few times.
    Refused(String),
    /// Nor can the source.
    Fail(SourceError),
}

impl Surroundings {
    pub(super) fn new(
        config: KafkaConfig,
        selection: Selection,
        mailbox: Arc<Mailbox>,
        reading: Arc<Reading>,
        wake: Arc<Wake>,
    ) -> Self {
        Self {
            config,
            selection,
            mailbox,
            reading,
            wake,
            was_reached: false,
            heard: Instant::now(),
            was_assigned: false,
            known: Arc::default(),
            topics: identities::Known::default(),
            epochs: 0,
        }
    }

    /// An epoch that was never given before.
    pub(super) fn next_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        Epoch(self.epochs)
    }

    /// What the queues of partitions wake.
    pub(super) fn arrived(&self) -> Waker {
        Waker::from(Arc::clone(self.mailbox.arrived()))
    }

    /// How many assignments there were so far.
    pub(super) fn assignments(&self) -> u64 {
        self.epochs
    }

    /// Names a topic that is another one than it was, and its id. Of one that was given up nothing is learned, whoever still tells of it.
    pub(super) fn learn(&mut self, mut told: Vec<(Topic, u128)>) -> Option<(Topic, u128)> {
        told.retain(|(topic, _)| !self.selection.has_given_up(topic));
        self.topics.learn(told)
    }

    /// Topics were given up: what comes by their names later are others, of which nothing is known.
    pub(super) fn forget_given_up(&mut self) {
        self.topics.forget(|topic| self.selection.has_given_up(topic));
        self.known.forget(|topic| self.selection.has_given_up(topic));
    }

    /// What commits of a topic tell of it.
    pub(super) fn origin(&self, topic: &Topic) -> Origin {
        Origin::new(self.topics.id(topic), self.known.partitions(topic))
    }

    /// How many bytes the pipeline may have remembered with a commit.
    pub(super) fn metadata_room(&self) -> usize {
        origin::room(self.config.metadata_limit)
    }

    /// The order and key function of a topic's route.
    pub(super) fn tag(&self, topic: &Topic) -> &LaneTag {
        self.selection.tag(topic)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    client: Arc<Client>,
    destroyed: Destroyed,
    bootstrap: Bootstrap,
    startup: Startup,
    pulse: Pulse,
    identities: Identities,
    /// Those for which nobody answers.
    unanswered: HashSet<TopicPartition>,
    /// Those of which nothing can be had, as it was told.
    silent: Vec<Epoch>,
    rebalances: Rebalances,
    validations: Validations,
    resets: Resets,
    seeks: Seeks,
    commits: Commits,
    /// Whether it is known that the group has taken this member in.
    taken_in: bool,
    ends_told: Instant,
    beat: Instant,
}

impl Session {
    /// A session of a client that has done nothing yet.
    pub(super) fn new(client: Arc<Client>, destroyed: Destroyed, around: &Surroundings) -> Self {
        let commits = Commits::new(CommitQueue::new(&client, &around.wake));
        Self {
            client,
            destroyed,
            bootstrap: Bootstrap::new(&around.config),
            startup: Startup::new(),
            pulse: Pulse::new(),
            unanswered: HashSet::new(),
            identities: Identities::new(),
            silent: Vec::new(),
            rebalances: Rebalances::default(),
            validations: Validations::default(),
            resets: Resets::default(),
            seeks: Seeks::default(),
            commits,
            taken_in: false,
            ends_told: Instant::now(),
            beat: Instant::now(),
        }
    }

    /// Takes up a commit.
    pub(super) fn commit(&mut self, request: CommitRequest) {
        self.commits.push(request);
    }

    /// Takes up the wish for another place.
    pub(super) fn seek(&mut self, seek: Seek, around: &Surroundings) {
        around.reading.change(|assignment| self.seeks.push(seek, &self.client, assignment, around));
    }

    /// Does all that can be done without waiting.
    pub(super) fn turn(&mut self, around: &mut Surroundings) -> Result<(), Halt> {
        self.client.serve().map_err(|_| Halt::Rebuild("a record came past its partition's queue".to_owned()))?;
        self.hear(around)?;
        let reading = Arc::clone(&around.reading);
        reading.change(|assignment| self.advance(assignment, around))
    }

    fn advance(&mut self, assignment: &mut Assignment, around: &mut Surroundings) -> Result<(), Halt> {
        let is_free = assignment.is_empty() && self.rebalances.is_idle();
        self.startup.advance(&self.client, &mut self.rebalances, around, is_free)?;
        self.feel_pulse(assignment, around);
        self.identities.advance(&self.client, assignment, around)?;
        self.face(assignment.take_faults(), assignment, around);
        self.rebalances.advance(&self.client, assignment, around)?;
        // Whatever else comes and goes meanwhile: those that are assigned are not read before.
        self.validations.advance(&self.client, assignment);
        if self.rebalances.is_idle() {
            self.resets.advance(&self.client, assignment, around)?;
            self.seeks.advance(&self.client, assignment, around)?;
        }
        if self.commits.advance(&self.client, assignment, around) && around.selection.has_patterns() {
            self.startup.look_again();
        }
        self.seeks.committed(&self.commits.take_taken());
        self.look_around(assignment, around)
    }

    /// How long nothing needs to be done unless something wakes us.
    pub(super) fn pause(&self) -> Duration {
        let due = [self.startup.due(), self.rebalances.due(), self.resets.due(), self.seeks.due()];
        let due = due.into_iter().flatten().min();
        due.map_or(BEAT, |due| due.saturating_duration_since(Instant::now()).min(BEAT))
    }

    /// Leaves the group, at the latest by `deadline`; says whether it did.
    pub(super) fn close(mut self, deadline: Instant, around: &mut Surroundings) -> bool {
        self.commits.abandon(&CommitError::IllegalGeneration("the source is closed".to_owned()));
        self.put_down(around);
        let Self { client, destroyed, commits, resets, seeks, startup, pulse, identities, rebalances, .. } = self;
        // All that shares the client goes first: then it can be destroyed along with the membership.
        seeks.close();
        drop((commits, resets, startup, pulse, identities, rebalances));
        client.close(&destroyed, deadline)
    }

    /// Gives the client up without waiting for it. Everything assigned is lost.
    pub(super) fn abandon(mut self, reason: &str, around: &mut Surroundings) {
        self.commits.abandon(&CommitError::Fatal(reason.to_owned()));
        self.seeks.abandon(reason);
        let lost = self.put_down(around);
        if !lost.is_empty() {
            around.mailbox.tell(Event::Lost(lost));
        }
        let Self { client, destroyed, .. } = self;
        // Handlers may hold records for long, and with them the client. Its membership must end now, or its partitions would
        // stay with it. Without a thread it ends with the last record.
        let leave = move || {
            if !client.close(&destroyed, Instant::now() + LEAVE) {
                warn!(
                    "a client that was given up could not leave its group, its partitions wait for the session timeout"
                );
            }
        };
        drop(thread::Builder::new().name("kafka-leave".to_owned()).spawn(leave));
    }

    /// Lets go of all that was read and of all queues, and acknowledges what the client would wait for. Says which
    /// assignments end with it.
    fn put_down(&mut self, around: &mut Surroundings) -> Vec<Epoch> {
        drop(self.hear(around));
        let assigned = around.reading.change(Assignment::clear);
        let epochs: Vec<Epoch> = assigned.into_iter().map(|assigned| assigned.epoch).collect();
        self.rebalances.finish(&self.client);
        epochs
    }

    /// Takes the notes of the callbacks.
    fn hear(&mut self, around: &Surroundings) -> Result<(), Halt> {
        while let Some(signal) = self.client.consumer().context().next_signal() {
            match signal {
                Signal::Assign(places) => {
                    self.startup.rebalanced();
                    self.rebalances.push(Change::Assign(places));
                }
                Signal::Revoke(places) => {
                    self.startup.rebalanced();
                    self.rebalances.push(Change::Revoke(places));
                }
                Signal::Error(code, reason) => self.err(code, &reason, around)?,
            }
        }
        Ok(())
    }

    fn err(&mut self, code: Code, reason: &str, around: &Surroundings) -> Result<(), Halt> {
        if let Some((code, reason)) = self.client.fatal_error() {
            return Err(faults::fatal(code, &reason, around));
        }
        match faults::passing(code, self.client.obstacles().last(), around) {
            Fault::Noise => debug!(error = reason, "the Kafka client has a passing error"),
            Fault::Worth => warn!(error = reason, "the Kafka client has an error"),
            Fault::Topics => self.startup.look_again(),
            Fault::Trouble(standing, say) => around.mailbox.trouble(standing, say),
            Fault::Halt(halt) => return Err(halt),
        }
        Ok(())
    }

    /// Before the group is joined its topics are asked for all the time.
    fn feel_pulse(&mut self, assignment: &mut Assignment, around: &mut Surroundings) {
        if !around.was_reached {
            return;
        }
        let places = || assignment.iter().map(|assigned| &assigned.place);
        let Some(Heard { ends, silent }) = self.pulse.advance(&self.client, places, around) else { return };
        let moved = assignment.learn_ends(&ends);
        if !moved.is_empty() {
            around.mailbox.tell_ends(moved);
        }
        self.unanswered = silent.into_iter().collect();
        self.tell_silent(assignment, around);
    }

    fn tell_silent(&mut self, assignment: &Assignment, around: &Surroundings) {
        let is_silent =
            |assigned: &&Assigned| assigned.unreadable.is_some() || self.unanswered.contains(&assigned.place);
        let silent: Vec<Epoch> = assignment.iter().filter(is_silent).map(|assigned| assigned.epoch).collect();
        if silent != self.silent {
            self.silent.clone_from(&silent);
            around.mailbox.tell(Event::Silent(silent));
        }
    }

    /// What is due from time to time.
    fn look_around(&mut self, assignment: &mut Assignment, around: &Surroundings) -> Result<(), Halt> {
        if self.beat.elapsed() >= BEAT {
            self.beat = Instant::now();
            assignment.ring_all();
            around.mailbox.arrived().notify();
        }
        if self.ends_told.elapsed() < ENDS {
            return Ok(());
        }
        self.ends_told = Instant::now();
        self.bootstrap.look(self.client.consumer().client());
        self.look_for_membership(assignment, around);
        let moved = assignment.moved_ends(&self.client);
        if !moved.is_empty() {
            around.mailbox.tell_ends(moved);
        }
        let passed = assignment.passed(&self.client);
        if !passed.is_empty() {
            around.mailbox.tell(Event::Records(passed));
        }
        self.tell_silent(assignment, around);
        if self.commits.is_stuck(around.heard) {
            return Err(Halt::Rebuild("a commit was never answered".to_owned()));
        }
        match self.client.fatal_error() {
            Some((code, reason)) => Err(faults::fatal(code, &reason, around)),
            None => Ok(()),
        }
    }

    /// Under KIP-848 librdkafka has no word for a member that is taken in while there is nothing for it. It is one that stands by, though,
    /// and not one that waits for its group.
    fn look_for_membership(&mut self, assignment: &Assignment, around: &Surroundings) {
        let is_told = around.config.protocol != GroupProtocol::Consumer;
        if is_told || self.taken_in || generation(&self.client).is_none() {
            return;
        }
        self.taken_in = true;
        if assignment.is_empty() && self.rebalances.is_idle() {
            around.mailbox.tell(Event::Assigned(Vec::new()));
        }
    }

    /// Does what is to be done about what went wrong with partitions while they were read.
    fn face(&mut self, faults: Faults, assignment: &mut Assignment, around: &Surroundings) {
        for (epoch, failure) in faults.failures {
            if failure.code == Code::AutoOffsetReset {
                self.resets.push(epoch, Cause::of(&failure), &self.client, assignment, around);
            } else if let Some(assigned) = assignment.get_mut(epoch) {
                assigned.unreadable = faults::of_partition(&assigned.place, &failure, around);
                if assigned.unreadable.is_some() {
                    tell_unreadable(assignment, around);
                } else if faults::is_of_topic(failure.code) {
                    self.startup.look_again();
                }
                self.resets.fetch_again(epoch, assignment);
            }
        }
        for epoch in faults.rewound {
            self.resets.push(epoch, Cause::Rewound, &self.client, assignment, around);
        }
    }
}

/// Tells which partitions wait because they can't be read on: the first of them with its reason, so that it is the same each time.
fn tell_unreadable(assignment: &Assignment, around: &Surroundings) {
    let mut unreadable: Vec<(&TopicPartition, &String)> =
        assignment.iter().filter_map(|assigned| Some((&assigned.place, assigned.unreadable.as_ref()?))).collect();
    unreadable.sort_unstable();
    let Some(((_, first), others)) = unreadable.split_first() else { return };
    let names: Vec<String> = others.iter().map(|(place, _)| place.to_string()).collect();
    let others = if names.is_empty() { String::new() } else { format!("; the same of {}", names.join(", ")) };
    around.mailbox.trouble(Until::Read, format!("{first}{others}"));
}
