//! Wishes: what somebody wants changed of a daemon, and what comes of it.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::{Destination, Limiting, Limits, Scope, Steered};
use crate::api::access::Identity;
use crate::api::audit::Detail;
use crate::api::daemons::steered;
use crate::api::problem::{Problem, asked_for, says_why};
use crate::api::state::Api;
use crate::fleet::{Change, LONGEST, NotSought, Order, Outcome, Reached, Seek, Standing, tally};
use crate::pipeline::control::{self, Control};
use crate::pipeline::seek::SeekError;
use crate::record::TopicPartition;

/// How long a change holds where nothing is said of it.
const LASTS: Duration = Duration::from_secs(24 * 3600);

/// Who wants something changed, why, and for how long.
pub(in crate::api) struct Wish {
    by: String,
    reason: String,
    /// Milliseconds.
    lasts: Option<u64>,
}

/// What was changed, and who is known to do so.
pub(in crate::api) struct Changed {
    /// In words.
    did: String,
    outcome: Outcome,
    /// What steers the daemon, where this process has begun it.
    control: Option<Control>,
}

impl Wish {
    pub(in crate::api) fn new(identity: &Identity, reason: String, lasts: Option<u64>) -> Self {
        Self { by: identity.name.to_string(), reason, lasts }
    }

    /// What is wanted, for the audit log.
    fn wanted(&self, what: impl fmt::Display) -> String {
        format!("{what}: {}", self.reason)
    }

    /// Has all processes change this of a daemon, in place of what is `replaced` by it.
    async fn order(
        self,
        api: &Api,
        daemon: &str,
        (did, about): (String, Scope),
        changes: Vec<Change>,
        replaced: impl Fn(&Change) -> bool,
    ) -> Result<Changed, Problem> {
        says_why(&self.reason)?;
        let control = steered(api, daemon).await?;
        let lasts = self.lasts.map_or(LASTS, Duration::from_millis);
        if lasts.is_zero() || lasts > LONGEST {
            return Err(Problem::bad_request("`lasts` must be 1 at least and 30 days at most, in milliseconds"));
        }
        let (daemon, what) = (daemon.to_owned(), did.clone());
        let order = Order { daemon, what, about, changes, by: self.by, reason: self.reason, lasts };
        let outcome = api.fleet.order(order, replaced).await;
        Ok(Changed { did, outcome, control })
    }

    /// Has a daemon, or a part of it, stand still, or go on.
    pub(in crate::api) async fn halt(
        self,
        api: &Api,
        daemon: &str,
        halt: Halt,
        scope: Scope,
    ) -> Result<Changed, Problem> {
        let wanted = self.wanted(format_args!("{} {scope}", halt.name()));
        asked_for(wanted, self.halted(api, daemon, halt, scope)).await
    }

    async fn halted(self, api: &Api, daemon: &str, halt: Halt, scope: Scope) -> Result<Changed, Problem> {
        let meant = scope.clone().meant().map_err(Problem::bad_request)?;
        let is_in = |change: &Change, within: &dyn Fn(&control::Scope) -> bool| match change {
            Change::Pause(paused) => paused.clone().meant().is_ok_and(|paused| within(&paused)),
            _ => false,
        };
        match halt {
            Halt::Pause => {
                let did = format!("paused {scope}");
                let replaced = |change: &Change| is_in(change, &|paused| *paused == meant);
                self.order(api, daemon, (did, scope.clone()), vec![Change::Pause(scope)], replaced).await
            }
            Halt::Resume => {
                let did = format!("resumed {scope}");
                let replaced = |change: &Change| is_in(change, &|paused| meant.contains(paused));
                self.order(api, daemon, (did, scope), Vec::new(), replaced).await
            }
        }
    }

    /// Has attempts begin at these rates at most.
    pub(in crate::api) async fn limit(self, api: &Api, daemon: &str, limits: Limiting) -> Result<Changed, Problem> {
        let wanted = self.wanted(format_args!("limit {}", limits.told()));
        asked_for(wanted, self.limited(api, daemon, limits)).await
    }

