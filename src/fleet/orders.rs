//! Orders: what operators want done by all processes, and who of them is known to have heard of it.

use std::sync::atomic::{self, AtomicU16};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::helm::{OrderTrouble, Ordered};
use super::lacks::lacking;
use super::overrides::{Change, Entry, Errand, Override, Seek, Standing};
use super::{Carried, Command, Fleet, Meant, Report, Reported, Stands, Steered};
use crate::api::shown::{Patterns, Scope, millis};
use crate::pipeline::control::Control;
use crate::pipeline::seek::{SeekError, SeekTo};
use crate::record::{Timestamp, TopicPartition};

/// No override holds for longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long a daemon may take to have a partition go on elsewhere; a connection's time is longer.
const SEEK: Duration = Duration::from_secs(8);
/// How long to wait for the others to hear of an order.
const REACH: Duration = Duration::from_secs(4);
/// How long to wait until one of them has done what is done once; a connection's time is longer.
const DONE: Duration = Duration::from_millis(8_500);
/// How long a refusal may be followed by the answer of who has the partition by now.
const DOUBT: Duration = Duration::from_secs(2);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// What is to be changed of a daemon.
pub(crate) struct Order {
    pub(crate) daemon: String,
    /// In words.
    pub(crate) what: String,
    /// What of the daemon it is about.
    pub(crate) about: Scope,
    pub(crate) changes: Vec<Change>,
    /// Who wants it …
    pub(crate) by: String,
    /// … and why.
    pub(crate) reason: String,
    /// For how long, [`LONGEST`] at most.
    pub(crate) lasts: Duration,
}

/// What is told of an order.
struct Ordering<'a> {
    daemon: &'a str,
    what: String,
    about: &'a Scope,
    by: &'a str,
    reason: &'a str,
}

/// What came of an order.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The processes that are heard of, this one first.
    pub(crate) reached: Vec<Reached>,
    /// Why it may not hold everywhere.
    pub(crate) trouble: Option<OrderTrouble>,
    /// Until when what was changed holds; `None` where something was taken back.
    pub(crate) until: Option<u64>,
}

/// A process, and whether it does as was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Reached {
    /// Its `id`.
    pub(crate) instance: String,
    /// It is known to do as was ordered.
    pub(crate) obeys: bool,
    /// What it has not of what the order is about; left out where it has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lacks: Option<String>,
}

/// How many do as was ordered, and of how many: of those that have what it is about, or of all where none has.
pub(crate) fn tally(reached: &[Reached]) -> (usize, usize) {
    let has = || reached.iter().filter(|one| one.lacks.is_none());
    match has().count() {
        0 => (0, reached.len()),
        all => (has().filter(|one| one.obeys).count(), all),
    }
}

/// Where a partition goes on, or why it doesn't.
pub(crate) type Sought = Result<i64, NotSought>;

impl Fleet {
    /// Changes this of a daemon in all processes; what stands already and is `replaced` by it is taken back. Done here when it returns.
    pub(crate) async fn order(&self, order: Order, replaced: impl Fn(&Change) -> bool) -> Outcome {
        let Order { daemon, what, about, changes, by, reason, lasts } = order;
        let at = Timestamp::now().as_millis();
        let until = at.saturating_add(millis(lasts));
        let is_set = !changes.is_empty();
        let told = Ordering { daemon: &daemon, what, about: &about, by: &by, reason: &reason };
        let mut command = self.command(at, told);
        command.until = is_set.then_some(until);
        // Another process may have ordered a moment ago what this one is asked to take back.
        let unknown = self.helm.refresh().await.err();
        let gone = self.helm.standing().into_iter().map(|known| known.of);
        let gone = gone.filter(|of| of.daemon == daemon && replaced(&of.change)).map(|of| of.id).collect();
        let entries = changes.into_iter().map(|change| {
            let (id, daemon, by, reason) = (name(at), daemon.clone(), by.clone(), reason.clone());
            Entry::Override(Override { id, daemon, change, by, reason, at, until })
        });
        let outcome = self.tell(entries.collect(), gone, command, &about).await;
        Outcome { until: is_set.then_some(until), trouble: outcome.trouble.or(unknown), ..outcome }
    }

