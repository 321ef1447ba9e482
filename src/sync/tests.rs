//! On a real runtime, whose threads handlers block.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::wakes::{Seat, Wakes, take_turns};

const SOON: Duration = Duration::from_secs(5);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

/// Blocks its thread until the other has run.
fn block_for(other: &Receiver<()>) -> bool {
    other.recv_timeout(SOON).is_ok()
}

#[test]
fn who_was_told_in_vain_keeps_nobody_from_running() {
    let (runtime, wakes, begin) = (runtime(), Arc::new(Wakes::new()), Arc::new(Notify::new()));
    let (looks, looked) = channel();
    let (waits, waiting) = channel();
    let (runs, ran) = channel();
    let (tells, told, begun) = (Arc::clone(&wakes), Arc::clone(&wakes), Arc::clone(&begin));
    runtime.spawn(async move {
        begun.notified().await;
        let mut looks = 0;
        let look = move || {
            looks += 1;
            // Only the first time: then it waits.
            if looks > 1 {
                return Some(());
            }
            waits.send(()).unwrap();
            None
        };
        told.wait_for(Seat::Shared, pin!(pending()), look).await.unwrap();
        runs.send(()).unwrap();
    });
    let blocks = runtime.spawn(async move {
        let look = move || {
            // Between this one's registration and its end the other waits too, and one is told: this one, as it came first.
            looks.send(()).unwrap();
            waiting.recv_timeout(SOON).unwrap();
            tells.wake(1);
            Some(())
        };
        wakes.wait_for(Seat::Shared, pin!(pending()), look).await.unwrap();
        block_for(&ran)
    });
    looked.recv_timeout(SOON).unwrap();
    begin.notify_one();
    assert!(runtime.block_on(blocks).unwrap(), "the other waits for a thread that is blocked");
}

#[test]
fn who_lets_others_go_first_waits_for_none_that_blocks() {
    let runtime = runtime();
    let (runs, ran) = channel();
    let went_on = runtime.spawn(async move {
        // Whoever is spawned here is next on this thread.
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { block_for(&ran) });
        use_up_the_budget().await;
        take_turns().await;
        runs.send(()).unwrap();
        tasks.join_next().await.unwrap().unwrap()
    });
    assert!(runtime.block_on(went_on).unwrap(), "it waits for a thread that is blocked");
}

async fn use_up_the_budget() {
    poll_fn(|cx| {
        while tokio::task::coop::has_budget_remaining() {
            match tokio::task::coop::poll_proceed(cx) {
                Poll::Ready(unit) => unit.made_progress(),
                Poll::Pending => unreachable!("some was left"),
            }
        }
        Poll::Ready(())
    })
    .await;
}
