//! The raw loop that most programs start with: rdkafka's `BaseConsumer`, one thread, one message after the other. What was handled is
//! committed every second.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use bench::raw::{Commits, client};
use clap::Parser as _;
use meter::{Flags, Meter};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;

fn main() -> Result<()> {
    let flags = Flags::parse();
    let meter = Meter::new(flags.count);
    let consumer: BaseConsumer = client(&flags).create()?;
    consumer.subscribe(&[&flags.topic])?;

    let mut commits = Commits::of(&flags.topic);
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
        let is_last = meter.done();
        commits.handled(&consumer, &message)?;
        if is_last {
            break;
        }
    }
    commits.finish(&consumer)?;
    meter.print();
    Ok(())
}
