//! Looks at a group's commits all the time: what was committed, and how much was finished then.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use daemonry::record::Partition;

use crate::checker::{Coverage, Sample};
use crate::patience::unix_ms;
use crate::topics::{DEADLINE, Group, Topics};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(150);
/// How long an answer may take, but the last one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two lists of the topic's partitions.
const LISTED: Duration = Duration::from_secs(1);

/// The looking, in the background until it is stopped.
#[derive(Debug)]
pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Sample>>>>,
}

impl Sampler {
    /// Starts to look at what `group` commits of `topic`, whose successes stand in the file `ledger`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn start(topics: &Topics, topic: &str, group: &str, ledger: &Path) -> Result<Self> {
        let mut partitions = topics.partitions(topic)?;
        let (name, topic, ledger) = (group.to_owned(), topic.to_owned(), ledger.to_owned());
        let (mut topics, mut group, mut listed) = (topics.again()?, topics.group(&name)?, Instant::now());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut samples = Vec::new();
            loop {
                let last = stopped.load(Ordering::Relaxed);
                let due = Instant::now() + EVERY;
                // There may be more of them.
                if listed.elapsed() >= LISTED || last {
                    listed = Instant::now();
                    match topics.partitions_within(&topic, PATIENCE) {
                        Ok(found) => partitions = found,
                        // As below.
                        Err(_) => topics = topics.again()?,
                    }
                }
                let patience = if last { DEADLINE } else { PATIENCE };
                match sample(&group, &topic, &partitions, &ledger, patience) {
                    Ok(sample) => samples.push(sample),
                    // No broker answers, as a test may wish it; the last look must succeed.
                    Err(error) if last => return Err(error),
                    // They may again by now, and the clients have lost their way to them, see `Bootstrap`.
                    Err(_) => (topics, group) = (topics.again()?, topics.group(&name)?),
                }
                if last {
                    return Ok(samples);
                }
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Looks once more, and gives all that it saw.
    ///
    /// # Errors
    /// When that last look fails.
    pub fn stop(mut self) -> Result<Vec<Sample>> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it is stopped once")?;
        thread.join().map_err(|_| anyhow::anyhow!("the sampler's thread panicked"))?
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn sample(
    group: &Group,
    topic: &str,
    partitions: &[Partition],
    ledger: &PathBuf,
    patience: Duration,
) -> Result<Sample> {
    // The commits first: see `Sample`.
    let committed = group.committed_within(topic, partitions, patience)?;
    let ledger_bytes = fs::metadata(ledger).map_or(0, |file| file.len());
    let coverage = |(partition, committed): (Partition, crate::Committed)| {
        (partition, Coverage::of(committed.next.offset(), &committed.metadata))
    };
    let committed: BTreeMap<_, _> = committed.into_iter().map(coverage).collect();
    Ok(Sample { committed, leader_epochs: BTreeMap::new(), ledger_bytes, unix_ms: unix_ms() })
}
