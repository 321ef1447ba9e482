//! The lookout: reads what the others tell of themselves, for as long as somebody looks.
//!
//! The first look makes a thread with a client of its own, which goes a minute after the last one. Each second it reads what was written since;
//! at first that is what was written in the last minute, since everybody tells of themselves more often.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use super::members::Members;
use super::{FleetConfig, Report, Sighting, Trouble};
use crate::api::Instance;
use crate::dead_letters::LettersError;
use crate::dead_letters::shelf::{Reader, Shelf, Span, Stop, StopOnDrop};
use crate::dead_letters::tail::{Ahead, Tail};
use crate::record::{Record, Timestamp, Topic};

/// How often it is looked for more.
const PERIOD: Duration = Duration::from_secs(1);
/// How long it is looked on behind the last question.
const LINGER: Duration = Duration::from_secs(60);
/// How far back it is read at first.
const BACK: Duration = Duration::from_secs(60);
/// How long to wait before it is tried anew.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a question may wait for the first answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Lookout {
    watched: Arc<Watched>,
    // Ends the thread with this.
    stop: StopOnDrop,
}

struct Watched {
    program: String,
    /// This process's own name: it knows itself better.
    own: String,
    topic: Topic,
    shelf: Arc<dyn Shelf>,
    state: Mutex<State>,
    trouble: Trouble,
    /// How often it was looked, or tried to.
    rounds: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    members: Members,
    /// When somebody asked last; `None` while no thread looks.
    asked: Option<Instant>,
    /// It was looked once, or tried to.
    has_looked: bool,
}

impl Lookout {
    pub(super) fn new(config: &FleetConfig, instance: &Instance) -> Self {
        let watched = Watched {
            program: instance.program.clone(),
            own: instance.id.clone(),
            topic: config.topic.clone(),
            shelf: Arc::clone(&config.shelf),
            state: Mutex::default(),
            trouble: Trouble::of("the others can't be seen"),
            rounds: watch::Sender::new(0),
        };
        Self { watched: Arc::new(watched), stop: StopOnDrop::default() }
    }

    /// What is known by now.
    pub(super) fn seen(&self) -> Sighting {
        let now = Instant::now();
        let mut state = self.watched.state.lock();
        let looks = state.asked.replace(now).is_some();
        let others = state.members.all(now);
        drop(state);
        if !looks {
            self.begin();
        }
        Sighting { others, trouble: self.watched.trouble.known() }
    }

    /// What is known once it was looked.
    pub(super) async fn look(&self) -> Sighting {
        let mut rounds = self.watched.rounds.subscribe();
        drop(self.seen());
        if !self.watched.state.lock().has_looked {
            timeout(PATIENCE, rounds.changed()).await.ok();
        }
        self.seen()
    }

    fn begin(&self) {
        let (watched, stop) = (Arc::clone(&self.watched), self.stop.0.clone());
        let looking = thread::Builder::new().name("daemonry-lookout".to_owned()).spawn(move || watched.watch(&stop));
        if let Err(error) = looking {
            self.watched.trouble.note(Err(format!("no thread can be started: {error}")));
            self.watched.state.lock().asked = None;
        }
    }
}

impl Watched {
    fn watch(&self, stop: &Stop) {
        let mut rest = Duration::ZERO;
        while stop.wait_until(Instant::now() + rest).is_ok() && self.is_wanted() {
            match self.follow(stop) {
                Ok(()) | Err(LettersError::Stopped) => return,
                Err(error) => {
                    self.looked(Err(format!("the reports can't be read: {error}")));
                    rest = AGAIN;
                }
            }
        }
    }

    /// How it went this time.
    fn looked(&self, went: Result<(), String>) {
        self.trouble.note(went);
        self.state.lock().has_looked = true;
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    /// Whether somebody still looks; whoever does next begins anew where nobody does.
    fn is_wanted(&self) -> bool {
        let mut state = self.state.lock();
        if state.asked.is_some_and(|asked| asked.elapsed() < LINGER) {
            return true;
        }
        *state = State::default();
        false
    }

    /// Reads what is written, until nobody looks any more.
    fn follow(&self, stop: &Stop) -> Result<(), LettersError> {
        let mut reader = self.shelf.reader(stop)?;
        let mut tail = Tail::default();
        let mut is_live = false;
        loop {
            let ahead = tail.look(&mut *reader, &self.topic)?;
            let Ahead { whole, mut spans, .. } = ahead.ok_or_else(|| LettersError::UnknownTopic(self.topic.clone()))?;
            if !is_live {
                reader.skip_to(&self.topic, &mut spans, Timestamp::now() - BACK)?;
                spans.retain(|span| span.from < span.end);
            }
            self.read(&mut *reader, &spans, is_live)?;
            tail.reached(&whole);
            is_live = true;
            self.looked(Ok(()));
            stop.wait_until(Instant::now() + PERIOD)?;
            if !self.is_wanted() {
                return Ok(());
            }
        }
    }

    fn read(&self, reader: &mut dyn Reader, spans: &[Span], is_live: bool) -> Result<(), LettersError> {
        if spans.is_empty() {
            return Ok(());
        }
        reader.open(&self.topic, spans)?;
        while let Some(record) = reader.next()? {
            self.hear(&record, is_live);
        }
        Ok(())
    }

    fn hear(&self, record: &Record, is_live: bool) {
        let Some(id) = record.key().and_then(|key| std::str::from_utf8(key).ok()).filter(|id| *id != self.own) else {
            return;
        };
        let now = Instant::now();
        let written = record.timestamp().map_or(0, Timestamp::as_millis);
        // Machines' clocks differ: what comes in now was written now.
        let age = if is_live { 0 } else { Timestamp::now().as_millis().saturating_sub(written) };
        let at = now.checked_sub(Duration::from_millis(age)).unwrap_or(now);
        let report = match record.value() {
            None => None,
            // What a later version tells may be of another shape, and another program's is not ours to show.
            Some(value) => match serde_json::from_slice::<Report>(value) {
                Ok(report) if report.instance.program == self.program => Some(report),
                Ok(_) | Err(_) => return,
            },
        };
        self.state.lock().members.hear(id, report, at);
    }
}
