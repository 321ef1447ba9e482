//! The raw loop that most programs start with: rdkafka's `BaseConsumer`, one thread, one message after the other. What was handled is
//! committed every second.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use bench::raw::{COMMIT, Positions, client};
use clap::Parser as _;
use meter::{Flags, Meter};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;

/// Messages after which the clock is looked at.
const LOOK: u64 = 1_024;

fn main() -> Result<()> {
    let flags = Flags::parse();
    let meter = Meter::new(flags.count);
    let consumer: BaseConsumer = client(&flags).create()?;
    consumer.subscribe(&[&flags.topic])?;

    let (mut next, mut handled, mut committed) = (Positions::default(), 0_u64, Instant::now());
    loop {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                eprintln!("{error}");
                continue;
            }
        };
        let payload = message.payload().unwrap_or_default();
        meter.start(payload);
        if let Some(wait) = flags.work.wait(payload) {
            thread::sleep(wait);
        }
        next.handled(message.partition(), message.offset());
        if meter.done() {
            break;
        }
        handled += 1;
        if handled.is_multiple_of(LOOK) && committed.elapsed() > COMMIT {
            consumer.commit(&next.list(&flags.topic)?, CommitMode::Async)?;
            committed = Instant::now();
        }
    }
    consumer.commit(&next.list(&flags.topic)?, CommitMode::Sync)?;
    meter.print();
    Ok(())
}
