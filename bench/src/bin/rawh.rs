//! The raw loop of `rawt` with handlers beside it: it hands each message to a task on tokio's threads, through a bounded queue, and so can go on
//! reading whatever they are at. The least that any framework with asynchronous handlers costs. What was handled is committed every second.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use bench::raw::{Commits, client};
use clap::Parser as _;
use meter::{Flags, Meter};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::sync::mpsc::{Receiver, channel};

/// How many may wait.
const QUEUE: usize = 20_000;

#[tokio::main]
async fn main() -> Result<()> {
    let flags = Flags::parse();
    // Messages borrow from it, on other threads.
    let consumer: &'static BaseConsumer = Box::leak(Box::new(client(&flags).create()?));
    consumer.subscribe(&[&flags.topic])?;
    let (queue, messages) = channel(QUEUE);
    let handled = tokio::spawn(handle(consumer, messages, flags));
    thread::spawn(move || {
        while !queue.is_closed() {
            match consumer.poll(Duration::from_millis(100)) {
                // It ends with whoever takes them.
                Some(Ok(message)) => drop(queue.blocking_send(message)),
                Some(Err(error)) => eprintln!("{error}"),
                None => {}
            }
        }
    });
    handled.await?
}

/// Handles so many of these.
async fn handle(
    consumer: &'static BaseConsumer,
    mut messages: Receiver<BorrowedMessage<'static>>,
    flags: Flags,
) -> Result<()> {
    let meter = Meter::new(flags.count);
    let mut commits = Commits::of(&flags.topic);
    while let Some(message) = messages.recv().await {
        let payload = message.payload().unwrap_or_default();
        meter.start(payload);
        if let Some(wait) = flags.work.wait(payload) {
            tokio::time::sleep(wait).await;
        }
        let is_last = meter.done();
        commits.handled(consumer, &message)?;
        if is_last {
            break;
        }
    }
    commits.finish(consumer)?;
    meter.print();
    Ok(())
}
