//! Records that kill the process, and kills that no record is to blame for.

use std::sync::Arc;
use std::time::Duration;

use daemonry::circuit_breaker::CircuitBreaker;
use daemonry::handler::{HandlerError, ProcessingOrder, Route, on, on_batch};
use daemonry::pipeline::control::Scope;
use daemonry::pipeline::source::CommitError;
use daemonry::pipeline::{CrashQuarantine, PipelineError};
use daemonry::record::{OwnedRecord, Record, TopicPartition};
use daemonry::testing::{CommitFault, PartitionFault};
use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::scene::{Attempting, Journal, LETTERS, Scene, TOPIC, header, millis, secs, sleeping, text, until};

/// Ends without warning before a record that kills is given up: two that bring probation, and three on probation.
const ENDS: usize = 5;

/// Kills the process that runs a record of this key.
#[derive(Clone, Default)]
struct Killer {
    struck: Arc<Notify>,
}

impl Killer {
    /// Never returns from a record that kills.
    async fn meet(&self, attempt: Attempting, record: &Record) {
        if text(record).starts_with("killer") {
            self.struck.notify_one();
            std::future::pending::<()>().await;
        }
        sleep(millis(2)).await;
        drop(attempt);
    }

    fn route(&self, journal: &Journal) -> Route {
        let (killer, seen) = (self.clone(), journal.clone());
        on(move |record: Record| {
            let (killer, attempt) = (killer.clone(), seen.begin(&record));
            async move { killer.meet(attempt, &record).await }
        })
        .timeout(secs(100_000))
    }

    /// So many processes, one after the other, each until it is killed.
    async fn strike(&self, scene: &Scene, processes: usize) {
        for _ in 0..processes {
            let process = scene.start(self.route(&Journal::new()));
            self.struck.notified().await;
            process.crash().await;
        }
    }

    /// One process after the other, each until it is killed, and the last one until `done`. Says what each of them did.
    async fn lives<K>(
        &self,
        scene: &Scene,
        route: impl Fn(&Journal) -> Route<(), K>,
        done: impl Fn() -> bool,
    ) -> Vec<Journal> {
        let mut lives = Vec::new();
        loop {
            let journal = Journal::new();
            let process = scene.start(route(&journal));
            lives.push(journal);
            tokio::select! {
                biased;
                () = self.struck.notified() => process.crash().await,
                () = until("the end", &done) => {
                    process.stop_cleanly().await;
                    return lives;
                }
            }
            assert!(lives.len() < 50, "it kills for ever");
        }
    }
}

fn reasons(scene: &Scene, partition: i32) -> Vec<(i64, String, String)> {
    let letters = scene.broker.records(LETTERS, partition);
    let of = |letter: &OwnedRecord| {
        let header = |name| header(letter, name);
        (header("daemonry-offset").parse().unwrap(), header("daemonry-reason"), header("daemonry-attempts"))
    };
    letters.iter().map(|(_, letter)| of(letter)).collect()
}

/// Two partitions of so many records with a killer among the first ones.
fn fill(scene: &Scene, before: usize, behind: usize) {
    scene.fill(0, before);
    scene.write(0, "killer");
    scene.fill(0, behind);
    scene.fill(1, before + behind);
}

#[tokio::test(start_paused = true)]
async fn record_that_kills_the_process_is_given_up_after_three_ends_on_probation_and_no_other() {
    let (scene, killer) = (Scene::new(2), Killer::default());
    fill(&scene, 23, 100);
    let done = || scene.committed(0) == 124 && scene.committed(1) == 123;
    let lives = killer.lives(&scene, |journal| killer.route(journal), done).await;
    assert_eq!(lives.len(), ENDS + 1);
    assert_eq!(reasons(&scene, 0), [(23, "crash".to_owned(), "3".to_owned())]);
    assert_eq!(reasons(&scene, 1), []);
    assert!(lives[..2].iter().all(|life| life.most() > 1), "before that all run side by side");
    assert!(lives[2..ENDS].iter().all(|life| life.most() == 1), "on probation each runs alone");
    assert!(lives[ENDS].most() > 1, "and once they are through, side by side again");
    assert!(lives[ENDS].offsets(0).iter().all(|offset| *offset != 23), "it isn't run once more");
}

