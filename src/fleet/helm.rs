//! The helm: reads what operators have ordered, and has this process's daemons do it.
//!
//! What they order stands in a compacted topic of one partition, which every process reads from its beginning to its end, and each second what was
//! written since. Its keys are a program's name and an order's; a value is an [`Entry`], or none for what is taken back. The invariant: the daemons are
//! as the log says, up to the offset that is told; where it can't be written, what is ordered of this process holds in this process alone.

mod deeds;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use self::deeds::Deed;
use self::deeds::Deeds;
use super::log::{PARTITION, Page, read_on};
use super::orders::seek_here;
use super::overrides::{Entry, Errand, Override, Overrides, Seek, Standing};
use super::report::{Answer, Steered};
use super::{Trouble, make};
use crate::api::Instance;
use crate::dead_letters::LettersError;
use crate::dead_letters::shelf::{Reader, Shelf, StopOnDrop};
use crate::dead_letters::tail::Tail;
use crate::pipeline::control::Layer;
use crate::producer::{Producer, SendError};
use crate::record::{Offset, OwnedRecord, Record, Timestamp, Topic, TopicPartition};
use crate::supervisor::Roster;

/// How often it is looked for more.
const PERIOD: Duration = Duration::from_secs(1);
/// The same where nobody else writes, and it is the clock alone that is looked at.
const ALONE: Duration = Duration::from_secs(60);
/// What was over for so long when it is read first is taken out of the log: no clock is so wrong that somebody would miss it.
const STALE: Duration = Duration::from_secs(3600);
/// How long to wait before it is tried anew.
const AGAIN: Duration = Duration::from_secs(5);
/// How long an order may take to be written …
const PATIENCE: Duration = Duration::from_secs(4);
/// … and then to be read here.
const READ: Duration = Duration::from_secs(2);
/// By so many milliseconds another process's clock may be wrong for an order of it to be carried out.
const LATE: u64 = 30_000;
/// Answers that are told.
const ANSWERS: usize = 20;
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
    /// What was done in all processes.
    deeds: Deeds,
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
    #[error("it stands for all processes, this one has not read it yet: {0}")]
    Unread(String),
    #[error("it stands for all processes, but which of the others obey is not known: {0}")]
    Unseen(String),
    #[error("what was ordered before is not known here: {0}")]
    Unknown(String),
}

/// An order that was written: whoever has read up to there knows of it. The default is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ordered(Option<Offset>);

