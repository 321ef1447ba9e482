//! Jobs: work on dead letters that takes longer than an answer may.
//!
//! They are this process's, and end with it: a job that counts changes nothing, and a re-drive that is asked for again under its name goes on
//! where it was. The invariants: one job at most changes letters of a topic; four run at most; the last fifty are known.

pub(super) mod shown;
mod told;
mod work;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::access::{Identity, Role};
use super::audit::Audit;
use super::endpoint::{Asked, Endpoint, Named, Sent};
use super::instance::Instance;
use super::letters::begun;
use super::masks::Sight;
use super::problem::Problem;
use super::state::Api;
use crate::dead_letters::{Counts, DeadLetters, Interrupted, Left, LettersError, Plan};
use crate::fleet::Fleet;
use crate::record::{Timestamp, Topic};
pub(super) use work::Work;

/// Jobs that are known, and that run at once.
const KEPT: usize = 50;
const RUNNING: usize = 4;
/// So many letters that were left are named.
const NAMED: usize = 100;
/// How long a transaction that is under way may take to end once it is told to: as long as one is open, and some.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer may wait for a job's end. A connection's time is longer.
const WAIT: Duration = Duration::from_secs(8);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<Vec<shown::Job>, _>(
            "/api/v1/jobs",
            Role::Viewer,
            "Work on dead letters, the latest first",
            all,
        ),
        Endpoint::get::<shown::Job, _>("/api/v1/jobs/{job}", Role::Viewer, "One job", one)
            .with::<JobName>()
            .with::<Waiting>(),
        Endpoint::post::<shown::Job, _>(
            "/api/v1/jobs/{job}/execute",
            Role::Operator,
            "Does what a job has counted, as a job of its own",
            execute,
        )
        .with::<JobName>()
        .takes::<ExecuteRequest>(),
        Endpoint::post::<shown::Job, _>(
            "/api/v1/jobs/{job}/stop",
            Role::Operator,
            "Ends a job; what it has done stands",
            stop,
        )
        .with::<JobName>()
        .takes::<StopRequest>(),
        Endpoint::post::<shown::Job, _>(
            "/api/v1/jobs/{job}/resume",
            Role::Operator,
            "Goes on with what a job was stopped at, or could not go on with, as a job of its own",
            resume,
        )
        .with::<JobName>()
        .takes::<ResumeRequest>(),
    ]
}

/// A job of this process.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct JobName {
    /// Its name, as `job` has it.
    pub(super) job: String,
}

/// When to answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Waiting {
    /// Answers once it has ended, after 8 s at the latest.
    #[serde(default)]
    wait: bool,
}

/// A job that has counted, and is meant.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExecuteRequest {
    /// How many letters it has counted.
    selected: u64,
    /// Why; for the audit log.
    reason: String,
}

/// A job that is to end.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StopRequest {
    /// Why; for the audit log.
    reason: String,
}

/// A job that is to be gone on with.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResumeRequest {
    /// Why; for the audit log.
    reason: String,
}

/// A job to begin.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) daemon: String,
    pub(super) work: Work,
    /// Whether it is done; else it is counted.
    pub(super) executes: bool,
    pub(super) by: Identity,
    pub(super) reason: String,
}

/// A job, running or ended.
#[derive(Debug)]
pub(super) struct Job {
    /// Its number in this process, and when that began: no other process has or had one of this name.
    pub(super) name: String,
    pub(super) topic: Topic,
    pub(super) order: Order,
    /// In milliseconds since 1970 UTC.
    pub(super) began_at: u64,
    progress: Mutex<Progress>,
    stop: CancellationToken,
    ended: CancellationToken,
}

/// Where it is written down how jobs have ended.
#[derive(Clone)]
pub(super) struct Books {
    pub(super) audit: Arc<Audit>,
    pub(super) fleet: Arc<Fleet>,
}

impl Books {
    fn note(&self, job: &Job) {
        let entry = job.ended();
        self.audit.ended(&entry);
        // What was only counted has changed nothing.
        if job.order.executes {
            self.fleet.did(entry);
        }
    }
}

/// A job at work: however that ends, the job has ended.
struct AtWork {
    job: Arc<Job>,
    books: Books,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let died = || LettersError::Unavailable("the work has died".to_owned());
        let mut progress = self.job.progress.lock();
        progress.end.get_or_insert_with(|| End { at: Timestamp::now().as_millis(), error: Some(died()) });
        drop(progress);
        // Before anybody hears of its end.
        self.books.note(&self.job);
        self.job.ended.cancel();
    }
}

/// How far a job is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) counts: Counts,
    /// What would be done, once that is counted.
    pub(super) plan: Option<Plan>,
    /// The first letters that were left since nothing could be done with them.
    pub(super) left: Vec<Left>,
    pub(super) end: Option<End>,
}

/// How a job has ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// When, in milliseconds since 1970 UTC.
    pub(super) at: u64,
    /// Why it was not brought to its end.
    pub(super) error: Option<LettersError>,
}

