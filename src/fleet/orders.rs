//! Orders: what operators want done by all processes, and who of them is known to have heard of it.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::helm::{OrderTrouble, Ordered};
use super::overrides::{Change, Entry, Errand, Override, Seek, Standing};
use super::{Fleet, Steered};
use crate::api::shown::millis;
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
    pub(crate) changes: Vec<Change>,
    /// Who wants it …
    pub(crate) by: String,
    /// … and why.
    pub(crate) reason: String,
    /// For how long, [`LONGEST`] at most.
    pub(crate) lasts: Duration,
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
}

/// Where a partition goes on, or why it doesn't.
pub(crate) type Sought = Result<i64, NotSought>;

impl Fleet {
    /// Changes this of a daemon in all processes; what stands already and is `replaced` by it is taken back. Done here when it returns.
    pub(crate) async fn order(&self, order: Order, replaced: impl Fn(&Change) -> bool) -> Outcome {
        let Order { daemon, changes, by, reason, lasts } = order;
        let at = Timestamp::now().as_millis();
        let until = at.saturating_add(millis(lasts));
        let is_set = !changes.is_empty();
        // Another process may have ordered a moment ago what this one is asked to take back.
        let unknown = self.helm.refresh().await.err();
        let gone = self.helm.standing().into_iter().map(|known| known.of);
        let gone = gone.filter(|of| of.daemon == daemon && replaced(&of.change)).map(|of| of.id).collect();
        let entries = changes.into_iter().map(|change| {
            let (id, daemon, by, reason) = (name(at), daemon.clone(), by.clone(), reason.clone());
            Entry::Override(Override { id, daemon, change, by, reason, at, until })
        });
        let outcome = self.tell(entries.collect(), gone).await;
        Outcome { until: is_set.then_some(until), trouble: outcome.trouble.or(unknown), ..outcome }
    }

    /// Takes an override back; `None` where there is none of this name.
    pub(crate) async fn lift(&self, id: &str) -> Option<(Standing, Outcome)> {
        self.helm.refresh().await.ok();
        let known = self.helm.standing().into_iter().find(|known| known.of.id == id)?;
        let outcome = self.tell(Vec::new(), vec![id.to_owned()]).await;
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

    async fn tell(&self, entries: Vec<Entry>, gone: Vec<String>) -> Outcome {
        let (begun, is_nothing) = (Instant::now(), entries.is_empty() && gone.is_empty());
        let (ordered, trouble) = if is_nothing { Default::default() } else { self.helm.order(entries, gone).await };
        let obeys = !matches!(trouble, Some(OrderTrouble::Unread(_)));
        let this = Reached { instance: self.instance.id.clone(), obeys };
        let is_unwritten = matches!(trouble, Some(OrderTrouble::Unwritten(_) | OrderTrouble::Unacknowledged(_)));
        if is_unwritten || is_nothing || self.is_alone() {
            return Outcome { reached: vec![this], trouble, until: None };
        }
        let others = self.reach(ordered, (begun + DONE).min(Instant::now() + REACH)).await;
        let reached = std::iter::once(this).chain(others.reached).collect();
        Outcome { reached, trouble: trouble.or(others.trouble), until: None }
    }

    /// Waits for the others to hear of it, those of which nothing is heard left aside.
    async fn reach(&self, ordered: Ordered, until: Instant) -> Outcome {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let sighting = tokio::time::timeout(left, self.look()).await.unwrap_or_else(|_| self.seen());
            let others = sighting.others.iter().filter(|heard| !heard.is_silent()).map(|heard| Reached {
                instance: heard.report.instance.id.clone(),
                obeys: ordered.is_known(heard.report.steered.read),
            });
            let reached: Vec<Reached> = others.collect();
            if reached.iter().all(|one| one.obeys) || Instant::now() >= until {
                return Outcome { reached, trouble: sighting.trouble.map(OrderTrouble::Unseen), until: None };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Has whichever process has the partition let it go on elsewhere.
    ///
    /// # Errors
    /// Why it doesn't, or why that is not known.
    pub(crate) async fn seek(&self, seek: Seek) -> Sought {
        let until = Instant::now() + DONE;
        let at = Timestamp::now().as_millis();
        let id = name(at);
        let sighting = self.look().await;
        let mut heard = sighting.others.iter().filter(|heard| !heard.is_silent());
        if !heard.any(|heard| may_have(&heard.report.daemons, &seek)) {
            let Seek { topic, partition, .. } = &seek;
            return Err(NotSought::Elsewhere(format!("no process that is heard of has {topic}[{partition}] now")));
        }
        let errand = Errand { id: id.clone(), seek, until: at + millis(DONE) };
        let (_, trouble) = self.helm.order(vec![Entry::Errand(errand)], Vec::new()).await;
        match trouble {
            Some(OrderTrouble::Unwritten(why)) => return Err(NotSought::Elsewhere(why)),
            // Whoever has the partition may read it yet.
            Some(OrderTrouble::Unacknowledged(why)) => return Err(NotSought::Open(why)),
            _ => {}
        }
        let mut refused: Option<(NotSought, Instant)> = None;
        let went = loop {
            let (sighting, own) = (self.look().await, self.helm.steered());
            let others = sighting.others.iter().flat_map(|heard| &heard.report.steered.answers);
            // The partition may have moved meanwhile: then one refuses what another one does.
            for answer in others.chain(&own.answers).filter(|answer| answer.id == id) {
                match (answer.next, &answer.refused) {
                    (Some(next), _) => return self.forget(id, Ok(next)).await,
                    (None, Some(why)) if refused.is_none() => {
                        let why = if answer.is_open { NotSought::Open } else { NotSought::Elsewhere }(why.clone());
                        refused = Some((why, Instant::now()));
                    }
                    _ => {}
                }
            }
            if let Some((why, _)) = refused.take_if(|(_, since)| since.elapsed() >= DOUBT || Instant::now() >= until) {
                break Err(why);
            }
            if Instant::now() >= until {
                let why =
                    format!("no process has answered within {DONE:?}: look at the partition before you ask again");
                break Err(NotSought::Open(why));
            }
            tokio::time::sleep(LOOK).await;
        };
        self.forget(id, went).await
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

/// A name that no other order has.
fn name(at: u64) -> String {
    format!("{at:x}-{:08x}", fastrand::u32(..))
}
