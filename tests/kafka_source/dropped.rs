//! What is dropped without having been closed, as a panic or a cancelled task does it: the next one must find its place free.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daemonry::daemon::{Consumer, Daemon, DaemonContext, DaemonError, Ended};
use daemonry::handler::{Router, on};
use daemonry::kafka::{GroupProtocol, KafkaConfig};
use daemonry::record::Topic;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::member::{LONG, Member, PROTOCOLS, config, fill, topic, unique};

/// Much shorter than a session, and longer than a client takes to leave.
const SOON: Duration = Duration::from_secs(8);

/// A dynamic member of a new group, and a static one, with sessions of 30 s where that is the client's to say.
fn memberships(protocol: GroupProtocol) -> [KafkaConfig; 2] {
    [None, Some("the-only-one")].map(|id| {
        let mut settings = config(&unique("g"));
        settings.protocol = protocol;
        settings.instance_id = id.map(str::to_owned);
        settings.session_timeout = (protocol != GroupProtocol::Consumer).then_some(Duration::from_secs(30));
        settings
    })
}

#[tokio::test]
async fn a_source_that_is_dropped_leaves_its_place_to_the_next() {
    for settings in PROTOCOLS.into_iter().flat_map(memberships) {
        let topic = topic("dropped", 2).await;
        let mut first = Member::join(&settings, &topic);
        first.until("both partitions", |member| member.assigned.len() == 2).await;
        drop(first);
        let start = Instant::now();
        let mut next = Member::join(&settings, &topic);
        next.until("both partitions", |member| member.assigned.len() == 2).await;
        assert!(start.elapsed() < SOON, "{settings:?}: it took {:?}", start.elapsed());
        next.close().await;
    }
}

/// A consumer that runs, and how many records it has handled.
fn start(
    settings: &KafkaConfig,
    topic: &Topic,
) -> (JoinSet<Result<Ended, DaemonError>>, DaemonContext, Arc<AtomicUsize>) {
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let handle = move || {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let router = Router::new().topic(topic.clone(), on(handle).stop_on_failure());
    let consumer = Box::new(Consumer::new("orders", settings.clone(), router));
    let context = DaemonContext::detached("orders");
    let mut running = JoinSet::new();
    running.spawn(consumer.run(context.clone()));
    (running, context, handled)
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_consumer_whose_run_is_dropped_leaves_its_place_to_the_next() {
    for settings in memberships(GroupProtocol::Cooperative) {
        let topic = topic("dropped", 2).await;
        fill(&topic, 10).await;
        let (mut first, _, handled) = start(&settings, &topic);
        until("the first ones", || handled.load(Ordering::Relaxed) == 10).await;
        first.shutdown().await;
        fill(&topic, 10).await;
        let began = Instant::now();
        let (mut next, context, handled) = start(&settings, &topic);
        until("the others", || handled.load(Ordering::Relaxed) >= 10).await;
        assert!(began.elapsed() < SOON, "{settings:?}: it took {:?}", began.elapsed());
        context.stop().cancel();
        let ended = next.join_next().await.expect("it runs").expect("it doesn't panic");
        assert_eq!(ended.expect("it doesn't fail"), Ended::Drained);
    }
}
