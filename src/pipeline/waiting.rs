//! How workers wait for work, and let others go first.
//!
//! A handler may block its thread, so nothing may be left to that thread alone: what is woken on it is put where no other thread can take
//! it, and so is what yields by the runtime's budget. Both then last as long as the handler that comes next there.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::sync::Notify;
use tokio::task::coop::{consume_budget, has_budget_remaining};

/// Looks for work whenever told to, until there is some. `None` once `stop` is ready.
pub(super) async fn wait_for<T>(
    ready: &Notify,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let found = loop {
        let mut told = pin!(ready.notified());
        // Registered before the look, so that what becomes ready in between is not missed.
        told.as_mut().enable();
        if let Some(found) = look() {
            break found;
        }
        tokio::select! {
            biased;
            () = stop.as_mut() => return None,
            () = told => {}
        }
        if let Some(found) = look() {
            return Some(found);
        }
    };
    // If this one was told as well, that has gone on to another worker, and woken it here: it would wait for what is begun now.
    give_way().await;
    Some(found)
}

/// Lets others go first once in a while: handlers that never wait would otherwise keep the thread for ever.
pub(super) async fn take_turns() {
    if has_budget_remaining() {
        consume_budget().await;
    } else {
        give_way().await;
    }
}

/// Goes to the end of the queue, from where any thread may take it.
async fn give_way() {
    let mut given = false;
    poll_fn(|cx| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Poll;
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    use super::{take_turns, wait_for};

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
        let (runtime, ready, begin) = (runtime(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (looks, looked) = channel();
        let (waits, waiting) = channel();
        let (runs, ran) = channel();
        let (tells, told, begun) = (Arc::clone(&ready), Arc::clone(&ready), Arc::clone(&begin));
        runtime.spawn(async move {
            begun.notified().await;
            let mut told = pin!(told.notified());
            told.as_mut().enable();
            Sender::send(&waits, ()).unwrap();
            told.await;
            runs.send(()).unwrap();
        });
        let blocks = runtime.spawn(async move {
            let look = move || {
                // Between this one's registration and its end the other waits too, and one is told: this one, as it came first.
                looks.send(()).unwrap();
                waiting.recv_timeout(SOON).unwrap();
                tells.notify_one();
                Some(())
            };
            wait_for(&ready, pin!(pending()), look).await.unwrap();
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
}
