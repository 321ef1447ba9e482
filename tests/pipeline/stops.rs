//! Stops: what still ends, what is given back, and what is committed.

use daemonry::handler::{HandlerError, on};
use daemonry::pipeline::{PipelineError, Stopped};
use daemonry::record::Record;
use tokio::time::sleep;

use crate::scene::{Journal, Scene, millis, secs, text, until};

#[tokio::test(start_paused = true)]
async fn stop_lets_started_handlers_end_and_gives_the_queue_back() {
    let scene = Scene::new(2);
    (0..2).for_each(|partition| scene.fill(partition, 200));
    let journal = Journal::new();
    let seen = journal.clone();
    let process = scene.start(on(move |record: Record| {
        let attempt = seen.begin(&record);
        async move {
            sleep(secs(20)).await;
            drop(attempt);
        }
    }));
    sleep(secs(30)).await;
    let begun = journal.began().len();
    let asked = journal.elapsed();
    process.stop_cleanly().await;
    assert_eq!(journal.elapsed() - asked, secs(10), "as long as the handlers took, no longer");
    assert_eq!((journal.began().len(), journal.ended().len()), (begun, begun), "nothing was started any more");
    let ended = |partition| journal.ended().iter().filter(|one| one.partition == partition).count();
    assert_eq!((scene.committed(0), scene.committed(1)), (ended(0) as i64, ended(1) as i64));
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_no_retry() {
    let scene = Scene::new(1);
    scene.fill(0, 1);
    let process = scene.start(on(|| async { Err::<(), HandlerError>(anyhow::anyhow!("down").into()) }));
    sleep(millis(100)).await;
    let asked = Journal::new();
    process.stop_cleanly().await;
    assert!(asked.elapsed() < millis(10), "it took {:?}", asked.elapsed());
    assert_eq!((scene.committed(0), scene.letters(0)), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn handler_that_will_not_end_is_left_uncommitted_at_the_deadline() {
    let scene = Scene::new(1);
    ["hangs", "b", "c"].iter().for_each(|key| scene.write(0, key));
    let journal = Journal::new();
    let seen = journal.clone();
    let process = scene.start(on(move |record: Record| {
        let attempt = seen.begin(&record);
        async move {
            if text(&record) == "hangs0" {
                std::future::pending::<()>().await;
            }
            drop(attempt);
        }
    }));
    sleep(millis(100)).await;
    let asked = journal.elapsed();
    assert_eq!(process.stop().await, Ok(Stopped { unfinished: 1, uncommitted: false }));
    assert_eq!(journal.elapsed() - asked, secs(30));
    let commit = scene.broker.committed("orders", 0).unwrap();
    assert_eq!(commit.next.offset().0, 0);
    assert!(!commit.metadata.is_empty(), "the two behind it are remembered");
    until("its end", || journal.ended().len() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn letter_of_a_started_handler_is_written_before_the_end() {
    let scene = Scene::new(1);
    scene.fill(0, 1);
    scene.broker.delay_letters(secs(3));
    let process = scene.start(on(|| async {
        sleep(secs(2)).await;
        Err::<(), _>(HandlerError::poison(anyhow::anyhow!("bad")))
    }));
    sleep(secs(1)).await;
    process.stop_cleanly().await;
    assert_eq!((scene.letters(0), scene.committed(0)), (vec![0], 1));
}

#[tokio::test(start_paused = true)]
async fn route_may_stop_the_daemon_at_a_record_that_cannot_be_handled() {
    let scene = Scene::with(1, |settings| settings.commit_interval = secs(1_000));
    ["a", "bad", "bad", "b"].iter().for_each(|key| scene.write(0, key));
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |record: Record| {
        let attempt = seen.begin(&record);
        async move {
            if text(&record) == "bad1" {
                sleep(millis(500)).await;
                return Err(HandlerError::poison(anyhow::anyhow!("no customer")));
            }
            sleep(secs(2)).await;
            drop(attempt);
            Ok(())
        }
    };
    let error = scene.start(on(handle).stop_on_failure()).ended().await.unwrap_err();
    let PipelineError::Fatal(say) = &error else { panic!("{error:?}") };
    assert!(say.contains("orders[0] offset 1") && say.contains("no customer"), "{say}");
    assert_eq!(journal.offsets(0), [0, 1, 3], "the key's next record is not started");
    let commit = scene.broker.committed("orders", 0).unwrap();
    assert_eq!(commit.next.offset().0, 1, "what was running has ended and is committed");
    assert!(!commit.metadata.is_empty(), "the one behind the failure too");
}