impl Ordered {
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
        let (deeds, to_tell) = Deeds::new();
        let shared = Arc::new(Shared {
            program: instance.program.clone(),
            topic,
            producer,
            shelf,
            roster,
            overrides: Mutex::default(),
            answers: Mutex::default(),
            deeds,
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
                    () = deeds::tell(&steering, to_tell) => {}
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

    /// Waits until the log was read once, or could not be.
    pub(super) async fn settled(&self, patience: Duration) {
        let mut read = self.shared.read.subscribe();
        let known = async {
            while read.borrow_and_update().is_none() && self.trouble().is_none() {
                if read.changed().await.is_err() {
                    return;
                }
            }
        };
        if timeout(patience, known).await.is_err() {
            tracing::warn!(?patience, topic = %self.shared.topic, "what operators have changed is not known yet, daemons start without it");
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
        let (mut ordered, mut trouble) = (Ordered(None), None);
        let until = Instant::now() + PATIENCE;
        let orders = entries.into_iter().map(|entry| (entry.id().to_owned(), Some(entry)));
        // First what is new: nothing is as it was before in between.
        for (id, entry) in orders.chain(gone.into_iter().map(|id| (id, None))) {
            // One that fails is enough: each takes its time.
            if trouble.is_none() {
                match self.shared.write(&id, entry.as_ref(), until).await {
                    Ok(offset) => ordered = Ordered(Some(offset)),
                    Err(error) => trouble = Some(error),
                }
            }
            if trouble.is_some() {
                self.shared.obey_alone(&id, entry);
            }
        }
        if let Some(why) = trouble {
            return (ordered, Some(OrderTrouble::Unwritten(why)));
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

/// What is to be done about a page.
#[derive(Default)]
struct Heard {
    /// Once.
    todo: Vec<Errand>,
    /// Orders that nobody needs any more, by their names.
    stale: Vec<String>,
}

async fn steer(shared: &Arc<Shared>) {
    let mut reader: Option<Box<dyn Reader>> = None;
    let (mut tail, mut is_made, mut errands) = (Tail::default(), false, JoinSet::new());
    // Ends what still reads when this ends.
    let stop = StopOnDrop::default();
    loop {
        let asked = shared.asked.load(Ordering::SeqCst);
        let went = async {
            if !is_made {
                make(&shared.topic, Arc::clone(&shared.shelf)).await?;
                is_made = true;
            }
            let known = (reader.take(), tail.clone(), Arc::clone(shared), stop.0.clone());
            let mut reading = tokio::task::spawn_blocking(move || {
                let (reader, tail, shared, stop) = known;
                read_on(reader, tail, (&*shared.shelf, &shared.topic), &stop)
            });
            let read = loop {
                tokio::select! {
                    read = &mut reading => break read,
                    // What ends doesn't wait for a broker.
                    () = shared.next_end() => shared.apply(),
                }
            };
            read.map_err(|error| error.to_string())?.map_err(|error| {
                is_made &= !matches!(error, LettersError::UnknownTopic(_));
                format!("what operators have changed can't be read: {error}")
            })
        };
        let mut rest = shared.period;
        match went.await {
            Ok(page) => {
                let Heard { todo, stale } = shared.hear(&page);
                for errand in todo {
                    errands.spawn(run(Arc::clone(shared), errand));
                }
                (reader, tail) = (Some(page.reader), page.tail);
                shared.trouble.note(Ok(()));
                let next = tail.next(PARTITION);
                if shared.read.send_replace(next) != next {
                    shared.news.notify_one();
                }
                shared.answered.send_replace(asked);
                if !stale.is_empty() {
                    errands.spawn(clean(Arc::clone(shared), stale));
                }
            }
            Err(trouble) => {
                shared.trouble.note(Err(trouble));
                // Whoever waits for the first time hears of it.
                shared.read.send_modify(|_| {});
                rest = AGAIN;
            }
        }
        shared.wait(rest, &mut errands).await;
    }
}

impl Shared {
    /// Has the daemons be as the log says.
    fn hear(&self, page: &Page) -> Heard {
        let mut errands: BTreeMap<String, Errand> = BTreeMap::new();
        let stale_at = (Timestamp::now() - STALE).as_millis();
        let mut stale = BTreeSet::new();
        let mut overrides = self.overrides.lock();
        if page.is_new {
            overrides.begin_anew();
        }
        for record in &page.records {
            if self.deeds.hear(record, &self.program) {
                continue;
            }
            let Some(id) = self.named(record) else { continue };
            let Some(value) = record.value() else {
                errands.remove(id);
                stale.remove(id);
                if let Some(gone) = overrides.lift(id) {
                    tell("an override is taken back", &gone);
                }
                continue;
            };
            match serde_json::from_slice(value) {
                Ok(Entry::Override(old)) if page.is_new && old.id == id && old.until <= stale_at => {
                    stale.insert(old.id);
                }
                Ok(Entry::Override(new)) if new.id == id => {
                    if overrides.set(new.clone(), false) {
                        tell("operators have changed a daemon", &new);
                    }
                }
                // What was to be done before this process read is done, or was given up.
                Ok(Entry::Errand(errand)) if errand.id == id && !page.is_new => {
                    errands.insert(errand.id.clone(), errand);
                }
                Ok(Entry::Errand(old)) if old.id == id && old.until <= stale_at => drop(stale.insert(old.id)),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, id, topic = %self.topic, "an order can't be read, it is passed over")
                }
            }
        }
        drop(overrides);
        self.apply();
        Heard { todo: errands.into_values().collect(), stale: stale.into_iter().collect() }
    }

    /// The name of the order, where it is one of this program's.
    fn named<'r>(&self, record: &'r Record) -> Option<&'r str> {
        let key = std::str::from_utf8(record.key()?).ok()?;
        key.rsplit_once(SEPARATOR).filter(|(program, _)| *program == self.program).map(|(_, id)| id)
    }

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

    /// Has each daemon be as it is to be now.
    fn apply(&self) {
        let mut overrides = self.overrides.lock();
        for over in overrides.expire(Timestamp::now().as_millis()) {
            tell("an override is over", &over);
        }
        let (layers, nothing) = (overrides.layers(), Layer::default());
        for (daemon, seat) in self.roster.seats() {
            seat.operate(layers.get(&*daemon).unwrap_or(&nothing));
        }
    }

    /// Until there is more to read; keeps up with what ends meanwhile.
    async fn wait(&self, rest: Duration, errands: &mut JoinSet<()>) {
        let until = tokio::time::Instant::now() + rest;
        loop {
            tokio::select! {
                () = self.nudge.notified() => return,
                () = tokio::time::sleep_until(until) => return,
                Some(_) = errands.join_next() => {}
                () = self.next_end() => self.apply(),
            }
        }
    }

    /// Until the next override is over.
    async fn next_end(&self) {
        let end = self.overrides.lock().next_end();
        match end {
            Some(end) => {
                let left = end.saturating_sub(Timestamp::now().as_millis());
                tokio::time::sleep(Duration::from_millis(left)).await;
            }
            None => std::future::pending().await,
        }
    }

    async fn write(&self, id: &str, entry: Option<&Entry>, until: Instant) -> Result<Offset, String> {
        let value = entry.map(serde_json::to_vec).transpose().map_err(|error| error.to_string())?;
        self.put("an order", &format!("{}{SEPARATOR}{id}", self.program), value, until).await
    }

    async fn put(&self, what: &str, key: &str, value: Option<Vec<u8>>, until: Instant) -> Result<Offset, String> {
        let left = || until.saturating_duration_since(Instant::now());
        let record = OwnedRecord { value, ..OwnedRecord::default() }.with_key(key);
        let topic = self.topic.as_str();
        let sent = match timeout(left(), self.producer.send(topic, record.clone())).await {
            Ok(Err(SendError::UnknownTopic(_))) => {
                make(&self.topic, Arc::clone(&self.shelf)).await?;
                timeout(left(), self.producer.send(topic, record)).await
            }
            sent => sent,
        };
        let sent = sent.map_err(|_| format!("{what} to `{topic}` was not acknowledged within {PATIENCE:?}"))?;
        sent.map(|sent| sent.offset).map_err(|error| format!("{what} can't be written to `{topic}`: {error}"))
    }

    fn steered(&self) -> Steered {
        let read = self.read.borrow().map(|offset| offset.0);
        Steered { read, answers: self.answers.lock().iter().cloned().collect() }
    }
}

/// Takes these orders out of the log. Where that fails, whoever begins next tries it again.
async fn clean(shared: Arc<Shared>, stale: Vec<String>) {
    for id in stale {
        if shared.write(&id, None, Instant::now() + PATIENCE).await.is_err() {
            return;
        }
    }
}

/// Has a partition go on elsewhere, where it is this process's, and notes what came of it.
async fn run(shared: Arc<Shared>, errand: Errand) {
    let Errand { id, until, seek } = errand;
    let Seek { daemon, topic, partition, to, by, reason } = seek;
    let seats = shared.roster.seats();
    let control = seats.iter().find(|(name, _)| **name == *daemon).and_then(|(_, seat)| seat.control());
    let place = TopicPartition::new(topic, partition);
    let Some(control) = control.filter(|control| control.view().is_some_and(|view| view.has(&place))) else { return };
    tracing::info!(daemon, %place, ?to, by, reason, "asked by another process to go on elsewhere");
    let late = Timestamp::now().as_millis().saturating_sub(until);
    let went = match to.meant() {
        _ if late > LATE => Err(format!("it was asked for {late} ms too long ago, unless clocks differ: ask again")),
        Ok(to) => seek_here(&control, place, to).await.map_err(|error| error.to_string()),
        Err(wrong) => Err(wrong),
    };
    let mut answers = shared.answers.lock();
    if answers.len() == ANSWERS {
        answers.pop_front();
    }
    let (next, refused) = (went.as_ref().ok().copied(), went.err());
    answers.push_back(Answer { id, next, refused });
    drop(answers);
    shared.news.notify_one();
}

fn tell(what: &str, Override { id, daemon, change, by, reason, until, .. }: &Override) {
    tracing::info!(daemon, id, %change, by, reason, until, "{what}");
}
