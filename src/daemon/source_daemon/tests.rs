use std::future::pending;

use tokio::task::JoinSet;

use super::*;
use crate::handler::extract::Text;
use crate::handler::{HandlerError, ProcessingOrder, on};
use crate::metrics::MessageStatus;
use crate::record::OwnedRecord;
use crate::testing::{MemoryBroker, MemorySource};

async fn number(Text(text): Text) -> Result<(), HandlerError> {
    text.parse::<u64>().map(drop).map_err(HandlerError::poison)
}

fn router() -> Router {
    Router::new().topic("numbers", on(number).order(ProcessingOrder::Key))
}

fn broker(values: &[&str]) -> MemoryBroker {
    let broker = MemoryBroker::new();
    for topic in ["numbers", "numbers.dlq"] {
        broker.create_topic(topic, 1);
    }
    for value in values {
        broker.produce("numbers", 0, OwnedRecord::new(*value));
    }
    broker
}

fn on_broker(broker: &MemoryBroker, router: Router) -> SourceDaemon<MemorySource> {
    let (joined, topics) = (broker.clone(), router.subscription());
    SourceDaemon::new("numbers", async move { Ok(joined.join(topics)) }, router)
}

#[tokio::test(start_paused = true)]
async fn records_of_any_source_are_handled_committed_and_dead_lettered() {
    let broker = broker(&["1", "two", "3"]);
    let daemon = on_broker(&broker, router()).dead_letters(Arc::new(broker.clone()));
    let context = DaemonContext::detached("numbers");
    let mut running = JoinSet::new();
    running.spawn(Box::new(daemon).run(context.clone()));
    while broker.committed("numbers", 0).is_none_or(|commit| commit.next.offset().0 < 3) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(context.health().is_ready());
    context.stop().cancel();
    let ended = running.join_next().await.expect("it is one task").expect("it doesn't panic");
    assert_eq!(ended.expect("it ends well"), Ended::Drained);
    assert_eq!(context.metrics().messages.of(MessageStatus::Success).get(), 2);
    assert_eq!(broker.records("numbers.dlq", 0).len(), 1);
}

#[tokio::test]
async fn letters_that_nothing_takes_are_refused_at_the_start() {
    let daemon = on_broker(&broker(&[]), router());
    let error = Box::new(daemon).run(DaemonContext::detached("numbers")).await.expect_err("it can't work");
    assert!(matches!(error, DaemonError::Config(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "dead letters of `numbers` have nowhere to go: give the daemon `dead_letters`, or let the route `stop_on_failure`"
    );
}

#[tokio::test(start_paused = true)]
async fn route_that_stops_needs_nowhere_for_letters() {
    let stops = Router::new().topic("numbers", on(number).stop_on_failure());
    let daemon = on_broker(&broker(&["one"]), stops);
    let error = Box::new(daemon).run(DaemonContext::detached("numbers")).await.expect_err("it stops");
    assert!(!matches!(error, DaemonError::Config(_)), "{error:?}");
}

#[tokio::test]
async fn stop_comes_through_while_the_source_is_not_connected() {
    let context = DaemonContext::detached("numbers");
    let stops = Router::new().topic("numbers", on(number).stop_on_failure());
    let daemon = SourceDaemon::<MemorySource>::new("numbers", pending(), stops);
    context.stop().cancel();
    assert_eq!(Box::new(daemon).run(context).await.expect("it ends well"), Ended::Drained);
}

#[tokio::test]
async fn source_that_can_not_be_had_says_what_follows() {
    let stops = || Router::new().topic("numbers", on(number).stop_on_failure());
    for (error, fatal) in [
        (SourceError::Transient("no answer".to_owned()), false),
        (SourceError::Fatal("taken by another".to_owned()), true),
    ] {
        let daemon = SourceDaemon::<MemorySource>::new("numbers", std::future::ready(Err(error)), stops());
        let ended = Box::new(daemon).run(DaemonContext::detached("numbers")).await;
        assert_eq!(matches!(ended, Err(DaemonError::Fatal(_))), fatal, "{ended:?}");
        assert!(ended.is_err());
    }
}
