//! Control: what is changed of a daemon while it runs. It outlives the daemon's restarts, and its partitions' assignments.

mod layer;
mod reading;
mod seat;

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::dead_letter::DeadLetterSink;
use super::failures::{FailureGroup, Failures};
use super::rebalances::{Rebalance, Rebalances};
use super::seek::{Seek, SeekError, SeekTo};
use super::view::View;
use crate::dead_letters::DeadLetters;
use crate::record::{NextOffset, Offset, Topic, TopicPartition};
pub(crate) use layer::Layer;
pub(super) use layer::Overrides;
pub(crate) use reading::Reading;
pub(crate) use seat::Seat;

/// Steers a daemon while it runs: pauses it or parts of it, limits its rate and its workers, and shows what it is at. Cloning gives another handle
/// of the same.
///
/// What the program changes through this stands beside what its operators change through the [API](crate::api): whatever either has paused is
/// paused, and a limit of the operators' comes before one of the program's. Neither takes back what the other wants.
///
/// ```
/// use daemonry::pipeline::control::{Control, Rate, Scope};
/// use daemonry::record::TopicPartition;
/// use std::time::Duration;
///
/// let control = Control::new();
/// // … given to a `Consumer` with `.control(control.clone())`
/// control.pause(Scope::Topic("orders".into()));
/// assert!(control.is_paused(&TopicPartition::new("orders", 3)));
/// control.resume(&Scope::All);
/// control.limit(Rate::new(100, Duration::from_secs(1)));
/// ```
#[derive(Clone)]
pub struct Control {
    overrides: Arc<watch::Sender<Overrides>>,
    seeks: Arc<Mutex<Vec<Seek>>>,
    view: Arc<Mutex<Option<Arc<View>>>>,
    past: Past,
    letters: Arc<Letters>,
    reading: reading::Known,
}

/// What was, through restarts of the daemon.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    pub(super) failures: Arc<Failures>,
    pub(super) rebalances: Arc<Rebalances>,
}

/// The topics that a daemon's dead letters go to, and what reads them back, where something does.
#[derive(Debug, Default)]
pub(crate) struct Letters(Mutex<BTreeMap<Topic, Option<DeadLetters>>>);

/// Where a running daemon shows itself, until this is dropped.
#[derive(Debug)]
pub(super) struct Shown(Arc<Mutex<Option<Arc<View>>>>);

/// What a running daemon sees of its control.
#[derive(Debug)]
pub(super) struct Watch {
    overrides: watch::Receiver<Overrides>,
    seeks: Arc<Mutex<Vec<Seek>>>,
}

/// A daemon, or a part of what it reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All of it.
    All,
    /// A topic's partitions, those included that are yet to come.
    Topic(Topic),
    /// One partition.
    Partition(TopicPartition),
    /// One key of a topic whose route orders by keys: what it orders by, as it is in the record, or as the route's key function gives it. Its
    /// records wait, and stop no other key; as many as the bound of the parked lets wait, then their partition is held back.
    Key(Topic, Vec<u8>),
}

impl Scope {
    fn covers(&self, place: &TopicPartition) -> bool {
        match self {
            Self::All => true,
            Self::Topic(topic) => *topic == place.topic,
            Self::Partition(one) => one == place,
            Self::Key(..) => false,
        }
    }

    /// Whether all that the other one means is meant by this one too.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Topic(topic), Self::Partition(place)) => *topic == place.topic,
            (Self::Topic(topic), Self::Key(of, _)) => topic == of,
            _ => self == other,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Topic(topic) => topic.fmt(f),
            Self::Partition(place) => place.fmt(f),
            Self::Key(topic, key) => write!(f, "{topic}, key {}", String::from_utf8_lossy(key)),
        }
    }
}

/// How many attempts may begin within a time, on average: after a pause those of one interval may begin at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    attempts: NonZeroU32,
    interval: Duration,
}

impl Rate {
    /// So many attempts within an interval; `None` where either is zero, since nothing could ever begin.
    pub fn new(attempts: u32, interval: Duration) -> Option<Self> {
        let attempts = NonZeroU32::new(attempts)?;
        (!interval.is_zero()).then_some(Self { attempts, interval })
    }

    /// How many attempts.
    pub fn attempts(self) -> u32 {
        self.attempts.get()
    }

    /// Within what time.
    pub fn interval(self) -> Duration {
        self.interval
    }
}

impl Control {
    /// Nothing is paused, and no rate is limited.
    pub fn new() -> Self {
        let overrides = Arc::new(watch::Sender::new(Overrides::default()));
        let (view, past, letters, reading) = Default::default();
        Self { overrides, seeks: Arc::default(), view, past, letters, reading }
    }

