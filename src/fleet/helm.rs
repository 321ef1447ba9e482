//! The helm: writes what operators order, and has this process's daemons do it.
//!
//! What they order stands in a compacted topic of one partition, which every process reads from its beginning to its end, and each second what was
//! written since. Its keys are a program's name and an order's; a value is an [`Entry`], or none for what is taken back. The invariant: the daemons are
//! as the log says, up to the offset that is told; where it can't be written, what is ordered of this process holds in this process alone.

mod commands;
mod deeds;
mod following;
mod places;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::commands::Commands;
pub(crate) use self::commands::{Carried, Command, Meant, Stands};
pub(crate) use self::deeds::Deed;
use self::deeds::Deeds;
use self::following::steer;
use super::overrides::{Entry, Overrides, Standing};
use super::report::{Answer, Steered};
use super::{Trouble, make};
use crate::api::Instance;
use crate::dead_letters::shelf::Shelf;
use crate::producer::{Producer, SendError};
use crate::record::{Offset, OwnedRecord, Topic};
use crate::supervisor::Roster;

/// How often it is looked for more.
const PERIOD: Duration = Duration::from_secs(1);
/// The same where nobody else writes, and it is the clock alone that is looked at.
const ALONE: Duration = Duration::from_secs(60);
/// How long to wait before it is tried anew …
const AGAIN: Duration = Duration::from_secs(5);
/// … and while daemons wait for it to begin.
const SOON: Duration = Duration::from_millis(250);
/// How long an order may take to be written …
const PATIENCE: Duration = Duration::from_secs(4);
/// … and then to be read here.
const READ: Duration = Duration::from_secs(2);
/// What stands between a program's name and an order's.
const SEPARATOR: char = '/';

/// See the module. Dropping it ends it.
pub(super) struct Helm {
    shared: Arc<Shared>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    program: String,
    topic: Topic,
    producer: Producer,
    shelf: Arc<dyn Shelf>,
    roster: Roster,
    overrides: Mutex<Overrides>,
    answers: Mutex<VecDeque<Answer>>,
    /// What was done in all processes …
    deeds: Deeds,
    /// … and ordered.
    commands: Commands,
    /// The offset that is read next; `None` before the log was read once.
    read: watch::Sender<Option<Offset>>,
    trouble: Trouble,
    /// Somebody has written an order here, or wants to know all that there are.
    nudge: Notify,
    /// How often that was asked for, and of those how many have been answered.
    asked: AtomicU64,
    answered: watch::Sender<u64>,
    /// The others ought to hear of this process.
    news: Notify,
    /// How often it is looked for more.
    period: Duration,
}

/// What others are to hear of what this process knows of orders.
pub(super) struct Steering(Arc<Shared>);

impl Steering {
    /// Resolves when there is more to tell.
    pub(super) async fn news(&self) {
        self.0.news.notified().await;
    }

    pub(super) fn steered(&self) -> Steered {
        self.0.steered()
    }
}

/// Why an order may not hold everywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderTrouble {
    #[error("it holds in this process alone, until its end: {0}")]
    Unwritten(String),
    #[error("it holds in this process, whether for the others is not known: {0}")]
    Unacknowledged(String),
    #[error("it stands for all processes, this one has not read it yet: {0}")]
    Unread(String),
    #[error("it stands for all processes, but which of the others obey is not known: {0}")]
    Unseen(String),
    #[error("what was ordered before is not known here: {0}")]
    Unknown(String),
}

/// Why a record does not stand in the log, as far as that is known.
#[derive(Debug, thiserror::Error)]
enum NotPut {
    #[error("{0}")]
    Refused(String),
    /// It may yet.
    #[error("{0}")]
    Late(String),
}

impl From<NotPut> for OrderTrouble {
    fn from(error: NotPut) -> Self {
        match error {
            NotPut::Refused(why) => Self::Unwritten(why),
            NotPut::Late(why) => Self::Unacknowledged(why),
        }
    }
}

impl OrderTrouble {
    /// Whether it may stand for nobody else.
    pub(super) fn is_unwritten(&self) -> bool {
        matches!(self, Self::Unwritten(_) | Self::Unacknowledged(_))
    }
}

/// An order that was written: whoever has read up to there knows of it. The default is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ordered(Option<Offset>);

impl Ordered {
    /// Where it stands, where there was something to order.
    pub(super) fn offset(self) -> Option<i64> {
        self.0.map(|offset| offset.0)
    }

    /// Whether a process that has read up to this offset knows of it.
    pub(super) fn is_known(self, read: Option<i64>) -> bool {
        self.0.is_none_or(|order| read.is_some_and(|read| read > order.0))
    }
}

