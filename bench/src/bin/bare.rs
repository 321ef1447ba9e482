//! No Kafka: so many tokio tasks, each handling one message after the other. What any framework on tokio can reach at best with a handler
//! that waits; tokio's timer rounds up to its next millisecond.
//!
//! With `--hottest-of TOPIC`: the messages of that topic's most frequent key, one after the other, which bounds what keeps the
//! order of keys.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use bench::messages::Messages;
use bench::topic;
use clap::Parser;
use meter::{Flags, Meter};
use tokio::task::JoinSet;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// A topic of `bench`, by its short name.
    #[arg(long)]
    hottest_of: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { flags, hottest_of } = Arguments::parse();
    let numbers: Vec<u64> = match &hottest_of {
        None => (0..flags.count).collect(),
        Some(name) => Messages::of(topic::named(name).context("no such topic")?).hottest(),
    };
    ensure!(numbers.len() as u64 == flags.count, "it is {} messages that this takes", numbers.len());
    let meter: &'static Meter = Box::leak(Box::new(Meter::new(flags.count)));
    let (numbers, next): (&'static [u64], _) = (numbers.leak(), &*Box::leak(Box::new(AtomicUsize::new(0))));

    let mut tasks = JoinSet::new();
    for _ in 0..flags.concurrency {
        tasks.spawn(async move {
            while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                meter.start(&[]);
                if let Some(wait) = flags.work.wait_of(*number) {
                    tokio::time::sleep(wait).await;
                }
                meter.done();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    meter.print();
    Ok(())
}
