//! ruststream-rdkafka, by the manual form of its API, since the concurrency comes from a flag.
//!
//! An acknowledgement moves the stored position to the lowest unsettled offset, which librdkafka commits every 5 s and at the end. Order by
//! key or partition is `workers_by_key` over the one or the other; no order is `workers`.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;

use clap::Parser as _;
use meter::{Flags, Meter, Order, Work};
use ruststream_rdkafka::prelude::*;
use tokio::sync::Notify;

#[derive(Deserialized)]
struct Payload<'a>(&'a [u8]);

struct Handler {
    meter: &'static Meter,
    work: Work,
    ended: Arc<Notify>,
}

impl<'p> Handle<Payload<'p>> for Handler {
    async fn handle(
        &self,
        payload: &Payload<'p>,
        _outs: &(),
        _context: &mut Context<'_>,
    ) -> Result<(), HandlerOutcome> {
        self.meter.start(payload.0);
        if let Some(wait) = self.work.wait(payload.0) {
            tokio::time::sleep(wait).await;
        }
        if self.meter.done() {
            self.ended.notify_one();
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::parse();
    let meter: &'static Meter = Box::leak(Box::new(Meter::new(flags.count)));
    let ended = Arc::new(Notify::new());
    let concurrency = NonZeroUsize::new(flags.concurrency).ok_or("--concurrency is 0")?;
    let mut topic = KafkaTopic::new(flags.topic.clone())
        .group(flags.group.clone())
        .start(StartOffset::Earliest)
        .commit(Commit::Tracked)
        .lane_key(if flags.ordering == Order::Key { LaneKey::RecordKey } else { LaneKey::Partition })
        // As all loops over librdkafka here: else it waits for a second whenever enough is read ahead.
        .config("fetch.queue.backoff.ms", "10");
    for (name, value) in flags.properties() {
        topic = topic.config(name, value);
    }
    let handler = Handler { meter, work: flags.work, ended: Arc::clone(&ended) };
    let order = flags.ordering;
    let app = RustStream::new(AppInfo::new("peer", "0.0.0"))
        .on_startup(async |()| Ok::<_, Infallible>(()))
        .with_broker(KafkaBroker::new([flags.brokers.clone()]), |broker| {
            let subscriber = subscriber(topic, handler);
            if order == Order::None {
                broker.include(subscriber.workers(concurrency).build());
            } else {
                broker.include(subscriber.workers_by_key(concurrency).build());
            }
        });
    app.run_until(async move { ended.notified().await }).await?;
    meter.print();
    Ok(())
}