    /// Takes an override back; `None` where there is none of this name.
    pub(crate) async fn lift(&self, id: &str, by: &str, reason: &str) -> Option<(Standing, Outcome)> {
        self.helm.refresh().await.ok();
        let known = self.helm.standing().into_iter().find(|known| known.of.id == id)?;
        let what = format!("lifted {}, which {} had ordered", known.of.change, known.of.by);
        let about = known.of.change.about();
        let told = Ordering { daemon: &known.of.daemon, what, about: &about, by, reason };
        let command = self.command(Timestamp::now().as_millis(), told);
        let outcome = self.tell(Vec::new(), vec![id.to_owned()], command, &about).await;
        Some((known, outcome))
    }

    /// What operators have changed, the earliest first.
    pub(crate) fn standing(&self) -> Vec<Standing> {
        self.helm.standing()
    }

    /// Why not all of that may be known.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.helm.trouble()
    }

    /// What this process knows of what was ordered.
    pub(crate) fn steered(&self) -> Steered {
        self.helm.steered()
    }

    async fn tell(&self, entries: Vec<Entry>, gone: Vec<String>, mut command: Command, about: &Scope) -> Outcome {
        let (begun, is_nothing) = (Instant::now(), entries.is_empty() && gone.is_empty());
        let (ordered, trouble) = if is_nothing { Default::default() } else { self.helm.order(entries, gone).await };
        command.stands = match (&trouble, ordered.offset()) {
            (Some(trouble), _) if trouble.is_unwritten() => Stands::HereAlone(trouble.to_string()),
            (_, Some(offset)) => Stands::At(offset),
            (_, None) => Stands::Already,
        };
        let (daemon, is_set) = (command.daemon.clone(), command.until.is_some());
        self.helm.commanded(command.clone());
        let obeys = !matches!(trouble, Some(OrderTrouble::Unread(_)));
        let this = Reached { instance: self.instance.id.clone(), obeys, lacks: None };
        let is_unwritten = trouble.as_ref().is_some_and(OrderTrouble::is_unwritten);
        let mut outcome = if is_unwritten || is_nothing || self.is_alone() {
            Outcome { reached: vec![this], trouble, until: None }
        } else {
            let others = self.reach(ordered, (begun + DONE).min(Instant::now() + REACH)).await;
            // Whoever it is meant for may be known only now: before, perhaps nobody looked.
            self.helm.commanded(Command { meant: self.meant(), ..command });
            let reached = std::iter::once(this).chain(others.reached).collect();
            Outcome { reached, trouble: trouble.or(others.trouble), until: None }
        };
        // What is taken back may be of something that is there no more.
        if is_set {
            self.look_for(&mut outcome.reached, &daemon, about);
        }
        outcome
    }

    /// Says of each what it lacks.
    fn look_for(&self, reached: &mut [Reached], daemon: &str, about: &Scope) {
        let own = Report::whole(&self.instance, &self.helm.roster(), Steered::default());
        let others = self.seen().others;
        let daemons = |id: &str| match others.iter().find(|heard| heard.report.instance.id == id) {
            Some(heard) => &heard.report.daemons[..],
            None => &own.daemons[..],
        };
        let told: Vec<&[Reported]> = reached.iter().map(|one| daemons(&one.instance)).collect();
        // A partition may be that of one that didn't have to hear of it.
        let told_by_all = others.iter().map(|heard| &heard.report.daemons[..]).chain(told.iter().copied());
        let all: Vec<&[Reported]> = told.iter().copied().chain(told_by_all).collect();
        let lacking = lacking(&all, daemon, about, &mut Patterns::default());
        for (one, lacks) in reached.iter_mut().zip(lacking) {
            one.lacks = lacks;
        }
    }

    /// What is ordered here, for all who ask.
    fn command(&self, at: u64, Ordering { daemon, what, about, by, reason }: Ordering<'_>) -> Command {
        Command {
            id: name(at),
            at,
            daemon: daemon.to_owned(),
            what,
            topic: about.topic.clone(),
            partition: about.partition,
            by: by.to_owned(),
            reason: reason.to_owned(),
            until: None,
            asked: self.instance.clone(),
            meant: self.meant(),
            stands: Stands::Pending,
            answer: None,
        }
    }

    /// All processes, as far as they were heard of.
    fn meant(&self) -> Vec<Meant> {
        let others = if self.is_alone() { Vec::new() } else { self.seen().others };
        let others = others.iter().filter(|heard| !heard.is_silent()).map(|heard| Meant::of(&heard.report.instance));
        std::iter::once(Meant::of(&self.instance)).chain(others).collect()
    }

    /// Waits for the others to hear of it, those of which nothing is heard left aside.
    async fn reach(&self, ordered: Ordered, until: Instant) -> Outcome {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let sighting = tokio::time::timeout(left, self.look()).await.unwrap_or_else(|_| self.seen());
            let others = sighting.others.iter().filter(|heard| !heard.is_silent()).map(|heard| Reached {
                instance: heard.report.instance.id.clone(),
                obeys: ordered.is_known(heard.report.steered.read),
                lacks: None,
            });
            let reached: Vec<Reached> = others.collect();
            if reached.iter().all(|one| one.obeys) || Instant::now() >= until {
                return Outcome { reached, trouble: sighting.trouble.map(OrderTrouble::Unseen), until: None };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Has a partition go on elsewhere: by this process where `here` steers it, else by whichever has it.
    ///
    /// # Errors
    /// Why it doesn't, or why that is not known.
    pub(crate) async fn seek(&self, seek: Seek, here: Option<&Control>) -> Sought {
        let Seek { daemon, topic, partition, to, by, reason } = &seek;
        let about = Scope { topic: Some(topic.clone()), partition: Some(*partition), key: None };
        let what = format!("seek {topic}[{partition}] to {to}");
        let mut command =
            self.command(Timestamp::now().as_millis(), Ordering { daemon, what, about: &about, by, reason });
        self.helm.commanded(command.clone());
        let (instance, went) = match here {
            Some(control) => {
                command.stands = Stands::Here;
                let place = TopicPartition::new(topic.as_str(), *partition);
                let went = match to.meant() {
                    Ok(to) => seek_here(control, place, to).await,
                    Err(wrong) => Err(NotSought::Elsewhere(wrong)),
                };
                (Some(self.instance.id.clone()), went)
            }
            None => self.seek_elsewhere(seek.clone(), &mut command).await,
        };
        let (next, error) = (went.as_ref().ok().copied(), went.as_ref().err());
        let (refused, is_open) = (error.map(ToString::to_string), error.is_some_and(NotSought::is_open));
        command.answer = Some(Carried { instance, next, refused, is_open });
        self.helm.commanded(command);
        went
    }

    /// By another process; which one, where it has answered.
    async fn seek_elsewhere(&self, seek: Seek, command: &mut Command) -> (Option<String>, Sought) {
        let until = Instant::now() + DONE;
        let at = Timestamp::now().as_millis();
        let id = name(at);
        let sighting = self.look().await;
        command.meant = self.meant();
        let mut heard = sighting.others.iter().filter(|heard| !heard.is_silent());
        if !heard.any(|heard| may_have(&heard.report.daemons, &seek)) {
            let Seek { topic, partition, .. } = &seek;
            let why = format!("no process that is heard of has {topic}[{partition}] now");
            command.stands = Stands::HereAlone(why.clone());
            return (None, Err(NotSought::Elsewhere(why)));
        }
        let errand = Errand { id: id.clone(), seek, until: at + millis(DONE) };
        let (ordered, trouble) = self.helm.order(vec![Entry::Errand(errand)], Vec::new()).await;
        match trouble {
            Some(OrderTrouble::Unwritten(why)) => {
                command.stands = Stands::HereAlone(why.clone());
                return (None, Err(NotSought::Elsewhere(why)));
            }
            // Whoever has the partition may read it yet.
            Some(OrderTrouble::Unacknowledged(why)) => return (None, Err(NotSought::Open(why))),
            _ => {}
        }
        command.stands = ordered.offset().map_or(Stands::Pending, Stands::At);
        let mut refused: Option<(String, NotSought, Instant)> = None;
        let (by, went) = loop {
            let (sighting, own) = (self.look().await, self.helm.steered());
            let others = sighting.others.iter().flat_map(|heard| {
                heard.report.steered.answers.iter().map(|answer| (&heard.report.instance.id, answer))
            });
            let own = own.answers.iter().map(|answer| (&self.instance.id, answer));
            let mut done = None;
            // The partition may have moved meanwhile: then one refuses what another one does.
            for (by, answer) in others.chain(own).filter(|(_, answer)| answer.id == id) {
                match (answer.next, &answer.refused) {
                    (Some(next), _) => done = Some((by.clone(), next)),
                    (None, Some(why)) if refused.is_none() => {
                        let why = if answer.is_open { NotSought::Open } else { NotSought::Elsewhere }(why.clone());
                        refused = Some((by.clone(), why, Instant::now()));
                    }
                    _ => {}
                }
            }
            if let Some((by, next)) = done {
                break (Some(by), Ok(next));
            }
            if let Some((by, why, _)) =
                refused.take_if(|(.., since)| since.elapsed() >= DOUBT || Instant::now() >= until)
            {
                break (Some(by), Err(why));
            }
            if Instant::now() >= until {
                let why =
                    format!("no process has answered within {DONE:?}: look at the partition before you ask again");
                break (None, Err(NotSought::Open(why)));
            }
            tokio::time::sleep(LOOK).await;
        };
        (by, self.forget(id, went).await)
    }

    /// Nobody is to do it any more who hears of it only now. Where that can't be written it is over soon.
    async fn forget(&self, id: String, went: Sought) -> Sought {
        tokio::time::timeout(LOOK * 5, self.helm.order(Vec::new(), vec![id])).await.ok();
        went
    }
}

/// Why a partition does not go on elsewhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSought {
    /// By this process's doing.
    #[error(transparent)]
    Refused(SeekError),
    #[error("not done within {SEEK:?}, it goes on: look at the partition")]
    Late,
    /// By another process's.
    #[error("{0}")]
    Elsewhere(String),
    /// By another process's, which may do it yet.
    #[error("{0}")]
    Open(String),
}

impl NotSought {
    /// Whether it may be done yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Late | Self::Open(_))
    }
}

/// Has a partition of this process's go on elsewhere, and answers where.
pub(crate) async fn seek_here(control: &Control, place: TopicPartition, to: SeekTo) -> Sought {
    let sought = tokio::time::timeout(SEEK, control.seek(place, to)).await.map_err(|_| NotSought::Late)?;
    sought.map(|next| next.offset().0).map_err(NotSought::Refused)
}

/// Whether this process has the partition, as far as it has told.
fn may_have(daemons: &[super::Reported], seek: &Seek) -> bool {
    let of = daemons.iter().find(|of| of.daemon.name == seek.daemon);
    of.is_some_and(|of| {
        let mut told = of.partitions.iter();
        of.partitions_left_out > 0 || told.any(|one| one.topic == seek.topic && one.partition == seek.partition)
    })
}

/// A name that no other order has. What a process orders within one millisecond sorts as it was ordered: people are told of the latest first.
fn name(at: u64) -> String {
    static NUMBER: AtomicU16 = AtomicU16::new(0);
    let number = NUMBER.fetch_add(1, atomic::Ordering::Relaxed);
    format!("{at:x}-{number:04x}{:08x}", fastrand::u32(..))
}
