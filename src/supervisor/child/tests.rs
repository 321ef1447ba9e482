use std::pin::Pin;

use async_trait::async_trait;
use tokio::time::{advance, timeout};

use super::super::roster::{DaemonStatus, Roster};
use super::*;
use crate::metrics::Metrics;

type Work = Pin<Box<dyn Future<Output = Result<Ended, DaemonError>> + Send>>;

/// A daemon whose run is given.
struct Given(Box<dyn FnOnce(DaemonContext) -> Work + Send>);

#[async_trait]
impl Daemon for Given {
    fn name(&self) -> &str {
        "orders"
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        (self.0)(context).await
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A child that runs, in virtual time.
struct Scene {
    roster: Roster,
    metrics: Metrics,
    shutdown: Shutdown,
    begun: Instant,
    /// When each run began.
    runs: Arc<Mutex<Vec<Duration>>>,
    running: JoinSet<()>,
}

/// Starts a child whose `n`-th run, from 1, is what `work` gives for it.
fn start<W>(policy: RestartPolicy, work: impl Fn(usize, DaemonContext) -> W + Clone + Send + 'static) -> Scene
where
    W: Future<Output = Result<Ended, DaemonError>> + Send + 'static,
{
    start_made(policy, move |_| work.clone())
}

/// The same, with what happens while the `n`-th daemon is made.
fn start_made<W, F>(policy: RestartPolicy, make: impl Fn(usize) -> F + Send + 'static) -> Scene
where
    W: Future<Output = Result<Ended, DaemonError>> + Send + 'static,
    F: Fn(usize, DaemonContext) -> W + Send + 'static,
{
    let (roster, metrics, shutdown) = (Roster::default(), Metrics::new(), Shutdown::new());
    let (begun, runs) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let (journal, mut made) = (Arc::clone(&runs), 0);
    let mut make: Make = Box::new(move || {
        made += 1;
        let (work, journal) = (make(made), Arc::clone(&journal));
        Box::new(Given(Box::new(move |context| {
            let n = {
                let mut journal = journal.lock();
                journal.push(begun.elapsed());
                journal.len()
            };
            Box::pin(work(n, context))
        })))
    });
    let (name, first) = (Arc::from("orders"), make());
    let daemon_metrics = metrics.daemon("orders");
    let child = Child {
        entry: roster.enter(Arc::clone(&name), Arc::clone(&daemon_metrics)),
        name,
        make: Arc::new(Mutex::new(make)),
        policy: policy.no_jitter(),
        drain: secs(30),
        metrics: daemon_metrics,
        shutdown: shutdown.clone(),
    };
    let mut running = JoinSet::new();
    running.spawn(child.run(first));
    Scene { roster, metrics, shutdown, begun, runs, running }
}

impl Scene {
    fn status(&self) -> DaemonStatus {
        self.roster.daemons().swap_remove(0)
    }

    fn error(&self) -> String {
        self.status().last_error.map(|error| error.to_string()).unwrap_or_default()
    }

    /// When each run began, in seconds.
    fn runs(&self) -> Vec<u64> {
        self.runs.lock().iter().map(Duration::as_secs).collect()
    }

    /// Waits until the daemon is in this state.
    async fn until(&self, state: impl Fn(DaemonState) -> bool) {
        let reached = async {
            while !state(self.status().state) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(secs(3_600), reached).await.expect("the state is reached");
    }

    /// Waits for the child's end.
    async fn ended(&mut self) {
        let ended = timeout(secs(3_600), self.running.join_next()).await.expect("it ends");
        ended.expect("it runs").expect("it doesn't panic");
    }
}

/// Runs until the stop, ready from the start.
async fn works(context: DaemonContext) -> Result<Ended, DaemonError> {
    context.health().ready();
    context.stopped().await;
    Ok(Ended::Drained)
}

#[tokio::test(start_paused = true)]
async fn daemon_that_fails_is_restarted_with_growing_delays_until_it_works() {
    let mut scene = start(RestartPolicy::default(), |n, context| async move {
        if n <= 3 {
            return Err(DaemonError::failed(format!("failure {n}")));
        }
        works(context).await
    });
    scene.until(|state| state == DaemonState::Running).await;
    assert_eq!(scene.runs(), [0, 1, 3, 7]);
    let status = scene.status();
    assert_eq!((status.restarts, scene.error().as_str(), status.unready), (3, "failure 3", None));
    assert_eq!(scene.metrics.daemon("orders").restarts.get(), 3);
    assert!(!scene.shutdown.is_requested());
    scene.shutdown.request();
    scene.ended().await;
    assert_eq!(scene.status().state, DaemonState::Ended(Ended::Drained));
}

#[tokio::test(start_paused = true)]
async fn wait_for_a_restart_is_visible_with_its_end_and_its_cause() {
    let scene = start(RestartPolicy::default().base(secs(8)), |n, context| async move {
        if n == 1 {
            return Err(DaemonError::failed("no route"));
        }
        works(context).await
    });
    scene.until(|state| matches!(state, DaemonState::Restarting { .. })).await;
    let at = scene.begun + secs(8);
    assert_eq!((scene.status().state, scene.error().as_str()), (DaemonState::Restarting { at }, "no route"));
    assert_eq!(scene.status().restarts, 0);
    scene.until(|state| state == DaemonState::Running).await;
    assert_eq!((scene.runs(), scene.status().restarts), (vec![0, 8], 1));
}

#[tokio::test(start_paused = true)]
async fn too_many_failures_are_final_and_stop_the_process() {
    let mut scene = start(RestartPolicy::default(), |_, context| async move {
        context.health().ready();
        Err(DaemonError::failed("no route"))
    });
    scene.ended().await;
    assert_eq!(scene.runs(), [0, 1, 3, 7, 15, 31]);
    assert_eq!((scene.status().state, scene.status().restarts), (DaemonState::Failed, 5));
    assert_eq!(scene.error(), "failed again after 5 restarts within 600s: no route");
    assert!(scene.shutdown.is_requested());
}

#[tokio::test(start_paused = true)]
async fn daemon_that_ran_well_for_the_window_has_all_its_restarts_again() {
    let mut scene = start(RestartPolicy::default().max_restarts(2), |n, context| async move {
        context.health().ready();
        sleep(if n == 3 { secs(600) } else { secs(10) }).await;
        Err(DaemonError::failed("no route"))
    });
    scene.ended().await;
    // Two restarts, a long run, and two more.
    assert_eq!(scene.runs(), [0, 11, 23, 624, 636]);
    assert_eq!(scene.status().state, DaemonState::Failed);
}

#[tokio::test(start_paused = true)]
async fn daemon_that_stalls_is_restarted_and_the_process_stops_where_that_has_not_helped() {
    let stalled = |moved| DaemonError::Stalled { error: "nothing was processed".into(), moved };
    let mut scene = start(RestartPolicy::default(), move |_, context| async move {
        context.health().ready();
        sleep(secs(600)).await;
        Err(stalled(false))
    });
    scene.ended().await;
    assert_eq!((scene.runs(), scene.status().state), (vec![0, 601], DaemonState::Failed));
    assert!(scene.shutdown.is_requested() && scene.error() == "nothing was processed");

    // One that gets something done in each run goes on, and so does one that fails otherwise in between.
    let scene = start(RestartPolicy::default(), move |n, context| async move {
        context.health().ready();
        if n == 5 {
            return works(context).await;
        }
        sleep(secs(600)).await;
        Err(if n == 2 { DaemonError::failed("no route") } else { stalled(n == 4) })
    });
    scene.until(|state| state == DaemonState::Running).await;
    let mut runs = 0;
    while runs < 5 {
        sleep(secs(1)).await;
        runs = scene.runs().len();
    }
    assert!(!scene.shutdown.is_requested());
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_run_counts_as_a_failure() {
    let scene = start(RestartPolicy::default(), |n, context| async move {
        assert!(n > 1, "out of luck");
        works(context).await
    });
    scene.until(|state| state == DaemonState::Running).await;
    assert_eq!((scene.runs(), scene.error().as_str()), (vec![0, 1], "panicked: out of luck"));
}

#[tokio::test(start_paused = true)]
async fn panic_while_the_next_daemon_is_made_counts_as_a_failure() {
    let make = |made| {
        assert!(made != 2, "no memory");
        move |_, context| async move {
            if made == 1 {
                return Err(DaemonError::failed("no route"));
            }
            works(context).await
        }
    };
    let scene = start_made(RestartPolicy::default(), make);
    scene.until(|state| state == DaemonState::Running).await;
    // The second one would have begun at 1 s.
    assert_eq!((scene.runs(), scene.status().restarts), (vec![0, 3], 2));
    assert_eq!(scene.error(), "panicked while it was made: no memory");
}

#[tokio::test(start_paused = true)]
async fn wrong_configuration_is_not_tried_again() {
    let mut scene = start(RestartPolicy::default(), |n, _| async move {
        if n == 1 {
            return Err(DaemonError::failed("no broker answers"));
        }
        Err(DaemonError::config("no such topic"))
    });
    scene.ended().await;
    assert_eq!((scene.runs(), scene.status().state), (vec![0, 1], DaemonState::Misconfigured));
    assert_eq!(scene.error(), "no such topic");
    assert!(scene.shutdown.is_requested());
}

#[tokio::test(start_paused = true)]
async fn configuration_that_worked_once_is_tried_again_and_never_called_wrong() {
    let mut scene = start(RestartPolicy::default(), |n, context| async move {
        if n == 1 {
            context.health().ready();
        }
        Err(DaemonError::config("no such topic"))
    });
    scene.ended().await;
    assert_eq!((scene.runs().len(), scene.status().state), (6, DaemonState::Failed));
}

#[tokio::test(start_paused = true)]
async fn fatal_failure_is_not_tried_again() {
    let mut scene = start(RestartPolicy::forever(), |_, context| async move {
        context.health().ready();
        Err(DaemonError::fatal("fenced"))
    });
    scene.ended().await;
    assert_eq!((scene.runs(), scene.status().state), (vec![0], DaemonState::Failed));
    assert_eq!(scene.error(), "fenced");
    assert!(scene.shutdown.is_requested());
}

#[tokio::test(start_paused = true)]
async fn daemon_that_ended_is_not_started_again() {
    let mut scene = start(RestartPolicy::forever(), |_, _| async { Ok(Ended::Drained) });
    scene.ended().await;
    assert_eq!((scene.runs(), scene.status().state), (vec![0], DaemonState::Ended(Ended::Drained)));
    assert!(!scene.shutdown.is_requested());
}

#[tokio::test(start_paused = true)]
async fn stop_ends_the_wait_for_a_restart_at_once() {
    let mut scene =
        start(RestartPolicy::default().base(secs(20)), |_, _| async { Err(DaemonError::failed("no route")) });
    scene.until(|state| matches!(state, DaemonState::Restarting { .. })).await;
    advance(secs(5)).await;
    scene.shutdown.request();
    scene.ended().await;
    assert_eq!(scene.begun.elapsed().as_secs(), 5);
    assert_eq!((scene.runs(), scene.status().state), (vec![0], DaemonState::Stopped));
    assert_eq!((scene.error().as_str(), scene.roster.exit().code()), ("no route", 0));
}

#[tokio::test(start_paused = true)]
async fn stop_does_not_wait_for_a_daemon_that_is_being_made() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    let released = Mutex::new(released);
    let make = move |made| {
        if made == 2 {
            begun.try_send(()).expect("it is made for the second time once");
            // Ends with the test.
            released.lock().recv().ok();
        }
        move |_, _| async { Err(DaemonError::failed("no route")) }
    };
    let mut scene = start_made(RestartPolicy::default(), make);
    has_begun.recv().await.expect("it is made anew");
    scene.shutdown.request();
    scene.ended().await;
    assert_eq!((scene.runs(), scene.status().state), (vec![0], DaemonState::Stopped));
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn failure_in_the_middle_of_a_stop_is_final() {
    let mut scene = start(RestartPolicy::default(), |_, context| async move {
        context.health().ready();
        context.stopped().await;
        Err(DaemonError::failed("the last commit failed"))
    });
    scene.until(|state| state == DaemonState::Running).await;
    scene.shutdown.request();
    scene.ended().await;
    assert_eq!((scene.runs(), scene.status().state), (vec![0], DaemonState::Failed));
    assert_eq!(scene.error(), "the last commit failed");
}

#[tokio::test(start_paused = true)]
async fn run_that_is_over_is_told_to_stop_and_speaks_for_nobody() {
    let former = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&former);
    let scene = start(RestartPolicy::default(), move |n, context| {
        let kept = Arc::clone(&kept);
        async move {
            if n == 1 {
                *kept.lock() = Some(context.clone());
                return Err(DaemonError::failed("no route"));
            }
            context.stopped().await;
            Ok(Ended::Drained)
        }
    });
    scene.until(|_| scene.runs().len() == 2).await;
    let former = former.lock().take().expect("the first run has left it");
    assert!(former.stop().is_cancelled() && !scene.shutdown.is_requested());
    former.health().ready();
    former.health().heartbeat();
    assert_eq!(scene.status().state, DaemonState::Starting);
    assert_eq!((scene.status().unready.as_deref(), scene.status().last_heartbeat), (Some("starting"), None));
}
