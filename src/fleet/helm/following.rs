//! Following the log of orders: what was written since the last look is read, the daemons are made to be as it says, and what is to be done once is
//! done. The invariant: an override that is over is none any more, whatever the brokers are at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::log::{PARTITION, Page, read_on};
use super::super::orders::{NotSought, seek_here};
use super::super::overrides::{Entry, Errand, Override, Seek};
use super::super::report::Answer;
use super::super::{SETTLED, make};
use super::{AGAIN, PATIENCE, SEPARATOR, SOON, Shared};
use crate::dead_letters::LettersError;
use crate::dead_letters::shelf::{Reader, StopOnDrop};
use crate::dead_letters::tail::Tail;
use crate::pipeline::control::Layer;
use crate::record::{Record, Timestamp, TopicPartition};

/// What was over for so long when it is read first is taken out of the log: no clock is so wrong that somebody would miss it.
const STALE: Duration = Duration::from_secs(3600);
/// By so many milliseconds another process's clock may be wrong for an order of it to be carried out.
const LATE: u64 = 30_000;
/// Answers that are told.
const ANSWERS: usize = 20;

/// What is to be done about a page.
#[derive(Default)]
struct Heard {
    /// Once.
    todo: Vec<Errand>,
    /// Orders that nobody needs any more, by their names.
    stale: Vec<String>,
}

/// Follows it for ever.
pub(super) async fn steer(shared: &Arc<Shared>) {
    let mut reader: Option<Box<dyn Reader>> = None;
    let begun = Instant::now();
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
                rest = if shared.read.borrow().is_none() && begun.elapsed() < SETTLED { SOON } else { AGAIN };
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
            if self.deeds.hear(record, &self.program) || self.commands.hear(record, &self.program) {
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

    /// Has each daemon be as it is to be now.
    pub(super) fn apply(&self) {
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
        _ if late > LATE => {
            let why = format!("it was asked for {late} ms too long ago, unless clocks differ: ask again");
            Err(NotSought::Elsewhere(why))
        }
        Ok(to) => seek_here(&control, place, to).await,
        Err(wrong) => Err(NotSought::Elsewhere(wrong)),
    };
    let mut answers = shared.answers.lock();
    if answers.len() == ANSWERS {
        answers.pop_front();
    }
    let is_open = went.as_ref().is_err_and(NotSought::is_open);
    let (next, refused) = (went.as_ref().ok().copied(), went.err().map(|why| why.to_string()));
    answers.push_back(Answer { id, next, refused, is_open });
    drop(answers);
    shared.news.notify_one();
}

fn tell(what: &str, Override { id, daemon, change, by, reason, until, .. }: &Override) {
    tracing::info!(daemon, id, %change, by, reason, until, "{what}");
}
