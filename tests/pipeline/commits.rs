//! Commits: when they are made, and what becomes of those that are refused.

use std::sync::Arc;

use daemonry::handler::{ProcessingOrder, on};
use daemonry::metrics::CommitStatus;
use daemonry::pipeline::source::CommitError;
use daemonry::pipeline::{PipelineError, Stopped};
use daemonry::record::Record;
use daemonry::testing::CommitFault;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::scene::{Journal, Scene, millis, secs, until};

/// When each commit of the scene is written, and what it says.
fn commits(scene: &Scene) -> Arc<Mutex<Vec<(std::time::Duration, i64)>>> {
    let (journal, commits) = (Journal::new(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&commits);
    scene.broker.on_commit(move |_, commit| seen.lock().push((journal.elapsed(), commit.next.offset().0)));
    commits
}

#[tokio::test(start_paused = true)]
async fn commit_is_made_once_an_interval_and_only_where_there_is_news() {
    let scene = Scene::with(1, |settings| settings.commit_interval = secs(2));
    let commits = commits(&scene);
    let process = scene.start(on(|| async {}));
    sleep(millis(500)).await;
    scene.fill(0, 30);
    sleep(secs(60)).await;
    scene.fill(0, 1);
    sleep(secs(60)).await;
    process.stop_cleanly().await;
    let commits: Vec<_> = commits.lock().iter().map(|(at, next)| (at.as_millis(), *next)).collect();
    let news: Vec<_> = commits.into_iter().filter(|(_, next)| *next > 0).collect();
    // The last one tells that nobody reads the partition any more.
    assert_eq!(news, [(2_000, 30), (62_000, 31), (120_500, 31)]);
}

#[tokio::test(start_paused = true)]
async fn commit_is_made_before_the_interval_after_so_many_completions() {
    let scene = Scene::with(1, |settings| (settings.commit_interval, settings.commit_after) = (secs(1_000), 40));
    let commits = commits(&scene);
    let process = scene.start(on(|| sleep(millis(10))).order(ProcessingOrder::Partition));
    scene.fill(0, 100);
    sleep(secs(30)).await;
    let early: Vec<_> = commits.lock().iter().map(|(_, next)| *next).filter(|next| *next > 0).collect();
    assert_eq!(early, [40, 80]);
    process.stop_cleanly().await;
    assert_eq!(scene.committed(0), 100);
}

#[tokio::test(start_paused = true)]
async fn commits_for_completions_are_some_time_apart() {
    let scene = Scene::with(1, |settings| (settings.commit_interval, settings.commit_after) = (secs(1_000), 1));
    let commits = commits(&scene);
    let process = scene.start(on(|| sleep(millis(1))).order(ProcessingOrder::Partition));
    scene.fill(0, 400);
    sleep(secs(30)).await;
    let times: Vec<_> = commits.lock().iter().filter(|(_, next)| *next > 0).map(|(at, _)| *at).collect();
    assert!(times.len() > 5 && times.windows(2).all(|pair| pair[1] - pair[0] >= millis(50)), "{times:?}");
    assert_eq!(scene.committed(0), 400, "the last ones are not left for the interval");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn commit_that_is_refused_is_covered_by_the_next() {
    let scene = Scene::new(1);
    let refused = || CommitFault::Refuse(CommitError::Retriable("coordinator is loading".to_owned()));
    let process = scene.start(on(|| async {}));
    sleep(millis(10)).await;
    // The first one would tell who reads the partition.
    scene.broker.fail_commits([refused(), refused(), refused()]);
    scene.fill(0, 10);
    sleep(millis(2_500)).await;
    assert_eq!(scene.committed(0), 0);
    sleep(secs(1)).await;
    assert_eq!(scene.committed(0), 10);
    assert_eq!(scene.metrics.commits.of(CommitStatus::Retriable).get(), 3);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn commit_that_takes_its_time_is_waited_for() {
    let scene = Scene::with(1, |settings| settings.commit_interval = millis(100));
    scene.broker.fail_commits([CommitFault::Delay(secs(4))]);
    scene.fill(0, 10);
    let process = scene.start(on(|| async {}));
    until("all of it", || scene.committed(0) == 10).await;
    assert_eq!(scene.metrics.commits.of(CommitStatus::Retriable).get(), 0);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn stop_without_an_answer_to_its_last_commit_says_so() {
    let scene = Scene::with(1, |settings| settings.commit_interval = secs(1_000));
    let process = scene.start(on(|| async {}));
    sleep(millis(10)).await;
    scene.fill(0, 10);
    sleep(secs(1)).await;
    scene.broker.fail_commits([CommitFault::Delay(secs(1_000))]);
    assert_eq!(process.stop().await, Ok(Stopped { unfinished: 0, uncommitted: true }));
}

#[tokio::test(start_paused = true)]
async fn stop_with_everything_committed_needs_no_answer_to_its_last_commit() {
    let scene = Scene::with(1, |settings| settings.commit_interval = millis(100));
    scene.fill(0, 10);
    let process = scene.start(on(|| async {}));
    until("all of it", || scene.committed(0) == 10).await;
    sleep(secs(1)).await;
    scene.broker.fail_commits([CommitFault::Delay(secs(1_000))]);
    assert_eq!(process.stop().await, Ok(Stopped::default()));
}

#[tokio::test(start_paused = true)]
async fn last_commit_of_a_stop_is_tried_until_it_is_taken() {
    let scene = Scene::with(1, |settings| settings.commit_interval = secs(1_000));
    let process = scene.start(on(|| async {}));
    sleep(millis(10)).await;
    scene.fill(0, 10);
    sleep(secs(1)).await;
    scene.broker.fail_commits((0..20).map(|_| CommitFault::Refuse(CommitError::RebalanceInProgress)));
    process.stop_cleanly().await;
    assert_eq!(scene.committed(0), 10);
}

#[tokio::test(start_paused = true)]
async fn last_commit_of_a_stop_that_is_refused_for_ever_is_given_up_in_time() {
    let mut scene = Scene::with(1, |settings| settings.commit_interval = secs(1_000));
    scene.stop_drain = secs(20);
    let process = scene.start(on(|| async {}));
    sleep(millis(10)).await;
    scene.fill(0, 10);
    sleep(secs(1)).await;
    let began = Instant::now();
    scene.broker.fail_commits((0..10_000).map(|_| CommitFault::Refuse(CommitError::RebalanceInProgress)));
    assert_eq!(process.stop().await, Ok(Stopped { unfinished: 0, uncommitted: true }));
    // The drain, and what a last commit may take beyond it; not a moment more.
    assert!((millis(24_800)..secs(25)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn last_commit_of_a_stop_that_can_not_succeed_is_made_once() {
    let scene = Scene::with(1, |settings| settings.commit_interval = secs(1_000));
    let process = scene.start(on(|| async {}));
    sleep(millis(10)).await;
    scene.fill(0, 10);
    sleep(secs(1)).await;
    let began = Instant::now();
    scene.broker.fail_commits((0..100).map(|_| CommitFault::Refuse(CommitError::Fatal("no such group".to_owned()))));
    assert_eq!(process.stop().await, Ok(Stopped { unfinished: 0, uncommitted: true }));
    assert!(began.elapsed() < secs(1), "it was tried again for {:?}", began.elapsed());
    assert_eq!(scene.metrics.commits.of(CommitStatus::Fatal).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn metadata_that_is_too_large_is_made_smaller_and_the_partition_goes_on() {
    let scene = Scene::new(1);
    let journal = Journal::new();
    let seen = journal.clone();
    // Every second record is stuck for a while: there is much to remember.
    let process = scene.start(
        on(move |record: Record| {
            let attempt = seen.begin(&record);
            async move {
                if record.offset().0 % 20 == 0 {
                    sleep(secs(10)).await;
                }
                drop(attempt);
            }
        })
        .order(ProcessingOrder::Unordered),
    );
    sleep(millis(10)).await;
    scene.broker.fail_commits((0..4).map(|_| CommitFault::Refuse(CommitError::MetadataTooLarge)));
    scene.fill(0, 1_000);
    until("all of it", || journal.ended().len() == 1_000).await;
    until("the commit", || scene.committed(0) == 1_000).await;
    assert_eq!(scene.metrics.commits.of(CommitStatus::MetadataTooLarge).get(), 4);
    assert_eq!(journal.began().len(), 1_000, "nothing ran twice");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn member_that_is_fenced_fails_for_good() {
    let scene = Scene::new(1);
    let process = scene.start(on(|| async {}));
    sleep(millis(10)).await;
    scene.broker.fail_commits([CommitFault::Refuse(CommitError::Fenced)]);
    scene.fill(0, 1);
    let error = process.ended().await.unwrap_err();
    let PipelineError::Fatal(say) = &error else { panic!("{error:?}") };
    assert!(say.contains("group.instance.id"), "{say}");
}