impl Job {
    pub(super) fn progress(&self) -> Progress {
        self.progress.lock().clone()
    }

    fn is_running(&self) -> bool {
        self.progress.lock().end.is_none()
    }

    /// For whoever wants to change the same letters.
    pub(super) fn in_the_way(&self) -> Problem {
        let Self { name, topic, .. } = self;
        Problem::conflict(format!("job {name} changes letters of `{topic}` now: wait for its end, or stop it"))
    }

    /// Does it.
    async fn run(self: Arc<Self>, letters: DeadLetters, books: Books) {
        let _at_work = AtWork { job: Arc::clone(&self), books };
        let letters = letters.watched({
            let job = Arc::clone(&self);
            move |counts| {
                job.progress.lock().counts = counts;
                if job.stop.is_cancelled() {
                    std::ops::ControlFlow::Break(())
                } else {
                    std::ops::ControlFlow::Continue(())
                }
            }
        });
        let letters = letters.hearing_of_left({
            let job = Arc::clone(&self);
            move |left| {
                let mut progress = job.progress.lock();
                if progress.left.len() < NAMED {
                    progress.left.push(left.clone());
                }
            }
        });
        let error = {
            let mut work = pin!(self.work(&letters));
            tokio::select! {
                done = &mut work => done,
                // At a slow rate it waits for the next letter, with nothing open.
                () = self.stop.cancelled() => timeout(PATIENCE, work).await.unwrap_or(Err(LettersError::Stopped)),
            }
        }
        .err();
        let mut progress = self.progress.lock();
        if let Some(error) = &error {
            tracing::warn!(job = self.name, topic = self.topic.as_str(), %error, "work on dead letters has ended early");
        }
        progress.end = Some(End { at: Timestamp::now().as_millis(), error });
    }

    async fn work(&self, letters: &DeadLetters) -> Result<(), LettersError> {
        let Order { work, executes, by, .. } = &self.order;
        let done = match work {
            work if !executes => {
                let plan = letters.plan(work.counted()).await?;
                let mut progress = self.progress.lock();
                (progress.counts, progress.plan) = (plan.counts, Some(plan));
                return Ok(());
            }
            Work::Redrive { redrive, .. } => letters.redrive(redrive.as_ref().clone()).await,
            Work::Discard { filter, because, .. } => {
                letters.discard(filter.as_ref().clone(), &*by.name, because.as_str()).await
            }
        };
        let (counts, ended) = match done {
            Ok(counts) => (counts, Ok(())),
            Err(Interrupted { counts, error }) => (counts, Err(error)),
        };
        self.progress.lock().counts = counts;
        ended
    }
}

/// See the module.
pub(super) struct Jobs {
    kept: Mutex<Kept>,
    books: Books,
    /// The process that does them.
    instance: Instance,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    /// The latest last.
    jobs: VecDeque<Arc<Job>>,
    running: JoinSet<()>,
}

impl Jobs {
    pub(super) fn of_process(instance: &Instance, books: Books) -> Self {
        Self { kept: Mutex::default(), books, instance: instance.clone() }
    }