    async fn limited(self, api: &Api, daemon: &str, limits: Limiting) -> Result<Changed, Problem> {
        let did = format!("limited {}", limits.told());
        let (rate, key_rate) = (limits.rate.flatten(), limits.key_rate.flatten());
        if limits == (Limiting { rate: None, key_rate: None }) {
            let why = "there is no rate to change: say `rate` or `key_rate`; null takes one back";
            return Err(Problem::bad_request(why));
        }
        if rate.iter().chain(&key_rate).any(|limit| limit.meant().is_none()) {
            return Err(Problem::bad_request("`attempts` and `interval` must be 1 at least"));
        }
        let changes = rate.map(Change::Rate).into_iter().chain(key_rate.map(Change::KeyRate)).collect();
        let replaced = |change: &Change| match change {
            Change::Rate(_) => limits.rate.is_some(),
            Change::KeyRate(_) => limits.key_rate.is_some(),
            _ => false,
        };
        self.order(api, daemon, (did, Scope::default()), changes, replaced).await
    }

    /// Has so many workers at something at once; as many as are configured where none are said.
    pub(in crate::api) async fn scale(
        self,
        api: &Api,
        daemon: &str,
        workers: Option<NonZeroUsize>,
    ) -> Result<Changed, Problem> {
        let to = workers.map_or("as configured".to_owned(), |workers| format!("to {workers}"));
        let wanted = self.wanted(format_args!("scale {to}"));
        asked_for(wanted, self.scaled(api, daemon, workers)).await
    }

    async fn scaled(self, api: &Api, daemon: &str, workers: Option<NonZeroUsize>) -> Result<Changed, Problem> {
        // Another process may have more of them.
        let here = api.daemon(daemon).ok();
        let most = here.map_or(0, |here| usize::try_from(here.metrics.workers_max.get()).unwrap_or(0));
        if let Some(workers) = workers.filter(|workers| most > 0 && workers.get() > most) {
            let why =
                format!("`{daemon}` has {most} workers at most, not {workers}: raise `workers` in its configuration");
            return Err(Problem::bad_request(why));
        }
        let did = match workers {
            Some(workers) => format!("scaled to {workers} in each process"),
            None => "scaled as configured".to_owned(),
        };
        let changes = workers.map(Change::Workers).into_iter().collect();
        self.order(api, daemon, (did, Scope::default()), changes, |change| matches!(change, Change::Workers(_))).await
    }

    /// Has a record passed over.
    pub(in crate::api) async fn skip(
        self,
        api: &Api,
        daemon: &str,
        (topic, partition): (String, i32),
        offset: i64,
    ) -> Result<Changed, Problem> {
        let change = Change::Skip { topic, partition, offset };
        let is_none = partition < 0 || offset < 0;
        let wanted = self.wanted(&change);
        asked_for(wanted, self.skipped(api, daemon, change, is_none)).await
    }

    async fn skipped(self, api: &Api, daemon: &str, change: Change, is_none: bool) -> Result<Changed, Problem> {
        let did = change.to_string();
        if is_none {
            let record = did.trim_start_matches("skip ");
            return Err(Problem::bad_request(format!("there is no record {record}")));
        }
        let about = match &change {
            Change::Skip { topic, partition, .. } => {
                Scope { topic: Some(topic.clone()), partition: Some(*partition), key: None }
            }
            _ => Scope::default(),
        };
        let replaced = {
            let change = change.clone();
            move |other: &Change| *other == change
        };
        self.order(api, daemon, (did, about), vec![change], replaced).await
    }

    /// Has a partition go on elsewhere, by whichever process has it, and answers which, and where.
    pub(in crate::api) async fn seek(
        self,
        api: &Api,
        daemon: &str,
        (topic, partition): (String, i32),
        to: Destination,
    ) -> Result<(TopicPartition, i64), Problem> {
        let wanted = self.wanted(format_args!("seek {topic}[{partition}] to {to}"));
        asked_for(wanted, self.sought(api, daemon, (topic, partition), to)).await
    }