    /// What the program wants from the start.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(crate) fn of(program: Layer) -> Self {
        let control = Self::new();
        control.change(|overrides| std::mem::replace(&mut overrides.program, program.clone()) != program);
        control
    }

    /// Starts nothing more of this, and reads nothing more of it. What runs ends; the group's membership and what is committed stay.
    /// Lasts until it is [resumed](Self::resume), through rebalances and restarts of the daemon.
    pub fn pause(&self, scope: Scope) {
        self.change(|overrides| overrides.program.paused.insert(scope));
    }

    /// Lets this go on, and all parts of it that were paused by themselves. What is paused as a part of something larger stays so, and so does what
    /// operators have paused.
    pub fn resume(&self, scope: &Scope) {
        self.change(|overrides| {
            let paused = &mut overrides.program.paused;
            let before = paused.len();
            paused.retain(|paused| !scope.contains(paused));
            before != paused.len()
        });
    }

    /// What is paused.
    pub fn paused(&self) -> Vec<Scope> {
        let mut paused: Vec<Scope> = self.overrides.borrow().paused().cloned().collect();
        paused.sort();
        paused.dedup();
        paused
    }

    /// Whether this partition is paused, by itself or as a part.
    pub fn is_paused(&self, place: &TopicPartition) -> bool {
        self.overrides.borrow().is_paused(place)
    }

    /// Lets attempts begin at this rate at most, of the whole daemon in this process; `None` takes the limit back. Records over it wait
    /// in the queue, and hold no worker.
    pub fn limit(&self, rate: Option<Rate>) {
        self.change(|overrides| std::mem::replace(&mut overrides.program.rate, rate) != rate);
    }

    /// The rate that attempts may begin at.
    pub fn rate(&self) -> Option<Rate> {
        self.overrides.borrow().rate()
    }

    /// Lets attempts of each single key begin at this rate at most; `None` takes the limit back. A key is what its route orders by: with
    /// [`Partition`](crate::handler::ProcessingOrder::Partition) that is the partition, and with
    /// [`Unordered`](crate::handler::ProcessingOrder::Unordered) there is none. Records over it wait as those do that wait for a retry:
    /// they hold no worker and stop no other key. A key that moves to another process begins anew there.
    pub fn limit_keys(&self, rate: Option<Rate>) {
        self.change(|overrides| std::mem::replace(&mut overrides.program.key_rate, rate) != rate);
    }

    /// The rate that attempts of a key may begin at.
    pub fn key_rate(&self) -> Option<Rate> {
        self.overrides.borrow().key_rate()
    }

    /// Has so many workers at something at once, at most, in place of what [`Scaling`](super::Scaling) finds right; `None` lets it go on. There never
    /// are more than [`PipelineSettings::workers`](super::PipelineSettings::workers). What runs beyond that ends first; a partition that had all of
    /// them to itself goes on beside another that comes, with one more until then, as nothing is taken from the other's part for it.
    pub fn scale(&self, workers: Option<NonZeroUsize>) {
        self.change(|overrides| std::mem::replace(&mut overrides.program.workers, workers) != workers);
    }

    /// Has a record passed over as if its handler had said so: before its next attempt, whether it was read already or is yet to be, waits for a
    /// retry, or for a letter that can't be written. Holds for as long as this does, also where the record is read again.
    pub fn skip(&self, topic_partition: TopicPartition, offset: Offset) {
        self.change(|overrides| overrides.program.skips.insert((topic_partition, offset)));
    }

    /// How many workers may be at something, where somebody has said so.
    pub fn workers(&self) -> Option<NonZeroUsize> {
        self.overrides.borrow().workers()
    }

    /// Has a partition that is assigned to this process go on at another place, and says where. What was started of it ends before, and is
    /// committed; then the place is. With the answer it counts for whoever gets the partition next: it is waited for as long as the source
    /// needs to commit. Backwards, records that were handled are handled again; forwards, those in between never are. Dropping the future
    /// does not take back what has begun.
    ///
    /// ```
    /// # use daemonry::pipeline::control::Control;
    /// use daemonry::pipeline::seek::{SeekError, SeekTo};
    /// use daemonry::record::{Timestamp, TopicPartition};
    /// use std::time::Duration;
    ///
    /// # async fn an_hour_back(control: Control) -> Result<(), SeekError> {
    /// let an_hour_ago = Timestamp::now() - Duration::from_secs(3600);
    /// let next = control.seek(TopicPartition::new("orders", 3), SeekTo::Time(an_hour_ago)).await?;
    /// println!("going on at offset {next}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`SeekError`].
    pub async fn seek(&self, topic_partition: TopicPartition, to: SeekTo) -> Result<NextOffset, SeekError> {
        if self.overrides.receiver_count() == 0 {
            return Err(SeekError::NotRunning);
        }
        let (seek, answer) = Seek::new(topic_partition, to);
        self.seeks.lock().push(seek);
        self.change(|overrides| {
            overrides.seeks += 1;
            true
        });
        answer.await.unwrap_or(Err(SeekError::NotRunning))
    }

    /// What the daemon holds and is at, a second ago at most; `None` while it doesn't run. Looking costs it nothing.
    ///
    /// ```
    /// # use daemonry::pipeline::control::Control;
    /// fn report(control: &Control) {
    ///     let Some(view) = control.view() else { return println!("it does not run") };
    ///     println!("{} of {} workers are at something", view.busy, view.workers);
    ///     for partition in &view.partitions {
    ///         println!("{}: lag {:?}, held back: {:?}", partition.topic_partition, partition.lag, partition.held);
    ///     }
    /// }
    /// # report(&Control::new());
    /// ```
    pub fn view(&self) -> Option<Arc<View>> {
        self.view.lock().clone()
    }

    /// The attempts that have failed, by what they have in common, the latest first: 200 groups at most, kept through restarts of the
    /// daemon.
    pub fn failed(&self) -> Vec<FailureGroup> {
        self.past.failures.groups()
    }

    /// When partitions came to it and went, the latest first: the last fifty times, kept through restarts of the daemon.
    pub fn rebalances(&self) -> Vec<Rebalance> {
        self.past.rebalances.latest()
    }

    /// The topics that its dead letters go to: those of the topics that its routes name, and of those that were assigned to it since the process
    /// began. None before it has run.
    pub fn letter_topics(&self) -> Vec<Topic> {
        self.letters.0.lock().keys().cloned().collect()
    }

    /// The dead letters of one of [these topics](Self::letter_topics); `None` where it is none of them, or what writes them can't read them
    /// back.
    pub fn dead_letters(&self, topic: &Topic) -> Option<DeadLetters> {
        self.letters.0.lock().get(topic).cloned().flatten()
    }

    /// What it reads; `None` before it has run.
    #[cfg(feature = "api")]
    pub(crate) fn reading(&self) -> Option<Arc<Reading>> {
        self.reading.now()
    }

    /// What it reads is known from now on.
    pub(crate) fn reads(&self, reading: Reading) {
        self.reading.know(reading);
    }

    pub(crate) fn letters(&self) -> Arc<Letters> {
        Arc::clone(&self.letters)
    }

    pub(super) fn past(&self) -> Past {
        self.past.clone()
    }

    pub(super) fn show(&self) -> Shown {
        Shown(Arc::clone(&self.view))
    }

    /// All that the daemon's operators want of it.
    pub(crate) fn operate(&self, operators: Layer) {
        self.change(|overrides| {
            let is_news = overrides.operators != operators;
            overrides.operators = operators;
            is_news
        });
    }

    fn change(&self, change: impl FnOnce(&mut Overrides) -> bool) {
        self.overrides.send_if_modified(change);
    }

    pub(super) fn watch(&self) -> Watch {
        let mut overrides = self.overrides.subscribe();
        // What is there already is news to whoever begins to watch.
        overrides.mark_changed();
        Watch { overrides, seeks: Arc::clone(&self.seeks) }
    }
}

impl Watch {
    /// Resolves when something is changed that was not [looked at](Self::overrides) before this was asked.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut overrides = self.overrides.clone();
        async move {
            if overrides.changed().await.is_err() {
                // Nobody is left who could change anything.
                std::future::pending().await
            }
        }
    }

    /// What is to hold now. Changes since the last look still count as such.
    pub(super) fn current(&self) -> Overrides {
        self.overrides.borrow().clone()
    }

    /// The same, for whoever does what has changed.
    pub(super) fn overrides(&mut self) -> Overrides {
        self.overrides.borrow_and_update().clone()
    }

    /// What was asked for since.
    pub(super) fn seeks(&self) -> Vec<Seek> {
        std::mem::take(&mut *self.seeks.lock())
    }
}

impl Letters {
    /// Letters go there, through this.
    pub(crate) fn go_to(&self, topic: &Topic, sink: &dyn DeadLetterSink) {
        self.0.lock().entry(topic.clone()).or_insert_with(|| sink.letters(topic));
    }
}

impl Shown {
    pub(super) fn show(&self, view: View) {
        *self.0.lock() = Some(Arc::new(view));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Whoever waits hears that nobody is left to do it.
        drop(self.seeks());
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.overrides.borrow().fmt(f)
    }
}