impl Helm {
    pub(super) fn start(
        topic: Topic,
        (producer, shelf): (Producer, Arc<dyn Shelf>),
        instance: &Instance,
        roster: Roster,
        is_alone: bool,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let (deeds, done) = Deeds::new(deeds::UNTOLD);
        let (commands, ordered) = Commands::new(commands::UNTOLD);
        let shared = Arc::new(Shared {
            program: instance.program.clone(),
            topic,
            producer,
            shelf,
            roster,
            overrides: Mutex::default(),
            answers: Mutex::default(),
            deeds,
            commands,
            read: watch::Sender::new(None),
            trouble: Trouble::of("what operators have ordered can't be read"),
            nudge: Notify::new(),
            asked: AtomicU64::new(0),
            answered: watch::Sender::new(0),
            news: Notify::new(),
            period: if is_alone { ALONE } else { PERIOD },
        });
        let stop = CancellationToken::new();
        let (steering, stopped) = (Arc::clone(&shared), stop.clone());
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => {}
                    () = steer(&steering) => {}
                    () = places::tell(&steering, &steering.deeds, done) => {}
                    () = places::tell(&steering, &steering.commands, ordered) => {}
                }
            });
            // What still asks a broker is not waited for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("daemonry-helm".to_owned()).spawn(work)?;
        Ok(Self { shared, stop, thread: Some(thread) })
    }

    /// What the others are to hear of it.
    pub(super) fn steering(&self) -> Steering {
        Steering(Arc::clone(&self.shared))
    }

    /// Why it may not know all that was ordered.
    pub(super) fn trouble(&self) -> Option<String> {
        self.shared.trouble.known()
    }

    /// Waits until the log was read once. What is in the way may go: daemons that begin without it do what operators have told them not to.
    pub(super) async fn settled(&self, patience: Duration) {
        let mut read = self.shared.read.subscribe();
        if timeout(patience, read.wait_for(Option::is_some)).await.is_err() {
            let (trouble, topic) = (self.trouble(), &self.shared.topic);
            tracing::warn!(?patience, trouble, %topic, "what operators have changed is not known yet, daemons start without it");
        }
    }

    /// Reads all that was ordered until now.
    pub(super) async fn refresh(&self) -> Result<(), OrderTrouble> {
        let number = self.shared.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.shared.nudge.notify_one();
        let mut answered = self.shared.answered.subscribe();
        match timeout(READ, answered.wait_for(|answered| *answered >= number)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(OrderTrouble::Unknown(self.unread())),
        }
    }

    fn unread(&self) -> String {
        let topic = &self.shared.topic;
        self.trouble().unwrap_or_else(|| format!("`{topic}` could not be read within {READ:?}"))
    }

    /// The daemons that it steers.
    pub(super) fn roster(&self) -> Roster {
        self.shared.roster.clone()
    }

    /// What operators have changed, the earliest first.
    pub(super) fn standing(&self) -> Vec<Standing> {
        self.shared.overrides.lock().all().to_vec()
    }

    /// What this process knows of what was ordered.
    pub(super) fn steered(&self) -> Steered {
        self.shared.steered()
    }

    /// Orders this: each entry stands, and each that `gone` names no longer does. Done here when it returns without trouble. Where it could not be
    /// written it holds here alone.
    pub(super) async fn order(&self, entries: Vec<Entry>, gone: Vec<String>) -> (Ordered, Option<OrderTrouble>) {
        let (mut ordered, mut trouble): (_, Option<OrderTrouble>) = (Ordered(None), None);
        let until = Instant::now() + PATIENCE;
        let orders = entries.into_iter().map(|entry| (entry.id().to_owned(), Some(entry)));
        // First what is new: nothing is as it was before in between.
        for (id, entry) in orders.chain(gone.into_iter().map(|id| (id, None))) {
            // One that fails is enough: each takes its time.
            if trouble.is_none() {
                match self.shared.write(&id, entry.as_ref(), until).await {
                    Ok(offset) => ordered = Ordered(Some(offset)),
                    Err(error) => trouble = Some(error.into()),
                }
            }
            if trouble.is_some() {
                self.shared.obey_alone(&id, entry);
            }
        }
        if trouble.is_some() {
            return (ordered, trouble);
        }
        self.shared.nudge.notify_one();
        let mut read = self.shared.read.subscribe();
        let known = read.wait_for(|read| ordered.is_known(read.map(|offset| offset.0)));
        match timeout(READ, known).await {
            Ok(Ok(_)) => (ordered, None),
            Ok(Err(_)) | Err(_) => (ordered, Some(OrderTrouble::Unread(self.unread()))),
        }
    }
}

impl Drop for Helm {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("what has the daemons do as operators want panicked");
        }
    }
}

impl Shared {
    /// What nobody else hears of.
    fn obey_alone(&self, id: &str, entry: Option<Entry>) {
        let mut overrides = self.overrides.lock();
        match entry {
            Some(Entry::Override(new)) => drop(overrides.set(new, true)),
            Some(Entry::Errand(_)) => {}
            None => drop(overrides.lift(id)),
        }
        drop(overrides);
        self.apply();
        // Its end may be the next one.
        self.nudge.notify_one();
    }

    async fn write(&self, id: &str, entry: Option<&Entry>, until: Instant) -> Result<Offset, NotPut> {
        let value = entry.map(serde_json::to_vec).transpose();
        let value = value.map_err(|error| NotPut::Refused(error.to_string()))?;
        self.put("an order", &format!("{}{SEPARATOR}{id}", self.program), value, until).await
    }

    async fn put(&self, what: &str, key: &str, value: Option<Vec<u8>>, until: Instant) -> Result<Offset, NotPut> {
        let left = || until.saturating_duration_since(Instant::now());
        let record = OwnedRecord { value, ..OwnedRecord::default() }.with_key(key);
        let topic = self.topic.as_str();
        let sent = match timeout(left(), self.producer.send(topic, record.clone())).await {
            Ok(Err(SendError::UnknownTopic(_))) => {
                make(&self.topic, Arc::clone(&self.shelf)).await.map_err(NotPut::Refused)?;
                timeout(left(), self.producer.send(topic, record)).await
            }
            sent => sent,
        };
        let sent =
            sent.map_err(|_| NotPut::Late(format!("{what} to `{topic}` was not acknowledged within {PATIENCE:?}")))?;
        let refused = |error| NotPut::Refused(format!("{what} can't be written to `{topic}`: {error}"));
        sent.map(|sent| sent.offset).map_err(refused)
    }

    fn steered(&self) -> Steered {
        let read = self.read.borrow().map(|offset| offset.0);
        Steered { read, answers: self.answers.lock().iter().cloned().collect() }
    }
}