    async fn sought(
        self,
        api: &Api,
        daemon: &str,
        (topic, partition): (String, i32),
        to: Destination,
    ) -> Result<(TopicPartition, i64), Problem> {
        says_why(&self.reason)?;
        let place = TopicPartition::new(topic.clone(), partition);
        to.meant().map_err(Problem::bad_request)?;
        let has_it = |control: &Control| control.view().is_some_and(|view| view.has(&place));
        let control = steered(api, daemon).await?.filter(|control| api.fleet.is_alone() || has_it(control));
        let seek = Seek { daemon: daemon.to_owned(), topic, partition, to, by: self.by, reason: self.reason };
        let next = api.fleet.seek(seek, control.as_ref()).await;
        Ok((place, next.map_err(refused)?))
    }
}

impl Changed {
    /// In words, with who does so where that is not this process alone, and what isn't there.
    pub(in crate::api) fn told(&self) -> String {
        let Self { did, outcome: Outcome { reached, trouble, .. }, .. } = self;
        let (obey, all) = tally(reached);
        let who = match all {
            1 if obey == 1 && reached.len() == 1 => String::new(),
            1 => format!(", in {obey} of 1 process"),
            _ => format!(", in {obey} of {all} processes"),
        };
        let trouble = trouble.as_ref().map_or(String::new(), |trouble| format!("; {trouble}"));
        format!("{did}{who}{}{trouble}", lacked(reached))
    }

    /// The order stands by now, whatever has become of the daemon here.
    pub(super) fn answer(self, api: &Api, daemon: &str, reason: &str) -> Response {
        let detail = Extension(Detail(format!("{}: {reason}", self.told())));
        let steered = Steered {
            until: self.outcome.until,
            reached: self.outcome.reached,
            trouble: self.outcome.trouble.map(|trouble| trouble.to_string()),
            ..self.control.as_ref().map_or_else(|| Steered::elsewhere(api, daemon), Steered::here)
        };
        (detail, Json(steered)).into_response()
    }
}

impl Steered {
    /// As a daemon of this process is steered, by its program too.
    fn here(control: &Control) -> Self {
        Self {
            paused: control.paused().iter().map(Scope::of).collect(),
            limits: Limits::of(control),
            workers: control.workers(),
            ..Self::default()
        }
    }

    /// As operators have a daemon be that this process has not begun.
    fn elsewhere(api: &Api, daemon: &str) -> Self {
        let mut steered = Self::default();
        let standing = api.fleet.standing();
        // Of two the later one counts.
        for Standing { of, .. } in standing.into_iter().filter(|known| known.of.daemon == daemon) {
            match of.change {
                Change::Pause(scope) => steered.paused.push(scope),
                Change::Rate(limit) => steered.limits.rate = Some(limit),
                Change::KeyRate(limit) => steered.limits.key_rate = Some(limit),
                Change::Workers(workers) => steered.workers = Some(workers),
                Change::Skip { .. } => {}
            }
        }
        steered
    }
}

/// Who has not what an order is about.
fn lacked(reached: &[Reached]) -> String {
    let mut lacking = reached.iter().filter_map(|one| Some((&one.instance, one.lacks.as_ref()?)));
    let Some((instance, why)) = lacking.next() else { return String::new() };
    match lacking.count() {
        0 => format!("; {instance}: {why}"),
        more => format!("; {instance}: {why}, and {more} more have it not"),
    }
}

/// Whether something is to stand still.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) enum Halt {
    Pause,
    Resume,
}

impl Halt {
    pub(in crate::api) fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

fn refused(error: NotSought) -> Problem {
    let problem = match error {
        NotSought::Refused(SeekError::OutOfRange { .. }) => Problem::bad_request(error.to_string()),
        _ => Problem::conflict(error.to_string()),
    };
    if error.is_open() { problem.open() } else { problem }
}
