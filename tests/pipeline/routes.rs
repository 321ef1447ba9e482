//! What a route adds around its handler: filters, layers, error classes, key functions of its own.

use anyhow::{Context, anyhow};
use daemonry::handler::layer::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer, TimeoutLayer};
use daemonry::handler::{HandlerError, ProcessingOrder, Route, on, on_batch};
use daemonry::metrics::MessageStatus;
use daemonry::record::Record;
use daemonry::retry::RetryPolicy;
use tokio::time::Instant;
use tower::ServiceBuilder;

use crate::scene::{Journal, LETTERS, Scene, header, millis, secs, sleeping, text, until};

#[tokio::test(start_paused = true)]
async fn a_filter_skips_records_before_they_take_up_room() {
    let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (1, 2));
    for n in 0..1_000 {
        scene.write(0, if n % 100 == 0 { "wanted" } else { "other" });
    }
    let journal = Journal::new();
    let route = sleeping(&journal, millis(10)).filter(|record| text(record).starts_with("wanted"));
    let process = scene.start(route);
    until("all of them passed", || scene.committed(0) == 1_000).await;

    assert_eq!(journal.offsets(0), (0..1_000).step_by(100).collect::<Vec<_>>());
    assert_eq!(scene.metrics.messages.of(MessageStatus::Skipped).get(), 990);
    assert_eq!(scene.metrics.messages.of(MessageStatus::Success).get(), 10);
    assert!(scene.letters(0).is_empty());
    process.stop_cleanly().await;
}

/// An error that can't be told.
#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unspeakable {}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_it_is_classed_or_told_makes_its_record_a_dead_letter() {
    for (by_class, batch) in [(true, false), (false, false), (true, true)] {
        let scene = Scene::new(1);
        ["a", "bad", "b"].iter().for_each(|key| scene.write(0, key));
        let verdict = move |record: &Record| match (text(record).starts_with("bad"), by_class) {
            (false, _) => Ok(()),
            (true, true) => Err(HandlerError::from(anyhow::anyhow!("down"))),
            (true, false) => Err(HandlerError::from(Unspeakable)),
        };
        let class = move |_: &HandlerError| !by_class || panic!("no class");
        let process = if batch {
            let handle = move |records: Vec<Record>| async move { records.iter().map(verdict).collect::<Vec<_>>() };
            scene.start(on_batch(handle).within(millis(1)).retry_if(class))
        } else {
            scene.start(on(move |record: Record| async move { verdict(&record) }).retry_if(class))
        };
        until("all of them finished", || scene.committed(0) == 3).await;
        assert_eq!(scene.letters(0), [1]);
        let letter = &scene.broker.records(LETTERS, 0)[0].1;
        let (error, panic) = (header(letter, "daemonry-error"), if by_class { "no class" } else { "no words" });
        assert!(error.contains(panic), "{error}");
        assert_eq!(
            (header(letter, "daemonry-reason"), header(letter, "daemonry-attempts")),
            ("panic".into(), "1".into())
        );
        // Nothing is out any more.
        let stop = Instant::now();
        process.stop_cleanly().await;
        assert!(stop.elapsed() < secs(1));
    }
}

/// What can't be dropped.
#[derive(Debug)]
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        panic!("it goes off");
    }
}

impl std::fmt::Display for Explosive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("down")
    }
}

impl std::error::Error for Explosive {}