    /// Begins one, on this runtime.
    pub(super) fn begin(&self, order: Order, letters: DeadLetters) -> Result<Arc<Job>, Problem> {
        let topic = letters.topic().clone();
        let mut kept = self.kept.lock();
        if order.executes
            && let Some(job) = kept.at_work_on(&topic)
        {
            return Err(job.in_the_way());
        }
        if kept.jobs.iter().filter(|job| job.is_running()).count() >= RUNNING {
            return Err(Problem::conflict(format!("{RUNNING} jobs run already: wait for one, or stop it")));
        }
        kept.last += 1;
        let job = Arc::new(Job {
            name: format!("{}-{:x}", kept.last, self.instance.started_at),
            topic,
            order,
            began_at: Timestamp::now().as_millis(),
            progress: Mutex::default(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        while kept.running.try_join_next().is_some() {}
        kept.running.spawn(Arc::clone(&job).run(letters, self.books.clone()));
        kept.jobs.push_back(Arc::clone(&job));
        if kept.jobs.len() > KEPT
            && let Some(oldest) = kept.jobs.iter().position(|job| !job.is_running())
        {
            drop(kept.jobs.remove(oldest));
        }
        Ok(job)
    }

    /// Does what a job has counted, if that was so many letters.
    pub(super) fn execute(
        &self,
        api: &Api,
        name: &str,
        selected: u64,
        by: &Identity,
        reason: String,
    ) -> Result<Arc<Job>, Problem> {
        let counted = self.of(name)?;
        let Progress { plan, .. } = counted.progress();
        let Some(plan) = plan.filter(|_| !counted.order.executes) else {
            return Err(Problem::conflict(format!("job {name} has not counted anything that could be done")));
        };
        if plan.counts.selected != selected {
            let found = plan.counts.selected;
            return Err(Problem::conflict(format!("job {name} has counted {found} letters, not {selected}")));
        }
        let Order { daemon, work, .. } = &counted.order;
        // What somebody may not ask for they may not have done either, whoever has counted it.
        Sight::of(api, by).allows(work.which())?;
        let work = match work.clone() {
            Work::Redrive { which, to, redrive } => Work::redrive(which, to, redrive.by(&*by.name))?,
            Work::Discard { which, .. } => Work::discard(which, reason.clone())?,
        };
        let letters = super::letters::open(api, daemon, counted.topic.as_str())?;
        self.begin(Order { daemon: daemon.clone(), work, executes: true, by: by.clone(), reason }, letters)
    }

    /// Goes on with one that was not brought to its end: its request is the same, so that no letter is done twice.
    pub(super) fn resume(&self, api: &Api, name: &str, by: &Identity, reason: String) -> Result<Arc<Job>, Problem> {
        let left = self.of(name)?;
        let is_left = left.progress().end.is_some_and(|end| end.error.is_some());
        let Order { daemon, work, executes: true, .. } = &left.order else {
            return Err(Problem::conflict(format!("job {name} has only counted: count anew")));
        };
        if !is_left {
            return Err(Problem::conflict(format!("job {name} runs still, or is through")));
        }
        Sight::of(api, by).allows(work.which())?;
        let letters = super::letters::open(api, daemon, left.topic.as_str())?;
        let (daemon, work, by) = (daemon.clone(), work.clone(), by.clone());
        self.begin(Order { daemon, work, executes: true, by, reason }, letters)
    }

    /// Has one end.
    pub(super) fn stop(&self, name: &str) -> Result<Arc<Job>, Problem> {
        let job = self.of(name)?;
        job.stop.cancel();
        Ok(job)
    }

    pub(super) fn of(&self, name: &str) -> Result<Arc<Job>, Problem> {
        let kept = self.kept.lock();
        let job = kept.jobs.iter().find(|job| job.name == name).cloned();
        job.ok_or_else(|| {
            Problem::not_found(format!(
                "there is no job `{name}` in the process {} of {}: jobs end with their process, which knows the last {KEPT}, and another one of the fleet may have it",
                self.instance.pid, self.instance.host
            ))
        })
    }

    /// All of them, the latest first.
    pub(super) fn all(&self) -> Vec<Arc<Job>> {
        self.kept.lock().jobs.iter().rev().cloned().collect()
    }

    /// The one that changes letters of this topic now.
    pub(super) fn at_work_on(&self, topic: &Topic) -> Option<Arc<Job>> {
        self.kept.lock().at_work_on(topic)
    }
}

impl Kept {
    fn at_work_on(&self, topic: &Topic) -> Option<Arc<Job>> {
        self.jobs.iter().find(|job| job.topic == *topic && job.order.executes && job.is_running()).cloned()
    }
}

async fn all(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Json<Vec<shown::Job>> {
    let sight = Sight::of(&api, &identity);
    Json(api.jobs.all().iter().map(|job| shown::Job::of(job, sight)).collect())
}

async fn one(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(JobName { job }): Named<JobName>,
    Asked(Waiting { wait }): Asked<Waiting>,
) -> Result<Json<shown::Job>, Problem> {
    let job = api.jobs.of(&job)?;
    if wait {
        // In time or not: the answer says which.
        drop(timeout(WAIT, job.ended.cancelled()).await);
    }
    Ok(Json(shown::Job::of(&job, Sight::of(&api, &identity))))
}

/// That a job is to be done, stopped or gone on with, for the audit log.
pub(super) fn wanted(what: &str, job: &str, reason: &str) -> String {
    format!("{what} job {job}: {reason}")
}

async fn execute(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(JobName { job }): Named<JobName>,
    Sent(ExecuteRequest { selected, reason }): Sent<ExecuteRequest>,
) -> Result<Response, Problem> {
    let wanted = format!("execute job {job}, which has counted {selected}: {reason}");
    let job = api.jobs.execute(&api, &job, selected, &identity, reason).map_err(|problem| problem.wanted(wanted))?;
    Ok(begun(&api, &identity, &job))
}

async fn stop(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(JobName { job }): Named<JobName>,
    Sent(StopRequest { reason }): Sent<StopRequest>,
) -> Result<Response, Problem> {
    let job = api.jobs.stop(&job).map_err(|problem| problem.wanted(wanted("stop", &job, &reason)))?;
    let shown = shown::Job::of(&job, Sight::of(&api, &identity));
    Ok((Extension(job.stopped(&reason)), Json(shown)).into_response())
}

async fn resume(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(JobName { job }): Named<JobName>,
    Sent(ResumeRequest { reason }): Sent<ResumeRequest>,
) -> Result<Response, Problem> {
    let wanted = wanted("resume", &job, &reason);
    let job = api.jobs.resume(&api, &job, &identity, reason).map_err(|problem| problem.wanted(wanted))?;
    Ok(begun(&api, &identity, &job))
}