#[tokio::test(start_paused = true)]
async fn a_killer_behind_more_records_than_the_queue_holds_is_found_as_well() {
    let killer = Killer::default();
    // A commit comes too late to tell what was finished before it strikes.
    let scene = Scene::with(2, |settings| settings.commit_interval = secs(1_000));
    fill(&scene, 350, 10);
    let done = || scene.letters(0) == [350];
    let lives = killer.lives(&scene, |journal| killer.route(journal), done).await;
    assert!(lives.len() <= ENDS + 8, "{} lives", lives.len());
    assert_eq!((reasons(&scene, 0).len(), reasons(&scene, 1).len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn two_killers_are_told_apart() {
    let (scene, killer) = (Scene::new(2), Killer::default());
    for partition in 0..2 {
        scene.fill(partition, 10);
        scene.write(partition, "killer");
        scene.fill(partition, 10);
    }
    let done = || scene.committed(0) == 21 && scene.committed(1) == 21;
    killer.lives(&scene, |journal| killer.route(journal), done).await;
    let crash = [(10, "crash".to_owned(), "3".to_owned())];
    assert_eq!((reasons(&scene, 0), reasons(&scene, 1)), (crash.to_vec(), crash.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn killer_among_batches_is_found_alone() {
    let (scene, killer) = (Scene::new(2), Killer::default());
    fill(&scene, 23, 100);
    let route = |journal: &Journal| {
        let (killer, seen) = (killer.clone(), journal.clone());
        let handle = move |records: Vec<Record>| {
            let (killer, seen) = (killer.clone(), seen.clone());
            async move {
                for record in records {
                    killer.meet(seen.begin(&record), &record).await;
                }
            }
        };
        on_batch(handle).max(10).within(millis(100)).timeout(secs(100_000))
    };
    let done = || scene.committed(0) == 124 && scene.committed(1) == 123;
    let lives = killer.lives(&scene, route, done).await;
    assert_eq!(lives.len(), ENDS + 1);
    assert_eq!((scene.letters(0), scene.letters(1)), (vec![23], Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn limit_says_how_many_ends_it_takes() {
    let quarantine = Some(CrashQuarantine { limit: 1.try_into().unwrap() });
    let (scene, killer) = (Scene::with(1, |settings| settings.crash_quarantine = quarantine), Killer::default());
    scene.write(0, "killer");
    let done = || scene.committed(0) == 1;
    assert_eq!(killer.lives(&scene, |journal| killer.route(journal), done).await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn without_a_quarantine_it_kills_again_after_each_restart() {
    let (scene, killer) = (Scene::with(1, |settings| settings.crash_quarantine = None), Killer::default());
    scene.write(0, "killer");
    for _ in 0..20 {
        let process = scene.start(killer.route(&Journal::new()));
        killer.struck.notified().await;
        process.crash().await;
    }
    assert!(scene.broker.committed(TOPIC, 0).is_none_or(|commit| commit.metadata.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn route_without_dead_letters_stops_for_it() {
    let (scene, killer) = (Scene::new(1), Killer::default());
    scene.write(0, "killer");
    for _ in 0..ENDS {
        let process = scene.start(killer.route(&Journal::new()).stop_on_failure());
        killer.struck.notified().await;
        process.crash().await;
    }
    for _ in 0..2 {
        let ended = scene.start(killer.route(&Journal::new()).stop_on_failure()).ended().await;
        let Err(PipelineError::Fatal(say)) = ended else { panic!("{ended:?}") };
        assert!(say.contains("orders[0] offset 0") && say.contains("crash: "), "{say}");
    }
}

/// Feeds the partitions, and kills one process after the other, each after a time.
async fn killed(scene: &Scene, times: usize, mut after: impl FnMut() -> Duration) {
    for n in 0..times {
        scene.write(0, &format!("a{n}-"));
        scene.write(1, &format!("b{n}-"));
        let process = scene.start(sleeping(&Journal::new(), millis(10)));
        sleep(after()).await;
        process.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_kills_in_a_row_quarantine_nobody() {
    for seed in 0..5 {
        let (scene, mut random) = (Scene::new(2), Rng::with_seed(seed));
        scene.fill(0, 300);
        scene.fill(1, 300);
        killed(&scene, 200, || millis(random.u64(0..1_500))).await;
        let process = scene.start(sleeping(&Journal::new(), millis(10)));
        until("all of it", || scene.committed(0) == 500 && scene.committed(1) == 500).await;
        process.stop_cleanly().await;
        assert_eq!((scene.letters(0), scene.letters(1)), (Vec::new(), Vec::new()), "seed {seed}");
    }
}

/// Whether a new process runs several at once from the start.
async fn is_free(scene: &Scene) -> bool {
    let journal = Journal::new();
    scene.fill(0, 20);
    let process = scene.start(sleeping(&journal, millis(10)));
    until("some", || journal.ended().len() >= 20).await;
    process.stop_cleanly().await;
    journal.most() > 1
}

#[tokio::test(start_paused = true)]
async fn stops_and_rebalances_never_lead_to_probation() {
    let scene = Scene::new(2);
    for _ in 0..20 {
        assert!(is_free(&scene).await);
        let metadata = scene.broker.committed(TOPIC, 0).unwrap().metadata;
        assert_eq!(metadata, "", "nobody reads it, and nothing was amiss");
    }
    let (first, journal) = (scene.start(sleeping(&Journal::new(), millis(10))), Journal::new());
    for _ in 0..10 {
        let second = scene.start(sleeping(&journal, millis(10)));
        scene.fill(0, 20);
        scene.fill(1, 20);
        sleep(secs(1)).await;
        scene.broker.revoke(TOPIC, 0);
        second.stop_cleanly().await;
    }
    first.stop_cleanly().await;
    assert!(journal.most() > 1 && is_free(&scene).await);
}

#[tokio::test(start_paused = true)]
async fn stop_that_leaves_handlers_behind_accuses_nobody() {
    let mut scene = Scene::new(1);
    scene.stop_drain = secs(1);
    scene.write(0, "stuck");
    let stuck = |journal: &Journal| sleeping(journal, secs(100_000)).timeout(secs(200_000));
    for _ in 0..10 {
        let journal = Journal::new();
        let process = scene.start(stuck(&journal));
        until("it is at it", || journal.began().len() == 1).await;
        assert_eq!(process.stop().await.map(|stopped| stopped.unfinished), Ok(1));
    }
    assert!(scene.letters(0).is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_on_probation_before_it_is_announced() {
    let (scene, killer) = (Scene::new(1), Killer::default());
    scene.write(0, "killer");
    killer.strike(&scene, 2).await;
    let refused = || CommitFault::Refuse(CommitError::Retriable("no coordinator".to_owned()));
    scene.broker.fail_commits((0..10).map(|_| refused()));
    let journal = Journal::new();
    let process = scene.start(killer.route(&journal));
    killer.struck.notified().await;
    assert!(journal.times(0, 0)[0] >= secs(7), "{:?}", journal.times(0, 0));
    process.crash().await;
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_to_its_first_commit_an_assignment_goes_on() {
    let scene = Scene::new(1);
    scene.fill(0, 10);
    scene.broker.fail_commits((0..100).map(|_| CommitFault::Refuse(CommitError::Retriable("busy".to_owned()))));
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(10)));
    assert!(timeout(secs(1), until("all of it", || journal.ended().len() == 10)).await.is_ok());
    scene.broker.heal();
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_on_probation_holds_nobody_else_up() {
    let (scene, killer) = (Scene::new(2), Killer::default());
    scene.fill(0, 5);
    scene.write(0, "killer");
    for _ in 0..2 {
        let process = scene.start(killer.route(&Journal::new()).order(ProcessingOrder::Partition));
        killer.struck.notified().await;
        process.crash().await;
    }
    // It is paused with its records in the queue; the other partition is free.
    scene.control.pause(Scope::Partition(TopicPartition::new(TOPIC, 0)));
    scene.fill(1, 50);
    let journal = Journal::new();
    let process = scene.start(killer.route(&journal).order(ProcessingOrder::Unordered));
    until("the other one", || scene.committed(1) == 50).await;
    assert!(journal.offsets(0).is_empty());
    process.stop_cleanly().await;
}

/// Two partitions, of one of which a record killed three processes, the last one while it ran alone; it is the first that is unread.
async fn accused() -> (Scene, Killer) {
    let (scene, killer) = (Scene::new(2), Killer::default());
    scene.write(0, "killer");
    killer.strike(&scene, 3).await;
    scene.fill(1, 50);
    (scene, killer)
}

#[tokio::test(start_paused = true)]
async fn an_accused_record_that_can_not_be_read_holds_the_others_up_for_a_second() {
    let (scene, killer) = accused().await;
    scene.broker.fault(TOPIC, 0, Some(PartitionFault::Withheld));
    let (journal, begun) = (Journal::new(), Instant::now());
    let process = scene.start(killer.route(&journal));
    until("the other ones", || scene.committed(1) == 50).await;
    let first = journal.times(1, 0)[0];
    assert!(first >= secs(1) && begun.elapsed() < secs(3), "{first:?}, and all after {:?}", begun.elapsed());
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn an_accused_record_that_nobody_wants_any_more_holds_nobody_up() {
    let (scene, killer) = accused().await;
    let journal = Journal::new();
    let process = scene.start(killer.route(&journal).filter(|record: &Record| record.partition().0 == 1));
    until("the other ones", || scene.committed(1) == 50).await;
    assert!(journal.times(1, 0)[0] < secs(1), "{:?}", journal.times(1, 0));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn retries_on_probation_let_others_go_first() {
    let (scene, killer) = (Scene::new(2), Killer::default());
    scene.write(0, "killer");
    killer.strike(&scene, 2).await;
    scene.fill(1, 50);
    let fails = on(|_: Record| async { Err::<(), _>(HandlerError::from(anyhow::anyhow!("not now"))) });
    let process = scene.start(fails.circuit_breaker(CircuitBreaker::off()));
    until("the letters", || scene.letters(0).len() == 1 && scene.letters(1).len() == 50).await;
    assert_eq!(reasons(&scene, 0)[0].1, "error");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn outage_on_probation_is_waited_for_and_ends_with_the_first_record_that_succeeds() {
    let (scene, killer) = (Scene::new(2), Killer::default());
    scene.write(0, "killer");
    killer.strike(&scene, 2).await;
    scene.fill(0, 50);
    scene.fill(1, 50);
    let (journal, begun) = (Journal::new(), Instant::now());
    let seen = journal.clone();
    let process = scene.start(on(move |record: Record| {
        let attempt = seen.begin(&record);
        async move {
            sleep(millis(2)).await;
            drop(attempt);
            if begun.elapsed() < secs(300) { Err(HandlerError::from(anyhow::anyhow!("down"))) } else { Ok(()) }
        }
    }));
    until("all of it", || scene.committed(0) == 51 && scene.committed(1) == 50).await;
    assert_eq!((scene.letters(0), scene.letters(1)), (vec![], vec![]));
    let past = begun.elapsed();
    assert!(past < secs(600), "it took {past:?}");
    process.stop_cleanly().await;
}