/// Handles `a`, `bad` and `b`, and answers the reason and the error of the letter of `bad`, which is to be the only one.
async fn letter_of_bad<K>(route: Route<(), K>) -> (String, String) {
    let scene = Scene::new(1);
    ["a", "bad", "b"].iter().for_each(|key| scene.write(0, key));
    let process = scene.start(route.retry(RetryPolicy::exponential().max_retries(2)));
    until("all of them finished", || scene.committed(0) == 3).await;
    assert_eq!(scene.letters(0), [1]);
    let letter = &scene.broker.records(LETTERS, 0)[0].1;
    assert_eq!(header(letter, "daemonry-attempts"), "3");
    process.stop_cleanly().await;
    (header(letter, "daemonry-reason"), header(letter, "daemonry-error"))
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_it_is_dropped_is_a_failed_attempt_as_any_other() {
    fn verdict(record: &Record) -> Result<(), HandlerError> {
        if text(record).starts_with("bad") { Err(HandlerError::from(Explosive)) } else { Ok(()) }
    }
    let each = on_batch(|records: Vec<Record>| async move { records.iter().map(verdict).collect::<Vec<_>>() });
    let all = on_batch(|records: Vec<Record>| async move { records.iter().try_for_each(verdict) });
    let letters = [
        letter_of_bad(on(|record: Record| async move { verdict(&record) })).await,
        letter_of_bad(each.within(millis(1))).await,
        letter_of_bad(all.within(millis(1))).await,
    ];
    let expected = "down; the handler's error panicked when it was dropped: it goes off";
    assert_eq!(letters, [(); 3].map(|()| ("error".to_owned(), expected.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_when_its_time_is_over_or_throws_what_panics_has_failed_like_others() {
    async fn overstay(records: Vec<Record>) {
        if records.iter().any(|record| text(record).starts_with("bad")) {
            let _bomb = Explosive;
            tokio::time::sleep(secs(60)).await;
        }
    }
    let batch = on_batch(overstay).within(millis(1)).timeout(secs(5));
    let one = on(|record: Record| overstay(vec![record])).timeout(secs(5));
    let letters = [letter_of_bad(batch).await, letter_of_bad(one).await];
    assert_eq!(letters, [(); 2].map(|()| ("panic".to_owned(), "it goes off".to_owned())));

    async fn throw(records: Vec<Record>) {
        if records.iter().any(|record| text(record).starts_with("bad")) {
            std::panic::panic_any(Explosive);
        }
    }
    let letters = [
        letter_of_bad(on_batch(throw).within(millis(1))).await,
        letter_of_bad(on(|record: Record| throw(vec![record]))).await,
    ];
    assert_eq!(letters, [(); 2].map(|()| ("panic".to_owned(), "a value that is not text".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_filter_or_a_key_function_that_panics_makes_its_record_a_dead_letter() {
    for by_filter in [true, false] {
        let scene = Scene::new(1);
        ["a", "bad", "b"].iter().for_each(|key| scene.write(0, key));
        let journal = Journal::new();
        let panics = |record: &Record| assert!(!text(record).starts_with("bad"), "it is bad");
        let route = if by_filter {
            sleeping(&journal, millis(1)).filter(move |record| {
                panics(record);
                true
            })
        } else {
            sleeping(&journal, millis(1)).key_by("text", move |record| {
                panics(record);
                Some(text(record).into_bytes())
            })
        };
        let process = scene.start(route);
        until("all of them finished", || scene.committed(0) == 3).await;

        assert_eq!((journal.offsets(0), scene.letters(0)), (vec![0, 2], vec![1]));
        let letter = &scene.broker.records(LETTERS, 0)[0].1;
        assert_eq!(
            (header(letter, "daemonry-reason"), header(letter, "daemonry-attempts")),
            ("panic".into(), "0".into())
        );
        assert!(header(letter, "daemonry-error").contains("it is bad"));
        process.stop_cleanly().await;
    }
}

#[tokio::test(start_paused = true)]
async fn errors_that_are_not_retryable_go_to_the_dead_letters_at_once() {
    let scene = Scene::new(1);
    ["seven", "8", "io"].iter().for_each(|key| scene.write(0, key));
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |record: Record| {
        drop(seen.begin(&record));
        async move {
            let text = text(&record);
            if text.starts_with("io") {
                return Err(HandlerError::retry(std::io::Error::other("not now")));
            }
            // The offset stands behind the key.
            let number: u32 = text.parse().context("reading the number")?;
            assert_eq!(number, 81);
            Ok(())
        }
    };
    let retry = RetryPolicy::exponential().max_retries(2);
    let route = on(handle).retry(retry).retry_if(|_| true).not_retryable::<std::num::ParseIntError>();
    let process = scene.start(route);
    until("all of them finished", || scene.committed(0) == 3).await;

    assert_eq!([0, 1, 2].map(|offset| journal.times(0, offset).len()), [1, 1, 3]);
    let reasons = scene.broker.records(LETTERS, 0);
    let reasons: Vec<_> = reasons.iter().map(|(_, letter)| header(letter, "daemonry-reason")).collect();
    assert_eq!(reasons, ["not_retryable", "error"]);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_layers_timeout_is_a_failed_attempt_that_is_retried() {
    let scene = Scene::new(1);
    scene.write(0, "slow");
    let journal = Journal::new();
    let retry = RetryPolicy::exponential().max_retries(1).no_jitter();
    let process = scene.start(sleeping(&journal, secs(60)).retry(retry).layer(TimeoutLayer::new(secs(5))));
    until("its letter", || scene.letters(0) == [0]).await;

    assert_eq!(journal.times(0, 0), [secs(0), secs(6)]);
    let letter = &scene.broker.records(LETTERS, 0)[0].1;
    assert_eq!(
        (header(letter, "daemonry-reason"), header(letter, "daemonry-attempts")),
        ("timeout".into(), "2".into())
    );
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_says_passes_through_its_layers() {
    let scene = Scene::new(1);
    ["skip", "poison", "later", "undecodable", "panic"].iter().for_each(|key| scene.write(0, key));
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |record: Record, attempt: daemonry::handler::extract::Attempt| {
        drop(seen.begin(&record));
        async move {
            match (text(&record).as_str(), attempt.0) {
                ("skip0", _) => Err(HandlerError::skip("old")),
                ("poison1", _) => Err(HandlerError::poison(anyhow!("bad"))),
                ("later2", 1) => Err(HandlerError::retry_after(secs(40), anyhow!("busy"))),
                ("undecodable3", _) => Err(daemonry::handler::Rejection::new("not mine").into()),
                ("panic4", _) => panic!("oh no"),
                _ => Ok(()),
            }
        }
    };
    let stack = ServiceBuilder::new().layer(TimeoutLayer::new(secs(5))).layer(ConcurrencyLimitLayer::new(1));
    let route =
        on(handle).retry(RetryPolicy::exponential().max_retries(1)).layer(stack).layer(TimeoutLayer::new(secs(9)));
    let process = scene.start(route);
    until("all of them finished", || scene.committed(0) == 5).await;

    assert_eq!(journal.times(0, 2), [secs(0), secs(40)]);
    assert_eq!(scene.metrics.messages.of(MessageStatus::Skipped).get(), 1);
    let letters = scene.broker.records(LETTERS, 0);
    let mut reasons: Vec<_> = letters.iter().map(|(_, letter)| header(letter, "daemonry-reason")).collect();
    reasons.sort();
    assert_eq!(reasons, ["panic", "poison", "undecodable"]);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_bounds_the_attempts_of_its_route() {
    let scene = Scene::new(2);
    (0..2).for_each(|partition| scene.fill(partition, 20));
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, secs(1)).layer(ConcurrencyLimitLayer::new(3)));
    until("all of them finished", || scene.committed(0) + scene.committed(1) == 40).await;

    assert_eq!(journal.most(), 3);
    assert!(journal.elapsed() >= secs(13), "{:?}", journal.elapsed());
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_permit_counts_for_a_timeout_that_is_a_layer_of_its_own_and_not_for_one_of_the_same_stack() {
    for (in_a_stack, letters) in [(true, 0), (false, 1)] {
        let scene = Scene::new(1);
        ["a", "b"].iter().for_each(|key| scene.write(0, key));
        let journal = Journal::new();
        let route = sleeping(&journal, secs(8)).retry(RetryPolicy::none());
        let (limit, timeout) = (ConcurrencyLimitLayer::new(1), TimeoutLayer::new(secs(10)));
        let route = match in_a_stack {
            true => route.layer(ServiceBuilder::new().layer(timeout).layer(limit)),
            false => route.layer(limit).layer(timeout),
        };
        let process = scene.start(route);
        until("both of them finished", || scene.committed(0) == 2).await;

        assert_eq!(scene.letters(0).len(), letters, "in a stack: {in_a_stack}");
        assert_eq!(journal.times(0, 0), [secs(0)]);
        assert_eq!(journal.times(0, 1), [secs(8)]);
        process.stop_cleanly().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_spreads_the_attempts() {
    let scene = Scene::new(1);
    scene.fill(0, 40);
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(1)).layer(RateLimitLayer::new(10, secs(1))));
    until("all of them finished", || scene.committed(0) == 40).await;

    let mut times: Vec<_> = journal.began().iter().map(|attempt| attempt.at).collect();
    times.sort();
    assert!(times[9] < millis(100), "those of one interval may begin at once: {times:?}");
    let spread = times[10..].iter().enumerate().all(|(n, at)| *at >= millis(100) * (u32::try_from(n).unwrap() + 1));
    assert!(spread && times[39] < millis(3_200), "{times:?}");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_for_a_layers_permit_gives_way_to_a_stop() {
    let scene = Scene::with(1, |settings| settings.rebalance_drain = secs(1));
    scene.fill(0, 5);
    let journal = Journal::new();
    let limit = GlobalConcurrencyLimitLayer::new(1);
    let process = scene.start(sleeping(&journal, secs(10)).order(ProcessingOrder::Unordered).layer(limit));
    until("one that runs", || !journal.began().is_empty()).await;
    // Those that wait have been started too: they end within the drain, one after the other.
    let stopped = process.stop().await.expect("it stops");

    assert!(stopped.unfinished > 0, "five times 10 s don't fit into 30 s");
    assert!(journal.elapsed() <= secs(40), "{:?}", journal.elapsed());
    assert_eq!(scene.committed(0), i64::try_from(journal.ended().len() - 1).unwrap().min(3));
}
