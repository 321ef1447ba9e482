//! Failed attempts: when they are tried again, and what goes on meanwhile.

use daemonry::handler::extract::Attempt;
use daemonry::handler::{HandlerError, on};
use daemonry::metrics::MessageStatus;
use daemonry::record::Record;
use daemonry::retry::RetryPolicy;
use tokio::time::sleep;

use crate::scene::{Journal, Scene, millis, secs, text, until};

#[tokio::test(start_paused = true)]
async fn waiting_retry_occupies_no_worker_and_stops_no_other_key() {
    let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (1, 10));
    scene.write(0, "bad");
    scene.write(0, "bad");
    scene.fill(0, 500);
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |record: Record, Attempt(attempt): Attempt| {
        let attempting = seen.begin(&record);
        async move {
            sleep(millis(1)).await;
            drop(attempting);
            if record.offset().0 == 0 && attempt < 4 { Err(anyhow::anyhow!("not yet")) } else { Ok(()) }
        }
    };
    let process = scene.start(on(handle).retry(RetryPolicy::exponential().no_jitter()));
    until("the others", || journal.began().len() == 501).await;
    assert!(journal.elapsed() < secs(1), "they had to wait {:?}", journal.elapsed());
    assert!(!journal.offsets(0).contains(&1), "the key's next record waits");
    until("the key", || journal.ended().len() == 505).await;
    assert_eq!(journal.offsets(0)[501..], [0, 0, 0, 1]);
    process.stop_cleanly().await;
    assert_eq!((scene.committed(0), journal.most()), (502, 1));
}

#[tokio::test(start_paused = true)]
async fn retries_come_after_one_two_and_four_seconds_and_then_the_letter() {
    let scene = Scene::new(1);
    scene.write(0, "a");
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |record: Record| {
        drop(seen.begin(&record));
        async { Err::<(), HandlerError>(anyhow::anyhow!("never").into()) }
    };
    let process = scene.start(on(handle).retry(RetryPolicy::exponential().no_jitter()));
    until("the letter", || scene.letters(0) == [0]).await;
    assert_eq!(journal.times(0, 0), [secs(0), secs(1), secs(3), secs(7)]);
    let count = |status| scene.metrics.messages.of(status).get();
    process.stop_cleanly().await;
    assert_eq!((count(MessageStatus::Failed), count(MessageStatus::Retried)), (4, 3));
    assert_eq!((count(MessageStatus::DeadLettered), count(MessageStatus::Success)), (1, 0));
    assert_eq!(scene.committed(0), 1);
}

#[tokio::test(start_paused = true)]
async fn jitter_only_ever_shortens_a_delay() {
    let scene = Scene::with(1, |settings| settings.workers = 50);
    scene.fill(0, 40);
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |record: Record, Attempt(attempt): Attempt| {
        drop(seen.begin(&record));
        async move { if attempt == 1 { Err::<(), HandlerError>(anyhow::anyhow!("once").into()) } else { Ok(()) } }
    };
    let process = scene.start(on(handle));
    until("the retries", || journal.ended().len() == 80).await;
    let delays: Vec<_> = (0..40).map(|offset| journal.times(0, offset)).map(|times| times[1] - times[0]).collect();
    assert!(delays.iter().all(|delay| (millis(800)..=millis(1_001)).contains(delay)), "{delays:?}");
    assert!(delays.iter().max().unwrap().abs_diff(*delays.iter().min().unwrap()) > millis(100), "they are spread");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn handler_may_say_itself_when_it_is_tried_again() {
    let scene = Scene::new(1);
    scene.write(0, "a");
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |record: Record, Attempt(attempt): Attempt| {
        drop(seen.begin(&record));
        async move {
            if attempt > 2 { Ok(()) } else { Err(HandlerError::retry_after(millis(700), anyhow::anyhow!("busy"))) }
        }
    };
    let process = scene.start(on(handle));
    until("the success", || journal.began().len() == 3).await;
    assert_eq!(journal.times(0, 0), [millis(0), millis(700), millis(1_400)]);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn retry_whose_slot_comes_free_in_the_middle_of_a_run_gets_the_idle_worker() {
    // The marks let the queue be full and read on at once: the retry that comes due finds no slot in it.
    let scene = Scene::with(1, |settings| {
        (settings.workers, settings.queue_records) = (2, 4);
        (settings.low_mark, settings.high_mark) = (0.99, 1.0);
    });
    scene.write(0, "x");
    (0..10).for_each(|_| scene.write(0, "k"));
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |record: Record, Attempt(attempt): Attempt| {
        let attempting = seen.begin(&record);
        async move {
            match text(&record).as_str() {
                "x0" if attempt == 1 => return Err(HandlerError::retry_after(millis(5), anyhow::anyhow!("once"))),
                "x0" => {}
                "k1" => sleep(millis(8)).await,
                _ => sleep(secs(60)).await,
            }
            drop(attempting);
            Ok(())
        }
    };
    let process = scene.start(on(handle));
    until("the retry", || journal.times(0, 0).len() == 2).await;
    assert_eq!(journal.times(0, 0), [millis(0), millis(8)]);
    process.crash().await;
}
