//! The doctor over HTTP: what usually goes wrong around the daemons, looked for when somebody asks.
//!
//! It may ask clusters for longer than an answer may take: so one request begins it, and others see what came of it. The invariants: there is one
//! examination at a time; what the last one has found is kept until the next one ends.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::access::Role;
use super::audit::Detail;
use super::daemons::shown::millis;
use super::endpoint::{Endpoint, Sent};
use super::problem::Problem;
use super::state::Api;
use crate::panic;
use crate::record::Timestamp;

/// How long it may look. A group that distributes its partitions is waited for, each for some seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Why a program without a file has none.
const UNAVAILABLE: &str = "this program has its configuration in its code: the command `doctor` of the `daemonry` program can be told what to look at";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<DoctorShown, _>(
            "/api/v1/doctor",
            Role::Operator,
            "What usually goes wrong: what was found when somebody asked last",
            shown,
        ),
        Endpoint::post::<DoctorShown, _>("/api/v1/doctor", Role::Operator, "Begins to look for what is wrong", look)
            .takes::<LookRequest>(),
    ]
}

/// That it is to look. There is nothing to say about it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LookRequest {}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// It could not be looked at: the brokers don't tell, or not this user.
    Unknown,
    /// It works, and will not for ever, or not as well as it could.
    Warning,
    /// It does not work, or records are lost.
    Error,
}

impl Severity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a check has found.
///
/// ```
/// use daemonry::api::{Finding, Severity};
///
/// let full = Finding::new(Severity::Warning, "disk", "/var/lib/shop", "is 91 % full").to_do("remove old exports");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What was looked at.
    pub(crate) check: String,
    /// Where.
    #[serde(rename = "where")]
    pub(crate) at: String,
    /// What was found there.
    pub(crate) what: String,
    /// What is to be done about it, if anything.
    #[serde(rename = "do")]
    pub(crate) to_do: Option<String>,
}

impl Finding {
    /// This check has found this, at this place.
    pub fn new(severity: Severity, check: impl Into<String>, at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { severity, check: check.into(), at: at.into(), what: what.into(), to_do: None }
    }

    /// What is to be done about it.
    #[must_use]
    pub fn to_do(self, to_do: impl Into<String>) -> Self {
        Self { to_do: Some(to_do.into()), ..self }
    }
}

/// What was found; or why nothing could be.
type Examined = Result<Vec<Finding>, String>;

/// Looks for what is wrong.
#[derive(Clone)]
pub(crate) struct Examine(Arc<dyn Fn() -> BoxFuture<'static, Examined> + Send + Sync>);

impl Examine {
    pub(super) fn new<F: Future<Output = Examined> + Send + 'static>(
        examine: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move || examine().boxed()))
    }

    /// Within its time, and whatever it does.
    async fn look(&self) -> Examined {
        let Self(examine) = self;
        let look = AssertUnwindSafe(async { examine().await }).catch_unwind();
        match timeout(PATIENCE, look).await {
            Ok(Ok(examined)) => examined,
            Ok(Err(panicked)) => Err(format!("it panicked: {}", panic::message(panicked))),
            Err(_) => Err(format!(
                "it was at it for {} s: the command `doctor` has the time that it needs",
                PATIENCE.as_secs()
            )),
        }
    }
}

impl fmt::Debug for Examine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Examine")
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Doctor {
    examine: Option<Examine>,
    state: Mutex<Looks>,
}

#[derive(Debug, Default)]
struct Looks {
    /// Since when it looks, in milliseconds since 1970 UTC.
    since: Option<u64>,
    last: Option<Examination>,
}

/// What it has found when somebody asked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Examination {
    /// When it had looked, in milliseconds since 1970 UTC.
    pub(super) at: u64,
    /// How long that took, in milliseconds.
    pub(super) took: u64,
    /// What it has found, the worst first.
    pub(super) findings: Vec<Finding>,
    /// Why it could not look; null where it could.
    pub(super) trouble: Option<String>,
}

/// What the doctor is at.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DoctorShown {
    /// Why it can't look at anything; null where it can.
    pub(super) unavailable: Option<&'static str>,
    /// Since when it looks, in milliseconds since 1970 UTC; null where it does not now.
    pub(super) looks_since: Option<u64>,
    /// What it found the last time; null where nobody has asked before.
    pub(super) last: Option<Examination>,
}

impl Doctor {
    pub(super) fn new(examine: Option<Examine>) -> Self {
        Self { examine, state: Mutex::default() }
    }

    pub(super) fn shown(&self) -> DoctorShown {
        let Looks { since, last } = &*self.state.lock();
        let unavailable = self.examine.is_none().then_some(UNAVAILABLE);
        DoctorShown { unavailable, looks_since: *since, last: last.clone() }
    }

    /// It looks from now on, in this way; none where it does already.
    fn begins(&self) -> Result<Option<Examine>, Problem> {
        let Some(examine) = &self.examine else {
            return Err(Problem::conflict(UNAVAILABLE));
        };
        let mut state = self.state.lock();
        if state.since.is_some() {
            return Ok(None);
        }
        state.since = Some(Timestamp::now().as_millis());
        Ok(Some(examine.clone()))
    }

    fn ends(&self, examined: Examined, took: Duration) {
        let (mut findings, trouble) = match examined {
            Ok(findings) => (findings, None),
            Err(trouble) => (Vec::new(), Some(trouble)),
        };
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let (at, took) = (Timestamp::now().as_millis(), millis(took));
        *self.state.lock() = Looks { since: None, last: Some(Examination { at, took, findings, trouble }) };
    }
}

/// Has it look, if it doesn't already.
pub(super) fn begin(api: &Api) -> Result<(), Problem> {
    if let Some(examine) = api.doctor.begins()? {
        let of = api.clone();
        api.begin(async move {
            let began = Instant::now();
            let examined = examine.look().await;
            of.doctor.ends(examined, began.elapsed());
        });
    }
    Ok(())
}

async fn shown(State(api): State<Api>) -> Json<DoctorShown> {
    Json(api.doctor.shown())
}

async fn look(State(api): State<Api>, Sent(LookRequest {}): Sent<LookRequest>) -> Result<Response, Problem> {
    begin(&api).map_err(|problem| problem.wanted(asked().0))?;
    Ok((Extension(asked()), Json(api.doctor.shown())).into_response())
}

/// For the audit log.
pub(super) fn asked() -> Detail {
    Detail("has the doctor look".to_owned())
}
